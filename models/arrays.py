"""Arrays as .safetensors files: a header in JSON, and then the arrays as they lie in memory.

Written by the library of that name; read here, because it copies what it reads. The format:
https://huggingface.co/docs/safetensors
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from models.errors import BundleRefused
from models.folder import Content

_LENGTH_BYTES: Final = 8
_DTYPES: Final = {"F32": "<f4", "F64": "<f8", "I32": "<i4", "I64": "<i8"}

_Whole = Annotated[int, msgspec.Meta(ge=0)]


class _Place(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the header says of an array; offsets in bytes from the header's end."""

    dtype: str
    shape: tuple[_Whole, ...]
    data_offsets: tuple[_Whole, _Whole]


def to_safetensors(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The arrays as a .safetensors file."""
    content: bytes = safetensors.numpy.save({name: np.ascontiguousarray(a) for name, a in arrays.items()})
    return content


def from_safetensors(content: Content, name: str) -> dict[str, NDArray[Any]]:
    """The arrays of a .safetensors file, where they lie: no copy, and not to be written to.

    Anything else is refused under the file's name.
    """
    try:
        return _arrays(memoryview(content))
    except (ValueError, OverflowError) as error:
        raise BundleRefused(f"{name} holds no readable arrays: {error}") from error


def _arrays(content: memoryview) -> dict[str, NDArray[Any]]:
    start = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "little")
    header = content[_LENGTH_BYTES:start]
    places = msgspec.json.decode(header, type=dict[str, _Place])
    arrays, end = {}, 0
    for name, place in sorted(places.items(), key=lambda named: named[1].data_offsets):
        dtype, n = np.dtype(_dtype(place.dtype)), math.prod(place.shape)
        if place.data_offsets != (end, end + n * dtype.itemsize):
            raise ValueError(f"array {name!r} does not lie behind the one before it, as long as it must be")
        end += n * dtype.itemsize
        if start + end > len(content):
            raise ValueError(f"array {name!r} ends beyond the file")
        arrays[name] = np.frombuffer(content, dtype, count=n, offset=start + end - n * dtype.itemsize)
        arrays[name] = arrays[name].reshape(place.shape)
    if start + end != len(content):
        raise ValueError(f"{len(content) - start - end} bytes are no array's")
    return arrays


def _dtype(name: str) -> str:
    if name not in _DTYPES:
        raise ValueError(f"numbers of type {name!r}; known: {', '.join(_DTYPES)}")
    return _DTYPES[name]
