"""What can go wrong in storage.

::

    StorageError
    ├── DatabaseUnavailable      the server cannot be reached, or went away
    │   └── DatabaseBusy         others hold what is needed
    ├── SchemaMissing            the tables are not there yet
    │   └── SchemaTooOld         they are there, of an earlier version
    ├── SchemaTooNew             they were made by newer code than this
    ├── NotKnown                 a thing was named that is not stored
    │   ├── UnknownConsumer
    │   ├── UnknownItem
    │   ├── UnknownKey
    │   ├── UnknownMerge
    │   ├── UnknownPromotion
    │   ├── UnknownQuarantineRow
    │   ├── UnknownSite
    │   ├── UnknownSource
    │   └── UnknownSubscriber
    ├── AlreadyTaken             the name belongs to somebody else
    ├── UnreadableFile           a file that cannot be imported at all
    └── InvalidValue             an argument or setting that makes no sense (also a ValueError)
        └── BadSeal              a signed text that was altered or signed elsewhere
"""

from collections.abc import Collection


class StorageError(Exception):
    """Anything storage refuses or cannot do; the message names the value at fault and the next step."""


class DatabaseUnavailable(StorageError):
    """The database cannot be reached now; trying again later may help."""


class DatabaseBusy(DatabaseUnavailable):
    """Others hold a table that is needed; trying again later may help."""


class SchemaMissing(StorageError):
    """The database has no tables of ours."""

    def __init__(self, message: str = "the database has no tables yet; run: tailor init") -> None:
        super().__init__(message)


class SchemaTooOld(SchemaMissing):
    """The database was made by an earlier version of this code."""

    def __init__(self, revision: str, *, newest: str) -> None:
        super().__init__(f"the database is at schema {revision}, this code needs {newest}; run: tailor init")
        self.revision = revision


class SchemaTooNew(StorageError):
    """The database was made by a later version of this code, which is left alone."""

    def __init__(self, revision: str, *, newest: str) -> None:
        super().__init__(
            f"the database is at schema {revision}, which is newer than this code ({newest}); "
            "update the code, or point DATABASE_URL at another database"
        )
        self.revision = revision


class NotKnown(StorageError):
    """A thing was named that is not stored; `noun` says what, `value` which."""

    noun = "thing"
    plural = "things"

    def __init__(self, value: str, *, known: Collection[str] = ()) -> None:
        hint = f"; known {self.plural}: {_shorten(known)}" if known else ""
        super().__init__(f"unknown {self.noun} {value!r}{hint}")
        self.value = value


class UnknownConsumer(NotKnown):
    """No identifier leads to this consumer."""

    noun, plural = "consumer", "consumers"


class UnknownItem(NotKnown):
    """The site has no such item."""

    noun, plural = "item", "items"


class UnknownKey(NotKnown):
    """No such key was issued, or it was revoked."""

    noun, plural = "key", "keys"


class UnknownMerge(NotKnown):
    """No such merge was made, or it was undone before."""

    noun, plural = "merge", "merges"


class UnknownPromotion(NotKnown):
    """No such promotion is stored."""

    noun, plural = "promotion", "promotions"


class UnknownQuarantineRow(NotKnown):
    """No such row is in quarantine, or it was taken in meanwhile."""

    noun, plural = "quarantined row", "quarantined rows"


class UnknownSite(NotKnown):
    """No such site is in the network."""

    noun, plural = "site", "sites"


class UnknownSource(NotKnown):
    """No activity was ever received from this source."""

    noun, plural = "source", "sources"


class UnknownSubscriber(NotKnown):
    """No such subscriber is in the network."""

    noun, plural = "subscriber", "subscribers"


class AlreadyTaken(StorageError):
    """The identifier is in use by somebody else."""


class UnreadableFile(StorageError):
    """A file that cannot be imported: not there, of an unknown format, or without the columns needed."""


class InvalidValue(StorageError, ValueError):
    """An argument, field or setting whose value makes no sense."""


class BadSeal(InvalidValue):
    """A text that should be signed by the network, and is not."""


def _shorten(known: Collection[str], limit: int = 20) -> str:
    names = sorted(known)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
