"""What a call may raise, by who must act.

    PostroomError
      NotConfiguredError   no server is named
      UnreachableError     no answer came, also after repeating
      RefusedKeyError      401, 403: the API key
      InvalidError         400, 413, 415, 422: the mail; nothing was stored
      NotFoundError        404
      ConflictError        409
      UnavailableError     429, 503, 507: the server asks to come back later
      ServerError          any other answer

Every error has the server's words (RFC 9457): ``cause``, ``fix``, and ``problems`` with one entry for each
wrong field. No error has the API key.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong."""

    code: str
    field: str
    """Its path as it was sent, such as ``to.0``; empty when no field is to blame."""
    cause: str
    fix: str


class PostroomError(Exception):
    """The call did not do what it should."""

    def __init__(
        self,
        detail: str,
        *,
        status: int = 0,
        code: str = "",
        problems: tuple[Problem, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        """Take the server's words."""
        self.status = status
        """Of the HTTP answer; 0 when there was none."""
        self.code = code
        self.problems = problems
        self.cause = "; ".join(one.cause for one in problems) or detail
        self.fix = " ".join(dict.fromkeys(one.fix for one in problems if one.fix))
        self.retry_after = retry_after
        """Seconds after which the server wants to be asked again."""
        told = [f"{f'{one.field}: ' if one.field else ''}{one.cause}. {one.fix}".strip() for one in problems]
        super().__init__(" ".join(told) or detail)


class NotConfiguredError(PostroomError):
    """No server is named."""


class UnreachableError(PostroomError):
    """No answer came; whether the mail was stored is not known. A call with the same key finds out."""


class RefusedKeyError(PostroomError):
    """The API key is missing, unknown or not allowed to do this."""


class InvalidError(PostroomError):
    """The mail cannot be taken as it is; nothing was stored."""


class NotFoundError(PostroomError):
    """There is no such message, or it belongs to another tenant."""


class ConflictError(PostroomError):
    """The state of the server forbids it."""


class UnavailableError(PostroomError):
    """The server cannot take it now; ``retry_after`` says when to come back."""


class ServerError(PostroomError):
    """A fault of the server, or an answer that no Postroom gives."""


BY_STATUS: dict[int, type[PostroomError]] = {
    400: InvalidError,
    401: RefusedKeyError,
    403: RefusedKeyError,
    404: NotFoundError,
    409: ConflictError,
    413: InvalidError,
    415: InvalidError,
    422: InvalidError,
    429: UnavailableError,
    503: UnavailableError,
    507: UnavailableError,
}
"""The error of each HTTP status; any other is a ``ServerError``."""
