"""``postroom transport-url`` in all its forms, and recipients as people part them."""

from pathlib import Path

import pytest

from cli.scripted_answers import ACCEPTED, Run
from cli.scripted_server import ScriptedServer
from postroom.schema.transport_body import read_body


@pytest.mark.parametrize(
    ("args", "url"),
    [
        (("--provider", "qq"), "provider+qq://app%40qq.com:a%2Fb%23c@"),
        (
            ("--provider", "qq", "--port", "587"),
            "smtp://app%40qq.com:a%2Fb%23c@smtp.qq.com:587?starttls=always",
        ),
        (
            ("--provider", "qq", "--host", "relay.example.com"),
            "smtps://app%40qq.com:a%2Fb%23c@relay.example.com:465?provider=qq",
        ),
        (
            ("--host", "mx.example.com", "--proxy", "socks5://pu:p%40w@proxy.example.com"),
            (
                "smtps://app%40qq.com:a%2Fb%23c@mx.example.com:465"
                "?proxy=socks5%3A%2F%2Fpu%3Ap%2540w%40proxy.example.com%3A1080"
            ),
        ),
    ],
)
def test_urls(postroom: Run, tmp_path: Path, args: tuple[str, ...], url: str) -> None:
    """Providers and proxies are written so that they are read back."""
    (tmp_path / "pw").write_text("a/b#c\n")
    found = postroom("transport-url", *args, "--user", "app@qq.com", "--password-file", "pw")
    assert (0, f"{url}\n") == found[:2]
    assert read_body({"url": url}).problems == ()


def test_what_is_odd_is_said_beside_the_url(postroom: Run, tmp_path: Path) -> None:
    """A port that the provider lacks is a warning on standard error, and the URL is there all the same."""
    (tmp_path / "pw").write_text("abcd efgh")
    args = ("--provider", "microsoft365", "--port", "465", "--user", "a@example.com", "--password-file", "pw")
    code, out, err = postroom("transport-url", *args)
    assert (0, True) == (code, out.startswith("smtps://a%40example.com:"))
    assert "no port 465" in err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--provider", "gmial"), "gmail"),
        (("--host", "mx.example.com", "--proxy", "ftp://x"), "--proxy"),
        (("--provider", "exchange-onprem"), "--host"),
    ],
)
def test_wrong_options(postroom: Run, args: tuple[str, ...], words: str) -> None:
    """What is wrong is told by its option, with what to do."""
    code, out, err = postroom("transport-url", *args)
    assert (2, "") == (code, out)
    assert words in err


def test_recipients_are_parted(postroom: Run, server: ScriptedServer) -> None:
    """Commas and semicolons of either width part recipients; a quoted name stays whole."""
    server.script["POST /v1/messages"] = (202, ACCEPTED)
    to = 'a@example.com; "B, C" <b@example.com>\uff0cc@example.com'
    code, _, _ = postroom(
        *("send", "--to", to, "--to", "d@example.com", "--cc", "e@example.com f@example.com"),
        *("--bcc", "g@example.com\uff1b", "--from", "x@example.com", "--message", "Hello"),
        url=server.url,
    )
    assert code == 0
    asked = server.asked[0].json
    assert asked["to"] == ["a@example.com", '"B, C" <b@example.com>', "c@example.com", "d@example.com"]
    assert asked["cc"] == ["e@example.com", "f@example.com"]
    assert asked["bcc"] == ["g@example.com"]
