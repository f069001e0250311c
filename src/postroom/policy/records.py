"""SPF and DMARC of a sender's domain: walks that ask for DNS records one by one, without asking anybody.

The card of a walk::

    question = walk.question()      (name, record type), None when it is over
    walk.take(question, answer)     the records, or that there are none

SPF is read, not evaluated for an address: which address will send is the provider's secret. What counts is
that there is one record, that it can be followed within its limits, and whom it includes.
The organisational domain of DMARC is found by the tree walk, without a list of public suffixes. The tags of
the older DMARC that are gone (pct, rf, ri) are read over and never suggested.

Sources: RFC 7208 sections 3.2, 4.5, 4.6.4, 5 and 6; RFC 9989 (records, policy discovery and tree walk).
"""

import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

MAX_LOOKUPS = 10
"""Terms that ask the DNS, RFC 7208 section 4.6.4."""
MAX_VOIDS = 2
"""Look-ups that find nothing, RFC 7208 section 4.6.4."""
MAX_DMARC_QUERIES = 8
"""Steps of a tree walk, RFC 9989."""

Question = tuple[str, str]
"""Name and record type."""

_SPF_TERM = re.compile(
    r"([-+~?]?)(all|include|a|mx|ptr|ip4|ip6|exists)(?:([:/])(.+))?\Z|(redirect|exp)=(.+)\Z|([a-z][\w.-]*)=(.*)\Z",
    re.IGNORECASE,
)
"""RFC 7208 section 12: a mechanism with its qualifier, the two modifiers, an unknown modifier."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the DNS has under one question."""

    records: tuple[str, ...] = ()
    """TXT as text, MX as ``10 mail.example.com``, addresses as they are."""
    exists: bool = True
    """Whether the name exists, with records of this type or without."""


class SpfWalk:
    """Follows the SPF record of a domain.

    Attributes:
        record: the record of the domain itself, empty without one.
        included: every name that include and redirect lead to.
        cause: what is wrong, empty when it can be used.
        detail: evidence for the cause.
        is_open: it allows everybody.
    """

    def __init__(self, domain: str) -> None:
        """Begin with the domain's own record."""
        self.record = ""
        self.included: list[str] = []
        self.cause = ""
        self.detail = ""
        self.is_open = False
        self.lookups = 0
        self.voids = 0
        self._domain = domain
        self._open: deque[Question] = deque([(domain, "TXT")])

    def question(self) -> Question | None:
        """Return what to ask next."""
        return None if self.cause or not self._open else self._open[0]

    def take(self, question: Question, answer: Answer) -> None:
        """Take the answer to the question that was asked."""
        self._open.popleft()
        name, kind = question
        if kind != "TXT":
            if not answer.records:
                self._count_void(f"{name} has no {kind}")
            return
        records = [one for one in answer.records if one.lower() == "v=spf1" or one.lower()[:7] == "v=spf1 "]
        is_own = not self.record
        if len(records) > 1:
            self._stop("spf-several" if is_own else "spf-invalid", f"{name} has {len(records)} records")
        elif records:
            self.record = self.record or records[0]
            self._follow(name, records[0], is_own=is_own)
        elif is_own:
            self._stop("spf-missing", f"{name} has no TXT record that begins with v=spf1")
        else:
            self._stop("spf-invalid", f"{name} is included and has no SPF record")

    def _follow(self, name: str, record: str, *, is_own: bool) -> None:
        for term in record.split()[1:]:
            match = _SPF_TERM.match(term)
            if match is None:
                return self._stop("spf-invalid", f"{term[:80]!r} in the record of {name}")
            sign, mechanism, mark, value = match[1], (match[2] or "").lower(), match[3], match[4] or ""
            if mechanism == "all":
                self.is_open = self.is_open or (is_own and sign in {"", "+"})
                return None  # terms after it are never looked at
            target = value.partition("/")[0] if mark == ":" else name
            if match[5] and match[5].lower() == "redirect":
                mechanism, target = "redirect", match[6]
            if mechanism in {"include", "redirect", "a", "mx", "ptr", "exists"}:
                self._ask(mechanism, target)
            if self.cause:
                return None
        return None

    def _ask(self, mechanism: str, target: str) -> None:
        self.lookups += 1
        if self.lookups > MAX_LOOKUPS:
            return self._stop("spf-too-deep", f"more than {MAX_LOOKUPS} look-ups, the last for {target[:80]}")
        name = target.rstrip(".").lower()
        if "%" in name or mechanism == "ptr":
            return None  # depends on the mail, or on the address that sends
        if mechanism in {"include", "redirect"}:
            if name in self.included or name == self._domain:
                return self._stop("spf-invalid", f"{name} includes itself")
            self.included.append(name)
            self._open.append((name, "TXT"))
        else:
            self._open.append((name, "MX" if mechanism == "mx" else "A"))
        return None

    def _count_void(self, what: str) -> None:
        self.voids += 1
        if self.voids > MAX_VOIDS:
            self._stop("spf-too-deep", f"more than {MAX_VOIDS} look-ups find nothing: {what}")

    def _stop(self, cause: str, detail: str) -> None:
        self.cause, self.detail = cause, detail


@dataclass(frozen=True, slots=True)
class DmarcRecord:
    """A record that begins with ``v=DMARC1``."""

    name: str
    """The domain that it is of, without ``_dmarc``."""
    text: str
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_test(self) -> bool:
        """Whether the owner asks for its policy not to be applied yet (``t=y``)."""
        return self.tags.get("t", "").lower() == "y"


class DmarcWalk:
    """Looks for the DMARC record of a domain: at the domain, then up the tree.

    Attributes:
        queries: how many were made.
        several: domains with more than one record, which count as none.
    """

    def __init__(self, domain: str) -> None:
        """Begin with the domain itself."""
        self.queries = 0
        self.several: list[str] = []
        self._domain = domain
        self._at = domain
        self._found: list[DmarcRecord] = []
        self._is_over = False

    def question(self) -> Question | None:
        """Return what to ask next."""
        return None if self._is_over else (f"_dmarc.{self._at}", "TXT")

    def take(self, question: Question, answer: Answer) -> None:
        """Take the answer; a record with ``psd`` ends the walk."""
        del question
        self.queries += 1
        records = [one for one in map(self._read, answer.records) if one is not None]
        if len(records) > 1:
            self.several.append(self._at)
        elif records:
            self._found.append(records[0])
            psd = records[0].tags.get("psd", "u").lower()
            if psd == "n" or (psd == "y" and self._at != self._domain):
                self._is_over = True
                return
        labels = self._at.split(".")
        labels = labels[1:] if len(labels) < MAX_DMARC_QUERIES else labels[-(MAX_DMARC_QUERIES - 1) :]
        self._at = ".".join(labels)
        self._is_over = not labels or self.queries >= MAX_DMARC_QUERIES

    def _read(self, text: str) -> DmarcRecord | None:
        pairs = [part.partition("=") for part in text.split(";")]
        tags = {name.strip().lower(): value.strip() for name, _, value in pairs if name.strip()}
        if not pairs or pairs[0][0].strip().lower() != "v" or pairs[0][2].strip() != "DMARC1":
            return None
        return DmarcRecord(self._at, text, tags)

    @property
    def organisational(self) -> str:
        """The organisational domain."""
        for one in self._found:
            if one.tags.get("psd", "").lower() == "n":
                return one.name
            if one.tags.get("psd", "").lower() == "y" and one.name != self._domain:
                return ".".join(self._domain.split(".")[-one.name.count(".") - 2 :])
        return self._found[-1].name if self._found else self._domain

    @property
    def record(self) -> DmarcRecord | None:
        """The record that holds: the domain's own, else of the organisational domain, else of its suffix."""
        by_name = {one.name: one for one in self._found}
        own = by_name.get(self._domain) or by_name.get(self.organisational)
        return own or (self._found[-1] if self._found else None)

    def policy(self, *, exists: bool = True) -> str:
        """Return what is asked for: ``none``, ``quarantine``, ``reject``; empty without a usable record.

        ``exists`` says whether the domain has any record, for the tag ``np``.
        """
        record = self.record
        if record is None:
            return ""
        tags = record.tags
        wishes = [tags.get("p")]
        if record.name != self._domain:
            wishes = [None if exists else tags.get("np"), tags.get("sp"), tags.get("p")]
        wish = next((one for one in wishes if one), "").lower()
        if wish in {"none", "quarantine", "reject"}:
            return wish
        return "none" if "rua" in tags else ""  # a record that only wants reports is one with p=none


def mail_hosts(answer: Answer) -> Sequence[str]:
    """Return the hosts of MX records, best first; ``.`` alone is the null MX of RFC 7505."""
    pairs = [record.split(" ", 1) for record in answer.records]
    return [host for _, host in sorted(pairs, key=lambda pair: int(pair[0]))]
