"""Connections of a server: a deadline for the headers of a request, and a limit on incomplete requests per client.

A client that sends its requests slowly, or not at all, occupies connections. The headers of a request must arrive
within :data:`HEADER_SECONDS`; the body is subject to the time limit of the request. If a client has more than
:data:`HALF_SENT_PER_CLIENT` connections with incomplete requests, the oldest of them is closed.

Example::

    config = uvicorn.Config(app, http=LimitedProtocol)
"""

import asyncio
from typing import Any, ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS = 10
"""Maximum time to send the headers of a request, and maximum time between two requests on one connection."""
HALF_SENT_PER_CLIENT = 32
"""Maximum number of connections with incomplete requests per client address."""
# Connections newer than this are not closed, because the server may not yet have read what a fast client has sent.
_GRACE_SECONDS = 2.0


class LimitedProtocol(H11Protocol):
    """uvicorn's implementation of HTTP/1.1 with the limits of this module."""

    _half_sent: ClassVar[dict[str, dict["LimitedProtocol", float]]] = {}
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Start the deadline of the first request."""
        super().connection_made(transport)
        self._update()

    def data_received(self, data: bytes) -> None:
        """Read a part of a request."""
        super().data_received(data)
        self._update()

    def on_response_complete(self) -> None:
        """Start the deadline of the next request."""
        super().on_response_complete()
        self._update()

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the connection from the records of its client."""
        self._complete()
        super().connection_lost(exc)

    def _update(self) -> None:
        """Record whether the current request is complete, and keep its deadline until its headers are complete."""
        if self.transport.is_closing():
            self._complete()
            return
        handled = self.cycle is not None and not self.cycle.response_complete
        if handled and not self.cycle.more_body:
            self._complete()
            return
        waiting = self._half_sent.setdefault(self._address(), {})
        waiting.setdefault(self, self.loop.time())
        if handled:
            self._stop_deadline()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(HEADER_SECONDS, self._expire)
        oldest = next(iter(waiting))
        if len(waiting) > HALF_SENT_PER_CLIENT and self.loop.time() - waiting[oldest] > _GRACE_SECONDS:
            oldest._expire()

    def _expire(self) -> None:
        self._complete()
        if not self.transport.is_closing():
            self.transport.close()

    def _complete(self) -> None:
        self._stop_deadline()
        waiting = self._half_sent.get(self._address(), {})
        waiting.pop(self, None)
        if not waiting:
            self._half_sent.pop(self._address(), None)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _address(self) -> str:
        return self.client[0] if self.client else ""
