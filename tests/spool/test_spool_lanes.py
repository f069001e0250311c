"""Who is claimed when not everything can be: lanes, reserved slots, suspects, the same on every store."""

from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from postroom.model.attempt import Claimed
from postroom.model.ids import MessageId, TenantId
from postroom.model.message import MailClass, UncertainPolicy
from spool.spool_room import (
    HOUR,
    MINUTE,
    NOW,
    Room,
    a_message,
    accepted,
    deferred,
    every_store,
    play,
    uncertain,
)

CODE, ALERT, PLAIN, BULK = MailClass.CODE, MailClass.ALERT, MailClass.TRANSACTIONAL, MailClass.BULK
WAIT = timedelta(minutes=15)


def classes(claimed: object) -> list[str]:
    assert isinstance(claimed, list | tuple)
    return [one.message.mail_class.value for one in claimed]


@every_store
def test_a_code_passes_what_waits_in_bulk(kind: str, tmp_path: Path) -> None:
    """Codes go first, never have all of the room, and the rest is shared by class."""

    async def scenario(room: Room) -> None:
        for mail_class in (BULK, PLAIN, ALERT, CODE):
            for _ in range(20):
                await room.accept(a_message(mail_class=mail_class))
        claimed = await room.claim(limit=16)
        assert 14 * ["code"] + 2 * ["alert"] == classes(claimed)
        assert 6 * ["code"] + 8 * ["alert"] + 4 * ["transactional"] + ["bulk"] == classes(
            await room.claim(limit=19)
        )

    play(kind, tmp_path / "data", scenario)


@every_store
def test_reserved_room_is_left_for_codes(kind: str, tmp_path: Path) -> None:
    """Whatever waits, the reserved part of a claim is taken by codes or by nobody."""

    async def scenario(room: Room) -> None:
        for _ in range(20):
            await room.accept(a_message(mail_class=BULK))
        assert 3 * ["bulk"] == classes(await room.claim(limit=5, reserved=2))
        assert [] == list(await room.claim(limit=2, reserved=2))
        await room.accept(a_message(mail_class=CODE))
        assert ["code"] == classes(await room.claim(limit=2, reserved=2))

    play(kind, tmp_path / "data", scenario)


@every_store
def test_retries_have_a_fifth_while_new_mail_waits(kind: str, tmp_path: Path) -> None:
    """What is tried again, also after an uncertain end, does not crowd out what is new; alone it has all."""

    async def scenario(room: Room) -> None:
        old = [a_message(policy=UncertainPolicy.RETRY) for _ in range(20)]
        for message in old:
            await room.accept(message)
        for number, claimed in enumerate(await room.claim(limit=20)):
            await room.commit(claimed.lease)
            move = deferred(until=NOW) if number % 2 else uncertain(until=NOW)
            assert await room.settle(claimed.lease, move)
        for _ in range(8):
            await room.accept()
        ids = {message.id for message in old}
        assert [2, 18] == [
            len(ids & {one.message.id for one in await room.claim(limit=limit)}) for limit in (10, 100)
        ]

    play(kind, tmp_path / "data", scenario)


@every_store
def test_tenants_of_a_class_have_equal_parts(kind: str, tmp_path: Path) -> None:
    """A tenant with a million waiting does not delay the tenant with one."""

    async def scenario(room: Room) -> None:
        for _ in range(30):
            await room.accept(a_message(tenant=TenantId("large")))
        for _ in range(3):
            await room.accept(a_message(tenant=TenantId("small")))
        for expected in (2, 1, 0):
            claimed = await room.claim(limit=4)
            assert expected == sum(one.message.tenant == "small" for one in claimed)

    play(kind, tmp_path / "data", scenario)


@every_store
def test_routes_to_one_transport_share_a_lane(kind: str, tmp_path: Path) -> None:
    """Mail of one class is claimed in the order of its due times, by whichever route it came."""

    async def scenario(room: Room) -> None:
        messages = [a_message(send_at=NOW - minutes * MINUTE) for minutes in (1, 4, 2, 3)]
        for number, message in enumerate(messages):
            await room.accept(message, route="" if number % 2 else "failover(main spare)")
        claimed = [one.message.id for one in await room.claim(limit=3)]
        assert [messages[number].id for number in (1, 3, 2)] == claimed

    play(kind, tmp_path / "data", scenario)


@every_store
def test_everybody_has_a_turn_with_claims_for_one(kind: str, tmp_path: Path) -> None:
    """The shares hold over claims: what waited is nearer to its turn the next time."""

    async def scenario(room: Room) -> None:
        for mail_class in (CODE, BULK):
            for _ in range(20):
                await room.accept(a_message(mail_class=mail_class))
        order = [classes(await room.claim(limit=1))[0] for _ in range(16)]
        assert 2 * (7 * ["code"] + ["bulk"]) == order

    play(kind, tmp_path / "data", scenario)


# --------------------------------------------------------------------------- poison


async def lives(room: Room, dice: Random, *, poison: MessageId | None, deaths: int) -> int:
    """Work until all is done or so many deaths; return the deaths. Poison kills whoever has it in work."""
    died = 0
    now = NOW
    while died < deaths:
        now += MINUTE
        batch: list[Claimed] = list(await room.claim(now, limit=dice.randint(1, 64)))
        if not batch:
            break
        fatal = poison in {one.message.id for one in batch} if poison else dice.random() < 0.3
        # Some of the batch are settled before the death, whoever the guilty one is.
        dice.shuffle(batch)
        for claimed in batch[: dice.randint(0, len(batch)) if fatal else None]:
            if claimed.message.id != poison:
                await room.settle(claimed.lease, accepted(), at=now)
        if fatal:
            died += 1
            await room.spool.recover(now=now, wait=WAIT)
    return died


@pytest.mark.parametrize("seed", range(6))
def test_one_poisonous_message_among_many_is_found_by_three_deaths(seed: int, tmp_path: Path) -> None:
    """The guilty one is held after exactly three deaths, and every innocent one is sent."""

    async def scenario(room: Room) -> None:
        dice = Random(seed)
        messages = [a_message() for _ in range(500)]
        for message in messages:
            await room.accept(message)
        poison = dice.choice(messages).id
        assert 3 == await lives(room, dice, poison=poison, deaths=10)
        await lives(room, dice, poison=poison, deaths=1)
        assert {"accepted": 499, "held": 1} == dict((await room.spool.counts()).by_state)
        assert ["held"] == await room.states(poison)
        assert ("recipient.held", (0,), "crash-loop") == (await room.story(poison))[-1]

    play("memory", tmp_path, scenario)


@pytest.mark.slow
def test_random_deaths_hold_next_to_nothing(tmp_path: Path) -> None:
    """Kills that no message is guilty of do not add up: who was in work at one is cleared by its next end."""
    held = mails = 0
    for seed in range(12):
        dice = Random(seed)

        async def scenario(room: Room, dice: Random = dice) -> None:
            nonlocal held, mails
            for _ in range(300):
                await room.accept()
            while await lives(room, dice, poison=None, deaths=50):
                pass
            counts = (await room.spool.counts()).by_state
            mails += sum(counts.values())
            held += sum(count for state, count in counts.items() if state == "held")

        play("memory", tmp_path, scenario)
    assert held <= mails / 100


@every_store
def test_a_suspect_never_hides_what_is_behind_it(kind: str, tmp_path: Path) -> None:
    """While one suspect is in work the others wait, and everything else goes on."""

    async def scenario(room: Room) -> None:
        for _ in range(30):
            await room.accept()
        await room.claim(limit=30)
        await room.spool.recover(now=NOW, wait=WAIT)
        fresh = [a_message() for _ in range(5)]
        for message in fresh:
            await room.accept(message)
        claimed = await room.claim(NOW + MINUTE, limit=10)
        assert {message.id for message in fresh} == {one.message.id for one in claimed if not one.is_suspect}
        assert 1 == sum(one.is_suspect for one in claimed)

    play(kind, tmp_path / "data", scenario)


@every_store
@pytest.mark.parametrize("until", [timedelta(seconds=30), HOUR])
def test_a_suspect_that_hangs_frees_the_way(kind: str, tmp_path: Path, until: timedelta) -> None:
    """When its lease is over, or it has been in work for a minute without a death, the next one goes."""

    async def scenario(room: Room) -> None:
        await room.accept()
        await room.accept(transport="spare")
        await room.claim()
        await room.claim(transport="spare")
        await room.spool.recover(now=NOW, wait=WAIT)
        assert 1 == len(await room.claim(until=until))
        soon = NOW + min(until, MINUTE)
        assert [] == list(await room.claim(soon - timedelta(seconds=1), transport="spare"))
        assert 1 == len(await room.claim(soon, transport="spare"))

    play(kind, tmp_path / "data", scenario)
