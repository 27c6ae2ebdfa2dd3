"""A bundle is exactly what was written, or it is refused with the reason."""

import hashlib
import json
import mmap
import os
import pickle
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from scipy import sparse

from features.content import Vocabulary
from features.ids import ItemIds
from features.weights import KINDS, InteractionWeights
from models.alike import ItemText, Likeness
from models.als import Als, FittedAls
from models.blend import FittedBlend
from models.bundle import place_bundle, read_bundle, write_bundle
from models.errors import BundleRefused, InvalidModel
from models.graph import FittedGraph, Graph
from models.pooling import Pooling
from models.popularity import FittedPopularity
from models.reach import Reach

ITEMS = ItemIds({"books": ["1", "2"], "müsic": ["1"]})
WEIGHTS = InteractionWeights(half_life_days=30)
REACH = Reach(ITEMS, np.array([3, 1, 2], dtype=np.int32), np.array([3, 2], dtype=np.int32))
FILES = ("items.json", "model.safetensors", "popularity.safetensors")
POPULARITY = FittedPopularity(ITEMS, WEIGHTS, np.array([0.25, 0.75, 1], dtype=np.float32))
VOCABULARY = Vocabulary(("red", "shoe"), np.array([2, 1], dtype=np.float32))
TEXT = ItemText(
    ITEMS, VOCABULARY, VOCABULARY.vectors([{"title": "red shoe"}, {}, {"title": "shoe"}]), Likeness(2, 0.5)
)
MODEL = FittedAls(ITEMS, WEIGHTS, np.eye(3, 4, dtype=np.float32), Als(factors=4))


def write(directory: Path, **more: Any) -> str:
    told = {
        "popularity": POPULARITY,
        "pooling": Pooling("max"),
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
    }
    return write_bundle(directory, MODEL, **{**told, **more})


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    write(tmp_path / "bundle", metrics={"ndcg10": 0.25}, data={"as_of": "2026-01-01"}, code_revision="abc123")
    return tmp_path / "bundle"


def test_what_was_written_down_comes_back(bundle: Path) -> None:
    read = read_bundle(bundle)
    assert (read.items, read.weights, read.pooling) == (ITEMS, WEIGHTS, Pooling("max"))
    assert np.array_equal(read.model.arrays()["item_factors"], MODEL.item_factors)
    told = {name: read.manifest[name] for name in ("metrics", "data", "code_revision", "model_kind")}
    assert told == {
        "metrics": {"ndcg10": 0.25},
        "data": {"as_of": "2026-01-01"},
        "code_revision": "abc123",
        "model_kind": "als",
    }
    assert read.digest == hashlib.sha256((bundle / "manifest.json").read_bytes()).hexdigest()


def test_how_many_consumers_there_are_comes_back_where_somebody_counted(tmp_path: Path) -> None:
    write(tmp_path / "counted", reach=REACH)
    write(tmp_path / "earlier")
    assert read_bundle(tmp_path / "earlier").reach is None
    reach = read_bundle(tmp_path / "counted").reach
    assert reach is not None
    assert reach.items == ITEMS
    assert all(np.array_equal(one, REACH.arrays()[name]) for name, one in reach.arrays().items())


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"by_item": np.ones(2, np.int32), "by_site": np.ones(2, np.int32)}, "by_item"),
        ({"by_item": np.ones(3, np.int32), "by_site": np.ones(3, np.int32)}, "by_site"),
        ({"by_item": np.ones(3, np.float32), "by_site": np.ones(2, np.int32)}, "float32"),
        ({"by_item": np.array([1, -1, 1], np.int32), "by_site": np.ones(2, np.int32)}, "fewer than no"),
        ({"by_item": np.ones(3, np.int32)}, "no array 'by_site'"),
        (
            {
                "by_item": np.ones(3, np.int32),
                "by_site": np.ones(2, np.int32),
                "who": np.ones(1, np.int32),
            },
            "surprising arrays: who",
        ),
    ],
)
def test_counts_that_do_not_fit_are_refused(
    tmp_path: Path, arrays: dict[str, Any], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Reach, "arrays", lambda _: arrays)
    write(tmp_path / "bundle", reach=REACH)
    monkeypatch.undo()
    with pytest.raises(BundleRefused, match=reason):
        read_bundle(tmp_path / "bundle")


def test_counts_that_were_changed_or_are_gone_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "bundle", reach=REACH)
    content = (tmp_path / "bundle" / "reach.safetensors").read_bytes()
    (tmp_path / "bundle" / "reach.safetensors").write_bytes(content[:-1] + b"\x07")
    with pytest.raises(BundleRefused, match="was changed"):
        read_bundle(tmp_path / "bundle")
    (tmp_path / "bundle" / "reach.safetensors").unlink()
    with pytest.raises(BundleRefused, match="is missing"):
        read_bundle(tmp_path / "bundle")


def test_the_same_bundle_has_the_same_digest(tmp_path: Path) -> None:
    assert write(tmp_path / "one") == write(tmp_path / "two")


def test_a_bundle_is_not_written_over_another(bundle: Path) -> None:
    before = read_bundle(bundle).digest
    with pytest.raises(OSError, match="not empty"):
        write(bundle)
    assert read_bundle(bundle).digest == before
    assert [path.name for path in bundle.parent.iterdir()] == ["bundle"]


def test_numbers_that_are_not_finite_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write(tmp_path / "bundle", metrics={"ndcg10": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_a_popularity_over_other_items_is_not_written(tmp_path: Path) -> None:
    other = FittedPopularity(ItemIds({"a": ["1"]}), WEIGHTS, np.ones(1, dtype=np.float32))
    with pytest.raises(InvalidModel, match="popularity is over"):
        write(tmp_path / "bundle", popularity=other)


def rewrite(bundle: Path, **changes: Any) -> None:
    """Change the manifest, as somebody would who knows the format."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest.update(changes)
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def replace(bundle: Path, name: str, content: bytes) -> None:
    """Put other content in, with its true digest in the manifest."""
    (bundle / name).write_bytes(content)
    files = json.loads((bundle / "manifest.json").read_text())["files"]
    files[name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    rewrite(bundle, files=files)


def arrays(**named: np.ndarray) -> bytes:
    return safetensors.numpy.save(named)


def headed(*, data: bytes = bytes(48), **told: Any) -> bytes:
    """A file of `item_factors` with another header than it should have."""
    place = {"dtype": "F32", "shape": [3, 4], "data_offsets": [0, 48], **told}
    header = json.dumps({"item_factors": place}).encode()
    return len(header).to_bytes(8, "little") + header + data


def truncate(bundle: Path) -> None:
    path = bundle / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4])


def tamper(bundle: Path) -> None:
    path = bundle / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def lengthen(bundle: Path) -> None:
    with (bundle / "items.json").open("ab") as file:
        file.write(b" ")


def link(bundle: Path) -> None:
    path = bundle / "model.safetensors"
    path.rename(bundle.parent / "elsewhere")
    path.symlink_to(bundle.parent / "elsewhere")


def list_path_outside(bundle: Path) -> None:
    (bundle / "items.json").rename(bundle.parent / "items.json")
    files = json.loads((bundle / "manifest.json").read_text())["files"]
    files["../items.json"] = files.pop("items.json")
    rewrite(bundle, files=files)


def make_folder(bundle: Path) -> None:
    (bundle / "items.json").unlink()
    (bundle / "items.json").mkdir()


def make_pipe(bundle: Path) -> None:
    (bundle / "items.json").unlink()
    os.mkfifo(bundle / "items.json")


REFUSALS: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (truncate, "model.safetensors is cut short: 108 of 112|is cut short"),
    "tampered": (tamper, "model.safetensors was changed"),
    "lengthened": (lengthen, "items.json is longer than"),
    "no manifest": (lambda b: (b / "manifest.json").unlink(), "manifest.json is missing"),
    "no arrays": (lambda b: (b / "model.safetensors").unlink(), "model.safetensors is missing"),
    "extra file": (lambda b: (b / "run.py").touch(), "holds run.py, which no bundle has"),
    "extra hidden file": (lambda b: (b / ".x").touch(), "holds .x"),
    "extra folder": (lambda b: (b / "more").mkdir(), "holds more"),
    "link": (link, "cannot be read as a plain file"),
    "folder for a file": (make_folder, "cannot be read as a plain file"),
    "pipe for a file": (make_pipe, "cannot be read as a plain file"),
    "path outside": (list_path_outside, r"lists the files \['../items.json'"),
    "absolute path": (lambda b: rewrite(b, files={"/etc/passwd": {}}), "lists the files"),
    "extra listed file": (lambda b: rewrite(b, files={"model.pkl": {}}), "lists the files"),
    "odd fingerprint": (
        lambda b: rewrite(
            b, files=dict.fromkeys(("items.json", "model.safetensors", "popularity.safetensors"))
        ),
        "items.json is None; expected its bytes and sha256",
    ),
    "newer version": (lambda b: rewrite(b, format_version=2), "format version 2; this code reads version 1"),
    "version as text": (lambda b: rewrite(b, format_version="1"), "format version '1'"),
    "version as truth": (lambda b: rewrite(b, format_version=True), "format version True"),
    "unknown kind": (lambda b: rewrite(b, model_kind="oracle"), "unknown model kind 'oracle'; known: als"),
    "unknown field": (lambda b: rewrite(b, execute="rm"), "has the fields"),
    "wrong type": (lambda b: rewrite(b, metrics=[]), r"metrics is \[\]; expected dict"),
    "manifest is a list": (lambda b: (b / "manifest.json").write_text("[]"), "is a list; expected an object"),
    "manifest is no JSON": (lambda b: (b / "manifest.json").write_text("{"), "no valid JSON"),
    "manifest is no text": (lambda b: (b / "manifest.json").write_bytes(b"\xff\xfe\x80"), "no valid JSON"),
    "manifest too deep": (lambda b: (b / "manifest.json").write_text("[" * 100_000), "no valid JSON"),
    "NaN in manifest": (lambda b: rewrite(b, metrics={"ndcg10": float("nan")}), "NaN is not a number"),
    "huge number": (
        lambda b: (b / "manifest.json").write_text('{"format_version": 1e999}'),
        "1e999 is too great a number",
    ),
    "odd parameters": (lambda b: rewrite(b, parameters={"factors": 4}), "parameters"),
    "parameters of a wrong type": (
        lambda b: rewrite(b, parameters={**MODEL.parameters(), "regularization": "x"}),
        "regularization='x'",
    ),
    "other factors": (
        lambda b: rewrite(b, parameters={**MODEL.parameters(), "factors": 5}),
        r"is float32\[3, 4\]; expected float32\[3, 5\]",
    ),
    "odd weights": (lambda b: rewrite(b, weights={"purchase": -1}), "purchase=-1"),
    "odd pooling": (lambda b: rewrite(b, pooling={"kind": "mean"}), "pooling has"),
    "a size beyond any file": (
        lambda b: rewrite(b, files={name: {"bytes": 10**30, "sha256": ""} for name in FILES}),
        "is cut short",
    ),
    "a size below nothing": (
        lambda b: rewrite(b, files={name: {"bytes": -5, "sha256": ""} for name in FILES}),
        "is longer than the -5 bytes",
    ),
    "huge factors": (
        lambda b: replace(
            b, "model.safetensors", arrays(item_factors=np.full((3, 4), 1e30, dtype=np.float32))
        ),
        "too great to score with",
    ),
    "unsorted items": (lambda b: replace(b, "items.json", b'{"b": ["1"], "a": ["1", "2"]}'), "not sorted"),
    "fewer items": (lambda b: replace(b, "items.json", b'{"a": ["1", "2"]}'), "expected float32"),
    "items are a list": (lambda b: replace(b, "items.json", b"[]"), "item ids are a list"),
    "pickle": (
        lambda b: replace(b, "model.safetensors", pickle.dumps({"item_factors": [1]})),
        "holds no readable arrays",
    ),
    "another type of number": (
        lambda b: replace(b, "model.safetensors", arrays(item_factors=np.eye(3, 4, dtype=np.float16))),
        "numbers of type 'F16'; known: F32",
    ),
    "a header that says more than there is": (
        lambda b: replace(b, "model.safetensors", headed(data_offsets=[0, 48], data=b"")),
        "ends beyond the file",
    ),
    "an array of another length than its shape": (
        lambda b: replace(b, "model.safetensors", headed(data_offsets=[0, 40])),
        "as long as it must be",
    ),
    "an array that does not begin where the data does": (
        lambda b: replace(b, "model.safetensors", headed(data_offsets=[4, 52])),
        "does not lie behind the one before it",
    ),
    "an array before the file": (
        lambda b: replace(b, "model.safetensors", headed(data_offsets=[-48, 0])),
        "holds no readable arrays",
    ),
    "a shape beyond all numbers": (
        lambda b: replace(b, "model.safetensors", headed(shape=[0, 10**18], data_offsets=[0, 0], data=b"")),
        "expected float32",
    ),
    "bytes of no array": (
        lambda b: replace(b, "model.safetensors", headed(data=bytes(50))),
        "2 bytes are no array's",
    ),
    "a field unknown to the header": (
        lambda b: replace(b, "model.safetensors", headed(code="x")),
        "holds no readable arrays",
    ),
    "a header longer than the file": (
        lambda b: replace(b, "model.safetensors", (2**63).to_bytes(8, "little") + b"{}"),
        "holds no readable arrays",
    ),
    "empty arrays file": (lambda b: replace(b, "model.safetensors", b""), "holds no readable arrays"),
    "other arrays": (
        lambda b: replace(b, "model.safetensors", arrays(x=np.ones(1, np.float32))),
        "no array 'item_factors'",
    ),
    "surprising array": (
        lambda b: replace(
            b,
            "model.safetensors",
            arrays(item_factors=np.eye(3, 4, dtype=np.float32), more=np.ones(1, np.float32)),
        ),
        "surprising arrays: more",
    ),
    "factors askew": (
        lambda b: replace(b, "model.safetensors", arrays(item_factors=np.ones((3, 4), np.float32))),
        "not in its principal axes",
    ),
    "NaN": (
        lambda b: replace(
            b, "model.safetensors", arrays(item_factors=np.full((3, 4), np.nan, dtype=np.float32))
        ),
        "values that are not finite",
    ),
    "infinite popularity": (
        lambda b: replace(
            b, "popularity.safetensors", arrays(prior=np.array([1, 2, np.inf], dtype=np.float32))
        ),
        "values that are not finite",
    ),
    "float64": (
        lambda b: replace(b, "model.safetensors", arrays(item_factors=np.ones((3, 4)))),
        "is float64",
    ),
}


@pytest.mark.parametrize("mapped", [False, True], ids=["in memory", "mapped"])
@pytest.mark.parametrize(("harm", "reason"), REFUSALS.values(), ids=list(REFUSALS))
def test_a_harmed_bundle_is_refused_with_its_reason(
    bundle: Path, harm: Callable[[Path], object], reason: str, mapped: bool
) -> None:
    harm(bundle)
    with pytest.raises(BundleRefused, match=reason):
        read_bundle(bundle, mapped=mapped)


def at_home_in_the_file(array: np.ndarray) -> bool:
    """Whether it is a view of a map, all the way down."""
    owner = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    return isinstance(owner, memoryview) and isinstance(owner.obj, mmap.mmap)


def test_a_mapped_bundle_keeps_no_array_in_memory_of_its_own(tmp_path: Path) -> None:
    matrix = sparse.csr_matrix(np.array([[0, 2, 0], [1, 0, 3], [0, 0, 0]], dtype=np.float32))
    own = np.zeros((len(KINDS), 3), dtype=np.float32)
    blend = FittedBlend(
        ITEMS,
        WEIGHTS,
        (MODEL, FittedGraph(ITEMS, WEIGHTS, matrix, own, Graph())),
        (0.5, 0.5),
        crowd=POPULARITY.prior,
        popularity=1.0,
        strength=1.0,
    )
    write_bundle(tmp_path / "b", blend, popularity=POPULARITY, pooling=Pooling("max"), reach=REACH, text=TEXT)
    read = read_bundle(tmp_path / "b", mapped=True)
    assert read.text is not None
    assert read.reach is not None
    for part in (read.model, read.popularity, read.reach, read.text):
        for name, array in part.arrays().items():
            # scipy begins with a 0 where the file begins with the first row's end.
            assert at_home_in_the_file(array) or name.endswith("row_ends"), (part, name)
            assert not array.flags.writeable or name.endswith("row_ends"), (part, name)


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps a mapped file from being deleted")
def test_a_mapped_bundle_outlives_its_files(bundle: Path) -> None:
    read = read_bundle(bundle, mapped=True)
    shutil.rmtree(bundle)
    write(bundle, pooling=Pooling("sum"))
    assert np.array_equal(read.model.arrays()["item_factors"], MODEL.item_factors)
    assert np.array_equal(read.popularity.prior, POPULARITY.prior)


def test_a_bundle_is_placed_once_by_its_digest(bundle: Path, tmp_path: Path) -> None:
    placed, place = place_bundle(bundle, tmp_path / "bundles")
    assert place == tmp_path / "bundles" / placed.digest
    before = place.stat()
    again, same = place_bundle(bundle, tmp_path / "bundles", expected_digest=placed.digest)
    assert (again.digest, same, same.stat()) == (placed.digest, place, before)
    assert [path.name for path in place.parent.iterdir()] == [placed.digest]


def test_what_lies_in_the_place_of_a_bundle_is_checked(bundle: Path, tmp_path: Path) -> None:
    _, place = place_bundle(bundle, tmp_path / "bundles")
    tamper(place)
    with pytest.raises(BundleRefused, match="was changed"):
        place_bundle(bundle, tmp_path / "bundles")


@pytest.fixture
def bundle_with_text(tmp_path: Path) -> Path:
    write(tmp_path / "bundle", text=TEXT)
    return tmp_path / "bundle"


def test_what_the_items_say_comes_back(bundle_with_text: Path) -> None:
    text = read_bundle(bundle_with_text).text
    assert text is not None
    assert (text.vocabulary.words, text.likeness) == (("red", "shoe"), Likeness(2, 0.5))
    assert np.array_equal(text.vectors.toarray(), TEXT.vectors.toarray())
    assert np.array_equal(text.vocabulary.worth, TEXT.vocabulary.worth)


def test_a_bundle_without_text_has_none(bundle: Path) -> None:
    assert read_bundle(bundle).text is None


def test_the_text_of_other_items_is_not_written(tmp_path: Path) -> None:
    other = ItemText(ItemIds({"books": ["1"]}), TEXT.vocabulary, TEXT.vectors[:1], TEXT.likeness)
    with pytest.raises(InvalidModel, match="the text is of"):
        write(tmp_path / "bundle", text=other)


def drop(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    files = json.loads((bundle / "manifest.json").read_text())["files"]
    del files[name]
    rewrite(bundle, files=files)


TEXT_REFUSALS: dict[str, tuple[Callable[[Path], object], str]] = {
    "half of it": (lambda b: drop(b, "text.json"), "lists the files"),
    "no object": (lambda b: replace(b, "text.json", b"[]"), "text.json is a list"),
    "other words": (
        lambda b: replace(b, "text.json", b'{"words": ["red"], "n_alike": 2, "share": 1.0}'),
        "expected float32",
    ),
    "a surprising array": (
        lambda b: replace(b, "text.safetensors", arrays(**TEXT.arrays(), more=np.zeros(1, np.float32))),
        "surprising arrays: more",
    ),
    "columns beyond": (
        lambda b: replace(
            b, "text.safetensors", arrays(**{**TEXT.arrays(), "columns": np.full(3, 2, dtype=np.int32)})
        ),
        "beyond",
    ),
    "changed": (lambda b: (b / "text.json").write_bytes(b"{}"), "text.json is cut short"),
}


@pytest.mark.parametrize(("harm", "reason"), TEXT_REFUSALS.values(), ids=list(TEXT_REFUSALS))
def test_a_bundle_with_a_harmed_text_is_refused(
    bundle_with_text: Path, harm: Callable[[Path], object], reason: str
) -> None:
    harm(bundle_with_text)
    with pytest.raises(BundleRefused, match=reason):
        read_bundle(bundle_with_text)


def test_another_digest_than_expected_is_refused(bundle: Path) -> None:
    with pytest.raises(BundleRefused, match=f"expected {'0' * 64}"):
        read_bundle(bundle, expected_digest="0" * 64)


def test_a_bundle_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleRefused, match=r"manifest\.json is missing"):
        read_bundle(tmp_path / "nothing")
