"""Everything a decision needs besides the consumer's activity: immutable, made aside, swapped whole."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from serving.catalog import Catalogue, make_catalogue
from serving.errors import NotASubscriber
from serving.live_model import LiveModel
from serving.members import Members
from serving.newcomers import knowing_the_new
from serving.shelf import NO_SHELVES, Shelf, make_shelves
from serving.token import TokenSigner
from storage.activity_cookie import PURPOSE
from storage.catalogue import Stamp, catalogue_stamp, read_catalogue
from storage.champions import Champion, current_champion
from storage.database import Connection
from storage.signing import Seal, signing_keys


@dataclass(frozen=True, eq=False, slots=True)
class State:
    """What the database says, as of one moment; `stamp` tells whether the catalogue is still the same."""

    catalogue: Catalogue
    stamp: Stamp
    champion: Champion | None
    secrets: tuple[bytes, ...]
    read_at: datetime

    def same_as(self, other: "State") -> bool:
        """Whether nothing has changed between the two."""
        mine = (self.stamp, self.champion, self.secrets)
        return mine == (other.stamp, other.champion, other.secrets)


@dataclass(frozen=True, eq=False, slots=True)
class Seals:
    """What is signed besides decisions: cookies of a site's visitor and of the network, and links."""

    cookie: Seal
    network: Seal
    link: Seal


@dataclass(frozen=True, eq=False, slots=True)
class View:
    """One consistent state: the catalogue, the champion, the two put together, and what is signed with.

    `model_problem` tells why the newest champion does not serve, if it was refused.
    """

    state: State
    model: LiveModel | None
    shelves: Mapping[str, Shelf]
    signer: TokenSigner
    seals: Seals
    model_problem: str | None

    @property
    def catalogue(self) -> Catalogue:
        """What is offered, where and by whom."""
        return self.state.catalogue

    def with_members(self, members: Members | None) -> "View":
        """Return the same view with these members, unless its own are newer."""
        if members is None or members.read_at <= self.catalogue.members.read_at:
            return self
        return replace(self, state=replace(self.state, catalogue=replace(self.catalogue, members=members)))

    def shelf(self, site_id: str) -> Shelf:
        """Return the shelf of a subscriber's site."""
        try:
            return self.shelves[site_id]
        except KeyError:
            raise NotASubscriber(f"site {site_id!r} is no subscriber, so nothing is shown there") from None


def make_view(
    state: State,
    model: LiveModel | None,
    *,
    signer: TokenSigner,
    model_problem: str | None = None,
    before: View | None = None,
) -> View:
    """Put a catalogue and a champion together; what has not changed is taken from the view `before`."""
    model = None if model is None else knowing_the_new(model, state.catalogue)
    kept = before.shelves if before is not None and before.model is model else NO_SHELVES
    shelves = make_shelves(state.catalogue, model, before=kept)
    seals = Seals(
        cookie=Seal(state.secrets, purpose=PURPOSE),
        network=Seal(state.secrets, purpose="network-cookie"),
        link=Seal(state.secrets, purpose="link"),
    )
    return View(state, model, shelves, signer, seals, model_problem)


def read_state(connection: Connection, *, known: State | None = None) -> State:
    """Read what a view is made of; the catalogue only if it has changed since `known`."""
    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    now, stamp = datetime.now(UTC), catalogue_stamp(connection)
    if known is not None and known.stamp == stamp:
        catalogue = known.catalogue
    else:
        catalogue = make_catalogue(read_catalogue(connection, now=now), read_at=now)
    champion, secrets = current_champion(connection), tuple(signing_keys(connection))
    return State(catalogue=catalogue, stamp=stamp, champion=champion, secrets=secrets, read_at=now)
