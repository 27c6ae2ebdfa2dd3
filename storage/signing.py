"""The secrets that the network signs with, made by `storage.schema.migrate`, and the one way of signing."""

import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, TypeVar

import msgspec
from itsdangerous import BadSignature, Signer

from storage.database import Connection
from storage.errors import BadSeal

SECRET_BYTES = 32

Claim = TypeVar("Claim", bound=msgspec.Struct)


class Seal:
    """Makes of a claim a text that anyone can read and only the network can write.

    Parameters
    ----------
    secrets
        The signing keys, oldest first: the last one signs, all are accepted.
    purpose
        What is signed for one purpose is refused for another.
    """

    def __init__(self, secrets: Sequence[bytes], *, purpose: str) -> None:
        if not secrets:
            raise ValueError("no signing key; run `tailor init`, which makes one")
        salt = f"tailor.{purpose}".encode()
        deriving = Signer(list(secrets), salt=salt, key_derivation="hmac", digest_method=sha256)
        # Derived once and not for each text: the signatures are the same.
        keys = [deriving.derive_key(secret) for secret in secrets]
        self._signer = Signer(keys, salt=salt, key_derivation="none", digest_method=sha256)

    def sign(self, claim: msgspec.Struct) -> str:
        """`payload.signature`, both URL-safe base64; the payload is the claim as JSON."""
        return self._signer.sign(_encode(msgspec.json.encode(claim))).decode("ascii")

    def open(self, text: str, kind: type[Claim]) -> Claim:
        """What a signed text says.

        Raises
        ------
        BadSeal
            It was altered, was signed by somebody else or for another purpose, or says something else.
        """
        try:
            claim: Any = msgspec.json.decode(_decode(self._signer.unsign(text)), type=kind)
        except (BadSignature, UnicodeError, ValueError, msgspec.MsgspecError) as error:
            raise BadSeal("it was altered or signed elsewhere") from error
        return claim  # type: ignore[no-any-return]


def _encode(raw: bytes) -> bytes:
    return urlsafe_b64encode(raw).rstrip(b"=")


def _decode(text: bytes) -> bytes:
    return urlsafe_b64decode(text + b"=" * (-len(text) % 4))


def signing_keys(connection: Connection) -> list[bytes]:
    """Secrets that still count, oldest first: sign with the last, accept any."""
    rows = connection.execute("SELECT secret FROM signing_key WHERE retired_at IS NULL ORDER BY key_id")
    return [bytes(row[0]) for row in rows]


def add_signing_key(connection: Connection) -> None:
    """Sign with a new secret from now on; what older ones signed still counts."""
    connection.execute("INSERT INTO signing_key (secret) VALUES (%s)", (secrets.token_bytes(SECRET_BYTES),))


def retire_signing_keys(connection: Connection) -> int:
    """Stop accepting all secrets but the newest; returns how many."""
    return connection.execute(
        "UPDATE signing_key SET retired_at = now() WHERE retired_at IS NULL"
        " AND key_id < (SELECT max(key_id) FROM signing_key)"
    ).rowcount
