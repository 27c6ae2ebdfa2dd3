"""Pages of a list: `limit` things after `cursor`, and where the next page starts."""

from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar

import msgspec
from litestar.params import Parameter

Thing = TypeVar("Thing")

Limit = Annotated[int, Parameter(ge=1, le=500, description="things on a page")]
Cursor = Annotated[
    str | None, Parameter(description="`next_cursor` of the page before; left out: the first page")
]


class Page(msgspec.Struct, Generic[Thing], frozen=True, kw_only=True):
    """One page; `next_cursor` is null on the last."""

    items: list[Thing]
    next_cursor: str | None


def page_of(found: Sequence[Thing], *, limit: int, key: Callable[[Thing], str]) -> Page[Thing]:
    """Make a page of what was read, which is one thing more than the page holds if there is another page."""
    shown = list(found[:limit])
    return Page(items=shown, next_cursor=key(shown[-1]) if len(found) > limit else None)
