"""What can go wrong on this floor.

TrainingError
├── InvalidProtocol      a split, cut or metric that makes no sense for the data (also a ValueError)
├── FolderRefused        a benchmark folder that is not in the format (also a ValueError)
├── NothingToEvaluate    the held-out part holds nothing that can be ranked
├── RegistryUnavailable  MLflow cannot be reached, or refuses
├── UnknownVersion       no such registered version; or none to go back to
├── AnswersRefused       the kept answers of a version cannot be read
└── WorseThanChampion    a version that ranks significantly worse than the champion, and is not forced
"""


class TrainingError(Exception):
    """Anything that this package cannot do."""


class InvalidProtocol(TrainingError, ValueError):
    """An argument of an evaluation that makes no sense for the data."""


class FolderRefused(TrainingError, ValueError):
    """A benchmark folder that is not in the format; the message says which file and what in it."""


class NothingToEvaluate(TrainingError):
    """After the split nothing is left to rank."""


class RegistryUnavailable(TrainingError):
    """MLflow cannot be reached, or it refuses."""


class UnknownVersion(TrainingError):
    """A model version that is not registered, or that is not there to go back to."""


class AnswersRefused(TrainingError):
    """What a version answered query by query is damaged or not what this code writes."""


class WorseThanChampion(TrainingError):
    """A version that ranks significantly worse than the champion on the same questions."""
