"""The application around all pages: who may ask, how much, and what every response says of itself.

The server listens on 127.0.0.1 alone. That keeps other machines out, and not the pages that a browser has open: any of
them can send requests to 127.0.0.1. So each request is checked before a page sees it:

- the ``Host`` must be this server's (a foreign name that resolves to 127.0.0.1 is refused);
- a random token, new with every start, must be in the cookie, or in the address, from where it moves to the cookie, or
  in ``Authorization: Bearer``;
- what changes something (POST) must not come from another page (``Origin``, ``Sec-Fetch-Site``);
- a body has at most 8 kB.

Browsers send a cookie of 127.0.0.1 to every port of this machine: another server of the same user can read the token.

References:
    Cross-site request forgery prevention, and DNS rebinding (OWASP Cheat Sheet Series).
"""

from __future__ import annotations

import hmac
import secrets
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, parse_qsl, quote

from .pages import refusal_page, static_text

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["HOW_TO_INSTALL", "Refused", "Site", "application", "form_of", "listen", "page", "static_routes"]

HOW_TO_INSTALL = "pip install 'imagelab-collapse[audit]'"

MOST_BYTES = 8192
"""Of the body of a request: a form of some fields."""

ADDRESS = "127.0.0.1"

POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # no-referrer would make the Origin of our own forms "null"
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Of every response; a response that has one of them keeps its own."""


class Refused(Exception):
    """A request that is not answered.

    Attributes:
        status: HTTP status.
        words: why, and what to do.
        onward: address of a page to go on with; "" for none.
    """

    def __init__(self, status: int, words: str, onward: str = ""):
        super().__init__(words)
        self.status, self.words, self.onward = status, words, onward


@dataclass(frozen=True)
class Site:
    """Where a server is and what opens it.

    Attributes:
        port: of 127.0.0.1.
        token: the secret in its address.
    """

    port: int
    token: str

    @property
    def address(self) -> str:
        """The address to open."""
        return f"http://{ADDRESS}:{self.port}/?token={self.token}"

    @property
    def hosts(self) -> tuple[str, ...]:
        """What the Host header may be."""
        return f"{ADDRESS}:{self.port}", f"localhost:{self.port}"

    @property
    def cookie(self) -> str:
        """The name of the cookie; browsers share cookies between the ports of a machine."""
        return f"imagelab-{self.port}"


def application(site: Site, routes: Sequence[BaseRoute]) -> Starlette:
    """Return the application: its pages, behind the checks."""
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.middleware import Middleware

    async def refused(request: Request, error: Exception) -> Response:
        if isinstance(error, Refused):
            return page(refusal_page(error.status, error.words, error.onward), error.status)
        status = error.status_code if isinstance(error, HTTPException) else 500
        words = {
            404: "There is no such page.",
            405: f"{request.method[:20]} is not possible here.",
            500: "The request could not be answered; the terminal says more. What was saved before is kept.",
        }
        made = page(refusal_page(status, words.get(status, "The request was not understood."), "/"), status)
        made.headers.update(getattr(error, "headers", None) or {})
        return made

    return Starlette(
        routes=[*routes, *static_routes()],
        middleware=[Middleware(_Guard, site=site)],
        exception_handlers={Refused: refused, HTTPException: refused, 500: refused},
    )


def page(html: str, status: int = 200) -> Response:
    """Return an HTML response."""
    from starlette.responses import HTMLResponse

    return HTMLResponse(html, status)


def static_routes() -> list[BaseRoute]:
    """Return the routes of the stylesheet and the scripts."""
    from starlette.responses import Response
    from starlette.routing import Route

    def served(name: str, kind: str) -> Route:
        async def give(request: Request) -> Response:
            return Response(static_text(name), media_type=kind)

        return Route(f"/{name}", give, methods=["GET"])

    return [served("style.css", "text/css"), *(served(name, "text/javascript") for name in ("answer.js", "runs.js"))]


async def form_of(request: Request) -> dict[str, list[str]]:
    """Return the fields of a form that was sent.

    Raises:
        Refused: for what is no form.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise Refused(415, "Expected a form (application/x-www-form-urlencoded).")
    try:
        pairs = parse_qsl((await request.body()).decode(), keep_blank_values=True, max_num_fields=100)
    except ValueError as error:
        raise Refused(400, "The form could not be read.") from error
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return fields


def listen(port: int, routes_of: Callable[[Site], Sequence[BaseRoute]], ready: Callable[[Site], None]) -> None:
    """Serve pages until the process is asked to stop (Ctrl-C, SIGTERM).

    Args:
        port: of 127.0.0.1; 0 for any that is free.
        routes_of: the pages.
        ready: called when the server can be reached.

    Raises:
        ValueError: if the port is in use, or starlette or uvicorn is not installed.
    """
    try:
        import uvicorn
    except ModuleNotFoundError as error:
        raise ValueError(f"{error.name} is not installed, which the pages need: {HOW_TO_INSTALL}") from error
    sock = _bound(port)
    site = Site(sock.getsockname()[1], secrets.token_urlsafe(24))
    config = uvicorn.Config(
        application(site, routes_of(site)),
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=2,
    )
    with sock:
        sock.listen(64)
        ready(site)
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            uvicorn.Server(config).run(sockets=[sock])
        except KeyboardInterrupt:  # uvicorn has shut down in order before it passes the signal on
            return
        finally:
            signal.signal(signal.SIGTERM, before)


def _bound(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((ADDRESS, port))
    except (OSError, OverflowError) as error:
        sock.close()
        raise ValueError(
            f"--port {port}: cannot be used ({error}). Use another port, or 0 for any free one."
        ) from error
    return sock


class _Guard:
    """Checks each request before the pages see it, and adds the headers that every response has."""

    def __init__(self, app: ASGIApp, site: Site):
        self.app, self.site = app, site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = _Headers(scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                ours = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message["headers"], *(pair for pair in ours if pair[0] not in present)]
            await send(message)

        try:
            self._check_place(headers)
            asked = parse_qs(scope["query_string"].decode("latin-1")).get("token")
            if asked:
                await self._enter(scope, asked[0])(scope, receive, send_with_headers)
                return
            self._check_token(headers)
            if scope["method"] not in ("GET", "HEAD", "OPTIONS"):
                self._check_origin(headers)
            body = await _whole_body(headers, receive)
        except Refused as refused:
            made = page(refusal_page(refused.status, refused.words, refused.onward), refused.status)
            made.headers["Connection"] = "close"  # what is left of the body is not read
            await made(scope, receive, send_with_headers)
            return
        await self.app(scope, _replay(body, receive), send_with_headers)

    def _check_place(self, headers: _Headers) -> None:
        if headers.of("host") not in self.site.hosts:
            raise Refused(403, f"This server answers to {self.site.hosts[0]} only. Open the address that was printed.")

    def _check_token(self, headers: _Headers) -> None:
        kind, _, given = headers.of("authorization").partition(" ")
        if kind.lower() != "bearer":
            pairs = (part.strip().partition("=") for part in headers.of("cookie").split(";"))
            given = next((value for name, _, value in pairs if name == self.site.cookie), "")  # others may be odd
        if not self._is_token(given):
            raise Refused(
                403, "Open the address that was printed in the terminal, with its token. It changes with every start."
            )

    def _check_origin(self, headers: _Headers) -> None:
        ours = [f"http://{host}" for host in self.site.hosts]
        origin, site = headers.of("origin"), headers.of("sec-fetch-site")
        if (origin and origin not in ours) or (site and site != "same-origin"):
            raise Refused(403, "The request came from another page. Use the pages of this server.")

    def _enter(self, scope: Scope, token: str) -> Response:
        """Return the response to an address with a token: the token moves to a cookie, and out of the address."""
        from starlette.responses import RedirectResponse

        if not self._is_token(token):
            raise Refused(403, "The token in this address is not that of this server; it changes with every start.")
        if scope["method"] not in ("GET", "HEAD"):
            raise Refused(405, "An address with a token can only be opened.")
        made = RedirectResponse(quote("/" + scope["path"].lstrip("/\\")), 303)
        made.set_cookie(self.site.cookie, self.site.token, httponly=True, samesite="strict")
        return made

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.site.token.encode())


class _Headers:
    """The headers of a request; of one that is there twice, nothing is believed."""

    def __init__(self, scope: Scope):
        self._all: list[tuple[bytes, bytes]] = scope["headers"]

    def of(self, name: str) -> str:
        found = [value for key, value in self._all if key == name.encode()]
        return found[0].decode("latin-1") if len(found) == 1 else "several" if found else ""


async def _whole_body(headers: _Headers, receive: Receive) -> bytes:
    """Return the body of a request, which is read before a page sees it."""
    told = headers.of("content-length")
    if told and (not told.isdecimal() or len(told) > 12 or int(told) > MOST_BYTES):
        raise Refused(413, f"A request has at most {MOST_BYTES:,} bytes.")
    body = b""
    while True:
        message: dict[str, Any] = dict(await receive())
        if message["type"] != "http.request":
            return body
        body += message.get("body", b"")
        if len(body) > MOST_BYTES:
            raise Refused(413, f"A request has at most {MOST_BYTES:,} bytes.")
        if not message.get("more_body", False):
            return body


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a source of a body that was read already."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
