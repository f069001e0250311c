"""The doors to templates: what is listed, stored, shown, previewed and tested, and for whom."""

import asyncio
import re
from collections.abc import Iterator
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingress.asgi_client import ask
from ingress.template_room import KEY, VARIABLES, TemplateRoom, parsed, template_room
from postroom.ingress.http.templates import SOURCES_AT_ONCE
from postroom.model.template import CompiledTemplate, TemplateSource
from postroom.schema import template_answers

HELLO = "---\nsubject: Hello @{{ name }}\n---\n<p>Hello @{{ name }}</p>"
LOOK = {"template": "welcome", "variables": VARIABLES}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TemplateRoom]:
    with template_room(tmp_path_factory.mktemp("templates")) as room:
        yield room


def body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    text: str = part.get_content()
    return text


# --------------------------------------------------------------------------- the catalogue


def test_versions_are_stored_published_and_removed(house: TemplateRoom) -> None:
    """A draft is used by its number, publishing changes what the name means, back too; versions stay."""
    stored = house.post(
        "/v1/templates", {"name": "hello", "variants": {"en": {"text": HELLO}}, "note": "first"}
    )
    assert (201, "/v1/templates/hello/versions/1") == (stored.status, stored.headers["location"])
    template_answers.StoredTemplateAnswer.model_validate(stored.json())
    changed = HELLO.replace("Hello", "Good day")
    draft = {"name": "hello", "variants": {"en": {"text": changed}, "fr": {"text": HELLO}}, "publish": False}
    second = house.post("/v1/templates", draft).json()
    assert ("draft", 2) == (second["state"], second["number"])

    def subject(template: str) -> Any:
        look = {"template": template, "variables": {"name": "Kim"}}
        return house.post("/v1/templates/preview", look).json()["subject"]

    assert ("Hello Kim", "Good day Kim") == (subject("hello"), subject("hello@2"))
    assert 200 == house.post("/v1/templates/hello/versions/2/publish", None).status
    assert "Good day Kim" == subject("hello")
    house.post("/v1/templates/hello/versions/1/publish", None)
    assert "Hello Kim" == subject("hello")
    versions = house.call("GET", "/v1/templates/hello/versions").json()
    template_answers.VersionListAnswer.model_validate(versions)
    assert [(2, ["en", "fr"], ""), (1, ["en"], "first")] == [
        (one["number"], one["locales"], one["note"]) for one in versions["versions"]
    ]
    shown = house.call("GET", "/v1/templates/hello/versions/2").json()
    template_answers.ShownTemplateAnswer.model_validate(shown)
    assert [("en", changed), ("fr", HELLO)] == [(one["locale"], one["text"]) for one in shown["variants"]]
    assert 204 == house.call("DELETE", "/v1/templates/hello").status
    for path in ("hello", "hello/versions", "hello/versions/1", "hell%6f"):
        assert 404 == house.call("GET", f"/v1/templates/{path}").status, path


def test_every_source_of_templates_is_listed(house: TemplateRoom) -> None:
    """The list has those of the directory, of the store and of Postroom, each with its schema."""
    house.post("/v1/templates", {"name": "listed", "variants": {"": {"text": HELLO}}})
    answer = house.call("GET", "/v1/templates").json()
    template_answers.TemplateListAnswer.model_validate(answer)
    by_name = {one["template"]: one for one in answer["templates"]}
    assert ("directory", ["en", "fr"]) == (by_name["welcome"]["origin"], by_name["welcome"]["locales"])
    assert ("store", "1", "published") == tuple(
        by_name["listed"][name] for name in ("origin", "version", "state")
    )
    assert {"user", "count"} == set(by_name["welcome"]["variables"]["properties"])
    assert "postroom:receipt" in by_name
    one = house.call("GET", "/v1/templates/postroom:receipt").json()
    assert {"en", "fr", "de", "ko", "zh"} <= set(one["locales"])
    house.call("DELETE", "/v1/templates/listed")


def test_what_is_not_there_is_404_and_names_the_nearest(house: TemplateRoom) -> None:
    """Unknown names, versions and odd names in a path are 404, the fix has the nearest name."""
    for method, path in (
        ("GET", "welcom"),
        ("GET", "no:package"),
        ("GET", "UPPER"),
        ("GET", "welcome/versions/1"),
        ("GET", "welcome/versions/x"),
        ("POST", "welcom/versions/1/publish"),
        ("DELETE", "welcom"),
    ):
        answer = house.call(method, f"/v1/templates/{path}")
        assert 404 == answer.status, path
    assert "Did you mean welcome" in house.call("GET", "/v1/templates/welcom").json()["errors"][0]["fix"]
    assert "template-not-stored" == house.call("DELETE", "/v1/templates/welcome").json()["code"]
    taken = house.post("/v1/templates", {"name": "welcome", "variants": {"en": {"text": HELLO}}})
    assert (409, "template-in-directory") == (taken.status, taken.json()["code"])


def test_a_source_that_cannot_be_compiled_is_refused_with_its_lines(house: TemplateRoom) -> None:
    """Every error of every variant is named with file and line, and nothing is stored."""
    broken = "---\nsubject: x\n---\n<p>{% if %}</p>"
    value = {"name": "broken", "variants": {"en": {"text": broken}, "fr": {"text": "<x-nothing />"}}}
    answer = house.post("/v1/templates", value)
    assert 422 == answer.status
    fields = {field for _, field in answer.problems()}
    assert {"broken.en.html:4", "broken.fr.html:1"} <= fields
    assert 404 == house.call("GET", "/v1/templates/broken").status
    for value in (
        {"name": "Bad Name", "variants": {"en": {"text": HELLO}}},
        {"name": "none", "variants": {}},
        {"name": "odd", "variants": {"not a tag": {"text": HELLO}}},
        {"name": "odd", "variants": {"en": {"text": HELLO, "form": "word"}}},
        {"name": "odd", "variants": {"en": {"txt": HELLO}}},
    ):
        assert 422 == house.post("/v1/templates", value).status, value
    large = {"name": "large", "variants": {"en": {"text": "x" * 270_000}}}
    assert 413 == house.post("/v1/templates", large).status


def test_who_may_do_what(house: TemplateRoom) -> None:
    """Looking and previewing need read, a test needs send, storing and removing need operate."""
    stored = {"name": "mine", "variants": {"en": {"text": HELLO}}}
    verbs: list[tuple[str, str, str, Any]] = [
        ("read", "GET", "/v1/templates", None),
        ("read", "GET", "/v1/templates/welcome", None),
        ("read", "POST", "/v1/templates/preview", LOOK),
        ("read", "POST", "/v1/templates/lint", {"template": "welcome"}),
        ("send", "POST", "/v1/templates/test", {**LOOK, "to": "kim@example.org"}),
        ("operate", "POST", "/v1/templates", stored),
        ("operate", "POST", "/v1/templates/mine/versions/1/publish", None),
        ("operate", "DELETE", "/v1/templates/mine", None),
    ]
    for needed, method, path, value in verbs:
        for scope in ("read", "send", "operate"):
            if scope != needed:
                assert 403 == house.call(method, path, value, key=house.key(scope)).status, (scope, path)
        assert house.call(method, path, value, key=house.key(needed)).status < 300, path
        assert 401 == house.call(method, path, value, key=None).status


def test_a_source_with_half_of_a_character_is_refused(house: TemplateRoom) -> None:
    """Neither the store nor an answer could hold it, so every door says what it is."""
    for source in (
        {"text": "<p>\ud800</p>"},
        {"text": "<p>x</p>", "text_part": "\0"},
        {"text": "---\nsubject: \udfff\n---\n<p>x</p>", "form": "jinja"},
    ):
        for path, value in (
            ("/v1/templates/preview", {"source": source}),
            ("/v1/templates/lint", {"source": source}),
            ("/v1/templates", {"name": "half", "variants": {"en": source}}),
        ):
            assert [("source-characters", "source")] == house.post(path, value).problems()


def test_a_template_of_another_tenant_does_not_exist(house: TemplateRoom) -> None:
    """It is neither listed nor shown, previewed, sent, published or removed."""
    theirs = {"name": "theirs", "variants": {"en": {"text": HELLO}}}
    operate, read, send = (house.key(scope, tenant="acme") for scope in ("operate", "read", "send"))
    assert 201 == house.post("/v1/templates", theirs, key=operate).status
    look = {"template": "theirs", "variables": {"name": "Kim"}}
    assert 200 == house.post("/v1/templates/preview", look, key=read).status
    assert "theirs" not in str(house.call("GET", "/v1/templates").json())
    for method, path in (
        ("GET", "theirs"),
        ("GET", "theirs/versions/1"),
        ("POST", "theirs/versions/1/publish"),
        ("DELETE", "theirs"),
    ):
        assert 404 == house.call(method, f"/v1/templates/{path}").status
    for path in ("/v1/templates/preview", "/v1/templates/test", "/v1/messages"):
        value = {**look, **({} if path.endswith("preview") else {"to": "kim@example.org"})}
        assert [("template-unknown", "template")] == house.post(path, value).problems()
    mail = {**look, "to": "kim@example.org"}
    assert 202 == house.post("/v1/messages", mail, key=send).status


# --------------------------------------------------------------------------- previews


def test_a_preview_says_how_it_was_found(house: TemplateRoom) -> None:
    """Texts, size, version, the chain of locales and the schema; examples fill what is not given."""
    answer = house.post("/v1/templates/preview", {"template": "welcome", "locale": "fr-CA", "examples": True})
    assert 200 == answer.status, answer.body
    shown = answer.json()
    template_answers.PreviewAnswer.model_validate(shown)
    assert ("Bienvenue Ann", "Your account is ready") == (shown["subject"], shown["preheader"])
    assert ("fr", ["fr-CA", "fr"]) == (shown["template"]["locale"], shown["chain"])
    assert {"user": {"name": "Ann"}, "count": 2} == shown["values"]
    assert {"user", "count"} == set(shown["variables"]["properties"])
    fallen = house.post("/v1/templates/preview", {**LOOK, "locale": "ko"}).json()
    assert ("en", ["ko", "en"]) == (fallen["template"]["locale"], fallen["chain"])
    mixed = house.post("/v1/templates/preview", {**LOOK, "variables": {"count": 9}, "examples": True}).json()
    assert "Hello Ann, you have 9 letters." == mixed["text"]


def test_a_source_is_previewed_without_being_stored(house: TemplateRoom) -> None:
    """A source in the request is compiled and rendered as a stored one; its errors are named."""
    value: dict[str, Any] = {"source": {"text": HELLO}, "variables": {"name": "Kim"}}
    shown = house.post("/v1/templates/preview", value).json()
    assert ("Hello Kim", "inline", "Hello Kim") == (
        shown["subject"],
        shown["template"]["name"],
        shown["text"],
    )
    jinja = {"text": "<p>{{ name }}</p>", "form": "jinja", "text_part": "Own text for {{ name }}"}
    value = {"source": jinja, "variables": {"name": "Kim"}, "subject": "Given"}
    shown = house.post("/v1/templates/preview", value).json()
    assert ("Given", "Own text for Kim") == (shown["subject"], shown["text"])
    wrong: list[tuple[dict[str, Any], tuple[str, str]]] = [
        ({"source": jinja, "variables": {"name": "Kim"}}, ("subject-missing", "subject")),
        ({}, ("template-missing", "template")),
        ({"source": jinja, "template": "welcome"}, ("template-missing", "template")),
        ({**LOOK, "template": "welcom"}, ("template-unknown", "template")),
        ({**LOOK, "from": "nobody"}, ("address-invalid", "from")),
        ({**LOOK, "form": "jinja"}, ("unknown-field", "form")),
    ]
    for refused, problem in wrong:
        answer = house.post("/v1/templates/preview", refused)
        assert (422, [problem]) == (answer.status, answer.problems())
    unusable = house.post("/v1/templates/preview", {"source": {"text": "<p>\n{% for %}</p>"}, "subject": "x"})
    assert (422, ["inline:2"]) == (unusable.status, [field for _, field in unusable.problems()])


def test_a_page_of_a_preview_runs_no_script(house: TemplateRoom) -> None:
    """As text/html the page comes alone, in a sandbox without scripts and frames."""
    source = {"text": HELLO + "<script>alert(1)</script>"}
    value = {"source": source, "variables": {"name": "<b>"}}
    answer = house.post("/v1/templates/preview", value, headers={"accept": "text/html, */*;q=0.1"})
    assert 200 == answer.status, answer.body
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert "sandbox" in policy.split("; ")
    assert "default-src 'none'" in policy
    assert "script" not in policy
    assert "nosniff" == answer.headers["x-content-type-options"]
    assert b"Hello &lt;b&gt;" in answer.body


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/json"),
        ("message/rfc822;q=0.5, text/html;q=0.4", "message/rfc822"),
        ("text/html;q=0.9, application/json", "application/json"),
        ("text/html;q=two", "application/json"),
        ("text/html;q=0", "application/json"),
        ("image/png", "application/json"),
        ("TEXT/HTML; charset=utf-8", "text/html"),
    ],
)
def test_the_form_of_a_preview_is_the_one_liked_best(house: TemplateRoom, accept: str, kind: str) -> None:
    """The Accept header chooses between JSON, the page and the bytes of the mail."""
    answer = house.post("/v1/templates/preview", LOOK, headers={"accept": accept})
    assert kind == answer.headers["content-type"].partition(";")[0]


def test_a_test_is_the_mail_with_a_tag(house: TemplateRoom) -> None:
    """What is sent to one address is what the preview shows, its tag apart; it goes to no second one."""
    answer = house.post(
        "/v1/templates/test",
        {"template": "welcome", "examples": True, "to": "kim@example.org"},
        headers={"prefer": "wait=20"},
    )
    assert (200, ["template-test"]) == (answer.status, answer.json()["tags"]), answer.body
    assert ("welcome", "Welcome Ann") == (answer.json()["template"]["name"], house.last()["subject"])
    many = house.post("/v1/templates/test", {**LOOK, "to": ["a@example.org", "b@example.org"]})
    assert [("limit-exceeded", "to")] == many.problems()
    assert [("missing-field", "to")] == house.post("/v1/templates/test", LOOK).problems()


def test_a_source_is_checked(house: TemplateRoom) -> None:
    """A source and a template of the catalogue are checked in the renderer; a broken one says its errors."""
    source = {"text": HELLO + '<img src="https://example.com/a.png"><a href="#">here</a>'}
    answer = house.post("/v1/templates/lint", {"source": source})
    assert 200 == answer.status, answer.body
    shown = answer.json()
    template_answers.LintAnswer.model_validate(shown)
    assert "inline" == shown["template"]
    assert "link-placeholder" in [one["code"] for one in shown["findings"]]
    assert len(shown["findings"]) == shown["errors"] + shown["warnings"] + shown["notes"]
    broken = house.post("/v1/templates/lint", {"source": {"text": "<x-nothing />"}}).json()
    assert broken["errors"] >= 1
    assert 0 == house.post("/v1/templates/lint", {"template": "postroom:receipt"}).json()["errors"]
    assert 0 == house.post("/v1/templates/lint", {"template": "welcome"}).json()["errors"]
    image = {"text": HELLO + '<img src="https://example.com/a.webp" alt="a" width="9">'}
    told = [
        house.post("/v1/templates/lint", {"source": image, "clients": clients}).json()["findings"]
        for clients in (["outlook.windows"], ["apple-mail"])
    ]
    assert [True, False] == ["client-image" in [one["code"] for one in found] for found in told]
    unknown = house.post("/v1/templates/lint", {"source": image, "clients": ["pine"]})
    assert [("client-unknown", "clients")] == unknown.problems()
    wrong = house.post("/v1/templates/lint", {"template": "welcom"})
    assert (422, "template-unknown") == (wrong.status, wrong.json()["code"])
    assert 422 == house.post("/v1/templates/lint", {}).status


def test_sources_of_requests_do_not_pile_up(house: TemplateRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many are compiled at a time; the next caller is told to come back, and mail is rendered."""
    catalogue = house.room.service.templates.catalogue
    compiled = catalogue.compiled

    async def go() -> list[int]:
        opened, begun = asyncio.Event(), asyncio.Semaphore(0)

        async def slowly(source: TemplateSource) -> CompiledTemplate:
            begun.release()
            await opened.wait()
            return await compiled(source)

        monkeypatch.setattr(catalogue, "compiled", slowly)
        value = {"source": {"text": HELLO}, "variables": {"name": "Kim"}}
        works = [
            asyncio.create_task(ask(house.app, "POST", "/v1/templates/preview", value=value, key=KEY))
            for _ in range(SOURCES_AT_ONCE)
        ]
        for _ in works:
            await begun.acquire()
        late = await ask(house.app, "POST", "/v1/templates/preview", value=value, key=KEY)
        mail = await ask(house.app, "POST", "/v1/templates/preview", value=LOOK, key=KEY)
        opened.set()
        return [late.status, mail.status, *(one.status for one in await asyncio.gather(*works))]

    assert [503, 200, *([200] * SOURCES_AT_ONCE)] == house.run(go())


names = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\u2028\u2029"), min_size=1, max_size=30
).filter(lambda text: text.strip() == text and "  " not in text)
words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=80)
WROTE = re.compile(rb"(?m)^(Message-ID|Date):.*\r\n(?:[ \t].*\r\n)*")
BOUNDARY = re.compile(rb'boundary="([^"]+)"')


def comparable(source: bytes) -> bytes:
    """Return a mail without what is made anew for each one: id, date and boundary."""
    found = BOUNDARY.search(source)
    assert found is not None
    return WROTE.sub(b"", source).replace(found[1], b"BOUNDARY")


LOUD = """---
subject: '@{{ name }}, @{{ name|upper }}'
preheader: '@{{ more }}'
---
<x-default><h1>@{{ name }}</h1>{% if more %}<p title="@{{ more }}">@{{ more }}</p>{% endif %}</x-default>"""
ROWS = """---
subject: '{% for c in name %}@{{ c }}{% endfor %}'
---
<table><tr><td>@{{ name }}</td>{% for one in more.split('e') %}<td>@{{ one }}</td>{% endfor %}</tr></table>"""
SOURCES = [HELLO + "<p>@{{ more }}</p>", LOUD, ROWS]


@settings(
    max_examples=settings().max_examples // 2, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(source=st.sampled_from(SOURCES), name=names, more=words)
def test_what_is_shown_is_what_is_sent(house: TemplateRoom, source: str, name: str, more: str) -> None:
    """Subject, text and HTML of a preview, its bytes, and what a mail server receives are the same."""
    value = {"source": {"text": source}, "variables": {"name": name, "more": more}, "from": "app@example.com"}
    value["to"] = "kim@example.org"
    shown = house.post("/v1/templates/preview", value)
    assert 200 == shown.status, shown.body
    written = house.post("/v1/templates/preview", value, headers={"accept": "message/rfc822"})
    sent = house.post("/v1/templates/test", value, headers={"prefer": "wait=20"})
    assert 200 == sent.status, sent.body
    received = house.peer.mails[-1].content
    assert comparable(written.body) == comparable(received)
    assert len(written.body) == shown.json()["size"]
    mail, preview = parsed(received), shown.json()
    assert preview["subject"] == mail["subject"]
    for kind, part in (("plain", "text"), ("html", "html")):
        assert preview[part].rstrip("\n") == body(mail, kind).replace("\r\n", "\n").rstrip("\n")
