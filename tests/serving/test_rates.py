"""Rates by themselves, and whose address counts."""

import pytest

from serving.errors import TooManyRequests
from serving.guard.gate import Gate, network_of
from serving.guard.rates import Rates
from serving.settings import ServingSettings
from storage.subscribers import KeyRecord, hash_key

SECRET, PUBLIC = ("tp_secret_s", "tp_public_p")
KEYS = {
    hash_key(key): KeyRecord(hash_key(key), "us", kind, "hint", None, None, None)
    for key, kind in ((SECRET, "secret"), (PUBLIC, "public"))
}


def passed(gate, key, *, peer="192.0.2.1", forwarded="", n=1000, now=100.0):
    """How many of `n` requests pass, and what is said of the first that does not."""
    for count in range(n):
        try:
            gate.admit(f"Bearer {key}", peer=peer, forwarded=forwarded, keys=KEYS, now=now)
        except TooManyRequests as error:
            return count, error.limit
    return n, None


def make_gate(**settings):
    return Gate(ServingSettings(**{"rate_per_key": 5, "rate_per_address": 2, **settings}))


def test_ten_seconds_worth_may_come_at_once_and_then_as_many_as_the_rate():
    rates = Rates(2)
    assert sum(rates.wait_s("a", 0.0) == 0 for _ in range(100)) == 20
    assert rates.wait_s("a", 0.0) == pytest.approx(0.5)
    assert rates.wait_s("b", 0.0) == 0
    assert rates.wait_s("a", 0.5) == 0
    assert rates.wait_s("a", 0.5) > 0
    assert sum(rates.wait_s("a", 0.5 + tick / 100) == 0 for tick in range(10_000)) == pytest.approx(
        200, abs=1
    )


def test_after_a_pause_the_whole_burst_is_there_again_and_no_more():
    rates = Rates(1)
    assert [sum(rates.wait_s("a", now) == 0 for _ in range(50)) for now in (0.0, 1000.0)] == [10, 10]


def test_of_a_rate_slower_than_the_burst_one_passes():
    rates = Rates(0.01)
    assert [rates.wait_s("a", now) == 0 for now in (0.0, 1.0, 99.0, 100.1)] == [True, False, False, True]


def test_no_rate_is_no_limit():
    assert not any(Rates(0).wait_s("a", 0.0) for _ in range(10_000))


def test_who_has_not_asked_for_a_while_is_forgotten():
    rates = Rates(100)
    for n in range(200_000):
        rates.wait_s(n, n / 1000)
    assert len(rates) <= 10_001


def test_a_secret_key_is_limited_by_key_only_and_a_public_one_by_address_too():
    gate = make_gate()
    assert passed(gate, PUBLIC) == (20, "address")
    assert passed(gate, PUBLIC, peer="192.0.2.2") == (20, "address")
    # Those turned away by address did not count for the key.
    assert passed(gate, PUBLIC, peer="192.0.2.3") == (10, "key")
    assert passed(gate, SECRET) == (50, "key")


def test_who_has_no_key_or_one_that_nobody_knows_is_limited_by_address():
    gate = make_gate()
    assert passed(gate, "", n=10) == (10, None)
    assert passed(gate, "tp_secret_guess") == (10, "address")
    assert sum(passed(gate, f"tp_secret_{n}", n=1)[0] for n in range(5)) == 0


@pytest.mark.parametrize(
    ("n_proxies", "forwarded", "same"),
    [
        (0, ["203.0.113.1", "203.0.113.2"], True),
        (1, ["203.0.113.1", "203.0.113.2"], False),
        (1, ["203.0.113.1, 198.51.100.1", "203.0.113.2, 198.51.100.1"], True),
        (2, ["203.0.113.1, 198.51.100.1", "203.0.113.2, 198.51.100.1"], False),
        (2, ["1.1.1.1, 203.0.113.1, 198.51.100.1", "2.2.2.2, 203.0.113.1,198.51.100.2"], True),
        (2, ["203.0.113.1", "203.0.113.1"], True),
    ],
)
def test_whom_a_proxy_heard_from_counts_and_not_what_anybody_wrote_before(n_proxies, forwarded, same):
    gate = make_gate(trusted_proxies=n_proxies)
    first, second = (passed(gate, "", forwarded=one)[0] for one in forwarded)
    assert (first, second) == (20, 0 if same else 20)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("[2001:db8:1:2::9]:443", "2001:db8:1:2::"),
        ("unknown", ""),
        ("", ""),
    ],
)
def test_a_household_is_one_address(address, network):
    assert network_of(address) == network
