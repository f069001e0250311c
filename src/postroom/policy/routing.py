"""Which transports a message may take: the written form of a route, and the first rule that matches.

A rule's conditions must all hold; a condition with several values holds when one of them does. The first rule
that matches decides, and where none does the default route. What is judged is what the caller handed in: a
message without a sender gets it from the transport, so no condition on the sender holds for it.

Round robin keeps no state: the legs are turned by the entropy of the message's id, and the turned route is
what is stored, so a message keeps its order of transports through every retry and restart.

Not here: which leg works at this moment (``engine.ways``), what moves when one fails (``policy.failover``).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from postroom.errors import ConfigError, Problem
from postroom.model.address import Mailbox
from postroom.model.ids import TenantId
from postroom.model.message import MailClass, Submission
from postroom.model.route import Route, RouteKind

DEFAULT_RULE = "default"
"""Name of the decision when no rule matches; a rule may not have it."""

_GROUP = re.compile(r"\s*(?:([A-Za-z]+)\s*\((.*)\)|([^()]*))\s*\Z", re.DOTALL)
_BETWEEN = re.compile(r"[\s,]+")
_NAME = re.compile(r"[a-z0-9][a-z0-9_\-]{0,39}\Z")
_FORMS = "Write the name of a transport, failover(A B) or roundrobin(A B)."


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteRule:
    """A rule; empty and ``None`` mean any."""

    name: str
    route: Route
    senders: frozenset[str] = frozenset()
    """Addresses and ``@domain``, in lower case."""
    recipient_domains: frozenset[str] = frozenset()
    """In lower case, A-labels."""
    any_recipient: bool = False
    """One recipient in ``recipient_domains`` is enough; else every one must be."""
    tags: frozenset[str] = frozenset()
    classes: frozenset[MailClass] = frozenset()
    over: int | None = None
    """Bytes of texts and attachments, decoded: more than this."""
    under: int | None = None
    """Less than this."""
    tenants: frozenset[TenantId] = frozenset()
    subject_prefix: str = ""
    """Put verbatim before the subject of what matches."""

    @property
    def is_catch_all(self) -> bool:
        """Say whether every message matches, so that no rule after it is ever asked."""
        some = self.senders or self.recipient_domains or self.tags or self.classes or self.tenants
        return not some and self.over is None and self.under is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """The decision, with the name of the rule that made it."""

    rule: str
    route: Route
    subject_prefix: str = ""


class RouteTable:
    """Every rule in its order, and the route of what no rule matches."""

    __slots__ = ("_rules", "decisions")

    def __init__(self, rules: Sequence[RouteRule], default: Route) -> None:
        """Take the rules and the default route."""
        self._rules = tuple(
            (rule, Routed(rule=rule.name, route=rule.route, subject_prefix=rule.subject_prefix))
            for rule in rules
        )
        self.decisions = (*(routed for _, routed in self._rules), Routed(rule=DEFAULT_RULE, route=default))
        """Everything ``choose`` may return, the default last."""

    def choose(self, submission: Submission) -> Routed:
        """Return the decision of the first rule that matches, else the default one."""
        if self._rules:
            facts = _Facts(submission)
            for rule, routed in self._rules:
                if _matches(rule, facts):
                    return routed
        return self.decisions[-1]


def matches(rule: RouteRule, submission: Submission) -> bool:
    """Say whether every condition of the rule holds."""
    return _matches(rule, _Facts(submission))


class _Facts:
    """What rules ask of a submission; what takes a walk is found once for all of them."""

    __slots__ = ("_domains", "_size", "submission")

    def __init__(self, submission: Submission) -> None:
        self.submission = submission
        self._domains: set[str] | None = None
        self._size: int | None = None

    @property
    def domains(self) -> set[str]:
        """Domains of the recipients."""
        if self._domains is None:
            one = self.submission
            self._domains = {mailbox.address.domain for mailbox in (*one.to, *one.cc, *one.bcc)}
        return self._domains

    @property
    def size(self) -> int:
        """Bytes, as ``content_size`` counts them."""
        if self._size is None:
            self._size = content_size(self.submission)
        return self._size


def _matches(rule: RouteRule, facts: _Facts) -> bool:
    submission = facts.submission
    return (
        (not rule.classes or submission.mail_class in rule.classes)
        and (not rule.tenants or submission.tenant in rule.tenants)
        and (not rule.tags or not rule.tags.isdisjoint(submission.tags))
        and (not rule.senders or _is_from(submission.from_, rule.senders))
        and (not rule.recipient_domains or _goes_to(rule, facts.domains))
        and (rule.over is None or facts.size > rule.over)
        and (rule.under is None or facts.size < rule.under)
    )


def _is_from(sender: Mailbox | None, senders: frozenset[str]) -> bool:
    if sender is None:
        return False
    address = sender.address
    return f"@{address.domain}" in senders or address.spec.lower() in senders


def _goes_to(rule: RouteRule, domains: set[str]) -> bool:
    wanted = rule.recipient_domains
    return not wanted.isdisjoint(domains) if rule.any_recipient else domains <= wanted


def content_size(submission: Submission) -> int:
    """Return the bytes of texts and attachments, decoded, or of a raw mail as it is."""
    size = sum(attachment.blob.size for attachment in submission.attachments)
    if submission.raw is not None:
        size += submission.raw.size
    for text in (submission.text, submission.html):
        if text is not None:
            size += len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return size


def turns(route: Route) -> tuple[Route, ...]:
    """Return the orders in which messages use the legs: one for a failover, one a leg for round robin."""
    if route.kind is not RouteKind.ROUNDROBIN:
        return (route,)
    legs = route.legs
    return tuple(Route(legs[start:] + legs[:start], route.kind) for start in range(len(legs)))


def turn_of(entropy: bytes, count: int) -> int:
    """Return which of ``count`` turns a message takes whose id is made of ``entropy``; even over many."""
    return int.from_bytes(entropy[:8], "big") % count


def parse_route(text: str, *, field: str) -> Route:
    """Read ``a``, ``failover(a b)`` or ``roundrobin(a, b)``; ``field`` is where it was written.

    Names are separated by blanks or commas. Raises ConfigError with every problem found, which repeats only
    what is a name: a URL with its secret may stand in the wrong place. Whether the transports exist is for
    the caller to look at.
    """
    match = _GROUP.match(text)
    if match is None:
        raise ConfigError([_problem(field, "brackets that do not close or stand inside each other", _FORMS)])
    word, inside, alone = match.groups()
    names = tuple(name for name in _BETWEEN.split(inside if word else alone) if name)
    problems = list(_name_problems(names, field))
    kind = RouteKind.FAILOVER
    if word:
        try:
            kind = RouteKind(word.lower())
        except ValueError:
            problems.append(_problem(field, "the word before ( is neither failover nor roundrobin", _FORMS))
    elif len(names) > 1 and not problems:
        cause = "several transports without the word that says how they are used"
        problems.append(_problem(field, cause, f"Write failover({' '.join(names)})."))
    if problems:
        raise ConfigError(problems)
    return Route(names, kind if len(names) > 1 else RouteKind.FAILOVER)


def _name_problems(names: Sequence[str], field: str) -> Sequence[Problem]:
    if not names:
        return [_problem(field, "no transport is named", _FORMS)]
    problems = []
    for number, name in enumerate(dict.fromkeys(names), 1):
        if not _NAME.match(name):
            fix = (
                "A name has 1 to 40 lower-case letters, digits, `-` and `_`, and is set with [[transports]]."
            )
            problems.append(_problem(field, f"entry {number} is not a transport's name", fix))
        elif names.count(name) > 1:
            problems.append(_problem(field, f"{name!r} stands {names.count(name)} times", "Name it once."))
    return problems


def _problem(field: str, cause: str, fix: str) -> Problem:
    return Problem(code="route", field=field, cause=cause, fix=fix)
