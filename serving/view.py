"""Everything a decision needs besides the consumer's activity: immutable, made aside, swapped whole."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from serving.catalog import Catalogue, make_catalogue
from serving.errors import NotASubscriber
from serving.live_model import LiveModel
from serving.shelf import Shelf, make_shelves
from serving.token import TokenSigner
from storage.catalogue import Stamp, catalogue_stamp, read_catalogue
from storage.champions import Champion, current_champion
from storage.database import Connection
from storage.signing import signing_keys


@dataclass(frozen=True, eq=False, slots=True)
class State:
    """What the database says, as of one moment."""

    catalogue: Catalogue
    champion: Champion | None
    secrets: tuple[bytes, ...]
    stamp: Stamp


@dataclass(frozen=True, eq=False, slots=True)
class View:
    """One consistent state: the catalogue, the champion, the two put together, and the signer.

    `model_problem` tells why the newest champion does not serve, if it was refused; `stamp` what the database
    looked like.
    """

    catalogue: Catalogue
    model: LiveModel | None
    shelves: Mapping[str, Shelf]
    signer: TokenSigner
    model_problem: str | None
    stamp: Stamp

    def shelf(self, site_id: str) -> Shelf:
        """Return the shelf of a subscriber's site."""
        try:
            return self.shelves[site_id]
        except KeyError:
            raise NotASubscriber(f"site {site_id!r} is no subscriber, so nothing is shown there") from None


def make_view(
    state: State, model: LiveModel | None, *, signer: TokenSigner, model_problem: str | None = None
) -> View:
    """Put a catalogue and a champion together."""
    shelves = make_shelves(state.catalogue, model)
    return View(state.catalogue, model, shelves, signer, model_problem, state.stamp)


def read_state(connection: Connection, *, known: Stamp | None = None) -> State | None:
    """Read what a view is made of; None when nothing has changed since `known`."""
    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    now, stamp = datetime.now(UTC), catalogue_stamp(connection)
    if stamp == known:
        return None
    return State(
        catalogue=make_catalogue(read_catalogue(connection, now=now), read_at=now),
        champion=current_champion(connection),
        secrets=tuple(signing_keys(connection)),
        stamp=stamp,
    )
