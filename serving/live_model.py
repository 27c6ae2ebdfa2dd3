"""The champion as a worker holds it: the bundle that the champion log names, checked and loaded."""

from dataclasses import dataclass
from pathlib import Path

from models.bundle import Bundle, read_bundle
from models.errors import BundleRefused
from serving.answer import ModelInfo
from storage.champions import Champion


@dataclass(frozen=True, eq=False, slots=True)
class LiveModel:
    """A loaded champion; immutable, so that requests in flight keep the one they began with.

    `loaded` is the bundle as it was trained, where `bundle` also scores items that came later.
    """

    info: ModelInfo
    bundle: Bundle
    loaded: Bundle | None = None


def load_champion(entry: Champion, *, bundles: Path) -> LiveModel:
    """Load what an entry of the champion log names; its arrays stay in their files, shared by all workers.

    Parameters
    ----------
    bundles : this machine's own bundle folder, for when the log was written on another one.

    Raises
    ------
    BundleRefused : nothing there, or not exactly what was promoted.
    """
    places = [Path(entry.location), bundles / entry.digest]
    place = next((one for one in places if one.is_dir()), None)
    if place is None:
        raise BundleRefused(f"no bundle of version {entry.version} at {' or '.join(map(str, places))}")
    bundle = read_bundle(place, expected_digest=entry.digest, mapped=True)
    return LiveModel(
        info=ModelInfo(version=str(entry.version), kind=bundle.model.kind, digest=bundle.digest),
        bundle=bundle,
    )
