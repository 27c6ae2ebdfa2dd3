"""What can go wrong while serving, and the HTTP status of every error of the project.

ServingError
├── KeyRefused            401  no key, or a key nobody knows
├── Forbidden             403  the key is good, but not for this
│   ├── OriginRefused          a public key from a page it is not bound to
│   ├── SecretKeyNeeded        a public key where only servers may go
│   ├── SiteRefused            a site of somebody else
│   ├── NoConsent              the consumer did not agree to this
│   └── NotASubscriber         a site that takes no part, or its subscriber is suspended
├── RequestRefused        400  a value in the request cannot be used
├── AlreadyExists         409  creating what is there
├── NotFound              404  nothing with this name among what the key may see
├── TooLarge              413  more than one call may carry
├── TokenRefused          400  a decision token that is not ours or has expired
├── TooManyRequests       429  the key or the address asks more often than it may
├── Busy                  503  as much is under way as one worker can do in time
└── NotReady              503  the service has not read its catalogue yet, or lost its database
"""

import re
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

import features.errors as features
import models.errors as models
import storage.errors as storage

PROBLEM_JSON = "application/problem+json"
"""The kind of content of a problem document (RFC 9457)."""


class ServingError(Exception):
    """Anything that serving itself refuses."""


class KeyRefused(ServingError):
    """There is no key in the request, or nobody was given this one."""


class Forbidden(ServingError):
    """The key is known, but does not open this door."""


class OriginRefused(Forbidden):
    """A public key was used from a page outside its subscriber's origins."""


class SecretKeyNeeded(Forbidden):
    """A public key, which any visitor can read, was used where only a server may act."""


class SiteRefused(Forbidden):
    """The site belongs to another subscriber."""


class NoConsent(Forbidden):
    """The consumer did not agree to what the call is for."""


class NotASubscriber(Forbidden):
    """The site takes no part: no promotion is shown there and no activity is taken."""


class RequestRefused(ServingError):
    """A value in the request cannot be used."""


class AlreadyExists(ServingError):
    """What should be created exists."""


class NotFound(ServingError):
    """Nothing with this name, as far as the key may see."""


class TooLarge(ServingError):
    """More events or bytes than one call may carry."""


class TokenRefused(ServingError):
    """A decision token was altered, is not ours, or has expired."""


class TooManyRequests(ServingError):
    """A key, or an address, asks more often than it may; `limit` says which of the two."""

    def __init__(self, limit: str, *, retry_after_s: int) -> None:
        super().__init__(f"too many requests from this {limit}; ask again in {retry_after_s} s")
        self.limit = limit
        self.retry_after_s = retry_after_s


class Busy(ServingError):
    """As much is under way as can be done in time: better turned away at once than late."""


class NotReady(ServingError):
    """The service runs, but cannot answer now."""


STATUS: Mapping[type[Exception], HTTPStatus] = MappingProxyType(
    {
        KeyRefused: HTTPStatus.UNAUTHORIZED,
        Forbidden: HTTPStatus.FORBIDDEN,
        RequestRefused: HTTPStatus.BAD_REQUEST,
        AlreadyExists: HTTPStatus.CONFLICT,
        NotFound: HTTPStatus.NOT_FOUND,
        TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        TokenRefused: HTTPStatus.BAD_REQUEST,
        TooManyRequests: HTTPStatus.TOO_MANY_REQUESTS,
        Busy: HTTPStatus.SERVICE_UNAVAILABLE,
        NotReady: HTTPStatus.SERVICE_UNAVAILABLE,
        # Storage.
        storage.DatabaseUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
        storage.SchemaMissing: HTTPStatus.SERVICE_UNAVAILABLE,
        storage.SchemaTooNew: HTTPStatus.SERVICE_UNAVAILABLE,
        storage.NotKnown: HTTPStatus.NOT_FOUND,
        storage.AlreadyTaken: HTTPStatus.CONFLICT,
        storage.InvalidValue: HTTPStatus.BAD_REQUEST,
        storage.UnreadableFile: HTTPStatus.BAD_REQUEST,
        # A model that cannot do what it must is a fault of ours: nothing the caller sent makes it so.
        features.FeaturesError: HTTPStatus.INTERNAL_SERVER_ERROR,
        models.ModelsError: HTTPStatus.INTERNAL_SERVER_ERROR,
    }
)


def status_of(error: BaseException) -> HTTPStatus | None:
    """Return the status of a domain error, by its nearest listed ancestor; None for anything else."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), None)


def problem_of(error: BaseException, *, status: HTTPStatus) -> dict[str, Any]:
    """Return the problem document (RFC 9457) of a domain error."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", type(error).__name__).lower()
    return {
        "type": f"urn:tailored-promotions:problem:{words.replace(' ', '-')}",
        "title": words.capitalize(),
        "status": int(status),
        "detail": str(error),
    }


def headers_of(status: HTTPStatus, *, retry_after_s: int) -> dict[str, str]:
    """Return the headers that go with a problem document."""
    if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
        return {"Retry-After": str(retry_after_s)}
    if status == HTTPStatus.UNAUTHORIZED:
        return {"WWW-Authenticate": "Bearer"}
    return {}


def asgi_headers(headers: Mapping[str, str], *, kind: str) -> list[tuple[bytes, bytes]]:
    """Return headers as ASGI takes them, the kind of content first."""
    told = {"content-type": kind, **headers}
    return [(name.lower().encode(), value.encode()) for name, value in told.items()]
