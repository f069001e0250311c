"""The oracle of every fault test (reliability rule J1): what callers were told against what a sink was given.

Three accounts are compared. The load notes outside the server what was acknowledged, refused, or left without
an answer; the sink notes every copy; the server says what became of each message. Then:

* every acknowledged message is there and ends in one state within the bound; what it calls accepted, the
  sink has;
* every copy belongs to something that was handed in;
* a recipient has at most one copy more than its attempts that were declared uncertain.

A submission without an answer is repeated with its idempotency key, as a careful caller does: so it may be
stored once or not at all, never twice.
"""

import base64
import contextlib
import http.client
import json
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, overload

from peers.ledger_sink import LedgerSink
from peers.postroom_process import KEY

Json = dict[str, Any]
END_STATES = frozenset({"accepted", "refused", "expired", "cancelled", "suppressed", "mixed", "bounced"})


def a_message(number: int) -> Json:
    """Return a submission: one to three recipients of its own, now and then a file."""
    body: Json = {
        "from": "app@example.com",
        "to": [f"rcpt{number}-{i}@example.net" for i in range(1 + number % 3)],
        "subject": f"message {number}",
        "text": f"line {number}\n" * 40,
        "class": "alert",
    }
    if number % 5 == 0:
        content = base64.b64encode(f"file of message {number}\n".encode() * 200).decode()
        body["attachments"] = [
            {"filename": "file.txt", "content_type": "application/octet-stream", "content": content}
        ]
    return body


@dataclass(slots=True)
class Submission:
    """One thing handed in."""

    number: int
    body: Json
    acknowledged: str | None = None
    begun_at: float = 0.0
    """Wall time of the newest try."""


@dataclass(eq=False)
class Ledger:
    """What was handed in and what was said about it. Used by many threads."""

    make: Callable[[int], Json] = a_message
    submissions: list[Submission] = field(default_factory=list)
    unanswered: list[Submission] = field(default_factory=list)
    """To be repeated with the same key."""
    refusals: Counter[int] = field(default_factory=Counter)
    first: int = 0
    """Numbers begin after this one: ledgers on one store have different numbers."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    @overload
    def next(self, *, most: None = None) -> Submission: ...

    @overload
    def next(self, *, most: int | None) -> Submission | None: ...

    def next(self, *, most: int | None = None) -> Submission | None:
        """Return what is to be handed in next, ``None`` when ``most`` were."""
        with self.lock:
            if self.unanswered:
                return self.unanswered.pop()
            if most is not None and len(self.submissions) >= most:
                return None
            number = self.first + len(self.submissions) + 1
            self.submissions.append(Submission(number, self.make(number)))
            return self.submissions[-1]

    def note(self, submission: Submission, status: int | None, answer: Any) -> None:
        """Note what was said; ``None`` is no answer."""
        with self.lock:
            if status in {200, 202}:
                assert submission.acknowledged in {None, answer["id"]}, "one key, two messages"
                submission.acknowledged = answer["id"]
                return
            assert status is None or status in {429, 503, 507}, (status, answer)
            if status is not None:
                self.refusals[status] += 1
            self.unanswered.append(submission)

    @property
    def acknowledged(self) -> list[Submission]:
        """Return what was acknowledged."""
        with self.lock:
            return [one for one in self.submissions if one.acknowledged]


FOUND = Path(__file__).parents[2] / "build" / "faults-found.json"
"""Where a check that fails leaves what it found, in full."""


class Caller:
    """One kept connection to the HTTP doors."""

    def __init__(self, port: int, *, timeout_s: float = 15.0) -> None:
        """Connect when it is used."""
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)

    def __call__(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """Make one call. Raises OSError or HTTPException when there is no answer."""
        sent = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json", **(headers or {})}
        for is_last in (method != "GET", True):  # a kept connection may have been closed meanwhile
            try:
                self._connection.request(method, path, None if body is None else json.dumps(body), sent)
                answer = self._connection.getresponse()
                content = answer.read()
                return answer.status, json.loads(content) if content else None
            except (OSError, http.client.HTTPException):
                self._connection.close()
                if is_last:
                    raise
        raise AssertionError("not reached")

    def hand_in(self, ledger: Ledger, submission: Submission) -> int | None:
        """Hand one submission in and note the answer; ``None`` when there was none."""
        submission.begun_at = time.time()
        key = {"Idempotency-Key": f"submission-{submission.number}"}
        try:
            status, answer = self("POST", "/v1/messages", submission.body, key)
        except (OSError, http.client.HTTPException, ValueError):
            status, answer = None, None
        ledger.note(submission, status, answer)
        return status

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class HandsIn(Protocol):
    """A connection to some door."""

    def hand_in(self, ledger: Ledger, submission: Submission) -> int | None:
        """Hand one submission in and note the answer; ``None`` when there was none."""

    def close(self) -> None:
        """End it."""


@contextlib.contextmanager
def load(
    ledger: Ledger,
    port: int,
    *,
    caller: Callable[[], HandsIn] | None = None,
    senders: int = 4,
    pause_s: float = 0.0,
    count: int | None = None,
) -> Iterator[None]:
    """Hand in as fast as ``senders`` connections can, until the end of the block.

    Each connection is a ``caller``'s; without one, to the HTTP doors at ``port``.

    A sender ends when its server does not answer. With a pause between its calls it never does: it tries
    again, as after a refusal. With a count it goes on until so many were handed in and acknowledged.
    """
    stop = threading.Event()

    def run() -> None:
        by = Caller(port) if caller is None else caller()
        while not stop.is_set() or count is not None:
            if (submission := ledger.next(most=count)) is None:
                break
            status = by.hand_in(ledger, submission)
            if status is None and not pause_s:
                break
            if pause_s or status not in {200, 202}:
                stop.wait(pause_s or 0.02)
        by.close()

    threads = [threading.Thread(target=run, name="sender") for _ in range(senders)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(30 if count is None else 300)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What the comparison found; ``lost`` and ``undeclared`` must be empty."""

    acknowledged: int
    delivered: int
    """Recipients the sink has."""
    extra: int
    """Copies beyond the first of each recipient."""
    uncertain: int
    """Attempts at a recipient that were declared uncertain."""
    lost: tuple[str, ...]
    undeclared: tuple[str, ...]
    states: Mapping[str, int]
    views: Mapping[str, Json]

    def check(self) -> None:
        """Assert that nothing is lost and nothing doubled in silence; keep the account when it is not so."""
        if self.lost or self.undeclared:
            addresses = {text.partition(":")[0] for text in self.undeclared}
            views = [
                view
                for view in self.views.values()
                if addresses & {one["address"] for one in view.get("recipients", ())}
            ]
            FOUND.parent.mkdir(exist_ok=True)
            FOUND.write_text(json.dumps([self.lost, self.undeclared, views], indent=1))
        assert (self.lost[:5], len(self.lost)) == ((), 0)
        assert (self.undeclared[:5], len(self.undeclared)) == ((), 0)


def settled(call: Caller, names: list[str], *, bound_s: float) -> dict[str, Json]:
    """Return the message of each id once it is no longer open, or as it is when the bound is over."""
    views: dict[str, Json] = {}
    waiting = list(names)
    deadline = time.monotonic() + bound_s
    while waiting:
        for name in waiting:
            status, view = call("GET", f"/v1/messages/{name}")
            views[name] = view if status == 200 else {"id": name, "gone": status}
        waiting = [name for name in waiting if views[name].get("open")]
        if time.monotonic() > deadline:
            break
        if waiting:
            time.sleep(0.05)
    return views


def release_suspects(call: Caller, ledger: Ledger) -> int:
    """Let go what waits after deaths; return how many messages.

    Where deaths come at random the innocent are held now and then: visibly, and with a way on. And what was
    uncertain again and again waits for minutes by its schedule, longer than a test does.
    """
    released = 0
    for one in ledger.acknowledged:
        status, view = call("GET", f"/v1/messages/{one.acknowledged}")
        if status != 200 or not {one["state"] for one in view["recipients"]} & {"held", "uncertain"}:
            continue
        causes = {one["cause"] for one in view["recipients"] if one["state"] == "held"}
        assert causes <= {"crash-loop"}, view
        path = f"/v1/messages/{one.acknowledged}/retry"
        status, answer = call("POST", path, {"confirm_duplicate": True})
        assert status in {200, 409}, answer  # 409: its time came just now
        released += status == 200
    return released


def account(ledger: Ledger, sink: LedgerSink, port: int, *, bound_s: float = 60.0) -> Account:
    """Wait until the queue is empty, at most ``bound_s``, and compare the three accounts."""
    call = Caller(port)
    acknowledged = ledger.acknowledged
    names = {one.acknowledged or "" for one in acknowledged}
    views = settled(call, sorted(names), bound_s=bound_s)
    with sink.arrived:
        copies = sink.copies.copy()
    strangers = {name for name, _ in copies} - names
    views |= settled(call, sorted(strangers), bound_s=bound_s)
    call.close()
    lost = [f"{name}: {view}" for name, view in views.items() if name in names and not _is_at_its_end(view)]
    states: Counter[str] = Counter(view.get("state", "gone") for view in views.values())
    per_recipient: Counter[str] = Counter()
    for (_, recipient), count in copies.items():
        per_recipient[recipient] += count
    declared: defaultdict[str, int] = defaultdict(int)
    for view in views.values():
        for recipient in view.get("recipients", ()):
            address = recipient["address"]
            declared[address] += sum(one["outcome"] == "uncertain" for one in recipient["attempts"])
            if recipient["state"] == "accepted" and not per_recipient[address]:
                lost.append(f"{view['id']} says accepted, the sink has nothing for {address}")
    known = {address for one in ledger.submissions for address in one.body["to"]}
    undeclared = [
        f"{address}: {count} copies, {declared[address]} uncertain"
        for address, count in per_recipient.items()
        if count > 1 + declared[address] or address not in known
    ]
    return Account(
        acknowledged=len(names),
        delivered=len(per_recipient),
        extra=per_recipient.total() - len(per_recipient),
        uncertain=sum(declared.values()),
        lost=tuple(lost),
        undeclared=tuple(undeclared),
        states=states,
        views=views,
    )


def _is_at_its_end(view: Json) -> bool:
    return view.get("state") in END_STATES and not view["open"]
