from datetime import UTC, datetime

import pytest

from storage.activity import list_quarantine
from storage.activity_cookie import COOKIE_NAME, cookie_value
from storage.cookies import import_cookies
from storage.errors import UnreadableFile
from storage.subscribers import add_network_sites, add_subscriber

NOW = datetime(2026, 6, 1, tzinfo=UTC)
NEXT_YEAR = int(datetime(2027, 1, 1, tzinfo=UTC).timestamp())
LOOK = {"event_id": "e1", "kind": "view_item", "item_id": "b1", "occurred_at": "2026-05-01T00:00:00Z"}
BOUGHT = {"event_id": "e2", "kind": "purchase", "item_id": "b2"}


@pytest.fixture(autouse=True)
def network(database):
    with database.connection() as connection:
        add_subscriber(
            connection, "acme", name="Acme", sites=["books"], allowed_origins=["https://www.books.example"]
        )
        add_network_sites(connection, ["blog"])


def value(events=(LOOK, BOUGHT), consent=("same_site", "cross_site"), site_id=None):
    return cookie_value("visitor", consent=consent, events=events, site_id=site_id)


@pytest.fixture
def cookie_file(tmp_path):
    def write(*cookies):
        lines = ["# Netscape HTTP Cookie File", ""]
        for domain, content, *rest in cookies:
            expires_at = rest[0] if rest else NEXT_YEAR
            lines.append(f"{domain}\tTRUE\t/\tTRUE\t{expires_at}\t{COOKIE_NAME}\t{content}")
        lines.append(".other.example\tTRUE\t/\tFALSE\t0\tsession\tabc")
        path = tmp_path / "cookies.txt"
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


def numbers(report):
    return report.read, report.stored, report.duplicate, report.quarantined


def reasons(database):
    with database.connection() as connection:
        return [row.reason for row in list_quarantine(connection)]


@pytest.mark.parametrize("domain", [".books.example", "www.books.example", "#HttpOnly_.books.example"])
def test_the_activity_of_a_cookie_is_stored_for_the_site_of_its_domain_once(database, cookie_file, domain):
    path = cookie_file((domain, value()))
    assert numbers(import_cookies(database, [path], now=NOW)) == (2, 2, 0, 0)
    assert numbers(import_cookies(database, [path, path], now=NOW)) == (4, 0, 4, 0)
    with database.connection() as connection:
        rows = connection.execute(
            "SELECT namespace, identifier, site_id, kind, item_id, same_site, cross_site FROM activity"
            " ORDER BY event_id"
        ).fetchall()
    assert rows == [
        ("site:books", "visitor", "books", "product_review", "b1", True, True),
        ("site:books", "visitor", "books", "purchase", "b2", True, True),
    ]


def test_a_site_without_a_subscriber_names_itself(database, cookie_file):
    path = cookie_file((".blog.example", value(site_id="blog")))
    assert numbers(import_cookies(database, [path], now=NOW)) == (2, 2, 0, 0)


@pytest.mark.parametrize(
    ("cookie", "expected"),
    [
        ((".evil.example", value(site_id="books"), NEXT_YEAR), "which is not at that domain"),
        ((".evil.example", value(), NEXT_YEAR), "the cookie must name its site"),
        ((".books.example", value()[:40], NEXT_YEAR), "was it cut off"),
        ((".books.example", "!", NEXT_YEAR), "not URL-safe base64"),
        ((".books.example", "W10", NEXT_YEAR), "not of version 1"),
        ((".books.example", value(), 1), "has expired"),
        ((".books.example", cookie_value("v", consent=[], events=["x"]), NEXT_YEAR), "not a list of objects"),
    ],
)
def test_a_cookie_that_cannot_be_believed_is_quarantined(database, cookie_file, cookie, expected):
    path = cookie_file(cookie)
    assert numbers(import_cookies(database, [path], now=NOW)) == (1, 0, 0, 1)
    assert expected in reasons(database)[0]


def test_without_consent_no_event_of_a_cookie_is_stored(database, cookie_file):
    path = cookie_file((".books.example", value(consent=())))
    assert numbers(import_cookies(database, [path], now=NOW)) == (2, 0, 0, 2)
    assert set(reasons(database)) == {"no consent"}


def test_a_cookie_cannot_speak_for_other_namespaces(database, cookie_file):
    event = {**BOUGHT, "consumer_id": "ann", "namespace": "network", "site_id": "blog"}
    import_cookies(database, [cookie_file((".books.example", value(events=[event])))], now=NOW)
    with database.connection() as connection:
        assert connection.execute("SELECT namespace, site_id FROM activity").fetchall() == [
            ("site:books", "books")
        ]


def test_a_file_of_another_kind_is_refused(database, tmp_path):
    path = tmp_path / "cookies.txt"
    path.write_text("hello\n")
    with pytest.raises(UnreadableFile, match=r"cookies\.txt:1 is not a line of a Netscape cookie file"):
        import_cookies(database, [path], now=NOW)
