"""Server mode: a path of the shop that leads to the service, so that the activity cookie is the shop's own.

What any web server does with three lines of configuration; here it is written out.
"""

from http import HTTPStatus
from urllib.parse import urlsplit

import httpx
from starlette.requests import Request
from starlette.responses import Response

TIMEOUT_S = 5.0
LARGEST_BYTES = 1_000_000

#: What the service looks at, and nothing else that the browser sends.
PASSED_IN = (
    "authorization", "content-type", "cookie", "origin", "sec-gpc", "sec-fetch-site", "if-none-match",
)  # fmt: skip
PASSED_OUT = ("content-type", "set-cookie", "etag", "cache-control", "retry-after", "vary")


class Passage:
    """Hands calls under ``/t/`` on to the service, and its answers back, cookies included."""

    def __init__(self, service: str) -> None:
        parts = urlsplit(service)
        # Browsers know every name under localhost; other programs need not.
        host = "127.0.0.1" if (parts.hostname or "").endswith(".localhost") else parts.hostname
        self._headers = {"host": parts.netloc}
        self._client = httpx.AsyncClient(base_url=f"{parts.scheme}://{host}:{parts.port}", timeout=TIMEOUT_S)

    async def pass_on(self, request: Request) -> Response:
        """Hand one call on."""
        body = await request.body()
        if len(body) > LARGEST_BYTES:
            return Response(status_code=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        passed = {name: request.headers[name] for name in PASSED_IN if name in request.headers}
        try:
            answer = await self._client.request(
                request.method,
                f"/{request.path_params['path']}",
                content=body,
                headers={**passed, **self._headers},
            )
        except httpx.TransportError:
            return Response(status_code=HTTPStatus.BAD_GATEWAY)
        response = Response(answer.content, status_code=answer.status_code)
        for name, value in answer.headers.multi_items():
            if name in PASSED_OUT:
                # Without https not every browser keeps a cookie that asks for it.
                insecure = name == "set-cookie" and request.url.scheme == "http"
                response.headers.append(name, value.replace("; Secure", "") if insecure else value)
        return response

    async def aclose(self) -> None:
        """Close the connections to the service."""
        await self._client.aclose()
