"""Security of requests: checks of the token and the host name, and headers that isolate the page from other sites."""

import base64
import hmac
import logging
import traceback

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from auxface.evaluation.report.page import script_source
from auxface.serve.settings import LOGGER, Settings

_log = logging.getLogger(LOGGER)
# The page itself requires no token, but the requests that it sends do.
_OPEN = ("/", "/health")
_OPEN_FOLDERS = ("/page/",)
# The page links to these. A browser that follows a link cannot send a bearer token, but it can ask for a password.
_LINKED = ("/card", "/report", "/report.json", "/openapi.json")
_LINKED_FOLDERS = ("/csv/",)
_LOCAL = ("127.0.0.1", "localhost", "[::1]", "testserver")
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "style-src 'self'; script-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
}
# A report contains its own styles and a script that sorts its tables.
_REPORT_POLICY = (
    f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src '{script_source()[1]}'; "
    "frame-ancestors 'none'"
)


class SecurityMiddleware:
    """Middleware that rejects requests without the token or with a foreign host name, and adds headers to responses.

    Args:
        app: application to protect.
        settings: settings that contain the token and the host.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request as an ASGI application."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"]

        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                if path == "/report":
                    headers["Content-Security-Policy"] = _REPORT_POLICY
                if not path.startswith(_OPEN_FOLDERS):
                    headers["Cache-Control"] = "no-store"
            await send(message)

        if scope["method"] == "HEAD":
            # The server omits the body of the response.
            scope = dict(scope, method="GET")
        rejection = self._rejection(Headers(scope=scope), path)
        try:
            await (rejection or self.app)(scope, receive, send_with_headers)
        # Without this handler, Starlette would respond outside this middleware, without the middleware's headers.
        except Exception as error:
            if started:
                raise
            _log.error("%s failed: %s", path, "".join(traceback.format_exception(error)))
            failure = JSONResponse({"reason": "internal server error; the server's log has the details"}, 500)
            await failure(scope, receive, send_with_headers)

    def _rejection(self, headers: Headers, path: str) -> JSONResponse | None:
        """Return the response that rejects a request; None if the request is allowed."""
        host = headers.get("host", "").rsplit(":", 1)[0] if not headers.get("host", "").endswith("]") else "[::1]"
        if self.settings.is_local and host not in _LOCAL:
            # This check prevents DNS rebinding, in which the name of another site resolves to this machine.
            return JSONResponse({"reason": "this server accepts requests for localhost only"}, 400)
        token = self.settings.token
        if token is None or path in _OPEN or path.startswith(_OPEN_FOLDERS):
            return None
        linked = path in _LINKED or path.startswith(_LINKED_FOLDERS)
        scheme, _, given = headers.get("authorization", "").partition(" ")
        password = None
        if scheme.lower() == "bearer":
            password = given.strip()
        elif scheme.lower() == "basic" and linked:
            password = _password(given.strip())
        if password is not None and hmac.compare_digest(password.encode(), token.encode()):
            return None
        reason = {"reason": "send the server's token in the header 'Authorization: Bearer TOKEN'"}
        challenge = 'Basic realm="token as the password", charset="UTF-8"' if linked else "Bearer"
        return JSONResponse(reason, 401, headers={"WWW-Authenticate": challenge})


def _password(credentials: str) -> str:
    """Return the password of basic credentials (RFC 7617); an empty string if they are malformed."""
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    except ValueError:
        return ""
