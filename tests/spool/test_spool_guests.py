"""Guests, the same on every store: kept with the mail that brings them, gone with the last of it."""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import apsw

from postroom.model.guest import Guest, StoredGuest, guest_name, is_guest_name, label_of
from postroom.model.ids import DEFAULT_TENANT
from postroom.model.message import Message
from postroom.model.secret import Secret
from postroom.model.transport import Proxy, ProxyKind, SmtpAccount, TlsMode
from postroom.ports import Stored
from postroom.spool.sqlite.ledger import Ledger
from postroom.spool.sqlite.opening import DATABASE
from postroom.spool.sqlite.writer import Rank, Verb
from spool.orders_room import Desk, anyone, play_at_desk
from spool.spool_room import DAY, NOW, a_message, accepted, every_store

CANARY = "s3cret-ünd-lang-canary"
NAME = "guest:mail.example.com:465:abcdefgh"


def _checkpoint(ledger: Ledger, wishes: Sequence[None]) -> Sequence[None]:
    ledger.db.execute("COMMIT")
    ledger.db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    ledger.db.execute("BEGIN IMMEDIATE")
    return [None] * len(wishes)


_CHECKPOINT = Verb(name="checkpoint", rank=Rank.DUTY, apply=_checkpoint)


def _sealed_text(data: Path) -> str:
    db = apsw.Connection(str(data / DATABASE), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        ((column,),) = db.execute("SELECT secrets FROM guest")
    finally:
        db.close()
    return str(json.loads(column)["password"])


class Lodge(Desk):
    async def bring(self, message: Message | None = None, record: StoredGuest | None = None) -> Stored:
        record = record or a_guest()
        stored = await self.spool.accept(message or a_message(), transport=record.name, guest=record)
        assert isinstance(stored, Stored)
        return stored

    async def names(self) -> list[str]:
        return [record.name for record in await self.store.guests.all()]


def play_in_lodge(kind: str, data: Path, scenario: Callable[[Lodge], Awaitable[None]]) -> None:
    async def at_desk(desk: Desk) -> None:
        await scenario(Lodge(store=desk.store))

    play_at_desk(kind, data, at_desk)


def a_guest(name: str = NAME) -> StoredGuest:
    account = SmtpAccount(
        host="mail.example.com",
        port=465,
        tls=TlsMode.IMPLICIT,
        username="ann@example.com",
        password=Secret(CANARY),
    )
    guest = Guest(tenant=DEFAULT_TENANT, account=account, ehlo_name="client.example.com")
    return StoredGuest(name=name, guest=guest, created_at=NOW)


@every_store
def test_a_guest_is_kept_as_it_was_brought(kind: str, tmp_path: Path) -> None:
    """Every field and the password come back; a second mail of the same guest changes nothing."""

    async def scenario(lodge: Lodge) -> None:
        await lodge.bring()
        await lodge.bring(record=replace(a_guest(), created_at=NOW + DAY))
        assert [a_guest()] == list(await lodge.store.guests.all())
        assert [NAME] == list(await lodge.store.guests.awaited())

    play_in_lodge(kind, tmp_path / "data", scenario)


@every_store
def test_the_proxy_of_a_guest_is_kept_with_it(kind: str, tmp_path: Path) -> None:
    """A start after a crash goes the way that the caller named, with its login."""
    proxy = Proxy(kind=ProxyKind.SOCKS5, host="::1", port=1080, username="ann", password=Secret("p"))
    for number, one in enumerate((proxy, replace(proxy, username=None, password=None))):
        guest = a_guest(f"{NAME}{number}")
        record = replace(guest, guest=replace(guest.guest, account=replace(guest.guest.account, proxy=one)))

        async def scenario(lodge: Lodge, record: StoredGuest = record) -> None:
            await lodge.bring(record=record)
            assert [record] == list(await lodge.store.guests.all())

        play_in_lodge(kind, tmp_path / f"data{number}", scenario)


@every_store
def test_a_guest_ends_with_the_last_of_its_mail(kind: str, tmp_path: Path) -> None:
    """While anything waits or is in work it stays; then it goes, and asking again is no harm."""

    async def scenario(lodge: Lodge) -> None:
        await lodge.bring()
        second = await lodge.bring()
        assert [] == list(await lodge.store.guests.end([NAME]))
        for claimed in await lodge.claim(transport=NAME):
            assert [] == list(await lodge.store.guests.end([NAME]))
            await lodge.settle(claimed.lease, accepted(0))
        assert ["accepted"] == await lodge.states(second.message_id)
        assert [NAME] == await lodge.names()
        assert [NAME] == list(await lodge.store.guests.end([NAME]))
        assert [] == await lodge.names()
        assert [NAME] == list(await lodge.store.guests.end([NAME]))

    play_in_lodge(kind, tmp_path / "data", scenario)


@every_store
def test_cancelled_and_expired_mail_needs_no_guest(kind: str, tmp_path: Path) -> None:
    """Mail that ends without an attempt lets its guest go too, and held mail keeps it."""

    async def scenario(lodge: Lodge) -> None:
        one = await lodge.bring()
        await lodge.bring(record=a_guest(f"{NAME}2"))
        await lodge.spool.cancel(one.message_id, tenant=DEFAULT_TENANT, now=NOW)
        assert [NAME] == list(await lodge.store.guests.end([NAME, f"{NAME}2"]))
        await lodge.spool.expire(now=NOW + 4 * DAY, limit=10)
        assert [f"{NAME}2"] == list(await lodge.store.guests.end([f"{NAME}2"]))
        assert [] == await lodge.names()

    play_in_lodge(kind, tmp_path / "data", scenario)


@every_store
def test_nobody_inherits_what_waits_for_a_guest(kind: str, tmp_path: Path) -> None:
    """What waits for an unknown transport is given away, what waits for a guest never is."""

    async def scenario(lodge: Lodge) -> None:
        await lodge.bring()
        await lodge.accept(transport="gone")
        assert 1 == await lodge.spool.reroute(known=["main"], to="main")
        assert 1 == await lodge.spool.waiting(NAME)

    play_in_lodge(kind, tmp_path / "data", scenario)


@every_store
def test_mail_that_is_tried_again_waits_for_its_guest(kind: str, tmp_path: Path) -> None:
    """A person's retry after the end finds no account, and the name says that one is missed."""

    async def scenario(lodge: Lodge) -> None:
        one = await lodge.bring()
        await lodge.spool.cancel(one.message_id, tenant=DEFAULT_TENANT, now=NOW)
        await lodge.store.guests.end([NAME])
        again = await lodge.bring(record=a_guest(f"{NAME}2"))
        assert ["queued"] == await lodge.states(again.message_id)
        await lodge.spool.expire(now=NOW + 4 * DAY, limit=10)
        await lodge.store.guests.end([f"{NAME}2"])
        assert [] == await lodge.names()
        await lodge.retry(anyone(), now=NOW + DAY)
        assert set(await lodge.store.guests.awaited()) <= {NAME, f"{NAME}2"}

    play_in_lodge(kind, tmp_path / "data", scenario)


def test_nothing_of_a_password_stays_in_the_file(tmp_path: Path) -> None:
    """Sealed while its mail waits; after the end not even the sealed text stands in the database."""
    data = tmp_path / "data"

    async def scenario(lodge: Lodge) -> None:
        await lodge.bring()
        store = lodge.store
        writer = store._writer  # type: ignore[attr-defined]  # to have the log written back
        await writer.submit(_CHECKPOINT, None)
        sealed = _sealed_text(data)
        assert CANARY not in sealed
        assert sealed.encode() in (data / DATABASE).read_bytes()
        for claimed in await lodge.claim(transport=NAME):
            await lodge.settle(claimed.lease, accepted(0))
        await store.guests.end([NAME])
        await writer.submit(_CHECKPOINT, None)
        assert sealed.encode() not in (data / DATABASE).read_bytes()
        assert CANARY.encode() not in (data / DATABASE).read_bytes()

    play_in_lodge("sqlite", data, scenario)


def test_a_guest_outlives_the_process(tmp_path: Path) -> None:
    """A store that is opened again knows its guests; one whose key is lost says so."""
    data = tmp_path / "data"

    async def scenario(lodge: Lodge) -> None:
        await lodge.bring()

    play_in_lodge("sqlite", data, scenario)
    (key,) = [path for path in data.iterdir() if "key" in path.name]
    kept = key.read_bytes()

    async def again(lodge: Lodge) -> None:
        assert [a_guest()] == list(await lodge.store.guests.all())

    play_in_lodge("sqlite", data, again)
    key.unlink()

    async def without(lodge: Lodge) -> None:
        (record,) = await lodge.store.guests.all()
        assert "secret-key-missing" == record.problem
        assert record.guest.account.password is None

    play_in_lodge("sqlite", data, without)
    assert kept


def test_names() -> None:
    """A name shows where the mail goes, and nothing of the login; metrics know all guests by one word."""
    record = a_guest()
    name = guest_name(record.guest.account, bytes(8))
    assert name.startswith("guest:mail.example.com:465:")
    assert "ann" not in name
    assert is_guest_name(name)
    assert not is_guest_name("guest-main")
    assert ("guest", "main") == (label_of(name), label_of("main"))
    assert guest_name(replace(record.guest.account, host="2001:db8::1"), bytes(8)).startswith(
        "guest:[2001:db8::1]:465:"
    )
