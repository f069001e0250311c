"""A visit to the zoo: each row's animal is started, its account is checked, and everything shown is kept.

A row is one situation as data (``rows/*.toml``): ``url`` and ``fields`` are the transport as its user wrote
it, with ``{secret}`` for the password; the other members are described in ``Row``. A table of a file gives
defaults to its rows. Many rows are visited side by side: where a host leads is known by row, not by process.
"""

import asyncio
import json
import logging
import socket
import tomllib
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any
from unittest import mock

import structlog

from peers.doctor_room import ADDRESS, NameServer, ca_file
from postroom.clock import SystemClock
from postroom.egress.doctor.chart import CheckLimits
from postroom.egress.doctor.doctor import AccountDoctor
from postroom.egress.doctor.names import Names
from postroom.model.address import parse_address
from postroom.model.checkup import Checkup
from postroom.model.secret import Secret
from postroom.model.transport import TlsMode, TransportSpec
from postroom.net import dialing
from postroom.net.addresses import SocketAddress
from postroom.net.addresses import resolve as really_resolve
from postroom.net.connection import Connection
from postroom.providers.words import LANGUAGES
from postroom.schema.checkup_answers import checkup as answer_of
from postroom.schema.checkup_text import shareable, text_of
from postroom.schema.transport_fields import TransportFields
from postroom.schema.transport_spec import spec_of
from zoo.animals import Animal, Script, black_hole, context

SECRET = "Xy7-horse-battery-Qz"
PROXY_SECRET = "Pz4-open-sesame-Kw"
TOKEN = "ya29.a0-token-of-the-zoo-Vq"
WORKED_UNTIL = datetime(2026, 11, 1, 8, 30, tzinfo=UTC)
LIMITS = CheckLimits(total=5.0, names=1.0, connect=1.5, tls=2.5, step=1.5, silence=0.3, beside=1.0, leave=0.1)
"""A third of the real ones: what answers does so at once, and what hangs does so side by side."""
CALM = CheckLimits()
"""The real ones, for a second visit, alone, to who was not as expected: a busy machine keeps rows waiting."""
GRACE_S = 2.0
"""On top of the whole time of a check, for a machine that has others to serve."""
SIDE_BY_SIDE = 12


@dataclass(frozen=True, kw_only=True)
class Row:
    """One situation, and what must be found."""

    name: str
    url: str = "smtps://app%40example.com:{secret}@mail.example.com"
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Of the transport, beside ``url``."""
    password: str = SECRET
    has_password: bool = True
    """Without: the stored one cannot be read."""
    at: str = ""
    says: str = ""
    """In ``charset``; ``{heard}`` and ``{blob}`` are what was heard of the login, ``{long}`` 5,000 letters.
    A ``\\n`` becomes a line end where no CR LF is written; lines need their code."""
    charset: str = "utf-8"
    does: str = ""
    times: int = 1
    """How often ``says`` is said."""
    peer: str = ""
    """``tls``, ``starttls``, ``plain`` (else as the account wants it), ``closed``, ``black-hole``,
    ``nameless``, ``nowhere`` (no route), ``script``: a port that says ``says``, then ``answers`` in turn."""
    answers: Sequence[str] = ()
    certificate: str = "good"
    also: Mapping[str, str] = field(default_factory=dict)
    """Other ports of the host that are open, and their kind of server."""
    extensions: Sequence[str] = ("SIZE 10000000", "8BITMIME", "AUTH PLAIN LOGIN")
    after_tls: Sequence[str] | None = None
    knows_ehlo: bool = True
    proxy: Sequence[str] | None = None
    """What the proxy (at ``proxy.example``) answers, each in hexadecimal or as text."""
    proxy_peer: str = ""
    """``closed`` or ``silent`` instead of a proxy that answers; ``carries`` connects in the end."""
    records: Mapping[str, Sequence[str]] | None = None
    """DNS of the sender's domain by ``name TYPE``; without it no record is looked at."""
    recipient: str = ""
    worked: bool = False
    """The login is known to have worked before."""
    cause: str = ""
    """Ids that are right, with ``|`` between; empty: all is well."""
    stage: str = ""
    status: str = "failed"
    fix: str = ""
    deed: str = ""
    """What the queue must do about this reply: ``pause``, ``retry``, ``fail``; several with ``|``."""
    never: Sequence[str] = ()
    """Commands that must not be heard."""
    is_sample: bool = False
    """The wording stands in the table of rules itself."""


@dataclass(frozen=True, kw_only=True)
class Visit:
    """What was seen of one row."""

    row: Row
    checkup: Checkup
    seconds: float
    max_s: float
    """How long it may have taken."""
    heard: Sequence[str]
    shown: Sequence[str]
    """Everything that a person or a program could be shown."""
    secrets: Sequence[str]
    is_second: bool
    """The first visit found something else."""
    host: str
    provider: str | None

    @property
    def is_right(self) -> bool:
        """Whether the right cause is named first."""
        return self.checkup.cause in self.row.cause.split("|")

    @property
    def expected(self) -> tuple[str, str, str, bool]:
        """Stage, status and fix of the headline as the row says, and whether mail can go."""
        row = self.row
        return row.stage, row.status if row.cause else "ok", row.fix, not row.cause or row.status != "failed"

    @property
    def found(self) -> tuple[str, str, str, bool]:
        """The same as it was found."""
        head = self.checkup.headline
        if head is None:
            return "", "ok", "", self.checkup.ok
        return head.stage.value, head.status.value, head.fix.id if head.fix else "", self.checkup.ok


def rows() -> Iterator[Row]:
    """Give every row of the zoo."""
    known = {one.name for one in fields(Row)}
    for path in sorted((Path(__file__).parent / "rows").glob("*.toml")):
        for group in tomllib.loads(path.read_text(encoding="utf-8")).values():
            shared = {name: value for name, value in group.items() if name != "rows"}
            for row in group["rows"]:
                merged = {**shared, **row}
                if "fields" in shared and "fields" in row:
                    merged["fields"] = {**shared["fields"], **row["fields"]}
                assert known >= merged.keys(), (row["name"], merged.keys() - known)
                yield Row(**merged)


async def visit_all(some: Sequence[Row]) -> tuple[list[Visit], str]:
    """Visit rows side by side; return what was seen, and the log."""
    gate = asyncio.Semaphore(SIDE_BY_SIDE)

    async def one(row: Row) -> Visit:
        async with gate:
            return await visit(row, LIMITS)

    # The animals are on this machine, and the doctor must not know that.
    is_near = property(lambda self: self.host == "localhost")
    with (
        logged() as log,
        mock.patch.object(dialing, "resolve", _resolve),
        mock.patch.object(Connection, "is_loopback", is_near),
    ):
        visits = list(await asyncio.gather(*(one(row) for row in some)))
        for at, seen in enumerate(visits):
            if not (seen.is_right and seen.expected == seen.found):
                visits[at] = await visit(seen.row, CALM)
    return visits, log.getvalue()


class logged:  # noqa: N801 - a context manager, used like a function
    """Everything that is logged meanwhile, by Postroom and by the standard library."""

    def __enter__(self) -> StringIO:
        self._text = StringIO()
        self._handler = logging.StreamHandler(self._text)
        logging.getLogger().addHandler(self._handler)
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(self._text))
        return self._text

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self._handler)
        structlog.reset_defaults()


Leads = Mapping[tuple[str, int], tuple[str, int]]
_leads: ContextVar[Leads] = ContextVar("leads")


async def _resolve(host: str, port: int, *, timeout_s: float) -> Sequence[SocketAddress]:
    leads = _leads.get()
    if ("", 0) in leads:
        return await really_resolve(host, port, timeout_s=timeout_s)
    ip, real = leads.get((host, port), leads["*", 0])
    return [SocketAddress(family=socket.AF_INET, ip=ip, port=real)]


async def visit(row: Row, limits: CheckLimits) -> Visit:
    """Check the account of a row."""
    spec = _spec(row)
    animal = _animal(row, spec)
    async with _world(row, spec, animal) as names:
        doctor = AccountDoctor(
            clock=SystemClock(),
            names=names,
            limits=limits,
            tokens_of=lambda _: _Tokens() if _has_token(spec) else None,
        )
        loop = asyncio.get_running_loop()
        began = loop.time()
        checkup = await doctor.check(
            spec,
            recipient=parse_address(row.recipient) if row.recipient else None,
            worked_until=WORKED_UNTIL if row.worked else None,
            with_records=row.records is not None,
        )
        seconds = loop.time() - began
    return Visit(
        row=row,
        checkup=checkup,
        seconds=seconds,
        max_s=limits.total + GRACE_S,
        heard=animal.heard,
        shown=shown(checkup),
        secrets=_secrets(row, spec, animal),
        is_second=limits is CALM,
        host=spec.account.host if spec.account is not None else "",
        provider=spec.account.provider if spec.account is not None else None,
    )


class _Tokens:
    """A source with one token; a refused one is given again."""

    async def token(self, transport: str, *, rejected: Secret | None = None) -> Secret:
        del transport, rejected
        return Secret(TOKEN)


def _has_token(spec: TransportSpec) -> bool:
    return spec.account is not None and spec.account.oauth is not None


def _spec(row: Row) -> TransportSpec:
    """Return the transport as it is understood from what its user wrote."""
    url = row.url.replace("{secret}", row.password).replace("{proxy-secret}", PROXY_SECRET)
    own = {
        name: value.replace("{secret}", row.password).replace("{proxy-secret}", PROXY_SECRET)
        if isinstance(value, str)
        else value
        for name, value in row.fields.items()
    }
    given = {"name": "main", "ca_file": ca_file(), **({"url": url} if url else {}), **own}
    read = spec_of(TransportFields.model_validate(given))
    assert read.spec is not None, (row.name, read.problems)
    assert read.spec.account is not None
    if not row.has_password:
        return replace(read.spec, account=replace(read.spec.account, password=None))
    return read.spec


def _bytes(row: Row, text: str) -> bytes:
    if text.startswith("hex:"):
        return _plain_or_hex(text)
    text = text.replace("{long}", "x" * 5000)
    if "\r" not in text and not text.endswith("\\"):
        text = text.replace("\n", "\r\n") + ("\r\n" if text else "")
    return text.removesuffix("\\").encode(row.charset) * row.times


def _animal(row: Row, spec: TransportSpec) -> Animal:
    account = spec.account
    assert account is not None
    kind = row.peer or ("tls" if account.tls is TlsMode.IMPLICIT else "starttls")
    host = account.server_name or account.host
    return Animal(
        extensions=row.extensions,
        after_tls=row.after_tls,
        at=row.at,
        says=_bytes(row, row.says),
        does=row.does,
        implicit=context(host, row.certificate) if kind == "tls" else None,
        starttls=context(host, row.certificate) if kind == "starttls" else None,
        knows_ehlo=row.knows_ehlo,
    )


@asynccontextmanager
async def _world(row: Row, spec: TransportSpec, animal: Animal) -> AsyncIterator[Names]:
    """Let the row's host and ports lead to its servers."""
    account = spec.account
    assert account is not None
    async with AsyncExitStack() as stack:
        closed = stack.enter_context(socket.socket())
        closed.bind((ADDRESS, 0))  # bound and not listening: refuses
        leads = {("*", 0): (ADDRESS, int(closed.getsockname()[1]))}
        here = (account.host, account.port)
        match row.peer:
            case "closed":
                pass
            case "nowhere":
                leads["*", 0] = ("255.255.255.255", account.port)
            case "nameless":
                leads["", 0] = ("", 0)
            case "black-hole":
                leads[here] = (ADDRESS, await stack.enter_async_context(black_hole()))
            case "script":
                script = Script([_bytes(row, one) for one in row.answers], opening=_bytes(row, row.says))
                leads[here] = (ADDRESS, (await stack.enter_async_context(script.listening())).port)
            case _:
                leads[here] = (ADDRESS, (await stack.enter_async_context(animal.listening())).port)
        for port, kind in row.also.items():
            made = context(account.host, "good")
            other = Animal(implicit=made) if kind == "tls" else Animal(starttls=made)
            leads[account.host, int(port)] = (
                ADDRESS,
                (await stack.enter_async_context(other.listening())).port,
            )
        if account.proxy is not None and row.proxy_peer != "closed":
            answers = [_plain_or_hex(one) for one in row.proxy or ()]
            proxy = Script(
                answers,
                goal=animal if row.proxy_peer == "carries" else None,
                is_silent_after=row.proxy_peer == "silent",
            )
            await stack.enter_async_context(proxy.listening())
            leads[account.proxy.host, account.proxy.port] = (ADDRESS, proxy.port)
        servers = []
        if row.records is not None:
            told = {
                (name.partition(" ")[0], name.partition(" ")[2]): found for name, found in row.records.items()
            }
            servers = [
                await stack.enter_async_context(
                    NameServer({("com", "NS"): ["a.example."], **told}).listening()
                )
            ]
        _leads.set(leads)
        yield Names(servers)


def _plain_or_hex(text: str) -> bytes:
    return bytes.fromhex(text[4:]) if text.startswith("hex:") else text.encode()


# ------------------------------------------------------------- what is shown


def shown(checkup: Checkup) -> Sequence[str]:
    """Return everything that is shown of a check: values, JSON, text and shareable text in each language."""
    texts = [repr(checkup)]
    for language in LANGUAGES:
        texts.append(json.dumps(answer_of(checkup, language=language), ensure_ascii=False))
        texts.append(text_of(checkup, language=language))
        texts.append(text_of(shareable(checkup), language=language))
        texts.append(json.dumps(answer_of(shareable(checkup), language=language), ensure_ascii=False))
    return texts


def _secrets(row: Row, spec: TransportSpec, animal: Animal) -> Sequence[str]:
    """Return what may not be shown: secrets, their base64 forms, and what went over the line."""
    account = spec.account
    assert account is not None
    planted = {
        row.password,
        PROXY_SECRET,
        TOKEN,
        *(spec_secret.reveal() for spec_secret in [account.password] if spec_secret),
    }
    coded = set()
    for secret in planted:
        raw = secret.encode()
        for shift in range(3):
            whole = b64encode(b"\0" * shift + raw).decode()
            coded.add(whole[4 if shift else 0 : -4])
    login = f"\0{account.username}\0{row.password}".encode()
    return [one for one in {*planted, *coded, b64encode(login).decode(), *animal.blobs} if len(one) >= 8]
