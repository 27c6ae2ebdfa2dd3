from datetime import UTC, datetime, timedelta

import pytest

from storage.errors import AlreadyTaken, InvalidValue, UnknownKey, UnknownSite, UnknownSubscriber
from storage.signing import add_signing_key, retire_signing_keys, signing_keys
from storage.subscribers import (
    add_network_sites,
    add_site,
    add_subscriber,
    get_site,
    hash_key,
    issue_key,
    list_keys,
    list_sites,
    list_subscribers,
    revoke_key,
    rotate_key,
    set_subscriber_status,
)


@pytest.fixture
def acme(connection):
    return add_subscriber(
        connection, "acme", name="Acme", sites=["books", "music"], allowed_origins=["https://Books.example"]
    )


def test_a_subscriber_has_sites_and_origins(connection, acme):
    assert (acme.sites, acme.allowed_origins, acme.status) == (
        ("books", "music"),
        ("https://books.example",),
        "active",
    )
    assert list_subscribers(connection) == [acme]
    assert get_site(connection, "books").subscriber_id == "acme"


def test_entering_a_subscriber_again_replaces_what_is_said_of_it_and_keeps_its_sites(connection, acme):
    again = add_subscriber(connection, "acme", name="Acme Ltd")
    assert (again.name, again.sites, again.allowed_origins) == ("Acme Ltd", ("books", "music"), ())


def test_a_site_known_from_data_can_join_a_subscriber_but_not_change_hands(connection, acme):
    assert add_network_sites(connection, ["news", "news", "books"]) == ["news"]
    assert get_site(connection, "news").subscriber_id is None
    add_site(connection, "news", subscriber_id="acme")
    add_subscriber(connection, "other", name="Other")
    with pytest.raises(AlreadyTaken, match="'news' belongs to subscriber 'acme'"):
        add_site(connection, "news", subscriber_id="other")


def test_a_suspended_subscriber_can_be_made_active_again(connection, acme):
    assert set_subscriber_status(connection, "acme", status="suspended").status == "suspended"
    assert set_subscriber_status(connection, "acme", status="active").status == "active"
    with pytest.raises(InvalidValue, match="unknown status 'gone'; known: active, suspended"):
        set_subscriber_status(connection, "acme", status="gone")


def test_what_is_not_known_is_named_beside_what_is(connection, acme):
    with pytest.raises(UnknownSite, match="unknown site 'abc'; known sites: books, music"):
        get_site(connection, "abc")
    with pytest.raises(UnknownSubscriber, match="unknown subscriber 'abc'; known subscribers: acme"):
        add_site(connection, "x", subscriber_id="abc")
    assert [site.site_id for site in list_sites(connection)] == ["books", "music"]


@pytest.mark.parametrize(
    "origin", ["books.example", "https://books.example/", "ftp://x", "https://a b", "*", "null"]
)
def test_an_origin_is_scheme_host_and_port(connection, origin):
    with pytest.raises(InvalidValue, match="is not like https"):
        add_subscriber(connection, "s", name="S", allowed_origins=[origin])


@pytest.mark.parametrize("kind", ["secret", "public"])
def test_a_key_is_shown_once_and_kept_as_a_hash(connection, acme, kind):
    key = issue_key(connection, "acme", kind=kind)
    assert key.startswith(f"tp_{kind}_")
    assert len(key) == len(f"tp_{kind}_") + 43
    [record] = list_keys(connection)
    assert (record.key_hash, record.kind, record.subscriber_id) == (hash_key(key), kind, "acme")
    assert record.hint == key[-4:]


def test_a_key_is_revoked_by_itself_or_by_the_start_of_its_hash(connection, acme):
    first, second = (issue_key(connection, "acme", kind="secret") for _ in range(2))
    revoke_key(connection, first)
    revoke_key(connection, hash_key(second).hex()[:12])
    assert all(key.revoked_at is not None for key in list_keys(connection, subscriber_id="acme"))
    for name in ("tp_secret_nonsense", "", "zz"):
        with pytest.raises(UnknownKey):
            revoke_key(connection, name)


def test_a_new_key_takes_over_while_the_older_ones_of_its_kind_still_count(connection, acme):
    old, public = (issue_key(connection, "acme", kind=kind) for kind in ("secret", "public"))
    ended = issue_key(connection, "acme", kind="secret")
    revoke_key(connection, ended)
    new, ends_at = rotate_key(connection, "acme", kind="secret", overlap=timedelta(days=7))
    expiries = {key.key_hash: key.expires_at for key in list_keys(connection)}
    assert expiries == {hash_key(old): ends_at} | dict.fromkeys(map(hash_key, (public, ended, new)))
    assert timedelta(days=6) < ends_at - datetime.now(UTC) < timedelta(days=8)


def test_a_key_that_ends_already_is_not_given_more_time(connection, acme):
    first = issue_key(connection, "acme", kind="secret")
    second, soon = rotate_key(connection, "acme", kind="secret", overlap=timedelta(hours=1))
    third, later = rotate_key(connection, "acme", kind="secret", overlap=timedelta(days=7))
    expiries = {key.key_hash: key.expires_at for key in list_keys(connection)}
    assert [expiries[hash_key(key)] for key in (first, second, third)] == [soon, later, None]


def test_an_overlap_is_not_negative_and_a_stranger_has_no_keys(connection, acme):
    with pytest.raises(InvalidValue, match="negative"):
        rotate_key(connection, "acme", kind="secret", overlap=timedelta(seconds=-1))
    with pytest.raises(UnknownSubscriber):
        rotate_key(connection, "abc", kind="secret", overlap=timedelta(0))


def test_a_key_cannot_be_revoked_in_the_name_of_somebody_else(connection, acme):
    add_subscriber(connection, "other", name="Other")
    key = issue_key(connection, "acme", kind="secret")
    with pytest.raises(UnknownKey):
        revoke_key(connection, key, subscriber_id="other")


def test_a_new_signing_key_signs_while_the_old_one_still_counts_until_it_is_retired(connection):
    [first] = signing_keys(connection)
    add_signing_key(connection)
    keys = signing_keys(connection)
    assert keys[0] == first
    assert len(keys) == len(set(keys)) == 2
    assert retire_signing_keys(connection) == 1
    assert signing_keys(connection) == keys[1:]
