"""Activity that a consumer's own computer kept: the cookie ``tailor_activity``, from an exported cookie file.

The file is in Netscape's format: a line a cookie, seven fields parted by tabs. The cookie's value is URL-safe
base64 of JSON, ``{"v": 1, "id": VISITOR, "consent": [...], "events": [{...}], "site": SITE}``; `site` may be
left out when the cookie's domain says it.
"""

import base64
import binascii
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from storage.activity import append_events, quarantine
from storage.database import Connection, Database
from storage.errors import InvalidValue, UnreadableFile
from storage.events import ActivityEvent, Rejection, parse_event
from storage.intake import ImportReport, Progress
from storage.subscribers import list_sites, list_subscribers

COOKIE_NAME = "tailor_activity"
SOURCE = "cookie-file"
HTTP_ONLY = "#HttpOnly_"


@dataclass(frozen=True, slots=True)
class Cookie:
    """One line of a cookie file; `expires_at` is in seconds since 1970, 0 for the end of the session."""

    line: int
    domain: str
    expires_at: int
    value: str


def import_cookies(
    database: Database,
    files: Sequence[Path],
    *,
    now: datetime | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """Store the events of cookie files, each once however often it is imported; other cookies are skipped.

    A cookie that cannot be understood counts as one row, in quarantine.
    """
    report = ImportReport()
    for file in files:
        cookies = list(read_cookies(file))
        with database.connection() as connection:
            done = _import_cookies(connection, file, cookies, now=now or datetime.now(UTC))
        report += done
        if progress is not None:
            progress(file, 1.0, done.read)
    return report


def read_cookies(file: Path) -> Iterator[Cookie]:
    """The activity cookies of a Netscape cookie file; raises UnreadableFile when it is none."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableFile(f"{file} cannot be read: {error}") from error
    for number, line in enumerate(lines, start=1):
        cookie = line.removeprefix(HTTP_ONLY)
        if not cookie.strip() or cookie.startswith("#"):
            continue
        fields = cookie.split("\t")
        if len(fields) != 7 or not fields[4].isdigit():
            raise UnreadableFile(f"{file}:{number} is not a line of a Netscape cookie file")
        if fields[5] == COOKIE_NAME:
            yield Cookie(number, fields[0].lstrip(".").lower(), int(fields[4]), fields[6])


def cookie_value(
    visitor_id: str,
    *,
    consent: Sequence[str],
    events: Sequence[Mapping[str, Any]],
    site_id: str | None = None,
) -> str:
    """The value of an activity cookie."""
    content = {"v": 1, "id": visitor_id, "consent": list(consent), "events": list(events)}
    if site_id is not None:
        content["site"] = site_id
    return base64.urlsafe_b64encode(json.dumps(content, separators=(",", ":")).encode()).decode().rstrip("=")


def _import_cookies(
    connection: Connection, file: Path, cookies: Sequence[Cookie], *, now: datetime
) -> ImportReport:
    hosts = _sites_by_host(connection)
    claimed = set().union(*hosts.values())
    unclaimed = {site.site_id for site in list_sites(connection)} - claimed
    events: list[ActivityEvent] = []
    rejections: list[Rejection] = []
    for cookie in cookies:
        location = f"{file.name}:{cookie.line}"
        try:
            for event in _events_of(cookie, hosts=hosts, unclaimed=unclaimed, now=now):
                if isinstance(event, Rejection):
                    rejections.append(Rejection(event.reason, SOURCE, location))
                else:
                    events.append(event)
        except InvalidValue as error:
            rejections.append(Rejection(str(error), SOURCE, location))
    outcomes = append_events(connection, events)
    quarantine(connection, rejections)
    stored = outcomes.count("stored")
    return ImportReport(stored, len(events) - stored, len(rejections))


def _events_of(
    cookie: Cookie, *, hosts: Mapping[str, set[str]], unclaimed: set[str], now: datetime
) -> Iterator[ActivityEvent | Rejection]:
    if 0 < cookie.expires_at < now.timestamp():
        raise InvalidValue(f"the cookie of {cookie.domain} has expired")
    content = _decode(cookie.value)
    site_id = _site_of(cookie, content.get("site"), hosts=hosts, unclaimed=unclaimed)
    events = content.get("events")
    if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
        raise InvalidValue("events in the cookie is not a list of objects")
    for event in events:
        raw = {
            **event,
            "identifier": content.get("id"),
            "site_id": site_id,
            "consent": content.get("consent"),
        }
        raw = {
            name: value for name, value in raw.items() if name not in ("namespace", "consumer_id", "decision")
        }
        yield parse_event(raw, source=SOURCE, default_consent=None, now=now)


def _decode(value: str) -> dict[str, Any]:
    try:
        padded = value + "=" * (-len(value) % 4)
        content = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise InvalidValue("the cookie's value is not URL-safe base64 of JSON; was it cut off?") from None
    if not isinstance(content, dict) or content.get("v") != 1:
        raise InvalidValue("the cookie's value is not of version 1")
    return content


def _site_of(cookie: Cookie, named: object, *, hosts: Mapping[str, set[str]], unclaimed: set[str]) -> str:
    """The site whose cookie it is; one may not speak for the site of another domain."""
    candidates: set[str] = set()
    for host, sites in hosts.items():
        if host == cookie.domain or host.endswith(f".{cookie.domain}"):
            candidates |= sites
    if named is None and len(candidates) == 1:
        return next(iter(candidates))
    if isinstance(named, str) and named in candidates | unclaimed:
        return named
    if named is None:
        of = ", ".join(sorted(candidates)) or "no site"
        raise InvalidValue(f"the domain {cookie.domain} belongs to {of}; the cookie must name its site")
    raise InvalidValue(f"the cookie of {cookie.domain} names site {named!r:.80}, which is not at that domain")


def _sites_by_host(connection: Connection) -> dict[str, set[str]]:
    hosts: dict[str, set[str]] = {}
    for subscriber in list_subscribers(connection):
        for origin in subscriber.allowed_origins:
            hosts.setdefault(urlsplit(origin).hostname or "", set()).update(subscriber.sites)
    return hosts
