"""The egress guard: spellings of hosts, one resolution, all answers, the address that was checked."""

import asyncio
import re
import socket
from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

import httpx2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from attacks.attack_room import inputs, rows
from each_row import each
from net.wires import fault_of
from postroom.net.addresses import SocketAddress
from postroom.net.destination import DestinationError, parse_url
from postroom.net.guard import CAUSE, SETTING, Guard, is_own
from postroom.net.networks import why_forbidden

URL_ROWS = [one for one in rows() if one["surface"] == "fetch.url"]


class ScriptedResolver:
    """Answers each question with the next list of addresses; counts the questions."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int, *, timeout_s: float) -> Sequence[SocketAddress]:
        assert timeout_s > 0
        self.asked.append(host)
        answer = self._answers.pop(0)
        return [
            SocketAddress(socket.AF_INET6 if ":" in text else socket.AF_INET, text, port) for text in answer
        ]


def addresses(guard: Guard, host: str = "rebind.test") -> Sequence[SocketAddress]:
    return asyncio.run(guard.addresses(host, 443, timeout_s=5))


@each("one", URL_ROWS)
def test_attack_urls_are_refused_before_a_name_is_resolved(one: dict[str, object]) -> None:
    """Every attack URL that names a host we never call is refused from its text alone."""
    guard = Guard(resolve=ScriptedResolver())

    assert all(guard.problem_with(text) for text in inputs(one))


@each(
    "host",
    [
        "0", "0.0.0.0", "1", "127.1", "127.0.1", "127.0.0.1.", "2130706433", "017700000001", "0x7f000001",
        "0x7f.0.0.1", "0177.0.0.1", "127.0.0.01", "127.0.0.256", "127.0.0.1.1", "1.2.3", "256.1",
        "0X7F000001", "\u2460\u2461\u2466.0.0.1", "\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021",
        "127.0.0.1%00", "localhost.", "example.com.", "exa mple.com", "exam\tple.com",
        "exa\u00adm\u200bple.com", "-example.com", "example-.com", "a..b", ".example.com", "", "[::1",
        "::1", "[::1]x", "[::1%25eth0]", "[fe80::1%eth0]", "[v1.x]", "[127.0.0.1]", "[1::2::3]",
        "[::ffff:127.0.0.1]", "user@example.com", "good.test:pw@evil.test", "good.test\\", "good.test\x00",
        "good.test\n", "under_score.test", f"{'x' * 64}.test", f"{'x.' * 127}test", "example.123",
        "example.0x1", "*.example.com", "example.com:80:80", "example.com:", "example.com:+80",
        "example.com:0", "example.com:22", "example.com:25", "example.com:6379", "example.com:65536",
        "example.com:99999", "example.com: 80", "example.com:\u0668\u0660", "\u202eexample.com",
        "xn--\u00fc.test", "[::1]:22", "%31%32%37.0.0.1",
    ],
)  # fmt: skip
def test_odd_hosts_are_refused(host: str) -> None:
    """A spelling that two programs could read in two ways is not read at all."""
    guard = Guard(resolve=ScriptedResolver())

    assert guard.problem_with(f"http://{host}/")


@pytest.mark.parametrize(
    ("url", "host", "port", "target"),
    [
        ("https://example.com", "example.com", 443, "/"),
        ("HTTP://EXAMPLE.com:8080/a/b?c=%20d&e", "example.com", 8080, "/a/b?c=%20d&e"),
        ("https://example.com?x", "example.com", 443, "/?x"),
        ("https://b\u00fccher.example/", "xn--bcher-kva.example", 443, "/"),
        ("http://intranet:5678/hook", "intranet", 5678, "/hook"),
        ("http://8.8.8.8/", "8.8.8.8", 80, "/"),
        ("http://[2606:4700:0::1111]:8443/", "2606:4700::1111", 8443, "/"),
    ],
)
def test_plain_urls_are_read(url: str, host: str, port: int, target: str) -> None:
    """A plain URL is taken, its host in lower case and A-labels."""
    read = parse_url(url)

    assert (host, port, target) == (read.host, read.port, read.target)
    assert "" == Guard().problem_with(url)


@each(
    "url",
    [
        "", "example.com", "//example.com/", "https:/example.com", "https:example.com",
        "file:///etc/passwd", "ftp://example.com/", "javascript:alert(1)", "https://example.com/#x",
        "https://example.com/a b", "https://example.com/\u00fc", "https://example.com/%zz",
        "https://example.com/\r\nX: 1", "https://example.com/\\", "https://example.com/<x>",
        " https://example.com/", "https://example.com/ ", "https://\nexample.com/",
        f"https://example.com/{'x' * 2048}",
    ],
)  # fmt: skip
def test_odd_urls_are_refused(url: str) -> None:
    """Other schemes, blanks, line ends, fragments and raw characters are refused, never repaired."""
    with pytest.raises(DestinationError):
        parse_url(url)


@given(st.text(min_size=1, max_size=40), st.booleans())
def test_what_is_read_is_a_name_or_an_address_that_passes(text: str, is_tls: bool) -> None:
    """Whatever the text, a host that is taken is LDH or canonical, and never an address that is refused."""
    url = f"{'https' if is_tls else 'http'}://{text}/"
    if Guard().problem_with(url):
        return
    host = parse_url(url).host

    assert re.fullmatch(r"[a-z0-9.\-]+|[0-9a-f:]+", host)
    assert not host.endswith(".")
    if ":" in host or host.replace(".", "").isdigit():
        assert "" == why_forbidden(ip_address(host))


@given(st.text("abx0179.:/@\\#?[]%-_ \t\nAX\u2461\uff0e", min_size=1, max_size=30))
@example("good.test\\@127.0.0.1/")
@example("a.b:80@c.d/")
@example("[::1]:8080/x?y")
@example("a0.x:8080?x@b.a/")
@example("b\u00fccher.example/")
@example("0\uff0eA")
def test_other_parsers_see_the_same_host(text: str) -> None:
    """A URL that is taken leads to the same host and port for two parsers that others wrote."""
    url = f"http://{text}"
    try:
        read = parse_url(url)
    except DestinationError:
        return
    client, split = httpx2.URL(url), urlsplit(url)

    assert (read.host, read.port) == (client.raw_host.decode("ascii"), client.port or 80)
    if url.isascii():
        assert (read.host, read.port) == (split.hostname, split.port or 80)


@pytest.mark.parametrize(
    "answers",
    [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["8.8.8.8", "::1"], ["::ffff:10.0.0.1"], ["fe80::1%lo"]],
)
def test_every_answer_must_pass(answers: list[str]) -> None:
    """One address that may not be called refuses the name (SSR-040, SSR-042), and the setting is named."""
    resolver = ScriptedResolver(answers)
    fault = asyncio.run(fault_of_addresses(Guard(resolve=resolver)))

    assert CAUSE == fault[0]
    assert SETTING in fault[1]


async def fault_of_addresses(guard: Guard) -> tuple[str | None, str]:
    failure = await fault_of(guard.addresses("rebind.test", 443, timeout_s=5))
    return failure.fault.cause, failure.fault.text


def test_a_name_is_resolved_once() -> None:
    """The answer that was checked is the one that is returned; no second question is asked (SSR-041)."""
    resolver = ScriptedResolver(["8.8.8.8"], ["127.0.0.1"])

    assert ["8.8.8.8:443"] == [str(one) for one in addresses(Guard(resolve=resolver))]
    assert ["rebind.test"] == resolver.asked


def test_allowed_networks_open_an_intranet() -> None:
    """A network of the operator passes, and nothing beside it."""
    guard = Guard(["10.1.0.0/16"], resolve=ScriptedResolver(["10.1.2.3"], ["10.2.0.1"]))

    assert ["10.1.2.3:443"] == [str(one) for one in addresses(guard)]
    assert CAUSE == asyncio.run(fault_of_addresses(guard))[0]
    assert "" == guard.problem_with("http://10.1.0.9:8000/")
    assert SETTING in guard.problem_with("http://10.2.0.9:8000/")


def test_an_address_is_not_resolved() -> None:
    """A host that is an address is judged and used as it is."""
    assert ["[2606:4700::1111]:443"] == [
        str(one) for one in addresses(Guard(resolve=ScriptedResolver()), "2606:4700::1111")
    ]


def test_networks_that_are_none_are_refused() -> None:
    """A wrong setting is an error at start, never an open guard."""
    with pytest.raises(ValueError, match=r"10\.0\.0\.1/8"):
        Guard(["10.0.0.1/8"])


def test_real_names_of_this_machine_are_refused() -> None:
    """The system's resolver is asked, and its answer judged: localhost is loopback."""
    assert CAUSE == asyncio.run(fault_of_addresses_of("localhost"))


async def fault_of_addresses_of(host: str) -> str | None:
    return (await fault_of(Guard().addresses(host, 443, timeout_s=5))).fault.cause


def test_this_machine_is_not_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that leads to an address of this machine is refused where mail would go round (SSR-055)."""
    assert (True, False) == (is_own("127.0.0.1"), is_own("192.0.2.1"))
    monkeypatch.setattr("postroom.net.guard.is_own", {"8.8.8.8"}.__contains__)

    async def scenario() -> None:
        guard = Guard(resolve=ScriptedResolver(["8.8.4.4"], ["8.8.4.4", "8.8.8.8"]))
        assert 1 == len(await guard.addresses_elsewhere("mx.test", 587, timeout_s=5))
        failure = await fault_of(guard.addresses_elsewhere("mx.test", 587, timeout_s=5))
        assert (CAUSE, True) == (failure.fault.cause, "8.8.8.8 is this machine" in failure.fault.text)
        allowed = Guard(["8.8.8.0/24"], resolve=ScriptedResolver(["8.8.8.8"]))
        assert 1 == len(await allowed.addresses_elsewhere("mx.test", 587, timeout_s=5))

    asyncio.run(scenario())
