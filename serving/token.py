"""Decision tokens: what was decided, signed, so that the outcome reported later can be believed.

The server keeps nothing about a decision. The site sends the token back with the outcome, and what the token
says is stored beside it.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import msgspec
from itsdangerous import BadSignature, Signer

from serving.errors import TokenRefused

_MAX_CHARS = 4096
_SALT = b"tailor.decision"


class DecisionClaim(msgspec.Struct, frozen=True, kw_only=True):
    """What one token says: this promotion was chosen for this consumer on this site."""

    decision_id: str
    promotion_id: str
    site_id: str
    consumer_id: str
    strategy: str
    model_version: str | None
    rank: int
    propensity: float
    expires_at: datetime


class TokenSigner:
    """Signs claims with the newest key and accepts every key that is still kept.

    Parameters
    ----------
    secrets : the signing keys, oldest first; retired keys stay in the list until their tokens have expired.
    lifetime : how long a token is accepted.
    """

    def __init__(self, secrets: Sequence[bytes], *, lifetime: timedelta) -> None:
        if not secrets:
            raise ValueError("no signing key; run `tailor init`, which makes one")
        deriving = Signer(list(secrets), salt=_SALT, key_derivation="hmac", digest_method=sha256)
        # Derived once and not for each token: the tokens are the same.
        keys = [deriving.derive_key(secret) for secret in secrets]
        self._signer = Signer(keys, salt=_SALT, key_derivation="none", digest_method=sha256)
        self._lifetime = lifetime

    def expiry(self, now: datetime) -> datetime:
        """The moment at which a token made now ends, in whole seconds."""
        return (now + self._lifetime).replace(microsecond=0)

    def sign(self, claim: DecisionClaim) -> str:
        """Return the token: url-safe text that anyone can read and only we can write."""
        payload = urlsafe_b64encode(msgspec.json.encode(claim)).rstrip(b"=")
        return self._signer.sign(payload).decode("ascii")

    def verify(self, token: object, *, now: datetime) -> DecisionClaim:
        """Return what the token says.

        Raises
        ------
        TokenRefused : the token was altered, signed by another key, or has expired.
        """
        if not isinstance(token, str) or len(token) > _MAX_CHARS:
            raise TokenRefused(
                "the decision token is not a text of at most 4096 characters; send it back as it came"
            )
        try:
            payload = self._signer.unsign(token)
            claim = msgspec.json.decode(
                urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)), type=DecisionClaim
            )
        except (BadSignature, UnicodeError, ValueError, msgspec.MsgspecError) as error:
            raise TokenRefused(
                "the decision token was altered or signed elsewhere; send it back as it came"
            ) from error
        if claim.expires_at.astimezone(UTC) <= now:
            raise TokenRefused(
                f"the decision token expired at {claim.expires_at.isoformat()}; ask for a new decision"
            )
        return claim
