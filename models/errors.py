"""What can go wrong on this floor.

ModelsError
├── EmptyHistory       no known item with confidence above 0: there is nothing to tailor by
├── InvalidModel       parameters or arrays that make no model (also a ValueError)
└── BundleRefused      a bundle that is not exactly what was written
"""


class ModelsError(Exception):
    """Anything that this package refuses to do."""


class EmptyHistory(ModelsError):
    """The history holds no item that the model knows with a confidence above 0."""


class InvalidModel(ModelsError, ValueError):
    """A parameter out of its range, or arrays whose shapes or values make no model."""


class BundleRefused(ModelsError):
    """A bundle that is incomplete, changed, unknown or surprising; `reason` says which."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
