"""Stored templates, the same on every store; and what a message was made from."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from postroom.errors import TooLargeError
from postroom.model.ids import DEFAULT_TENANT, TenantId
from postroom.model.template import (
    CompiledTemplate,
    Finding,
    Severity,
    SourceForm,
    TemplatePin,
    TemplateSource,
    TemplateVersion,
    Variant,
    VersionState,
)
from postroom.ports import TemplateRecords
from postroom.spool.codec import decode_message, encode_message
from postroom.spool.memory import templates as in_memory
from postroom.spool.memory.opening import open_memory
from postroom.spool.settings import SpoolSettings
from postroom.spool.sqlite import templates as on_sqlite
from postroom.spool.sqlite.opening import DATABASE
from postroom.spool.sqlite.statement import statement
from spool.spool_room import NOW, a_message, every_store
from spool.sqlite_room import database, filled, open_

OTHER = TenantId("other")
PIN = TemplatePin(name="calypsso:account-activation", version="0123456789ab", locale="fr-CA")


def a_variant(locale: str, text: str = "<p>@{{ name }}</p>") -> Variant:
    return Variant(
        source=TemplateSource(
            name="welcome",
            locale=locale,
            form=SourceForm.MJML,
            text=text,
            text_part="Hello {{ name }}",
            file=f"welcome.{locale}.mjml",
        ),
        compiled=CompiledTemplate(
            name="welcome",
            locale=locale,
            subject="Grüße, {{ name }}",
            preheader="Look",
            html="<p>{{ name }}</p>",
            text="Hello {{ name }}",
            schema={"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
            globals=("_product_name",),
            digest="d" * 64,
            findings=(
                Finding(
                    code="alt",
                    severity=Severity.NOTE,
                    file="w",
                    line=3,
                    column=4,
                    cause="none",
                    fix="Add it.",
                ),
            ),
        ),
    )


def a_version(name: str = "welcome", *, draft: bool = False, note: str = "") -> TemplateVersion:
    return TemplateVersion(
        name=name,
        number=0,
        state=VersionState.DRAFT if draft else VersionState.PUBLISHED,
        variants={"fr": a_variant("fr"), "en": a_variant("en")},
        created_at=NOW,
        author="ops",
        note=note,
        published_at=None if draft else NOW,
    )


def on_templates(kind: str, data: Path, scenario: Callable[[TemplateRecords], Awaitable[None]]) -> None:
    async def run() -> None:
        store = open_memory(settings=SpoolSettings()) if kind == "memory" else open_(data)
        try:
            await scenario(store.templates)
        finally:
            await store.close()

    asyncio.run(run())


def numbers(versions: object) -> list[int]:
    assert isinstance(versions, list)
    return [version.number for version in versions]


@every_store
def test_a_version_comes_back_as_it_was_stored(kind: str, tmp_path: Path) -> None:
    """Every field of every variant is kept, the default variant first; lists leave the texts out."""

    async def scenario(records: TemplateRecords) -> None:
        given = a_version()
        assert 1 == await records.add(given)
        found = await records.one(DEFAULT_TENANT, "welcome")
        assert found is not None
        assert replace(given, number=1) == found
        assert ["fr", "en"] == list(found.variants)
        (listed,) = await records.names(DEFAULT_TENANT)
        assert [listed] == list(await records.versions(DEFAULT_TENANT, "welcome"))
        variant = listed.variants["fr"]
        assert ("", None, "", "") == (
            variant.source.text,
            variant.source.text_part,
            variant.compiled.html,
            variant.compiled.text,
        )
        assert given.variants["fr"].compiled.schema == variant.compiled.schema

    on_templates(kind, tmp_path, scenario)


@every_store
def test_numbers_have_no_gaps_and_the_last_published_is_in_use(kind: str, tmp_path: Path) -> None:
    """Drafts are counted and not used; publishing an older version goes back to it."""

    async def scenario(records: TemplateRecords) -> None:
        for expected in (1, 2, 3, 4):
            assert expected == await records.add(a_version(draft=expected in (1, 4), note=str(expected)))
        assert 1 == await records.add(a_version("another"))
        await in_use(records, 3)
        assert await records.publish(DEFAULT_TENANT, "welcome", 1, at=NOW + timedelta(hours=1))
        await in_use(records, 1)
        one = await records.one(DEFAULT_TENANT, "welcome", 1)
        assert one is not None
        assert (VersionState.PUBLISHED, NOW + timedelta(hours=1), "1") == (
            one.state,
            one.published_at,
            one.note,
        )
        assert not await records.publish(DEFAULT_TENANT, "welcome", 5, at=NOW)
        assert not await records.publish(DEFAULT_TENANT, "nobody", 1, at=NOW)
        await in_use(records, 1)
        assert [4, 3, 2, 1] == numbers(await records.versions(DEFAULT_TENANT, "welcome"))
        assert ["another", "welcome"] == [one.name for one in await records.names(DEFAULT_TENANT)]

    async def in_use(records: TemplateRecords, number: int) -> None:
        found = await records.one(DEFAULT_TENANT, "welcome")
        assert found is not None
        assert number == found.number

    on_templates(kind, tmp_path, scenario)


@every_store
def test_a_template_that_was_never_published_is_listed_and_not_used(kind: str, tmp_path: Path) -> None:
    """Its newest draft stands in the list; the bare name means nothing."""

    async def scenario(records: TemplateRecords) -> None:
        for note in ("first", "second"):
            await records.add(a_version(draft=True, note=note))
        assert await records.one(DEFAULT_TENANT, "welcome") is None
        assert ["second"] == [one.note for one in await records.names(DEFAULT_TENANT)]

    on_templates(kind, tmp_path, scenario)


@every_store
def test_another_tenant_sees_changes_and_removes_nothing(kind: str, tmp_path: Path) -> None:
    """A name is each tenant's own; removing takes every version along."""

    async def scenario(records: TemplateRecords) -> None:
        await records.add(a_version())
        assert await records.one(OTHER, "welcome") is None
        assert await records.one(OTHER, "welcome", 1) is None
        assert [] == list(await records.names(OTHER))
        assert [] == list(await records.versions(OTHER, "welcome"))
        assert not await records.publish(OTHER, "welcome", 1, at=NOW)
        assert not await records.remove(OTHER, "welcome")
        assert 1 == await records.add(replace(a_version(), tenant=OTHER))
        assert await records.remove(OTHER, "welcome")
        assert not await records.remove(OTHER, "welcome")
        assert 2 == await records.add(a_version())
        assert await records.remove(DEFAULT_TENANT, "welcome")
        assert await records.one(DEFAULT_TENANT, "welcome", 1) is None

    on_templates(kind, tmp_path, scenario)


@every_store
def test_a_number_is_never_used_again(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pin of a removed template never meets another one; what was removed is not counted as stored."""
    for module in (in_memory, on_sqlite):
        monkeypatch.setattr(module, "MAX_TEMPLATES", 1)

    async def scenario(records: TemplateRecords) -> None:
        assert [1, 2] == [await records.add(a_version()) for _ in range(2)]
        for expected in (3, 4):
            assert await records.remove(DEFAULT_TENANT, "welcome")
            assert not await records.publish(DEFAULT_TENANT, "welcome", 2, at=NOW)
            assert [] == list(await records.names(DEFAULT_TENANT))
            assert [] == list(await records.versions(DEFAULT_TENANT, "welcome"))
            assert 1 == await records.add(a_version(f"another-{expected}"))
            with pytest.raises(TooLargeError):
                await records.add(a_version())
            assert await records.remove(DEFAULT_TENANT, f"another-{expected}")
            assert expected == await records.add(a_version())
            assert [expected] == numbers(await records.versions(DEFAULT_TENANT, "welcome"))
            assert await records.one(DEFAULT_TENANT, "welcome", 2) is None

    on_templates(kind, tmp_path, scenario)


@every_store
def test_bounds_hold_and_the_version_in_use_stays(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the bound the oldest versions go, never the one in use; a further template is refused."""
    for module in (in_memory, on_sqlite):
        monkeypatch.setattr(module, "MAX_VERSIONS", 3)
        monkeypatch.setattr(module, "MAX_TEMPLATES", 2)

    async def scenario(records: TemplateRecords) -> None:
        await records.add(a_version())
        for _ in range(5):
            await records.add(a_version(draft=True))
        assert [6, 5, 1] == numbers(await records.versions(DEFAULT_TENANT, "welcome"))
        assert 7 == await records.add(a_version())
        assert 8 == await records.add(a_version(draft=True))
        assert [8, 7, 6] == numbers(await records.versions(DEFAULT_TENANT, "welcome"))
        await records.add(a_version("second"))
        with pytest.raises(TooLargeError) as refused:
            await records.add(a_version("third"))
        assert "too-many-templates" == refused.value.problem.code
        assert 9 == await records.add(a_version())
        assert 1 == await records.add(replace(a_version("third"), tenant=OTHER))

    on_templates(kind, tmp_path, scenario)


@every_store
def test_a_message_says_what_it_was_made_from(kind: str, tmp_path: Path) -> None:
    """The pin is in the view, in the content, and in the view of a backup."""
    message = replace(a_message(), template=PIN)
    assert message == decode_message(encode_message(message))
    assert b'"v":1' in encode_message(message)

    async def run() -> None:
        store = open_memory() if kind == "memory" else open_(tmp_path / "data")
        try:
            for one in (message, a_message()):
                await store.spool.accept(one, transport="main")
            (claimed, plain) = await store.spool.claim(
                transport="main", limit=2, now=NOW, lease_until=NOW + timedelta(hours=1), max_recipients=9
            )
            assert (PIN, None) == (claimed.message.template, plain.message.template)
            view = await store.spool.view(message.id, tenant=DEFAULT_TENANT)
            assert view is not None
            assert PIN == view.template
            unpinned = await store.spool.view(plain.message.id, tenant=DEFAULT_TENANT)
            assert unpinned is not None
            assert unpinned.template is None
        finally:
            await store.close()

    asyncio.run(run())


def test_a_backup_has_templates_and_pins(tmp_path: Path) -> None:
    """What was stored is in an online copy."""
    (tmp_path / "copy").mkdir(mode=0o700)

    async def run() -> None:
        store = open_(tmp_path / "data")
        await store.templates.add(a_version())
        await store.spool.accept(message, transport="main")
        await store.spool.backup(tmp_path / "copy" / DATABASE)
        await store.close()
        copy = open_(tmp_path / "copy")
        assert await copy.templates.one(DEFAULT_TENANT, "welcome", 1) is not None
        view = await copy.spool.view(message.id, tenant=DEFAULT_TENANT)
        assert view is not None
        assert PIN == view.template
        await copy.close()

    message = replace(a_message(), template=PIN)
    asyncio.run(run())


def test_versions_are_found_by_their_keys(tmp_path: Path) -> None:
    """No statement of a message's way reads all templates."""
    filled(tmp_path)

    with database(tmp_path) as db:
        bindings = ("default", "welcome", None)
        plan = [str(row[3]) for row in db.execute(f"EXPLAIN QUERY PLAN {statement('version')}", bindings)]
    assert plan
    assert all(line.startswith("SEARCH") for line in plan), plan
