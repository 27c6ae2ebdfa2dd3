"""Which version serves: the alias in MLflow, the bundle on this machine, and the log that servers follow."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from models.bundle import place_bundle, read_bundle
from storage.champions import Champion, current_champion, previous_champion, record_champion
from storage.database import Database
from storage.schema import check_schema
from storage.settings import Settings
from training.errors import TrainingError, UnknownVersion, WorseThanChampion
from training.gate import NOT_COMPARED, Finding, compare_with_champion
from training.tracking import ModelVersion, Tracker

FORCED = "worse, forced"


@dataclass(frozen=True, slots=True)
class ChampionChange:
    """What serves now, and what served before.

    Attributes
    ----------
    compared : str
        What the gate found: `better`, `no difference seen` or `worse, forced`, with the difference in
        NDCG@10; or `not compared` and why.
    """

    version: str
    model: str
    previous_version: str | None
    changed: bool
    digest: str
    location: str
    compared: str


def promote(
    database: Database, settings: Settings, version: str, *, actor: str = "promote", force: bool = False
) -> ChampionChange:
    """Make a registered version the champion; running servers follow the log.

    The bundle is fetched and checked first: a version whose bundle is not what was registered is refused and
    nothing changes.

    Parameters
    ----------
    force : bool
        Also a version that ranks worse than the champion; the log then says so.

    Raises
    ------
    UnknownVersion
        No such version.
    WorseThanChampion
        It ranks significantly worse than the champion, asked the same.
    BundleRefused
        Its bundle is missing or not what was registered.
    """
    check_schema(database)
    tracker = Tracker(settings)
    wanted = tracker.version(version)
    with database.connection() as connection:
        before = current_champion(connection)
    found = _pass_gate(tracker, wanted, before, force=force)
    if found.verdict == FORCED:
        actor = f"{actor} --force: {found.why}"
    champion = _placed(tracker, settings, wanted.version, expected_digest=wanted.tags.get("digest"))
    with database.connection() as connection:
        # The alias first: should the log fail, the watcher of serving brings it up to date.
        tracker.set_champion(champion.version)
        changed = record_champion(connection, champion, action="promote", actor=actor)
    return _change(champion, before, changed=changed, compared=str(found))


def rollback(database: Database, settings: Settings, *, actor: str = "rollback") -> ChampionChange:
    """Go one step back to the champion before this one, by the log; how well it ranks is not asked.

    Raises
    ------
    UnknownVersion
        There was none before.
    """
    check_schema(database)
    with database.connection() as connection:
        previous = previous_champion(connection)
    if previous is None:
        raise UnknownVersion("there is no champion to go back to; promote one: tailor promote VERSION")
    tracker = Tracker(settings)
    champion = _placed(tracker, settings, previous.version, expected_digest=previous.digest)
    with database.connection() as connection:
        before = current_champion(connection)
        tracker.set_champion(champion.version)
        changed = record_champion(connection, champion, action="rollback", actor=actor)
    compared = f"{NOT_COMPARED}: going back is always possible"
    return _change(champion, before, changed=changed, compared=compared)


def _pass_gate(tracker: Tracker, wanted: ModelVersion, before: Champion | None, *, force: bool) -> Finding:
    try:
        found = compare_with_champion(tracker, wanted, before)
    except TrainingError as error:
        if not force:
            raise
        return Finding(NOT_COMPARED, str(error))
    if found.verdict != "worse" or before is None:
        return found
    if not force:
        raise WorseThanChampion(
            f"version {wanted.version} ranks worse than the champion, version {before.version}: {found.why}, "
            f"by {wanted.tags.get('judged_by')}; to promote it all the same: "
            f"tailor promote {wanted.version} --force"
        )
    return Finding(FORCED, found.why)


def _placed(tracker: Tracker, settings: Settings, version: str, *, expected_digest: str | None) -> Champion:
    """Have the bundle of a version under home/bundles, whole and checked."""
    bundles = settings.home / "bundles"
    bundles.mkdir(parents=True, exist_ok=True)
    if expected_digest and (bundles / expected_digest).is_dir():
        bundle = read_bundle(bundles / expected_digest, expected_digest=expected_digest)
        return Champion(version, bundle.model.kind, bundle.digest, str(bundles / expected_digest))
    with tempfile.TemporaryDirectory(prefix=".incoming-", dir=bundles) as incoming:
        place = tracker.download_bundle(version, Path(incoming) / "downloaded")
        bundle, final = place_bundle(place, bundles, expected_digest=expected_digest)
    return Champion(version, bundle.model.kind, bundle.digest, str(final))


def _change(champion: Champion, before: Champion | None, *, changed: bool, compared: str) -> ChampionChange:
    return ChampionChange(
        version=champion.version,
        model=champion.model_kind,
        previous_version=None if before is None else before.version,
        changed=changed,
        digest=champion.digest,
        location=champion.location,
        compared=compared,
    )
