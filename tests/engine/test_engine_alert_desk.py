"""What doors may do with alerts: list, ask why, silence, acknowledge, change rhythm and rules."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.alerting_room import CRITICAL, HOUR, House, Life, firing, house, over
from postroom.engine.alerting.forms import AlertFilter, NewSilence, RuleKind, WhyFilter
from postroom.errors import ConflictError, InputError, NotFoundError, OverloadError
from postroom.model.alert import AlertEventFilter, AlertState, AlertView, Clause, Severity
from postroom.model.ids import DEFAULT_TENANT, TenantId
from postroom.policy.alerting.identity import alert_id
from postroom.policy.alerting.links import AlertAct, AlertDeed
from postroom.spool.memory.opening import open_memory

OTHER = TenantId("other")


def live(data: Path, scenario: Any, home: House | None = None) -> None:
    async def run() -> None:
        async with (home or house("memory", data)).life() as life:
            await scenario(life)

    asyncio.run(run())


def _told(alerts: tuple[AlertView, ...]) -> list[tuple[str, str]]:
    return [(alert.key, alert.object) for alert in alerts]


def test_lists_begin_with_the_worst_and_go_page_by_page(tmp_path: Path) -> None:
    """The worst first, then the youngest; each page begins behind the one before; filters narrow."""

    async def scenario(life: Life) -> None:
        for about in ("db1", "db2", "db3"):
            await life.report(firing(about=about, labels={"env": "prod" if about == "db2" else "test"}))
            life.clock.advance(1)
        await life.report(CRITICAL, firing("gone"), over(firing("gone")))
        everything = [("fire", "db1"), ("disk-full", "db3"), ("disk-full", "db2"), ("disk-full", "db1")]
        found, after = [], None
        while True:
            page = await life.alerts.list(AlertFilter(limit=3, after=after))
            found += _told(page.alerts)
            if (after := page.after) is None:
                break
        assert everything == found
        for wanted, names in (
            (AlertFilter(state=None, key="gone"), [("gone", "db1")]),
            (AlertFilter(state=AlertState.RESOLVED), [("gone", "db1")]),
            (AlertFilter(severity=Severity.ERROR), [("fire", "db1")]),
            (AlertFilter(object="db2", source="app"), [("disk-full", "db2")]),
            (AlertFilter(matchers=('env=~"pr.*"',)), [("disk-full", "db2")]),
            (AlertFilter(source="another"), []),
            (AlertFilter(tenant=OTHER), []),
        ):
            assert names == _told((await life.alerts.list(wanted)).alerts)
        for wrong in (AlertFilter(matchers=("=",)), AlertFilter(after="x")):
            with pytest.raises(InputError):
                await life.alerts.list(wrong)

    live(tmp_path, scenario)


def test_why_tells_each_step_with_its_report_and_letter(tmp_path: Path) -> None:
    """Every decision is a sentence, with the report that led to it and the letter it is in."""

    async def scenario(life: Life) -> None:
        await life.report(firing())
        await life.records.sent(1, message_id=None, by="journal")
        number = alert_id(firing())
        told = await life.alerts.why(number, WhyFilter(after=0))
        assert [Clause.NEW, Clause.TOLD] == [step.decision.clause for step in told.steps]
        assert [1, None] == [step.event and step.event.number for step in told.steps]
        assert [None, "journal"] == [step.letter and step.letter.sent_by for step in told.steps]
        assert told.steps[0].sentence.startswith("It is news: it will be told (")
        assert told.alert is not None
        assert [1] == [
            one.number for one in await life.alerts.events(AlertEventFilter(tenant=DEFAULT_TENANT))
        ]
        for unknown, tenant in (("0" * 20, DEFAULT_TENANT), (number, OTHER)):
            with pytest.raises(NotFoundError):
                await life.alerts.why(unknown, WhyFilter(tenant=tenant))
            with pytest.raises(NotFoundError):
                await life.alerts.view(unknown, tenant=tenant)

    live(tmp_path, scenario)


def test_an_acknowledged_alert_is_not_repeated(tmp_path: Path) -> None:
    """Somebody works on it: its repeat is not told; what is not active cannot be acknowledged."""

    async def scenario(life: Life) -> None:
        await life.report(firing(), firing("other"))
        number = alert_id(firing())
        seen = await life.alerts.acknowledge(number, by="me", tenant=DEFAULT_TENANT)
        assert ("me", None) == (seen.acknowledged_by, seen.acknowledged_until)
        await life.passes(4 * 3600, 3)
        assert ["other"] == [item.alert.key for item in (await life.letters())[2].items]
        with pytest.raises(InputError, match="in the past"):
            await life.alerts.acknowledge(number, by="me", until=life.clock.now(), tenant=DEFAULT_TENANT)
        await life.report(over(firing()))
        with pytest.raises(ConflictError, match="not active"):
            await life.alerts.acknowledge(number, by="me", tenant=DEFAULT_TENANT)

    live(tmp_path, scenario)


def test_a_silence_holds_until_its_end_or_until_it_is_ended(tmp_path: Path) -> None:
    """What matches is not told while it lasts; it is told when somebody ends the silence."""

    async def scenario(life: Life) -> None:
        alerts, ends_at = life.alerts, life.clock.now() + HOUR
        made = await alerts.silence(NewSilence(matchers=('{key="disk-full"}',), ends_at=ends_at, author="me"))
        assert ('key="disk-full"',) == made.matchers
        await life.report(firing())
        assert [] == await life.letters()
        assert "silenced" == (await alerts.view(alert_id(firing()), tenant=DEFAULT_TENANT)).muted
        await life.report(firing("other"))
        other = await alerts.silence_alert(
            alert_id(firing("other")), ends_at=ends_at + HOUR, author="me", tenant=DEFAULT_TENANT
        )
        assert ('key="other"', 'object="db1"', 'source="app"') == other.matchers
        assert [made.id, other.id] == [one.id for one in await alerts.silences(tenant=DEFAULT_TENANT)]
        assert [] == list(await alerts.silences(tenant=OTHER))
        for who in (OTHER, DEFAULT_TENANT):
            if who == OTHER:
                with pytest.raises(NotFoundError):
                    await alerts.unsilence(made.id, by="me", tenant=who)
            else:
                await alerts.unsilence(made.id, by="me", tenant=who)
        assert ["other", "disk-full"] == [letter.items[0].alert.key for letter in await life.letters()]
        for wrong in (
            NewSilence(matchers=(), ends_at=ends_at, author="me"),
            NewSilence(matchers=('a=~".*"',), ends_at=ends_at, author="me"),
            NewSilence(matchers=("a",), ends_at=ends_at, author="me"),
            NewSilence(matchers=('a="b"',), ends_at=life.clock.now(), author="me"),
            NewSilence(matchers=('a="b"',), starts_at=ends_at, ends_at=ends_at, author="me"),
        ):
            with pytest.raises(InputError):
                await alerts.silence(wrong)

    live(tmp_path, scenario)


def test_links_of_a_letter_act_on_what_it_told(tmp_path: Path) -> None:
    """A link acknowledges, silences or slows down what its letter told of, in the receiver's name."""

    async def scenario(life: Life) -> None:
        await life.report(firing(about="db1"))
        await life.report(firing(about="db2"))
        (first, *_), act = await life.letters(), life.alerts.act
        of_group = AlertAct(
            deed=AlertDeed.SILENCE_HOUR,
            tenant=DEFAULT_TENANT,
            letter=first.number,
            receiver="default",
            group=first.group,
        )
        done = await act(of_group)
        assert [("disk-full", "db1")] == _told(done.alerts)
        assert [life.clock.now() + HOUR] == [silence.ends_at for silence in done.silences]
        assert "default (letter 1)" == done.silences[0].author
        number = alert_id(firing(about="db2"))
        of_one = replace(of_group, deed=AlertDeed.ACKNOWLEDGE, alert=number, group=None)
        await act(of_one)
        seen = await life.alerts.view(number, tenant=DEFAULT_TENANT)
        assert "default (letter 1)" == seen.acknowledged_by
        assert AlertDeed.RHYTHM_DAY is (await act(replace(of_group, deed=AlertDeed.RHYTHM_DAY))).deed
        await life.report(over(firing(about="db1")), over(firing(about="db2")))
        for gone in (of_one, replace(of_group, letter=99), replace(of_group, tenant=OTHER)):
            with pytest.raises(NotFoundError):
                await act(gone)

    live(tmp_path, scenario)


def test_a_rhythm_replaces_the_repeat_of_a_group(tmp_path: Path) -> None:
    """The next repeat comes by it; a group that has no alerts has none."""

    async def scenario(life: Life) -> None:
        await life.report(firing())
        (letter,) = await life.letters()
        assert letter.group is not None
        set_rhythm = life.alerts.set_rhythm
        await set_rhythm(letter.group, timedelta(hours=1), by="me", tenant=DEFAULT_TENANT)
        await life.passes(3600, 2)
        with pytest.raises(InputError):
            await set_rhythm(letter.group, timedelta(seconds=59), by="me", tenant=DEFAULT_TENANT)
        for group, tenant in (("0" * 20, DEFAULT_TENANT), (letter.group, OTHER)):
            with pytest.raises(NotFoundError):
                await set_rhythm(group, HOUR, by="me", tenant=tenant)

    live(tmp_path, scenario)


def test_stored_rules_hold_at_once_and_after_a_restart(tmp_path: Path) -> None:
    """A rule that fits is stored and decides the next report; one that does not changes nothing."""
    home = house("sqlite", tmp_path)

    async def before(life: Life) -> None:
        put, remove = life.alerts.put_rule, life.alerts.remove_rule
        closed = json.dumps({"open": False})
        held = await put(RuleKind.TYPE, "disk-full", closed, tenant=DEFAULT_TENANT)
        assert "store" == held.types["disk-full"].origin
        await life.report(firing())
        assert [Clause.TYPE_OFF] == await life.clauses()
        with pytest.raises(InputError):
            await put(RuleKind.ROUTE, "db", json.dumps({"receiver": "nobody"}), tenant=DEFAULT_TENANT)
        with pytest.raises(ConflictError, match="settings file"):
            await put(RuleKind.RECEIVER, "default", "{}", tenant=DEFAULT_TENANT)
        with pytest.raises(ConflictError, match="settings file"):
            await remove(RuleKind.RECEIVER, "default", tenant=DEFAULT_TENANT)
        with pytest.raises(NotFoundError):
            await remove(RuleKind.TYPE, "other", tenant=DEFAULT_TENANT)
        assert ["disk-full"] == [one.key for one in life.alerts.types(tenant=DEFAULT_TENANT)]
        assert [] == list(life.alerts.types(tenant=OTHER))

    async def afterwards(life: Life) -> None:
        await life.report(firing())
        assert [Clause.TYPE_OFF] * 2 == await life.clauses()
        await life.alerts.remove_rule(RuleKind.TYPE, "disk-full", tenant=DEFAULT_TENANT)
        await life.report(firing())
        assert 1 == len(await life.letters())
        trial = await life.alerts.test({"key": "x"}, tenant=DEFAULT_TENANT)
        assert ["default"] == [one.branch.receiver for one in trial.reaches]

    live(tmp_path, before, home)
    live(tmp_path, afterwards, home)


def test_a_stored_rule_that_fits_no_more_is_left_out_and_can_be_removed(tmp_path: Path) -> None:
    """When the settings lose what a rule needs the start goes on without it, says so, and the others hold."""
    home = House(tmp_path, memory=open_memory())

    async def before(life: Life) -> None:
        put = life.alerts.put_rule
        address = json.dumps({"to": ["team@example.com"]})
        await put(RuleKind.RECEIVER, "team", address, tenant=DEFAULT_TENANT)
        await put(RuleKind.ROUTE, "db", json.dumps({"receiver": "team"}), tenant=DEFAULT_TENANT)
        with pytest.raises(InputError):
            await life.alerts.remove_rule(RuleKind.RECEIVER, "team", tenant=DEFAULT_TENANT)
        await put(RuleKind.TYPE, "quiet", json.dumps({"open": False}), tenant=DEFAULT_TENANT)

    async def afterwards(life: Life) -> None:
        (trouble,) = life.alerts.troubles
        assert trouble.startswith("the stored alert route db does not hold")
        assert ["quiet"] == [one.key for one in life.alerts.types(tenant=DEFAULT_TENANT)]
        await life.alerts.put_rule(RuleKind.TYPE, "loud", json.dumps({}), tenant=DEFAULT_TENANT)
        assert 1 == len(life.alerts.troubles)
        await life.alerts.remove_rule(RuleKind.ROUTE, "db", tenant=DEFAULT_TENANT)
        assert [] == list(life.alerts.troubles)

    async def lose(life: Life) -> None:
        await life.records.remove_rule("receiver", "team", tenant=DEFAULT_TENANT)

    live(tmp_path, before, home)
    live(tmp_path, lose, home)
    live(tmp_path, afterwards, home)


def test_counts_say_what_waits(tmp_path: Path) -> None:
    """The status has active alerts, reports nobody looked at, and letters that are not handed in."""

    async def scenario(life: Life) -> None:
        await life.report(firing(), firing("other"), over(firing("other")))
        counts = await life.alerts.counts()
        assert (1, 0, 2) == (counts.active, counts.events_waiting, counts.letters_waiting)
        assert life.clock.now() == counts.oldest_letter_at
        life.evaluator.reported(100_000)
        with pytest.raises(OverloadError):
            await life.alerts.accept([firing()])
        assert 100_000 == (await life.alerts.counts()).events_waiting

    live(tmp_path, scenario)
