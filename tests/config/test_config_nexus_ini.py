"""The INI file of a Nexus mail API."""

import pytest

from postroom.config.nexus_ini import NexusIni, parse_nexus_ini
from postroom.errors import ConfigError
from postroom.model.secret import Secret

DOCUMENT = """\
[api]
domain          = mail.example.com
api_port        = 8448
https           = no
cert_password   = 00112233445566778899AABBCCDDEEFF

[email]
smtp_url        = smtp://mx.example.com:587
smtp_username   = monitor@example.com
smtp_password   = a;b#c%d = e
from_mail       = nexus@example.com

[thread]
max_client      = 1024
"""
EXPECTED = NexusIni(
    domain="mail.example.com",
    api_port=8448,
    https=False,
    smtp_url=Secret("smtp://mx.example.com:587"),
    smtp_username="monitor@example.com",
    smtp_password=Secret("a;b#c%d = e"),
    from_mail="nexus@example.com",
    max_client=1024,
    warnings=("nexus.ini: cert_password is not used: the key file of tls_key has no password",),
)


@pytest.mark.parametrize(
    "data",
    [
        DOCUMENT.encode(),
        b"\xef\xbb\xbf" + DOCUMENT.encode(),
        DOCUMENT.replace("\n", "\r\n").encode(),
        ("; 설정\n# comment\n\n" + DOCUMENT).encode(),
        ("# 설정\n" + DOCUMENT).encode("cp949"),
        DOCUMENT.encode() + b"\n\n",
    ],
)
def test_the_file_as_it_is(data: bytes) -> None:
    """Marks, line ends, comments, blanks and the local character set change nothing."""
    assert parse_nexus_ini(data, name="nexus.ini") == EXPECTED


def test_empty_values_say_nothing() -> None:
    """A key without a value is as good as no key."""
    ini = parse_nexus_ini(b"[api]\ndomain =\napi_port\n[email]\nsmtp_password =\n", name="n.ini")
    assert ini == NexusIni()


@pytest.mark.parametrize(
    ("word", "meaning"), [("yes", True), ("YES", True), ("true", True), ("no", False), ("0", False)]
)
def test_https(word: str, meaning: bool) -> None:
    """Yes and no are read in the usual spellings."""
    assert meaning is parse_nexus_ini(f"[api]\nhttps = {word}\n".encode(), name="n.ini").https


def test_unknown_names_are_warnings_with_the_nearest() -> None:
    """The file is somebody else's: what is not known is told and passed over."""
    ini = parse_nexus_ini(b"[api]\napi_prot = 1\n[emial]\nsmtp_url = smtp://x\n", name="n.ini")
    assert ini.smtp_url is None
    assert ini.warnings == (
        "n.ini: an unknown key in [api] is ignored: api_prot; did you mean api_port?",
        "n.ini: an unknown section is ignored: emial; did you mean email?",
    )


def test_every_wrong_value_at_once() -> None:
    """Known keys with unusable values are errors, all of them told."""
    with pytest.raises(ConfigError) as caught:
        parse_nexus_ini(
            b"[api]\napi_port = 99999\nhttps = maybe\n[thread]\nmax_client = many\n", name="n.ini"
        )
    assert ["n.ini [api] api_port", "n.ini [api] https", "n.ini [thread] max_client"] == [
        problem.field for problem in caught.value.problems
    ]


@pytest.mark.parametrize(
    "data", [b"smtp_password = hunter2-secret\n", b"[email\nhunter2-secret\n", b"\x81\xff"]
)
def test_not_an_ini_file(data: bytes) -> None:
    """Syntax errors name the file and the line, never the line's content."""
    with pytest.raises(ConfigError) as caught:
        parse_nexus_ini(data, name="n.ini")
    assert caught.value.problems[0].field == "n.ini"
    assert "hunter2" not in f"{caught.value} {caught.value.problems!r}"


def test_a_wrapped_password_is_not_shown() -> None:
    """The rest of a password that went into the next line looks like a key; it is not repeated."""
    ini = parse_nexus_ini(b"[email]\nsmtp_password = abc\nhunter2-secret\nc2VjcmV0Cg==\n", name="n.ini")
    assert len(ini.warnings) == 2
    assert "hunter2" not in str(ini.warnings)
    assert "c2vj" not in str(ini.warnings).lower()
    with pytest.raises(ConfigError) as caught:
        parse_nexus_ini(b"[email]\nsmtp_password = abc\n  hunter2-secret\n", name="n.ini")
    assert caught.value.problems[0].cause == "goes over several lines"
    assert "hunter2" not in repr(caught.value.problems)
