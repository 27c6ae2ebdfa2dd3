"""The description of the API under `/v1`: what Litestar finds out, and how calls are refused."""

from collections.abc import Iterator
from typing import Any

from litestar import Litestar
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme, Server

from serving.errors import PROBLEM_JSON

TITLES = {
    400: "the request cannot be understood",
    401: "no key, or one that does not count",
    403: "the key is good, but not for this",
    404: "nothing with this name, as far as the key may see",
    409: "the id is taken",
    413: "the body is too long, or holds too much",
    429: "the key or the address asks more often than it may",
    503: "not now; Retry-After says when to try again",
}
"""Every status that a call is refused with, and when."""

PROBLEM: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "description": "A problem document (RFC 9457).",
    "required": ["title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "the value at fault, and the next step"},
    },
}

CONFIG = OpenAPIConfig(
    title="Tailored Promotions",
    version="1",
    description="Decide, collect and manage. Errors are problem documents (RFC 9457).",
    servers=[Server(url="/v1")],
    components=Components(security_schemes={"key": SecurityScheme(type="http", scheme="bearer")}),
    security=[{"key": []}],
    path="/reference",
)


def describe(app: Litestar) -> dict[str, Any]:
    """Return the description with how calls are refused: Litestar knows of its own way only."""
    told = app.openapi_schema.to_schema()
    told["components"]["schemas"]["Problem"] = PROBLEM
    told["components"]["responses"] = {str(status): _refusal(status) for status in TITLES}
    for operation in operations(told):
        found = {status: one for status, one in operation["responses"].items() if status < "400"}
        refusals = {str(status): {"$ref": f"#/components/responses/{status}"} for status in TITLES}
        operation["responses"] = {**found, **refusals}
    return told


def operations(described: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every call of a description."""
    for methods in described["paths"].values():
        for name, operation in methods.items():
            if name in ("get", "put", "post", "delete", "patch"):
                yield operation


def _refusal(status: int) -> dict[str, Any]:
    content = {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    described: dict[str, Any] = {"description": TITLES[status], "content": content}
    if status in (429, 503):
        described["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}}
    return described
