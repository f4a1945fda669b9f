"""What a server says no with: a status, and a reason as JSON.

What stands before every request: the token, the host, and headers that keep a page to itself.
"""

import hmac

from pydantic import BaseModel
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from auxface.serve.server import Settings


class Refusal(Exception):
    """A request that is not answered.

    Args:
        status: of HTTP.
        reason: one sentence.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Reason(BaseModel):
    """The body of every refusal."""

    reason: str


RETRY_SECONDS = 1
RESPONSES: dict[int | str, dict] = {
    400: {"model": Reason, "description": "Not a request that can be read"},
    401: {"model": Reason, "description": "The token is missing or wrong"},
    408: {"model": Reason, "description": "The upload did not arrive in time"},
    413: {"model": Reason, "description": "Too many bytes, pixels or frames"},
    415: {"model": Reason, "description": "Not a kind of file that is read"},
    422: {"model": Reason, "description": "A damaged file, or a parameter that is wrong"},
    429: {"model": Reason, "description": "Too many requests in hand; try again"},
    503: {"model": Reason, "description": "Not answered in time, or stopping"},
}


# The page needs no token to be shown; what it asks for does.
_OPEN = ("/", "/health")
_OPEN_FOLDERS = ("/page/",)
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
# A report draws itself with its own scripts and styles, which are inside it.
_REPORT_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'"


class Guard:
    """Refuses what has no token, or came under another host's name to a server of this machine alone."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"]

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                if path == "/report":
                    headers["Content-Security-Policy"] = _REPORT_POLICY
                if not path.startswith(_OPEN_FOLDERS):
                    headers["Cache-Control"] = "no-store"
            await send(message)

        refusal = self._refusal(Headers(scope=scope), path)
        await (refusal or self.app)(scope, receive, sealed)

    def _refusal(self, headers: Headers, path: str) -> JSONResponse | None:
        host = headers.get("host", "").rsplit(":", 1)[0] if not headers.get("host", "").endswith("]") else "[::1]"
        if self.settings.is_local and host not in _LOCAL:
            # Another site's name that was made to point here.
            return JSONResponse({"reason": "this server answers on localhost alone"}, 400)
        token = self.settings.token
        if token is None or path in _OPEN or path.startswith(_OPEN_FOLDERS):
            return None
        given = headers.get("authorization", "").removeprefix("Bearer ").encode()
        if hmac.compare_digest(given, token.encode()):
            return None
        reason = {"reason": "send the server's token as 'Authorization: Bearer TOKEN'"}
        return JSONResponse(reason, 401, headers={"WWW-Authenticate": "Bearer"})
