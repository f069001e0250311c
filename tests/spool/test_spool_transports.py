"""Transports made by calls, the same on every store: kept as given, their secrets sealed, never half read."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from postroom.errors import SecretKeyError
from postroom.model.secret import Secret
from postroom.model.transport import StoredTransport
from postroom.ports import TransportRecords
from postroom.spool.sealing import KEY_BYTES, SealingKeys
from spool.orders_room import Desk, FullStore, play_at_desk
from spool.spool_room import DAY, MINUTE, NOW, every_store

PASSWORD, TOKEN = Secret("s3cret-ünd-lang"), Secret("1//refresh")


def a_record(name: str = "main", **changed: Any) -> StoredTransport:
    record = StoredTransport(
        name=name,
        fields={
            "host": "mail.example.com",
            "port": 465,
            "receivers": ["a@example.com"],
            "proxy": {"port": 1},
        },
        secrets={"password": PASSWORD, "oauth.secret": TOKEN},
        created_at=NOW,
        changed_at=NOW,
        author="ann",
    )
    return replace(record, **changed)


def some_keys(*bytes_: int) -> SealingKeys:
    return SealingKeys([bytes([value]) * KEY_BYTES for value in bytes_])


def change_keys(store: FullStore, keys: SealingKeys | None) -> None:
    """Do what a start with other keys does."""
    store.transports._vault.keys = keys  # type: ignore[attr-defined]  # the seam that both stores have


async def stored(records: TransportRecords) -> list[tuple[str, str, dict[str, str]]]:
    """Return name, problem and secrets of each record."""
    return [
        (one.name, one.problem, {path: secret.reveal() for path, secret in one.secrets.items()})
        for one in await records.all()
    ]


@every_store
def test_a_record_is_kept_as_it_was_given(kind: str, tmp_path: Path) -> None:
    """Every field and secret comes back, oldest first; a removed one is gone."""

    async def scenario(desk: Desk) -> None:
        records = desk.store.transports
        assert [] == list(await records.all())
        one, other = a_record(), a_record("a-later-one", created_at=NOW + MINUTE, secrets={})
        await records.put(other)
        await records.put(one)
        assert [one, other] == list(await records.all())
        assert await records.remove("main")
        assert not await records.remove("main")
        assert [other] == list(await records.all())

    play_at_desk(kind, tmp_path / "data", scenario)


@every_store
def test_a_record_of_the_same_name_takes_the_place(kind: str, tmp_path: Path) -> None:
    """All of it is replaced, only when it was made stays: the oldest is the default."""

    async def scenario(desk: Desk) -> None:
        records = desk.store.transports
        await records.put(a_record())
        changed = a_record(
            fields={}, secrets={"password": TOKEN}, created_at=NOW + DAY, changed_at=NOW + DAY, author="bob"
        )
        await records.put(changed)
        assert [replace(changed, created_at=NOW)] == list(await records.all())

    play_at_desk(kind, tmp_path / "data", scenario)


@every_store
@pytest.mark.parametrize("keys", [None, some_keys(9)])
def test_without_the_key_there_are_no_secrets_and_the_cause(
    kind: str, keys: SealingKeys | None, tmp_path: Path
) -> None:
    """What cannot be opened is never an empty password; fields are there; with the key all is well again."""

    async def scenario(desk: Desk) -> None:
        records = desk.store.transports
        change_keys(desk.store, some_keys(1))
        await records.put(a_record())
        await records.put(a_record("open", secrets={}))
        change_keys(desk.store, keys)
        assert [("main", "secret-key-missing", {}), ("open", "", {})] == await stored(records)
        assert a_record().fields == (await records.all())[0].fields
        change_keys(desk.store, some_keys(9, 1))
        assert [a_record(), a_record("open", secrets={})] == list(await records.all())

    play_at_desk(kind, tmp_path / "data", scenario)


@every_store
def test_a_lost_key_is_not_replaced_in_silence(kind: str, tmp_path: Path) -> None:
    """While sealed secrets stand there without a key, no secret is stored and no new key is made."""

    async def scenario(desk: Desk) -> None:
        records = desk.store.transports
        change_keys(desk.store, some_keys(1))
        await records.put(a_record())
        change_keys(desk.store, None)
        for refused in (a_record(), a_record("new")):
            with pytest.raises(SecretKeyError) as caught:
                await records.put(refused)
            assert "secret-key-missing" == caught.value.cause
        await records.put(a_record("new", secrets={}))
        assert [("main", "secret-key-missing", {}), ("new", "", {})] == await stored(records)

    play_at_desk(kind, tmp_path / "data", scenario)


@every_store
def test_unreadable_secrets_are_replaced_only_by_all_of_them_anew(kind: str, tmp_path: Path) -> None:
    """With another key a record is refused as it was read and with part of its secrets; whole it is taken."""

    async def scenario(desk: Desk) -> None:
        records = desk.store.transports
        change_keys(desk.store, some_keys(1))
        await records.put(a_record())
        change_keys(desk.store, some_keys(2))
        (unreadable,) = await records.all()
        part = {"password": PASSWORD}
        for refused in (unreadable, a_record(secrets={}), a_record(secrets=part)):
            with pytest.raises(SecretKeyError) as caught:
                await records.put(refused)
            assert "secret-key-missing" == caught.value.cause
            assert PASSWORD.reveal() not in str(caught.value)
        assert [unreadable] == list(await records.all())
        await records.put(a_record())
        assert [a_record()] == list(await records.all())

    play_at_desk(kind, tmp_path / "data", scenario)


@every_store
def test_a_record_is_not_changed_by_its_reader(kind: str, tmp_path: Path) -> None:
    """Each reading gives values of its own."""

    async def scenario(desk: Desk) -> None:
        fields = {"receivers": ["a@example.com"]}
        await desk.store.transports.put(a_record(fields=fields))
        fields["receivers"].append("b@example.com")
        (one,) = await desk.store.transports.all()
        one.fields["receivers"].append("c@example.com")
        assert [{"receivers": ["a@example.com"]}] == [two.fields for two in await desk.store.transports.all()]

    play_at_desk(kind, tmp_path / "data", scenario)
