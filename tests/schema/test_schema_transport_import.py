"""Files of transports."""

import json

import pytest

from each_row import each
from postroom.errors import ConfigError
from postroom.schema.transport_body import read_body
from postroom.schema.transport_import import MAX_IMPORT, read_import

HAP = {
    "signature": "Acme",
    "fromAddress": "app@example.com",
    "server": "mx.example.com",
    "port": 465,
    "enableSsl": True,
}


@pytest.mark.parametrize(
    ("text", "name", "count"),
    [
        (json.dumps(HAP), "hap.json", 1),
        (json.dumps([HAP, HAP]), "hap.json", 2),
        (json.dumps({"transports": [HAP]}), "x.json", 1),
        ('// an account\n{"host": "mx.example.com", // here\n "subject_prefix": "[a//b] "}', "x.json", 1),
        ('[[transports]]\nhost = "a.example.com"\n[[transports]]\nhost = "b.example.com"', "x.toml", 2),
        ('smtp.server.host = "mx.example.com"\nsmtp.server.port = "465"', "tapdata.toml", 1),
        ("\ufeff" + json.dumps(HAP), "bom.json", 1),
    ],
)
def test_forms(text: str, name: str, count: int) -> None:
    """One or several, JSON with comments or TOML: each description can be read."""
    found = read_import(text.encode(), name=name)
    assert count == len(found)
    for body in found:
        assert read_body(body).problems == ()


def test_a_comment_mark_inside_text_is_kept() -> None:
    """Only what stands outside of quotes is a comment."""
    (body,) = read_import(b'{"subject_prefix": "a//b", "host": "x"} // end', name="x.json")
    assert body["subject_prefix"] == "a//b"


def test_the_settings_of_tapdata() -> None:
    """Records with keys become one account; others are left out, and a missing value takes its default."""
    records = [
        {"category": "SMTP", "key": "smtp.server.host", "value": "mx.example.com", "default_value": ""},
        {"category": "SMTP", "key": "email.server.tls", "value": None, "default_value": "SSL"},
        {"category": "Log", "key": "logLevel", "value": "info"},
    ]
    (body,) = read_import(json.dumps(records).encode(), name="settings.json")
    assert body == {"smtp.server.host": "mx.example.com", "email.server.tls": "SSL"}


@each(
    ("data", "name"),
    [
        (b"\xff\xfe", "x.json"),
        (b'{"password": "s3cret-word"', "x.json"),
        (b'password = "s3cret-word', "x.toml"),
        (b"[]", "x.json"),
        (b"[1]", "x.json"),
        (b"3", "x.json"),
        (b'[{"key": "logLevel"}]', "x.json"),
        (b"[" * 100_000, "x.json"),
        (b" " * (MAX_IMPORT + 1), "x.json"),
    ],
)
def test_other_files(data: bytes, name: str) -> None:
    """What holds no transport is refused by the file's name, without a word of its content."""
    with pytest.raises(ConfigError) as caught:
        read_import(data, name=name)
    assert [("import-file", name)] == [(problem.code, problem.field) for problem in caught.value.problems]
    assert "s3cret-word" not in str(caught.value) + repr(caught.value.problems)
