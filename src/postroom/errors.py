"""Every exception Postroom raises, in families by who must act.

    PostroomError
    +-- CallerError            the caller must change the request
    |   +-- InputError         one or more fields are wrong (all of them are listed)
    |   |   +-- MalformedError the input cannot be read as what it claims to be
    |   +-- NotFoundError      there is no such thing, or not for this caller
    |   +-- ConflictError      the thing is in a state that forbids this
    |   +-- TooLargeError      a size limit; ``limit`` in bytes or items
    +-- OperatorError          the person who runs Postroom must act
    |   +-- ConfigError        settings are wrong (all errors are listed)
    |   +-- StoreError         the store cannot be used: unsafe, locked, newer, damaged
    |   +-- OverloadError      a bound is reached; temporary, with a time to come back
    |   +-- DiskFullError      intake is stopped before the disk is full
    +-- UnknownOutcomeError    a commit failed and nobody knows whether it happened
    +-- InvariantError         a bug of ours; stops the one message, never blamed on a recipient

What a peer does (an SMTP server, a DNS server) is never an exception above ``net/``: it is evidence,
and then an outcome.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong, in words its reader can act on."""

    code: str
    """Stable identifier in kebab case, for example ``address-syntax``."""
    field: str
    """Path of the field as the caller wrote it, for example ``to.0`` or ``transports.0.url``."""
    cause: str
    """A lower-case phrase: what was got and what is allowed. Never contains a secret."""
    fix: str
    """A sentence that says what to do."""


class PostroomError(Exception):
    """Root of the tree."""


class CallerError(PostroomError):
    """The caller must change the request."""


class InputError(CallerError):
    """Fields are wrong; nothing was stored."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        """Take every problem found, at least one."""
        super().__init__("; ".join(f"{problem.field}: {problem.cause}" for problem in problems))
        self.problems = tuple(problems)


class MalformedError(InputError):
    """The input cannot be read as what it claims to be: broken JSON, a form cut short, wrong charset."""


class NotFoundError(CallerError):
    """There is no such thing, or not for this caller."""


class ConflictError(CallerError):
    """The thing is in a state that forbids what was asked."""

    def __init__(self, problem: Problem) -> None:
        """Take the problem to show."""
        super().__init__(problem.cause)
        self.problem = problem


class TooLargeError(CallerError):
    """A size limit was crossed."""

    def __init__(self, problem: Problem) -> None:
        """Take the problem to show; its cause names the limit."""
        super().__init__(problem.cause)
        self.problem = problem


class OperatorError(PostroomError):
    """The person who runs Postroom must act."""


class ConfigError(OperatorError):
    """Settings are wrong; every error is listed."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        """Take every problem found, at least one."""
        super().__init__("; ".join(f"{problem.field}: {problem.cause}" for problem in problems))
        self.problems = tuple(problems)


class StoreError(OperatorError):
    """The store cannot be used as it is: unsafe, locked by another process, newer, or damaged."""


class SecretKeyError(OperatorError):
    """Secrets cannot be sealed or opened: the key is missing, wrong or unreadable."""

    def __init__(self, cause: str, text: str) -> None:
        """Take the cause id (``secret-key-missing``, ``secret-key-wrong``) and what was found."""
        super().__init__(text)
        self.cause = cause


class OverloadError(OperatorError):
    """A bound is reached; temporary."""

    def __init__(self, cause: str, *, retry_after_s: float) -> None:
        """Take the bound that was reached and the seconds after which a caller may come back."""
        super().__init__(cause)
        self.retry_after_s = retry_after_s


class DiskFullError(OperatorError):
    """Intake is stopped before the disk is full; reads and running deliveries go on."""


class UnknownOutcomeError(PostroomError):
    """A commit failed at or after the attempt to commit: the message may or may not be stored.

    A caller is told to come back with the same idempotency key (reliability rule A6).
    """


class InvariantError(PostroomError):
    """A bug of ours. Stops the one message; is never a permanent failure of a recipient."""
