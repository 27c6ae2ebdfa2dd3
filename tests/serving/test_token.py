from datetime import UTC, datetime, timedelta

import pytest

from serving.errors import TokenRefused
from serving.token import DecisionClaim, TokenSigner

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
OLD, NEW = b"an older secret of the service!!", b"the newest secret of the service"


def signer(*secrets: bytes) -> TokenSigner:
    return TokenSigner(secrets or (NEW,), lifetime=timedelta(days=30))


def claim(**changes: object) -> DecisionClaim:
    fields: dict[str, object] = {
        "decision_id": "d1",
        "promotion_id": "p1",
        "site_id": "books",
        "consumer_id": "zoë",
        "strategy": "tailored",
        "model_version": "3",
        "rank": 1,
        "propensity": 1.0,
        "expires_at": signer().expiry(NOW),
    }
    return DecisionClaim(**{**fields, **changes})  # type: ignore[arg-type]


def test_a_token_says_what_was_signed() -> None:
    assert signer().verify(signer().sign(claim()), now=NOW) == claim()


def test_a_token_signed_before_the_secret_changed_still_counts() -> None:
    token = signer(OLD).sign(claim())
    assert signer(OLD, NEW).verify(token, now=NOW) == claim()


def test_new_tokens_are_signed_with_the_newest_secret() -> None:
    token = signer(OLD, NEW).sign(claim())
    assert signer(NEW).verify(token, now=NOW) == claim()


def test_a_token_of_another_secret_is_refused() -> None:
    with pytest.raises(TokenRefused, match="signed elsewhere"):
        signer(NEW).verify(signer(OLD).sign(claim()), now=NOW)


def test_every_altered_character_is_noticed() -> None:
    token = signer().sign(claim())
    for place in range(len(token)):
        altered = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        # The last character of unpadded base64 carries bits that mean nothing: another spelling,
        # no other token.
        if place == len(token) - 1:
            continue
        with pytest.raises(TokenRefused):
            signer().verify(altered, now=NOW)


@pytest.mark.parametrize("token", ["", ".", "x", "a.b", "é.é", None, 3, {"a": 1}, "a" * 5000])
def test_what_is_no_token_is_refused(token: object) -> None:
    with pytest.raises(TokenRefused):
        signer().verify(token, now=NOW)


def test_a_token_ends_with_its_lifetime() -> None:
    token = signer().sign(claim())
    assert signer().verify(token, now=NOW + timedelta(days=30, seconds=-1))
    with pytest.raises(TokenRefused, match="expired at 2026-05-31"):
        signer().verify(token, now=NOW + timedelta(days=30))


def test_a_service_without_a_secret_signs_nothing() -> None:
    with pytest.raises(ValueError, match="tailor init"):
        TokenSigner([], lifetime=timedelta(days=1))
