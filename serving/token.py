"""Decision tokens: what was decided, signed, so that the outcome reported later can be believed.

The server keeps nothing about a decision. The site sends the token back with the outcome, and what the token
says is stored beside it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from time import perf_counter

import msgspec

from serving.errors import TokenRefused
from storage.errors import BadSeal
from storage.signing import Seal

_MAX_CHARS = 8192


class ToldReason(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A reason as it was told with the promotion."""

    site_id: str
    kind: str
    share: float
    item_id: str | None = None


class DecisionClaim(msgspec.Struct, frozen=True, kw_only=True):
    """What one token says: this promotion was chosen for this consumer on this site, for these reasons.

    `consumer_id` is null where the answer may not name the consumer, or where nobody was named.
    """

    decision_id: str
    promotion_id: str
    site_id: str
    consumer_id: str | None
    strategy: str
    model_version: str | None
    rank: int
    propensity: float
    expires_at: datetime
    reasons: list[ToldReason] = []


class TokenSigner:
    """Signs claims with the newest key and accepts every key that is still kept.

    Parameters
    ----------
    secrets : the signing keys, oldest first; retired keys stay in the list until their tokens have expired.
    lifetime : how long a token is accepted.
    """

    def __init__(self, secrets: Sequence[bytes], *, lifetime: timedelta) -> None:
        self._seal = Seal(secrets, purpose="decision")
        self._lifetime = lifetime

    def expiry(self, now: datetime) -> datetime:
        """The moment at which a token made now ends, in whole seconds."""
        return (now + self._lifetime).replace(microsecond=0)

    def sign(self, claim: DecisionClaim) -> str:
        """Return the token: url-safe text that anyone can read and only we can write."""
        return self._seal.sign(claim)

    def verify(self, token: object, *, now: datetime) -> DecisionClaim:
        """Return what the token says.

        Raises
        ------
        TokenRefused : the token was altered, signed by another key, or has expired.
        """
        if not isinstance(token, str) or len(token) > _MAX_CHARS:
            raise TokenRefused(
                f"the decision token is not a text of at most {_MAX_CHARS} characters; "
                "send it back as it came"
            )
        try:
            claim = self._seal.open(token, DecisionClaim)
        except BadSeal as error:
            raise TokenRefused(
                "the decision token was altered or signed elsewhere; send it back as it came"
            ) from error
        if claim.expires_at.astimezone(UTC) <= now:
            raise TokenRefused(
                f"the decision token expired at {claim.expires_at.isoformat()}; ask for a new decision"
            )
        return claim


class TimedSigner(TokenSigner):
    """The same signer, which adds up how long it takes: `seconds`."""

    def __init__(self, signer: TokenSigner) -> None:
        self._seal, self._lifetime = signer._seal, signer._lifetime
        self.seconds = 0.0

    def sign(self, claim: DecisionClaim) -> str:
        """Return the token."""
        started = perf_counter()
        token = super().sign(claim)
        self.seconds += perf_counter() - started
        return token
