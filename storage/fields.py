"""What a single field may hold, whichever door it comes in by: HTTP, file or cookie."""

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from storage.errors import InvalidValue

LONGEST_ID = 256
# Four ids make a key of the activity table, and PostgreSQL indexes at most 2,704 bytes.
LONGEST_ID_BYTES = 512
LONGEST_TEXT = 4_096
LARGEST_NUMBER = 1e12
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
CLOCK_SKEW = timedelta(days=1)

# Control characters, and lone surrogates, which JSON lets through and UTF-8 does not.
_UNFIT_FOR_IDS = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_UNFIT_FOR_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_ADDRESS = re.compile(r"(?:https?://[^/\s]|/)\S*\Z")


def is_missing(value: object) -> bool:
    """None, an empty string, or the NaN that stands for "nothing" in numeric columns."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def identifier_field(raw: Mapping[str, Any], name: str) -> str | None:
    """An id of 1 to 256 characters; whole numbers are ids too."""
    value = raw.get(name)
    if type(value) is str:
        # The usual case first: this runs several times for every event there is.
        if value.isascii() and value.isprintable() and 0 < len(value) <= LONGEST_ID and not value.isspace():
            return value
    elif isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if is_missing(value):
        return None
    if not isinstance(value, str):
        raise InvalidValue(f"{name} {_show(value)} is not a string")
    if value.isspace() or _UNFIT_FOR_IDS.search(value):
        raise InvalidValue(f"{name} {_show(value)} has control characters or nothing but blanks")
    if len(value) > LONGEST_ID or len(value.encode()) > LONGEST_ID_BYTES:
        raise InvalidValue(
            f"{name} {_show(value)} has {len(value)} characters, at most {LONGEST_ID} are kept"
        )
    return value


def required_identifier(raw: Mapping[str, Any], name: str) -> str:
    """An id that must be there."""
    value = identifier_field(raw, name)
    if value is None:
        raise InvalidValue(f"{name} is missing")
    return value


def text_field(raw: Mapping[str, Any], name: str) -> str | None:
    """A text of at most 4,096 characters."""
    value = raw.get(name)
    if is_missing(value):
        return None
    if not isinstance(value, str):
        raise InvalidValue(f"{name} {_show(value)} is not a string")
    if len(value) > LONGEST_TEXT:
        raise InvalidValue(f"{name} has {len(value)} characters, at most {LONGEST_TEXT} are kept")
    if _UNFIT_FOR_TEXT.search(value):
        raise InvalidValue(f"{name} {_show(value)} has control characters")
    return value


def url_field(raw: Mapping[str, Any], name: str) -> str | None:
    """An http(s) address, or a path on the site; nothing that a browser would run."""
    value = text_field(raw, name)
    if value is not None and not _ADDRESS.match(value):
        raise InvalidValue(
            f"{name} {_show(value)} is neither an http(s) address nor a path that starts with /"
        )
    return value


def number_field(raw: Mapping[str, Any], name: str) -> float | None:
    """A finite number; a string of digits, as in CSV, is one."""
    value = raw.get(name)
    if is_missing(value):
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not abs(number) <= LARGEST_NUMBER:
        raise InvalidValue(f"{name} {_show(value)} is not a number up to {LARGEST_NUMBER:g}")
    return number


def time_field(raw: Mapping[str, Any], name: str) -> datetime | None:
    """A time in UTC; one without an offset is taken to be UTC."""
    value = raw.get(name)
    if is_missing(value):
        return None
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        if isinstance(moment, datetime):
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        if isinstance(moment, date):
            return datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    except (ValueError, OverflowError):
        pass
    raise InvalidValue(f"{name} {_show(value)} is not a time such as 2026-01-31T12:00:00Z")


def past_time_field(raw: Mapping[str, Any], name: str, *, now: datetime) -> datetime | None:
    """A time from 1990 on and not in the future, give or take a day of clock error."""
    moment = time_field(raw, name)
    if moment is not None and not EARLIEST <= moment <= now + CLOCK_SKEW:
        raise InvalidValue(f"{name} {moment.isoformat()} is before 1990 or in the future")
    return moment


def json_field(raw: Mapping[str, Any], name: str) -> Any:
    """A structure, given as such or (in CSV) as JSON text."""
    value = raw.get(name)
    if is_missing(value):
        return None
    if isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            raise InvalidValue(f"{name} {_show(value)} is not JSON") from None
    return value


def list_field(raw: Mapping[str, Any], name: str) -> list[Any]:
    """A list, given as such or as JSON text; nothing is an empty list."""
    value = json_field(raw, name)
    if value is None:
        return []
    if not isinstance(value, list | tuple):
        raise InvalidValue(f"{name} {_show(value)} is not a list")
    return list(value)


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
