"""A folder of plain files: written whole or not at all, and read with suspicion."""

import hashlib
import json
import math
import mmap
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from models.errors import BundleRefused

Content = bytes | mmap.mmap
"""What a file holds: in memory of our own, or mapped."""


def read_file(directory: Path, name: str, *, limit_bytes: int) -> bytes:
    """Content of one plain file of the folder; links, other things and more bytes than that are refused."""
    with _opened(directory, name, limit_bytes=limit_bytes) as (file, n_bytes):
        return file.read(n_bytes)


def map_file(directory: Path, name: str, *, limit_bytes: int) -> Content:
    """The same without a copy of our own, read-only: all processes that map a file share its pages.

    It stays what it is when the file is deleted or another one takes its name, and changes when somebody
    writes into the file.
    """
    with _opened(directory, name, limit_bytes=limit_bytes) as (file, n_bytes):
        # There is no map of nothing.
        return mmap.mmap(file.fileno(), n_bytes, access=mmap.ACCESS_READ) if n_bytes else b""


@contextmanager
def _opened(directory: Path, name: str, *, limit_bytes: int) -> Iterator[tuple[BinaryIO, int]]:
    """The file, open, and its size."""
    path = directory / name
    try:
        # A link could lead out of the folder: only what lies in it counts.
        file = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(file, "rb") as opened:
            about = os.fstat(file)
            if not stat.S_ISREG(about.st_mode):
                raise BundleRefused(f"{path} cannot be read as a plain file: it is something else")
            if about.st_size > limit_bytes:
                raise BundleRefused(f"{path} is longer than the {limit_bytes} bytes it may have")
            yield opened, about.st_size
    except FileNotFoundError:
        raise BundleRefused(f"{path} is missing") from None
    except OSError as error:
        raise BundleRefused(f"{path} cannot be read as a plain file: {error.strerror}") from error


def write_whole(directory: Path, contents: Mapping[str, bytes]) -> None:
    """Make the folder with these files in it; a folder that has files in it already is left as it is."""
    with _whole(directory) as unfinished:
        for name, content in contents.items():
            with (unfinished / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())


def copy_whole(source: Path, directory: Path) -> None:
    """Make the folder with the same files in it as another folder has; otherwise as `write_whole`."""
    with _whole(directory) as unfinished:
        for path in source.iterdir():
            with path.open("rb") as original, (unfinished / path.name).open("wb") as file:
                shutil.copyfileobj(original, file)
                file.flush()
                os.fsync(file.fileno())


@contextmanager
def _whole(directory: Path) -> Iterator[Path]:
    """A folder to fill, which gets its name when everything is in it."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    # Beside its final place, so that the rename stays on one file system.
    unfinished = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        yield unfinished
        unfinished.chmod(0o755)
        unfinished.replace(directory)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def fingerprint(content: Content) -> dict[str, Any]:
    """Size and sha256, as the manifest keeps them."""
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def to_json(value: Any) -> bytes:
    """The value as JSON, always the same bytes; numbers that are not finite are a ValueError."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, indent=1).encode() + b"\n"


def from_json(content: Content, name: str) -> Any:
    """Read JSON; what is no JSON, or no finite number, is refused under the file's name."""
    try:
        return json.loads(bytes(content), parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise BundleRefused(f"{name} is no valid JSON: {error}") from error


def _refuse_constant(constant: str) -> float:
    raise ValueError(f"{constant} is not a number")


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is too great a number")
    return number
