"""What can go wrong on this floor.

FeaturesError
├── InvalidWeights     interaction weights that make no sense (also a ValueError)
├── InvalidIds         ids that are not sorted and unique (also a ValueError)
├── NoInteractions     nothing is left to learn from
├── SnapshotRefused    a folder that is not a whole snapshot
└── SnapshotNotWritten no room for a snapshot; the ones before it are whole
"""


class FeaturesError(Exception):
    """Anything that this package refuses to do."""


class InvalidWeights(FeaturesError, ValueError):
    """A weight, half-life, window or limit out of its range."""


class InvalidIds(FeaturesError, ValueError):
    """Ids that are not sorted, not unique or not text."""


class NoInteractions(FeaturesError):
    """No row is left after the filters."""


class SnapshotRefused(FeaturesError):
    """A snapshot that is missing, incomplete or changed since it was taken."""


class SnapshotNotWritten(FeaturesError):
    """There is no room for the snapshot; what was there before is as it was."""
