"""A trained model as a folder of plain arrays and JSON. Nothing in it is ever executed: no pickle.

    manifest.json              what it is, and the size and sha256 of every other file
    items.json                 site id → item ids, in column order
    model.safetensors          the model's arrays
    popularity.safetensors     the fallback's arrays
    reach.safetensors          consumers by item and by site; bundles from before there was any have none
    text.json                  perhaps: the words that the items' texts are read by
    text.safetensors           with it: what the items say

The bundle's digest is the sha256 of manifest.json, and so of everything.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from features.errors import FeaturesError
from features.ids import ItemIds
from features.weights import InteractionWeights
from models.alike import ItemText
from models.arrays import from_safetensors, to_safetensors
from models.blend import MEMBER_KINDS, FittedBlend
from models.errors import BundleRefused, InvalidModel
from models.folder import (
    Content,
    copy_whole,
    fingerprint,
    from_json,
    map_file,
    read_file,
    to_json,
    write_whole,
)
from models.pooling import Pooling
from models.popularity import FittedPopularity
from models.reach import Reach
from models.recommender import FittedRecommender

FORMAT_VERSION: Final = 1

MODEL_KINDS: Final[Mapping[str, type[FittedRecommender]]] = {
    **MEMBER_KINDS,
    FittedBlend.kind: FittedBlend,
    FittedPopularity.kind: FittedPopularity,
}

_MANIFEST = "manifest.json"
_FILES = ("items.json", "model.safetensors", "popularity.safetensors")
_REACH = "reach.safetensors"
_TEXT_FILES = ("text.json", "text.safetensors")
_FIELDS = {
    "format_version": int,
    "model_kind": str,
    "parameters": dict,
    "weights": dict,
    "pooling": dict,
    "data": dict,
    "metrics": dict,
    "code_revision": str,
    "created_at": str,
    "files": dict,
}
_MANIFEST_LIMIT_BYTES = 16 * 2**20


@dataclass(frozen=True, eq=False, slots=True)
class Bundle:
    """A model that was read back and checked.

    Attributes
    ----------
    model, popularity
        The model, and the popularity over the same items that stands in for consumers without a history.
    pooling : Pooling
        How its item scores become promotion scores.
    text : ItemText or None
        What the items say, so that new ones get a score; None where nothing is known of it.
    manifest : mapping
        Everything that was written down: parameters, data, metrics, code revision...
    digest : str
        sha256 of the manifest, as hex.
    reach : Reach or None
        How many consumers each item and site has; None where nobody counted.
    """

    model: FittedRecommender
    popularity: FittedPopularity
    pooling: Pooling
    manifest: Mapping[str, Any]
    digest: str
    reach: Reach | None = None
    text: ItemText | None = None

    @property
    def items(self) -> ItemIds:
        """The items that are scored."""
        return self.model.items

    @property
    def weights(self) -> InteractionWeights:
        """How a history is weighed."""
        return self.model.weights

    def __repr__(self) -> str:
        return f"Bundle({self.digest[:12]}, {self.model!r}, {self.pooling})"


def write_bundle(
    directory: Path,
    model: FittedRecommender,
    *,
    popularity: FittedPopularity,
    pooling: Pooling,
    reach: Reach | None = None,
    text: ItemText | None = None,
    metrics: Mapping[str, float] | None = None,
    data: Mapping[str, Any] | None = None,
    code_revision: str = "unknown",
    created_at: datetime | None = None,
) -> str:
    """Write a bundle as a new folder, whole or not at all, and return its digest.

    Parameters
    ----------
    directory : Path
        Must not exist yet, or be empty.
    text : ItemText, optional
        What the model's items say.
    data : mapping, optional
        The data window: whatever plain JSON values tell what it learned from (digest, as_of, counts...).
    """
    if model.kind not in MODEL_KINDS:
        raise InvalidModel(f"unknown model kind {model.kind!r}; known: {', '.join(MODEL_KINDS)}")
    if popularity.items != model.items:
        raise InvalidModel(f"the popularity is over {popularity.items!r}, the model over {model.items!r}")
    if text is not None and text.items != model.items:
        raise InvalidModel(f"the text is of {text.items!r}, the model over {model.items!r}")
    contents = {
        "items.json": to_json(model.items.to_json()),
        "model.safetensors": to_safetensors(model.arrays()),
        "popularity.safetensors": to_safetensors(popularity.arrays()),
    }
    if reach is not None:
        contents[_REACH] = to_safetensors(reach.arrays())
    if text is not None:
        contents["text.json"] = to_json(text.parameters())
        contents["text.safetensors"] = to_safetensors(text.arrays())
    manifest = to_json(
        {
            "format_version": FORMAT_VERSION,
            "model_kind": model.kind,
            "parameters": model.parameters(),
            "weights": model.weights.to_json(),
            "pooling": pooling.to_json(),
            "data": dict(data or {}),
            "metrics": dict(metrics or {}),
            "code_revision": code_revision,
            "created_at": (created_at or datetime.now(UTC)).isoformat(),
            "files": {name: fingerprint(content) for name, content in contents.items()},
        }
    )
    write_whole(directory, {**contents, _MANIFEST: manifest})
    return hashlib.sha256(manifest).hexdigest()


def read_bundle(directory: Path, *, expected_digest: str | None = None, mapped: bool = False) -> Bundle:
    """Read a bundle and check all of it before any of it is used. Its arrays cannot be written to.

    Parameters
    ----------
    mapped : bool
        Leave the arrays in their files: processes that read the same bundle share one copy in memory. The
        check has touched every page. On Windows the files cannot be deleted while the bundle is in use.

    Raises
    ------
    BundleRefused
        With the reason: a missing, extra, truncated or changed file, a link or folder where a file should be,
        an unknown format version or model kind, a digest that is not the expected one, or arrays that make no
        model.
    """
    content = read_file(directory, _MANIFEST, limit_bytes=_MANIFEST_LIMIT_BYTES)
    digest = hashlib.sha256(content).hexdigest()
    if expected_digest is not None and digest != expected_digest:
        raise BundleRefused(f"{directory} has the digest {digest}; expected {expected_digest}")
    manifest = _read_manifest(content)
    contents = _read_contents(directory, manifest["files"], mapped=mapped)
    try:
        items = ItemIds.from_json(from_json(contents["items.json"], "items.json"))
        weights = InteractionWeights.from_json(manifest["weights"])
        kind = MODEL_KINDS[manifest["model_kind"]]
        told = from_safetensors(contents["model.safetensors"], "model.safetensors")
        model = kind.from_arrays(items, weights, arrays=told, parameters=manifest["parameters"])
        _refuse_surprising(told, model.arrays(), "model.safetensors")
        told = from_safetensors(contents["popularity.safetensors"], "popularity.safetensors")
        popularity = FittedPopularity.from_arrays(items, weights, arrays=told, parameters={})
        _refuse_surprising(told, popularity.arrays(), "popularity.safetensors")
        reach = None
        if _REACH in contents:
            told = from_safetensors(contents[_REACH], _REACH)
            reach = Reach.from_arrays(items, arrays=told)
            _refuse_surprising(told, reach.arrays(), _REACH)
        pooling = Pooling.from_json(manifest["pooling"])
        text = _read_text(contents, items)
    except (FeaturesError, InvalidModel, TypeError, ArithmeticError) as error:
        raise BundleRefused(f"{directory}: {error}") from error
    return Bundle(model, popularity, pooling, manifest, digest, reach, text)


def place_bundle(source: Path, bundles: Path, *, expected_digest: str | None = None) -> tuple[Bundle, Path]:
    """Check a bundle and have it in a folder of bundles, by its digest, whole or not at all.

    Raises
    ------
    BundleRefused
        It, or what lies in its place already, is not exactly what was written.
    """
    bundle = read_bundle(source, expected_digest=expected_digest)
    place = bundles / bundle.digest
    try:
        if not place.is_dir():
            copy_whole(source, place)
            return bundle, place
    except OSError:
        # Somebody else placed it meanwhile, or it cannot be placed.
        if not place.is_dir():
            raise
    return read_bundle(place, expected_digest=bundle.digest), place


def _read_text(contents: Mapping[str, Content], items: ItemIds) -> ItemText | None:
    if "text.json" not in contents:
        return None
    parameters = from_json(contents["text.json"], "text.json")
    if not isinstance(parameters, dict):
        raise BundleRefused(f"text.json is a {type(parameters).__name__}; expected an object")
    told = from_safetensors(contents["text.safetensors"], "text.safetensors")
    text = ItemText.from_arrays(items, arrays=told, parameters=parameters)
    _refuse_surprising(told, text.arrays(), "text.safetensors")
    return text


def _read_manifest(content: bytes) -> dict[str, Any]:
    manifest = from_json(content, _MANIFEST)
    if not isinstance(manifest, dict):
        raise BundleRefused(f"{_MANIFEST} is a {type(manifest).__name__}; expected an object")
    # The version first: what another version looks like is not for this code to judge.
    version = manifest.get("format_version")
    if version != FORMAT_VERSION or isinstance(version, bool):
        raise BundleRefused(
            f"format version {version!r}; this code reads version {FORMAT_VERSION}: train again"
        )
    if set(manifest) != set(_FIELDS):
        raise BundleRefused(f"{_MANIFEST} has the fields {sorted(manifest)}; expected {sorted(_FIELDS)}")
    for name, kind in _FIELDS.items():
        if not isinstance(manifest[name], kind):
            raise BundleRefused(f"{_MANIFEST}: {name} is {manifest[name]!r}; expected {kind.__name__}")
    if manifest["model_kind"] not in MODEL_KINDS:
        raise BundleRefused(f"unknown model kind {manifest['model_kind']!r}; known: {', '.join(MODEL_KINDS)}")
    return manifest


def _read_contents(directory: Path, files: Mapping[str, Any], *, mapped: bool) -> dict[str, Content]:
    needed = {*_FILES, *(_TEXT_FILES if set(_TEXT_FILES) & set(files) else ())}
    if set(files) - {_REACH} != needed:
        raise BundleRefused(f"{_MANIFEST} lists the files {sorted(files)}; expected {sorted(needed)}")
    if surprising := sorted({entry.name for entry in directory.iterdir()} - {*files, _MANIFEST}):
        raise BundleRefused(f"{directory} holds {', '.join(surprising)}, which no bundle has; remove it")
    contents: dict[str, Content] = {}
    for name in files:
        told = files[name]
        if (
            not isinstance(told, dict)
            or set(told) != {"bytes", "sha256"}
            or not isinstance(told["bytes"], int)
        ):
            raise BundleRefused(f"{_MANIFEST}: {name} is {told!r}; expected its bytes and sha256")
        read = map_file if mapped and name.endswith(".safetensors") else read_file
        content = read(directory, name, limit_bytes=told["bytes"])
        if len(content) < told["bytes"]:
            raise BundleRefused(
                f"{name} is cut short: {len(content)} of {told['bytes']} bytes; copy it again"
            )
        if fingerprint(content) != told:
            raise BundleRefused(f"{name} was changed: its sha256 is not the manifest's; copy it again")
        contents[name] = content
    return contents


def _refuse_surprising(
    arrays: Mapping[str, NDArray[Any]], expected: Mapping[str, NDArray[Any]], name: str
) -> None:
    if surprising := sorted(set(arrays) - set(expected)):
        raise BundleRefused(f"{name} holds surprising arrays: {', '.join(surprising)}")
