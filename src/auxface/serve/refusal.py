"""What a server says no with: a status, and a reason as JSON."""

from pydantic import BaseModel


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
