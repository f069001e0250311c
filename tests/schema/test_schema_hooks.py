"""Webhook transports as people describe them, and mappings."""

from typing import Any

import pytest

from each_row import each
from egress.hook_works import content, posted
from postroom.errors import ConfigError
from postroom.model.secret import Secret
from postroom.model.transport import HookForm, TransportKind, TransportOrigin
from postroom.policy.hook_mail import HookFile, HookMail, unique_names
from postroom.policy.hook_mapped import mapped_body, needs_contents, needs_links
from postroom.schema.hook_mapping import PROFILES, mapping_problems, profile, read_mapping
from postroom.schema.transport_body import read_body
from postroom.schema.transport_changes import patch_of
from postroom.schema.transport_secrets import join_secrets, shown_transport, split_secrets
from postroom.schema.transport_spec import ReadTransport, Setting
from postroom.schema.transport_url import parse_transport_url

URL = "https://api.example.com/mail?to=x"
SIGNING = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="


def read(**fields: Any) -> Any:
    return read_body({"name": "hook", "from": "a@example.com", **fields})


def codes(**fields: Any) -> set[tuple[str, str]]:
    return {(problem.code, problem.field) for problem in read(**fields).problems}


@pytest.mark.parametrize(
    "fields",
    [{"kind": "webhook", "url": URL}, {"url": f"hap+{URL}"}, {"kind": "webhook", "url": f"HAP+{URL}"}],
)
def test_every_form_of_the_url_is_one_webhook(fields: dict[str, Any]) -> None:
    """Written with ``kind``, by its scheme, or both."""
    spec = read(**fields).spec
    assert TransportKind.WEBHOOK is spec.kind
    assert (URL, HookForm.HAP, 30.0, 1000) == (
        spec.hook.url,
        spec.hook.form,
        spec.hook.timeout_s,
        spec.max_recipients,
    )


@each(
    ("fields", "expected"),
    [
        ({"kind": "webhook"}, {("webhook-url", "url")}),
        ({"kind": "webhook", "url": "smtp://mail.example.com"}, {("webhook-url", "url")}),
        ({"kind": "webhook", "url": "https://u:secret@example.com/"}, {("webhook-url", "url")}),
        ({"kind": "webhook", "url": "https://example.com/#x"}, {("webhook-url", "url")}),
        ({"kind": "webhook", "url": "https:///x"}, {("url-host", "url")}),
        ({"url": URL}, {("uri-scheme-unknown", "url")}),
        ({"kind": "smtp", "url": "capture:"}, {("transport-kind", "kind")}),
        ({"url": "smtp://mail.example.com", "form": "hap"}, {("webhook-field", "form")}),
        ({"kind": "webhook", "url": URL, "username": "a"}, {("webhook-field", "username")}),
        ({"kind": "webhook", "url": URL, "mapping": "nexsus"}, {("webhook-mapping", "mapping")}),
        ({"kind": "webhook", "url": URL, "form": "mapped"}, {("webhook-mapping", "mapping")}),
        (
            {"kind": "webhook", "url": URL, "form": "hap", "mapping": "hap"},
            {("webhook-mapping", "mapping")},
        ),
        ({"kind": "webhook", "url": URL, "mapping_file": "/etc/x"}, {("file-not-here", "mapping_file")}),
        ({"kind": "webhook", "url": URL, "headers": {"Host": "x"}}, {("webhook-mapping", "headers.Host")}),
        ({"kind": "webhook", "url": URL, "headers": {"A": "x\r\nB: y"}}, {("webhook-mapping", "headers.A")}),
        ({"kind": "webhook", "url": URL, "headers": {"A": "*****"}}, {("secret-missing", "headers.A")}),
        ({"kind": "webhook", "url": URL, "signing_secret": "abc"}, {("signing-secret", "signing_secret")}),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, Any], expected: set[tuple[str, str]]) -> None:
    """Each mistake has its code and its field."""
    assert expected == codes(**fields)


def test_a_scheme_alone_says_how_a_webhook_is_written() -> None:
    """An https URL where an account stands is answered with the form of a webhook."""
    with pytest.raises(ConfigError) as found:
        parse_transport_url(URL, field="url")
    assert "hap+https" in found.value.problems[0].fix


def test_secrets_are_apart_and_come_together() -> None:
    """Values of headers and the signing secret are hidden, stored by path, and put back for ``*****``."""
    body = {
        "name": "h",
        "kind": "webhook",
        "url": URL,
        "headers": {"X.Key": "one"},
        "signing_secret": SIGNING,
    }
    fields, secrets = split_secrets(body)
    assert {"headers.X.Key": Secret("one"), "signing_secret": Secret(SIGNING)} == secrets
    assert ({"X.Key": "*****"}, "*****") == (fields["headers"], fields["signing_secret"])
    assert body == join_secrets(fields, secrets)


def test_what_is_shown_is_read_again() -> None:
    """The shown form of a webhook, its secrets given back, is the same webhook."""
    spec = read(kind="webhook", url=URL, headers={"X-Key": "one"}, signing_secret=SIGNING, timeout=5).spec
    shown = shown_transport(spec)
    assert "one" not in str(shown)
    assert SIGNING not in str(shown)
    secrets = {"headers.X-Key": Secret("one"), "signing_secret": Secret(SIGNING)}
    again = read_body(join_secrets(shown, secrets))
    assert again.spec is not None
    assert spec == again.spec


def test_a_patch_shows_no_header() -> None:
    """The lines for the settings file name a header, and hide its value."""
    spec = read_body(
        {"name": "hook", "kind": "webhook", "url": URL, "from": "a@example.com"},
        setting=Setting(origin=TransportOrigin.FILE),
    ).spec
    assert spec is not None
    lines = patch_of(spec, {"headers": {"X-Key": "the-secret"}, "signing_secret": SIGNING})
    assert '"X-Key" = "*****"' in lines
    assert "the-secret" not in lines
    assert SIGNING not in lines


@pytest.mark.parametrize("name", PROFILES)
def test_shipped_mappings_are_right(name: str) -> None:
    """Every profile passes the checks."""
    assert [] == list(mapping_problems(profile(name), field="mapping"))


@each(
    ("mapping", "places"),
    [
        ({}, {"m.body"}),
        ({"body": {"a": "$nothing"}}, {"m.body.a"}),
        ({"body": {"a": {"b": "${subjct}"}}}, {"m.body.a.b"}),
        ({"body": {"a": "$address"}}, {"m.body.a"}),
        ({"body": {"a": {"$each": "subject", "as": "x"}}}, {"m.body.a"}),
        ({"body": {"a": {"$each": "to"}}}, {"m.body.a.as"}),
        ({"body": {"a": {"$each": "to", "as": "$url"}}}, {"m.body.a.as"}),
        ({"body": {"a": {"$field": "to", "join": 1}}}, {"m.body.a.join"}),
        ({"body": {"a": {"$field": "to", "form": "x"}}}, {"m.body.a.form"}),
        ({"body": {"a": {"$field": "to", "glue": ","}}}, {"m.body.a.glue"}),
        ({"content": "form", "body": {"a": {"b": "c"}}}, {"m.body.a"}),
        ({"content": "xml", "body": {"a": "b"}}, {"m.content"}),
        ({"body": {"a": "b"}, "success": {"member": "x"}}, {"m.success.equals"}),
        ({"body": {"a": "b"}, "success": {"member": "x", "equals": [200]}}, {"m.success.equals"}),
        ({"body": {"a": "b"}, "headers": {"Webhook-Id": "x"}}, {"m.headers.Webhook-Id"}),
        ({"body": {"a": "b"}, "bodi": 1}, {"m.bodi"}),
    ],
)
def test_each_mistake_in_a_mapping_has_its_place(mapping: dict[str, Any], places: set[str]) -> None:
    """The problem's field leads to the member."""
    assert places == {problem.field for problem in mapping_problems(mapping, field="m")}


@pytest.mark.parametrize(
    ("data", "is_good"),
    [
        (b'[body]\nto = "$to"\n', True),
        (b'\xef\xbb\xbf[body]\nto = "$to"\n', True),
        (b"[body", False),
        (b"\xff", False),
        (b"x" * 70000, False),
    ],
)
def test_a_file_is_read_or_refused(data: bytes, is_good: bool) -> None:
    """TOML in UTF-8, bounded."""
    _, problems = read_mapping(data, name="m.toml", field="mapping_file")
    assert is_good == (not problems)


def mail() -> HookMail:
    from_content = content(text="t", in_reply_to="1@example.com")
    return HookMail(
        id=posted().message_id,
        message_id=from_content.message_id,
        date=from_content.date,
        from_=from_content.from_,
        to=from_content.to,
        cc=from_content.cc,
        subject="hello",
        text="t",
        html='<img src="cid:x">',
        in_reply_to="1@example.com",
        files=(HookFile(name="a.txt", content_type="text/plain", url="https://l/1", content_id="x"),),
    )


def test_a_mapping_makes_constants_fields_lists_and_objects() -> None:
    """The page's features, each in one body."""
    body = {
        "n": 1,
        "price": "$$5",
        "subject": "[x] ${subject}",
        "list": "$to",
        "text": {"$field": "to", "join": "; ", "form": "angle"},
        "people": {"$each": "recipients", "as": {"email": "$address", "of": "$subject"}},
        "files": {"$each": "attachments", "key": "$name", "as": {"data": "$content"}},
        "empty": "$sender",
        "html": "$body",
    }
    mapping = {"body": body, "omit_empty": True}
    assert needs_contents(mapping)
    assert not needs_links(mapping)
    made = mapped_body(mapping, mail(), [b"hi"])
    assert (
        '{"n":1,"price":"$5","subject":"[x] hello","list":["to@example.net"],"text":"<to@example.net>",'
        '"people":[{"email":"to@example.net","of":"hello"},{"email":"cc@example.net","of":"hello"}],'
        '"files":{"a.txt":{"data":"aGk="}},"html":"<img src=\\"cid:x\\">"}'
    ) == made.data.decode()


def test_a_form_and_a_multipart_body_are_written() -> None:
    """Both carry texts; the multipart one carries the files."""
    form = mapped_body({"content": "form", "body": {"to": "$to", "ok": "$is_html"}}, mail(), [])
    assert b"to=to%40example.net&ok=true" == form.data
    parts = mapped_body({"content": "multipart", "files": "f", "body": {"to": "$to"}}, mail(), [b"hi"])
    assert parts.content_type.startswith("multipart/form-data; boundary=postroom-")
    assert b'name="to"\r\n\r\nto@example.net\r\n' in parts.data
    assert b'name="f"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\nhi\r\n' in parts.data


def test_names_are_made_unique_and_keep_their_suffix() -> None:
    """Each name once, whatever stands there already."""
    assert ["a.pdf", "a (2).pdf", "a (3).pdf", "b", "b (2)", ".x", ".x (2)"] == unique_names(
        ["a.pdf", "a.pdf", "a.pdf", "b", "b", ".x", ".x"]
    )
    assert ["a.pdf", "a (3).pdf", "a (2).pdf"] == unique_names(["a.pdf", "a.pdf", "a (2).pdf"])


def test_what_is_locked_is_described_without_its_secrets() -> None:
    """A stored webhook whose secrets cannot be read is still shown."""
    fields = {"name": "h", "kind": "webhook", "url": URL, "headers": {"A": "*****"}}
    found: ReadTransport | Any = read_body(fields, setting=Setting(is_locked=True))
    assert found.spec is not None
