"""An HTTP server for one person on this machine: 127.0.0.1, a secret address, nothing is changed.

Whoever does not know the token gets nothing, other web pages among them: a page that lets its name
point to 127.0.0.1 (DNS rebinding) sends that name as `Host`, and no answer allows another origin.
"""

import contextlib
import http
import secrets
import sys
import traceback
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from fmkit.core import console
from fmkit.core.errors import ConfigError, FmkitError, received
from fmkit.core.version import VERSION

ADDRESS = "127.0.0.1"
_MOST_FIELDS = 50
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_NOTHING_ALLOWED = "default-src 'none'"


@dataclass(frozen=True)
class Response:
    """An answer.

    Attributes:
        content: its bytes.
        kind: media type.
        policy: content security policy.
        status: of HTTP.
    """

    content: bytes
    kind: str = "text/html; charset=utf-8"
    policy: str = _NOTHING_ALLOWED
    status: int = http.HTTPStatus.OK


class Site(Protocol):
    """What is served; several threads ask at once."""

    def answer(self, path: str, query: Mapping[str, list[str]]) -> Response:
        """The answer to a GET.

        Args:
            path: after the token, decoded, without a `/` at its beginning.
            query: values by name.

        Raises:
            FmkitError: the request is wrong; the message is shown.
        """
        ...

    def refusal(self, error: FmkitError) -> Response:
        """The answer where `answer` raised."""
        ...


class LocalServer(ThreadingHTTPServer):
    """Serves a site until it is stopped.

    Attributes:
        token: the first part of every path.
    """

    daemon_threads = True

    def __init__(self, port: int, token: str, site: Site) -> None:
        super().__init__((ADDRESS, port), _Handler)
        self.token, self.site = token, site

    @property
    def url(self) -> str:
        """The address to open."""
        return f"http://{ADDRESS}:{self.server_port}/{self.token}/"

    @property
    def hosts(self) -> tuple[str, str]:
        """The names that a browser may call this server by."""
        return f"{ADDRESS}:{self.server_port}", f"localhost:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say what went wrong; a browser that has gone is nothing wrong."""
        error = sys.exception()
        if not isinstance(error, ConnectionError | TimeoutError):
            console.warning(f"a request failed: {type(error).__name__}: {error}")


def new_token() -> str:
    """A secret part of an address, which nobody can guess."""
    return secrets.token_urlsafe(24)


def open_server(port: int | None, usual_port: int, token: str, site: Site) -> LocalServer:
    """A server at a port; without one at the usual port, or at a free one if that is taken.

    Raises:
        ConfigError: the port that was named is taken, or may not be used.
    """
    with contextlib.suppress(OSError):
        return LocalServer(usual_port if port is None else port, token, site)
    if port is not None:
        raise ConfigError(
            f"port={port} is taken by another program, or may not be used.",
            "Name another one, or none: then a free one is chosen.",
        )
    server = LocalServer(0, token, site)
    console.info(f"port {usual_port} is taken; {server.server_port} is free")
    return server


def parse_port(text: str) -> int:
    """A port by its number; ConfigError if it is not one."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= 65535):
        raise ConfigError(received("port", text, "a number from 1 to 65535"))
    return int(text)


class _Handler(BaseHTTPRequestHandler):
    server: LocalServer
    timeout = 30  # seconds that a client may be silent
    server_version, sys_version = f"fmkit/{VERSION}", ""

    def do_GET(self) -> None:
        self._send(self._response())

    def do_HEAD(self) -> None:
        self._send(self._response(), with_content=False)

    def _response(self) -> Response:
        """Who does not know the token, or comes by another name, learns nothing."""
        if self.headers.get_all("Host", []) not in [[host] for host in self.server.hosts]:
            return _plain(http.HTTPStatus.FORBIDDEN, "This server answers to 127.0.0.1 only.")
        parts = urllib.parse.urlsplit(self.path)
        _, _, rest = parts.path.partition("/")
        token, slash, path = rest.partition("/")
        # Compared in constant time: how long a refusal takes does not tell how much was right.
        if not secrets.compare_digest(token.encode(), self.server.token.encode()) or not slash:
            text = "Open the whole address that the command has printed."
            return _plain(http.HTTPStatus.NOT_FOUND, text)
        site = self.server.site
        try:
            query = urllib.parse.parse_qs(
                parts.query, keep_blank_values=True, max_num_fields=_MOST_FIELDS
            )
            return site.answer(urllib.parse.unquote(path, errors="surrogateescape"), query)
        except FmkitError as error:
            return site.refusal(error)
        except ValueError as error:
            return site.refusal(ConfigError(f"the address cannot be read: {error}."))
        except Exception as error:
            console.warning(f"a request failed: {traceback.format_exc()}")
            return site.refusal(FmkitError(f"a defect of fmkit: {type(error).__name__}."))

    def _send(self, response: Response, with_content: bool = True) -> None:
        self.send_response(response.status)
        headers = {
            **_HEADERS,
            "Content-Type": response.kind,
            "Content-Length": str(len(response.content)),
            "Content-Security-Policy": f"{response.policy}; frame-ancestors 'none'",
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if with_content:
            self.wfile.write(response.content)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not worth a line each, and their addresses have the token."""


def _plain(status: http.HTTPStatus, text: str) -> Response:
    return Response(f"{text}\n".encode(), "text/plain; charset=utf-8", _NOTHING_ALLOWED, status)
