"""Mail from templates through the doors: rendered before it is accepted, everything wrong at once."""

import difflib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from ingress.asgi_client import Answer
from ingress.template_room import VARIABLES, TemplateRoom, template_room
from postroom.ingress.http import filling
from postroom.schema import answers

WELCOME = {"to": "kim@example.org", "template": "welcome", "variables": VARIABLES}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TemplateRoom]:
    with template_room(tmp_path_factory.mktemp("use")) as room:
        yield room


def refused(answer: Answer) -> set[tuple[str, str]]:
    assert 422 == answer.status, answer.body
    return set(answer.problems())


def test_a_mail_from_a_template_is_sent_and_pinned(house: TemplateRoom) -> None:
    """The server gets subject, text and html as rendered; the message says what it was made from."""
    answer = house.send(
        template="welcome", variables=VARIABLES, locale="fr-CA", tags=["greeting"], metadata={"a": "b"}
    )
    assert 200 == answer.status, answer.body
    shown = answer.json()
    answers.MessageAnswer.model_validate(shown)
    assert ("welcome", "fr") == (shown["template"]["name"], shown["template"]["locale"])
    assert (["greeting"], {"a": "b"}, "Bienvenue Kim") == (shown["tags"], shown["metadata"], shown["subject"])
    mail = house.last()
    html, text = mail.get_body(("html",)), mail.get_body(("plain",))
    assert html is not None
    assert text is not None
    assert "Bienvenue Kim" == mail["subject"]
    assert "<p>Bonjour Kim, you have 3 letters.</p>" in html.get_content()
    assert "Bonjour Kim, you have 3 letters." == text.get_content().strip()
    assert shown["template"] == house.call("GET", f"/v1/messages/{shown['id']}").json()["template"]


def test_everything_wrong_is_told_at_once(house: TemplateRoom) -> None:
    """Missing, unknown and wrong variables stand beside wrong addresses and shapes; nothing is stored."""
    before = len(house.call("GET", "/v1/messages").json()["messages"])
    answer = house.post(
        "/v1/messages",
        {
            "to": ["nobody", "kim@example.org"],
            "cc": 5,
            "tags": "no list",
            "html": "<p>mine</p>",
            "template": "welcome",
            "variables": {"user": {"nam": "Kim"}, "count": "many", "colour": "red"},
        },
    )
    assert {
        ("variable-missing", "variables.user.name"),
        ("variable-type", "variables.count"),
        ("variable-unknown", "variables.colour"),
        ("address-invalid", "to.0"),
        ("wrong-type", "cc"),
        ("wrong-type", "tags"),
        ("html-with-template", "html"),
    } == refused(answer)
    assert before == len(house.call("GET", "/v1/messages").json()["messages"])


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"template": "welcom"}, ("template-unknown", "template")),
        ({"template": "x{__import__('os')}.html"}, ("template-name", "template")),
        ({"template": "welcome@7"}, ("template-unknown", "template")),
        ({"template": 5}, ("wrong-type", "template")),
        ({"variables": [1]}, ("wrong-type", "variables")),
        ({"locale": "not a tag"}, ("locale", "locale")),
        (
            {"variables": {**VARIABLES, "user": {"name": "a\0b"}}},
            ("control-character", "variables.user.name"),
        ),
        (
            {"variables": {**VARIABLES, "user": {"name": "\ud800"}}},
            ("control-character", "variables.user.name"),
        ),
        (
            {"variables": {**VARIABLES, "user": {"name": "Kim\r\nBcc: eve@example.net"}}},
            ("control-character", "variables.user.name"),
        ),
        ({"variables": {"user": {"name": None}, "count": 1}}, ("variable-missing", "variables.user.name")),
        ({"template": None}, ("template-missing", "variables")),
        ({"template": None, "variables": None, "locale": "fr"}, ("template-missing", "locale")),
        ({"variables": {**VARIABLES, "user": {"name": "k" * 300_000}}}, ("limit-exceeded", "variables")),
        ({"variables": {"user": {"name": "k" * 1000}, "count": 1}}, ("too-long", "subject")),
    ],
)
def test_what_cannot_be_rendered_is_refused_by_name(
    house: TemplateRoom, change: dict[str, Any], problem: tuple[str, str]
) -> None:
    """Each wrong template, variable and locale is 422 with its own code and path."""
    value = {name: one for name, one in {**WELCOME, **change}.items() if one is not None}
    assert {problem} == refused(house.post("/v1/messages", value))


def test_a_global_that_nobody_set_is_refused_where_it_is_printed(house: TemplateRoom) -> None:
    """A heading with a hole is never sent; what stands under a test of it is left out."""
    card = (
        '<x-default><x-card title="T"><p>{% if _product_name %}@{{ _product_name }}{% endif %}x</p></x-card>'
    )
    for title, expected in (("T", 200), ("Welcome to @{{ _product_name }}!", 422)):
        text = f"---\nsubject: S\n---\n{card.replace('T', title, 1)}</x-default>"
        answer = house.post("/v1/templates/preview", {"source": {"text": text}, "examples": True})
        assert expected == answer.status
        if answer.status == 422:
            assert {("variable-missing", "variables._product_name")} == refused(answer)
        else:
            assert "<img" not in answer.json()["html"]


def test_an_unknown_template_names_the_nearest(house: TemplateRoom) -> None:
    """The fix of an unknown name has the nearest known one, and not all that are of the same package."""
    answer = house.post("/v1/messages", {**WELCOME, "template": "welcom"})
    assert "Did you mean welcome" in answer.json()["errors"][0]["fix"]
    answer = house.post("/v1/messages", {**WELCOME, "template": "postroom:pasword-reset"})
    assert "Did you mean postroom:password-reset?" == answer.json()["errors"][0]["fix"]


def test_many_templates_do_not_make_unknown_names_dear(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a thousand names only the most alike are compared letter by letter, and once for equal questions."""
    compared: list[int] = []
    nearest = difflib.get_close_matches

    def counting(word: str, names: list[str], n: int) -> list[str]:
        compared.append(len(names))
        return nearest(word, names, n)

    monkeypatch.setattr(difflib, "get_close_matches", counting)
    names = tuple(f"letter-{number}-of-the-thousand-that-somebody-stored" for number in range(1000))
    for _ in range(2):
        assert [names[789]] == list(
            filling._nearest("leter-789-of-the-thousand-that-somebody-stored", names)
        )[:1]
    assert [20] == compared


def test_a_callers_subject_and_text_go_first(house: TemplateRoom) -> None:
    """His own subject and text stand in the mail, empty ones are those of the template, html is its own."""
    assert 200 == house.send(**WELCOME, subject="Mine", text="My words.", html="").status
    mail = house.last()
    text = mail.get_body(("plain",))
    assert text is not None
    assert ("Mine", "My words.") == (mail["subject"], text.get_content().strip())
    assert 200 == house.send(**WELCOME, subject="", text=None, html=None).status
    assert "Welcome Kim" == house.last()["subject"]
    wrong = house.post("/v1/messages", {**WELCOME, "subject": 5, "text": "a\0"})
    assert {("wrong-type", "subject"), ("control-character", "text")} == refused(wrong)
    assert not any("rendered" in one["cause"] for one in wrong.json()["errors"])


def test_a_form_with_files_takes_a_template(house: TemplateRoom) -> None:
    """As multipart the same fields mean the same; when a variable lacks, no file stays."""

    def form(message: object) -> bytes:
        head = b'--b\r\nContent-Disposition: form-data; name="'
        file = head + b'file"; filename="a.bin"\r\n\r\n\x00\x01\r\n--b--\r\n'
        return head + b'message"\r\n\r\n' + json.dumps(message).encode() + b"\r\n" + file

    headers = {"content-type": "multipart/form-data; boundary=b", "prefer": "wait=20"}
    message = {**WELCOME, "attachments": [{"upload": "file"}]}
    answer = house.call("POST", "/v1/messages", body=form(message), headers=headers)
    assert 200 == answer.status, answer.body
    (attachment,) = house.last().iter_attachments()
    assert b"\x00\x01" == attachment.get_payload(decode=True)
    lacking = house.call("POST", "/v1/messages", body=form({**message, "variables": {}}), headers=headers)
    assert {("variable-missing", "variables.user"), ("variable-missing", "variables.count")} == refused(
        lacking
    )


def test_template_signs_in_values_and_plain_mail_stay_as_they_are(house: TemplateRoom) -> None:
    """Braces in a variable are printed, escaped in the HTML alone; without a template nothing is rendered."""
    tricky = "{{ 7*7 }}{% raw %}<b>"
    assert 200 == house.send(template="welcome", variables={"user": {"name": tricky}, "count": 1}).status
    mail = house.last()
    html = mail.get_body(("html",))
    assert html is not None
    assert f"Welcome {tricky}" == mail["subject"]
    assert "{{ 7*7 }}{% raw %}&lt;b&gt;" in html.get_content()
    literal = "Price {{ 5 }} {% off %}"
    assert 200 == house.send(subject=literal, text=literal).status
    text = house.last().get_body(("plain",))
    assert text is not None
    assert (literal, literal) == (house.last()["subject"], text.get_content().strip())


def test_a_repeat_is_the_same_mail_after_a_new_version(house: TemplateRoom) -> None:
    """Under one key the same template and variables are one mail, whatever the template became since."""
    source = {"text": "---\nsubject: First\n---\n<p>@{{ name }}</p>"}
    stored = house.post("/v1/templates", {"name": "versioned", "variants": {"en": source}})
    assert 201 == stored.status, stored.body
    mail = {
        "to": "kim@example.org",
        "template": "versioned",
        "variables": {"name": "Kim"},
        "idempotency_key": "v-1",
    }
    first = house.post("/v1/messages", mail)
    source = {"text": "---\nsubject: Second\n---\n<p>@{{ name }} @{{ more }}</p>"}
    assert 201 == house.post("/v1/templates", {"name": "versioned", "variants": {"en": source}}).status
    for change in ({}, {"template": "versioned@1"}, {"subject": ""}):
        again = house.post("/v1/messages", {**mail, **change})
        assert (202, first.json()["id"]) == (again.status, again.json()["id"]), change
        assert "true" == again.headers["idempotency-replayed"]
    other = {**mail, "template": "versioned@1", "variables": {"name": "Lee"}}
    assert {("idempotency-key-reused", "variables")} == refused(house.post("/v1/messages", other))
    french = {**mail, "template": "versioned@1", "locale": "fr"}
    assert {("idempotency-key-reused", "locale")} == refused(house.post("/v1/messages", french))
    new = {**mail, "idempotency_key": "v-2"}
    assert {("variable-missing", "variables.more")} == refused(house.post("/v1/messages", new))


def test_a_batch_shares_its_defaults_and_fails_by_item(house: TemplateRoom) -> None:
    """Variables are merged, one item's failure is its own, and many go at once."""
    defaults = {
        "template": "welcome",
        "variables": {"count": 7, "user": {"name": "Nobody"}},
        "tags": ["batch"],
    }
    items: list[Any] = [
        {"to": f"k{number}@example.org", "variables": {"user": {"name": f"K{number}"}}}
        for number in range(60)
    ]
    items[1] = {"to": "k1@example.org", "variables": {"colour": "red"}}
    items[2] = {"to": "wrong", "variables": {"count": "x"}}
    items[3] = {"to": "k3@example.org", "template": None, "subject": "Plain", "text": "Plain."}
    items[4] = "no mail"
    answer = house.post("/v1/messages/batch", {"defaults": defaults, "messages": items})
    assert 207 == answer.status, answer.body
    shown = answer.json()
    assert (57, 3) == (shown["accepted"], shown["refused"])
    wrong = [
        {(one["code"], one["field"]) for one in shown["messages"][number]["problem"]["errors"]}
        for number in (1, 2)
    ]
    assert [
        {("variable-unknown", "variables.colour")},
        {("address-invalid", "to"), ("variable-type", "variables.count")},
    ] == wrong
    subjects = {
        number: house.call("GET", f"/v1/messages/{shown['messages'][number]['id']}").json()["subject"]
        for number in (0, 3, 59)
    }
    assert {0: "Welcome K0", 3: "Plain", 59: "Welcome K59"} == subjects
    for name in ("idempotency_key", "attachments"):
        refusal = house.post("/v1/messages/batch", {"defaults": {name: "x"}, "messages": [{}]})
        assert {("no-default", f"defaults.{name}")} == refused(refusal)


def test_other_doors_do_not_render(house: TemplateRoom) -> None:
    """What a template would be is explained; the App Builder door knows no templates."""
    explained = house.post("/v1/explain", WELCOME)
    assert 200 == explained.status, explained.body
    assert explained.json()["size"] > 500
    assert ("welcome", "en") == tuple(explained.json()["template"][name] for name in ("name", "locale"))
    assert {("variable-missing", "variables.user"), ("variable-missing", "variables.count")} == refused(
        house.post("/v1/explain", {**WELCOME, "variables": {}})
    )
    other = house.post("/app-builder/send", {"to": "kim@example.org", "template": "welcome"})
    assert other.status in {400, 422}


def test_a_key_may_only_send_as_its_senders(house: TemplateRoom) -> None:
    """A mail from a template is bound to the senders of the key like any other, a test as well."""
    key = house.key("send", senders=("shop@example.com",))
    value = {**WELCOME, "from": "app@example.com"}
    assert {("sender-not-allowed", "from")} == refused(house.post("/v1/messages", value, key=key))
    assert {("sender-not-allowed", "from")} == refused(house.post("/v1/templates/test", value, key=key))
