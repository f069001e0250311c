"""Which template is meant: names, locales, what is in use while a source is broken, what is compiled when."""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from peers.manual import ManualClock
from postroom.engine import templates as templates_module
from postroom.engine.catalogue import Catalogue
from postroom.engine.keeping import Kept
from postroom.engine.templates import Draft, Origin, TemplateOrder, Templating
from postroom.errors import ConflictError, InputError, NotFoundError, OverloadError, Problem, TooLargeError
from postroom.model.ids import DEFAULT_TENANT, TenantId
from postroom.model.template import (
    MAX_SOURCE,
    Collection,
    CompiledTemplate,
    Finding,
    Rendered,
    Severity,
    Shelf,
    TemplatePin,
    TemplateSource,
    TemplateVersion,
    VersionState,
)
from postroom.spool.memory.templates import MemoryTemplates

OTHER = TenantId("other")


class PlainRenderer:
    """Takes a source for its HTML and refuses one that says ``wrong``; counts what it compiles."""

    def __init__(self) -> None:
        self.compiled: list[str] = []
        self.names: Mapping[str, Any] = {}
        self.failure: Exception | None = None

    async def compile(self, source: TemplateSource, shelf: Shelf) -> CompiledTemplate:
        self.compiled.append(f"{source.name}.{source.locale}: {source.text}")
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        if "wrong" in source.text:
            problem = Problem(code="wrong", field=f"{source.file}:3", cause=source.text, fix="Write it well.")
            raise InputError([problem])
        html = source.text + "".join(shelf.components.values())
        return CompiledTemplate(
            name=source.name,
            locale=source.locale or "en",
            subject="Hello",
            html=html,
            text=html,
            schema={"properties": {"name": {"type": "string"}}},
            digest=f"{abs(hash((html, source.locale))):064x}",
        )

    async def check(
        self,
        sources: Sequence[TemplateSource],
        shelf: Shelf,
        *,
        names: Mapping[str, Any],
        at: datetime,
        clients: Sequence[str] = (),
    ) -> Sequence[Finding]:
        del shelf, at, clients
        self.names = names
        return [
            Finding(code="seen", severity=Severity.NOTE, file=one.name, cause=one.locale, fix="Leave it.")
            for one in sources
        ]

    async def render(
        self,
        template: CompiledTemplate,
        variables: Mapping[str, Any],
        *,
        names: Mapping[str, Any],
        at: datetime,
    ) -> Rendered:
        self.names = names
        assert at.tzinfo is not None
        html = template.html + "".join(map(str, variables.values()))
        return Rendered(subject=template.subject, preheader="", html=html, text=html)


class Place:
    """A place whose content a test holds in its hand."""

    def __init__(self, *sources: TemplateSource, findings: tuple[Finding, ...] = ()) -> None:
        self.collection = Collection(sources={}, findings=findings)
        self.put(*sources)

    def put(self, *sources: TemplateSource, shelf: Shelf | None = None) -> None:
        names: dict[str, tuple[TemplateSource, ...]] = {}
        for source in sources:
            names[source.name] = (*names.get(source.name, ()), source)
        self.collection = replace(self.collection, sources=names, shelf=shelf or self.collection.shelf)

    async def look(self) -> Collection:
        return self.collection


def a_source(text: str, name: str = "welcome", locale: str = "") -> TemplateSource:
    return TemplateSource(name=name, locale=locale, text=text, file=f"{name}.html")


class Room:
    """The engine's templates on a directory, a package and a store in memory."""

    def __init__(self, *sources: TemplateSource) -> None:
        self.renderer = PlainRenderer()
        self.directory = Place(*sources)
        self.package = Place(a_source("packed", "activation"))
        records = self.records = MemoryTemplates()
        self.templates = Templating(
            catalogue=Catalogue(
                renderer=self.renderer,
                records=records,
                places={"": self.directory, "calypsso": self.package, "postroom": Place(a_source("ours"))},
            ),
            records=records,
            renderer=self.renderer,
            clock=ManualClock(),
            names={},
        )

    async def html(self, template: str, tenant: TenantId = DEFAULT_TENANT, locale: str = "") -> str:
        order = TemplateOrder(template=template, locale=locale)
        return (await self.templates.preview(order, tenant)).rendered.html

    async def save(self, *sources: TemplateSource, tenant: TenantId = DEFAULT_TENANT, **fields: Any) -> int:
        draft = Draft(**{"name": "stored", "sources": sources, **fields})
        return (await self.templates.save(draft, tenant, author="ops")).number


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


# --------------------------------------------------------------------------- finding


def test_the_directory_goes_before_the_store_and_packages_are_named() -> None:
    """A bare name is the directory's, else the tenant's own; pin and chain say what was taken."""

    async def scenario() -> None:
        room = Room(a_source("here"), a_source("ici", locale="fr"))
        await room.save(a_source("stored"))
        assert ["here", "stored", "packed", "ours"] == [
            await room.html(name) for name in ("welcome", "stored", "calypsso:activation", "postroom:welcome")
        ]
        found = await room.templates.preview(
            TemplateOrder(template="welcome", locale="fr-CA", variables={"x": "!"}), DEFAULT_TENANT
        )
        assert "ici!" == found.rendered.html
        assert ("fr-CA", "fr") == found.chain
        assert TemplatePin(name="welcome", version=found.compiled.digest[:12], locale="fr") == found.pin
        rendered, pin = await room.templates.rendered(
            TemplateOrder(template="welcome", locale="de"), DEFAULT_TENANT
        )
        assert ("here", "en") == (rendered.html, pin.locale)
        found = await room.templates.preview(TemplateOrder(template="stored", locale="de"), DEFAULT_TENANT)
        assert (("de", "en"), TemplatePin(name="stored", version="1", locale="en")) == (
            found.chain,
            found.pin,
        )
        for unknown in ("nobody", "welcome@1", "stored@2", "calypsso:welcome", "nobody:welcome"):
            with pytest.raises(NotFoundError):
                await room.html(unknown)

    run(scenario())


def test_nothing_is_compiled_twice() -> None:
    """Not for callers at once, not for an edit elsewhere, not when one is taken back; a component counts."""

    async def scenario() -> None:
        room = Room(a_source("one"), a_source("two", "other"))
        assert ["one"] * 5 == await asyncio.gather(*[room.html("welcome") for _ in range(5)])
        room.directory.put(a_source("one"), a_source("three", "other"))
        await room.html("welcome")
        room.directory.put(a_source("edit"))
        await room.html("welcome")
        room.directory.put(a_source("one"))
        assert "one" == await room.html("welcome")
        assert ["welcome.: one", "welcome.: edit"] == room.renderer.compiled
        room.directory.put(a_source("one"), shelf=Shelf(components={"components/x": "+"}))
        assert "one+" == await room.html("welcome")
        assert 3 == len(room.renderer.compiled)

    run(scenario())


def test_a_broken_edit_leaves_the_last_good_one_and_is_told() -> None:
    """Mail goes on with what compiled last; list and log say what is wrong, the log once."""

    async def scenario() -> None:
        room = Room(a_source("good"))
        before = await room.templates.find(TemplateOrder(template="welcome"), DEFAULT_TENANT)
        room.directory.put(a_source("wrong"), a_source("wrong from the start", "late"))
        for _ in range(3):
            assert before == await room.templates.find(TemplateOrder(template="welcome"), DEFAULT_TENANT)
            with pytest.raises(InputError, match="wrong from the start"):
                await room.html("late")
        listed = {one.reference: one for one in (await room.templates.list(DEFAULT_TENANT)).templates}
        assert (before.pin.version, ["wrong"]) == (
            listed["welcome"].version,
            [finding.cause for finding in listed["welcome"].findings],
        )
        finding = listed["late"].findings[0]
        assert ("", (), Severity.ERROR, "late.html", 3) == (
            listed["late"].version,
            listed["late"].locales,
            finding.severity,
            finding.file,
            finding.line,
        )
        assert 1 == room.renderer.compiled.count("welcome.: wrong")
        assert 1 == room.renderer.compiled.count("late.: wrong from the start")
        room.directory.put(a_source("better"))
        assert "better" == await room.html("welcome")
        assert () == (await room.templates.show("welcome", DEFAULT_TENANT)).listed.findings
        room.directory.put()
        with pytest.raises(NotFoundError):
            await room.html("welcome")
        room.directory.put(a_source("wrong"))
        with pytest.raises(InputError):
            await room.html("welcome")

    with capture_logs() as said:
        run(scenario())
    assert ["wrong", "wrong from the start", "wrong"] == [
        str(one["trouble"]).partition(": ")[2] for one in said if one["log_level"] == "warning"
    ]


def test_a_list_does_not_wait_for_every_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be compiled in its time is named; a further look, or one at it alone, compiles it."""

    async def scenario() -> None:
        room = Room(a_source("one"))
        with monkeypatch.context() as patched:
            patched.setattr(templates_module, "LIST_S", 0.0)
            here = (await room.templates.list(DEFAULT_TENANT)).templates[0]
            assert ("welcome", "", (), ()) == (here.reference, here.version, here.locales, here.findings)
            assert [] == room.renderer.compiled
            shown = (await room.templates.show("welcome", DEFAULT_TENANT)).listed
            assert shown == (await room.templates.list(DEFAULT_TENANT)).templates[0]
        assert all(one.version for one in (await room.templates.list(DEFAULT_TENANT)).templates)

    run(scenario())


def test_an_overloaded_compiler_is_not_remembered() -> None:
    """What could not be compiled for lack of a process is tried again."""

    async def scenario() -> None:
        room = Room(a_source("one"))
        room.renderer.failure = OverloadError("no process", retry_after_s=1)
        with pytest.raises(OverloadError):
            await room.html("welcome")
        room.renderer.failure = None
        assert "one" == await room.html("welcome")

    run(scenario())


# --------------------------------------------------------------------------- storing


def test_versions_are_stored_used_by_number_and_gone_back_to() -> None:
    """A draft is used by its number alone; publishing makes a version the one in use, an older one too."""

    async def scenario() -> None:
        room = Room()
        assert 1 == await room.save(a_source("first"), note="n")
        assert 2 == await room.save(a_source("second"), is_published=False)
        assert ["first", "second"] == [await room.html(name) for name in ("stored", "stored@2")]
        published = await room.templates.publish("stored", 2, DEFAULT_TENANT)
        assert (2, VersionState.PUBLISHED) == (published.number, published.state)
        assert "second" == await room.html("stored")
        await room.templates.publish("stored", 1, DEFAULT_TENANT)
        assert "first" == await room.html("stored")
        shown = await room.templates.show("stored", DEFAULT_TENANT)
        assert ("1", Origin.STORE, ("en",), [2, 1], "first") == (
            shown.listed.version,
            shown.listed.origin,
            shown.listed.locales,
            [one.number for one in shown.versions],
            shown.sources[0].text,
        )
        assert ("2", "ops", "n") == (
            (await room.templates.show("stored@2", DEFAULT_TENANT)).listed.version,
            shown.versions[1].author,
            shown.versions[1].note,
        )
        with pytest.raises(NotFoundError):
            await room.templates.publish("stored", 3, DEFAULT_TENANT)
        await room.templates.remove("stored", DEFAULT_TENANT)
        for call in (room.html("stored"), room.templates.remove("stored", DEFAULT_TENANT)):
            with pytest.raises(NotFoundError):
                await call
        assert 3 == await room.save(a_source("only a draft"), is_published=False)
        with pytest.raises(NotFoundError):
            await room.html("stored")
        draft = (await room.templates.show("stored", DEFAULT_TENANT)).listed
        assert ("3", VersionState.DRAFT) == (draft.version, draft.state)

    run(scenario())


def test_what_was_read_before_a_change_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A version that is published while the one before is being read is the one in use from then on."""

    async def scenario() -> None:
        room = Room()
        await room.save(a_source("first"))
        room.templates.catalogue.forget("stored", DEFAULT_TENANT)
        read, reading, go_on = room.records.one, asyncio.Event(), asyncio.Event()

        async def read_slowly(
            tenant: TenantId, name: str, number: int | None = None
        ) -> TemplateVersion | None:
            found = await read(tenant, name, number)
            reading.set()
            await go_on.wait()
            return found

        monkeypatch.setattr(room.records, "one", read_slowly)
        early = asyncio.create_task(room.html("stored"))
        await reading.wait()
        await room.save(a_source("second"))
        go_on.set()
        assert ["first", "second"] == [await early, await room.html("stored")]

    run(scenario())


def test_what_is_kept_has_a_bound() -> None:
    """The longest unused goes first, all the rest stays, and what is too large is not kept at all."""
    kept: Kept[str, str] = Kept(10, len)
    for name in "abc":
        kept.keep(name, name * 3)
    assert "aaa" == kept.find("a")
    kept.keep("d", "dd")
    assert ["aaa", None, "ccc", "dd"] == [kept.find(name) for name in "abcd"]
    kept.keep("a", "a")
    kept.keep("e", "eeee")
    assert ["a", "ccc", "dd", "eeee"] == [kept.find(name) for name in "acde"]
    kept.keep("f", "f" * 11)
    assert ["a", "ccc", "dd", "eeee", None] == [kept.find(name) for name in "acdef"]
    for _ in range(2):
        kept.drop("a")
        assert kept.find("a") is None


def test_a_template_of_another_tenant_does_not_exist() -> None:
    """Not for rendering, looking, publishing or removing; and the same name is free for everybody."""

    async def scenario() -> None:
        room = Room(a_source("here"))
        await room.save(a_source("theirs"), tenant=OTHER)
        templates = room.templates
        for call in (
            room.html("stored"),
            room.html("stored@1"),
            templates.show("stored", DEFAULT_TENANT),
            templates.publish("stored", 1, DEFAULT_TENANT),
            templates.remove("stored", DEFAULT_TENANT),
        ):
            with pytest.raises(NotFoundError):
                await call
        assert "theirs" == await room.html("stored", OTHER)
        ours = [one.reference for one in (await templates.list(DEFAULT_TENANT)).templates]
        assert ["welcome", "calypsso:activation", "postroom:welcome"] == ours
        await room.save(a_source("ours"))
        assert ["ours", "theirs"] == [await room.html("stored"), await room.html("stored", OTHER)]

    run(scenario())


def test_all_that_is_wrong_with_a_draft_is_told_and_nothing_is_stored() -> None:
    """Every variant is compiled, and every finding comes back."""

    async def scenario() -> None:
        room = Room(a_source("here"))
        refused: list[tuple[dict[str, Any], list[str]]] = [
            ({"sources": (a_source("wrong 1"), a_source("wrong 2", locale="fr"))}, ["wrong", "wrong"]),
            ({"name": "Not a name"}, ["template-name"]),
            ({"sources": ()}, ["template-variants"]),
            (
                {"sources": tuple(a_source("x", locale=f"en-{n:04}") for n in range(21))},
                ["template-variants"],
            ),
            ({"sources": (a_source("x", locale="no tag"),)}, ["locale"]),
            ({"sources": (a_source("x", locale="fr"), a_source("y", locale="FR"))}, ["locale-twice"]),
            ({"sources": (a_source("x"), a_source("y", locale="en"))}, ["locale-twice"]),
        ]
        for fields, expected in refused:
            with pytest.raises(InputError) as error:
                await room.save(a_source("good"), **fields)
            assert expected == [problem.code for problem in error.value.problems], fields
        with pytest.raises(TooLargeError, match=str(MAX_SOURCE)):
            await room.save(a_source("x" * (MAX_SOURCE + 1)))
        with pytest.raises(ConflictError, match="the directory has"):
            await room.save(a_source("x"), name="welcome")
        for name in ("welcome", "postroom:welcome", "stored@1"):
            with pytest.raises(ConflictError):
                await room.templates.remove(name, DEFAULT_TENANT)
        listed = (await room.templates.list(DEFAULT_TENANT)).templates
        assert not [one for one in listed if one.origin is Origin.STORE]

    run(scenario())


def test_a_draft_can_be_tried_without_being_stored() -> None:
    """It is rendered as it would be, with the directory's components, and leaves nothing behind."""

    async def scenario() -> None:
        room = Room()
        room.directory.put(shelf=Shelf(components={"components/x": "+"}))
        draft = Draft(name="idea", sources=(a_source("en"), a_source("fr", locale="fr")))
        preview = await room.templates.tried(draft, TemplateOrder(template="", locale="fr-CA"))
        assert ("fr+", "idea", ("fr-CA", "fr")) == (preview.rendered.html, preview.pin.name, preview.chain)
        with pytest.raises(NotFoundError):
            await room.html("idea")

    run(scenario())
