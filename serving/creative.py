"""The text of a promotion, with the featured item filled in."""

import re

_PLACE = re.compile(r"\{item\.(title|category|item_id|site_id)\}")
_SPACES = re.compile(r" {2,}")


def fill_in(text: str | None, item: object | None) -> str | None:
    """Return `text` with `{item.title}`, `{item.category}`, `{item.item_id}` and `{item.site_id}` replaced.

    Nothing but these four places is ever replaced: no format string is evaluated, and what an item's title
    contains is not looked at again. A place that cannot be filled is left out.
    """
    if text is None or "{item." not in text:
        return text
    filled = _PLACE.sub(lambda place: str(getattr(item, place[1], None) or ""), text)
    return _SPACES.sub(" ", filled).strip()
