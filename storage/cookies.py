"""Activity that a consumer's own computer kept: the cookie `tailor_activity`, from an exported cookie file.

The file is in Netscape's format: a line a cookie, seven fields parted by tabs. The cookie itself is described
in `storage.activity_cookie`; it may leave its site out when its domain says it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from storage.activity import append_events, quarantine
from storage.activity_cookie import COOKIE_NAME, PURPOSE, BadCookie, cookie_events, read_activity_cookie
from storage.consent import limit_to_consent
from storage.database import Connection, Database
from storage.errors import UnreadableFile
from storage.events import ActivityEvent, Rejection
from storage.intake import ImportReport, Progress
from storage.signing import Seal, signing_keys
from storage.subscribers import list_sites, list_subscribers

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


def _import_cookies(
    connection: Connection, file: Path, cookies: Sequence[Cookie], *, now: datetime
) -> ImportReport:
    hosts = _sites_by_host(connection)
    claimed = set().union(*hosts.values())
    unclaimed = {site.site_id for site in list_sites(connection)} - claimed
    seal = Seal(signing_keys(connection), purpose=PURPOSE)
    events: list[ActivityEvent] = []
    rejections: list[Rejection] = []
    for cookie in cookies:
        location = f"{file.name}:{cookie.line}"
        try:
            for event in _events_of(cookie, hosts=hosts, unclaimed=unclaimed, seal=seal, now=now):
                if isinstance(event, Rejection):
                    rejections.append(Rejection(event.reason, SOURCE, location))
                else:
                    events.append(event)
        except BadCookie as error:
            rejections.append(Rejection(str(error), SOURCE, location))
    limited = limit_to_consent(connection, events)
    rejections += [event for event in limited if isinstance(event, Rejection)]
    events = [event for event in limited if isinstance(event, ActivityEvent)]
    outcomes = append_events(connection, events)
    quarantine(connection, rejections)
    stored = outcomes.count("stored")
    return ImportReport(stored, len(events) - stored, len(rejections))


def _events_of(
    cookie: Cookie, *, hosts: Mapping[str, set[str]], unclaimed: set[str], seal: Seal, now: datetime
) -> Iterator[ActivityEvent | Rejection]:
    if 0 < cookie.expires_at < now.timestamp():
        raise BadCookie("expired", f"the cookie of {cookie.domain} has expired")
    content = read_activity_cookie(cookie.value, seal=seal, now=now)
    site_id = _site_of(cookie, content.site_id, hosts=hosts, unclaimed=unclaimed)
    yield from cookie_events(content, site_id=site_id, source=SOURCE, now=now)


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
        raise BadCookie(
            "foreign", f"the domain {cookie.domain} belongs to {of}; the cookie must name its site"
        )
    raise BadCookie(
        "foreign", f"the cookie of {cookie.domain} names site {named!r:.80}, which is not at that domain"
    )


def _sites_by_host(connection: Connection) -> dict[str, set[str]]:
    hosts: dict[str, set[str]] = {}
    for subscriber in list_subscribers(connection):
        for origin in subscriber.allowed_origins:
            hosts.setdefault(urlsplit(origin).hostname or "", set()).update(subscriber.sites)
    return hosts
