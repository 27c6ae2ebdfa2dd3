"""A folder of plain files: written whole or not at all, and read with suspicion."""

import hashlib
import json
import math
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from models.errors import BundleRefused


def read_file(directory: Path, name: str, *, limit_bytes: int) -> bytes:
    """Content of one plain file of the folder; links, other things and more bytes than that are refused."""
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
            return opened.read(about.st_size)
    except FileNotFoundError:
        raise BundleRefused(f"{path} is missing") from None
    except OSError as error:
        raise BundleRefused(f"{path} cannot be read as a plain file: {error.strerror}") from error


def write_whole(directory: Path, contents: Mapping[str, bytes]) -> None:
    """Make the folder with these files in it; a folder that has files in it already is left as it is."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    # Beside its final place, so that the rename stays on one file system.
    unfinished = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        for name, content in contents.items():
            with (unfinished / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        unfinished.chmod(0o755)
        unfinished.replace(directory)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def fingerprint(content: bytes) -> dict[str, Any]:
    """Size and sha256, as the manifest keeps them."""
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def to_json(value: Any) -> bytes:
    """The value as JSON, always the same bytes; numbers that are not finite are a ValueError."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, indent=1).encode() + b"\n"


def from_json(content: bytes, name: str) -> Any:
    """Read JSON; what is no JSON, or no finite number, is refused under the file's name."""
    try:
        return json.loads(content, parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise BundleRefused(f"{name} is no valid JSON: {error}") from error


def _refuse_constant(constant: str) -> float:
    raise ValueError(f"{constant} is not a number")


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is too great a number")
    return number


def to_safetensors(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The arrays as a .safetensors file."""
    content: bytes = safetensors.numpy.save({name: np.ascontiguousarray(a) for name, a in arrays.items()})
    return content


def from_safetensors(content: bytes, name: str) -> dict[str, NDArray[Any]]:
    """Read a .safetensors file; anything else is refused under the file's name."""
    load: Callable[[bytes], dict[str, NDArray[Any]]] = safetensors.numpy.load
    try:
        return load(content)
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise BundleRefused(f"{name} holds no readable arrays: {error}") from error
