"""Files of one's own: what they add and change, and what is said of wrong ones."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postroom.model.outcome import Action
from postroom.model.transport import TlsMode
from postroom.providers import catalogue, files, replies, words
from postroom.providers.provider import Endpoint
from postroom.providers.row_checks import FIELD_CHECKS, pattern_problem

ACME = """
[[provider]]
id = "acme"
name = "Acme Mail"
host = "smtp.acme.example"
domains = ["acme.example"]
mx_suffix = [".mx.acme.example"]
tls = [465]
prefer = [465, "tls"]
username = "local_part"
secret = ["app_password"]
from = "equals_account"
limits = { per_hour = 50 }
docs = "https://acme.example/mail"
steps = ["Ask the office for an app password.", "Type {it} here."]

[[rule]]
id = "acme-slow-down"
provider = "acme"
stage = ["mail", "body"]
code = ["450", "5xx"]
match = 'slow down|too (?:many|fast)'
meaning = "Acme takes fifty mails an hour."
remedy = "Wait."
action = "throttle"
min_delay_s = 600
"""


@pytest.fixture(autouse=True)
def nothing_of_ones_own() -> Iterator[None]:
    yield
    assert not files.load_overrides([])


def written(folder: Path, text: str, name: str = "own.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_new_provider_is_found_every_way(tmp_path: Path) -> None:
    """It is in the list, and by id, host, domain and MX; its steps and rules speak."""
    assert not files.load_overrides([written(tmp_path, ACME)])
    acme = catalogue.provider("acme")
    assert acme is not None
    assert acme is catalogue.providers()[-1]
    assert acme is catalogue.by_host("SMTP.acme.example.")
    assert acme is catalogue.by_domain("acme.example")
    assert [acme] == list(catalogue.by_mx(["a.mx.acme.example"]))
    assert 50 == acme.limits.per_hour
    assert (str(tmp_path / "own.toml"),) == acme.sources
    assert ("Ask the office for an app password.", "Type {it} here.") == words.steps("acme", "de")
    found = replies.find_by_stage("acme", 465, "body", code=550, text="Too many, please")
    assert found is not None
    assert ("acme-slow-down", Action.THROTTLE) == (found.id, found.action)
    assert "acme" == replies.group_of("smtp.acme.example")
    assert ("Acme takes fifty mails an hour.", "Wait.") == replies.words("acme-slow-down", "de")


def test_nothing_of_ones_own_is_left_when_none_is_loaded(tmp_path: Path) -> None:
    """Loading again replaces what was loaded."""
    assert not files.load_overrides([written(tmp_path, ACME)])
    assert not files.load_overrides([])
    assert catalogue.provider("acme") is None
    assert catalogue.by_host("smtp.acme.example") is None
    assert replies.rule("acme-slow-down") is None
    assert "*" == replies.group_of("smtp.acme.example")


def test_a_known_provider_is_changed_field_by_field(tmp_path: Path) -> None:
    """Fields that are not given stay, tables are changed key by key, a later file comes before."""
    first = (
        '[[provider]]\nid = "qq"\nprefer = [587, "starttls"]\nlimits = { per_day = 100, connections = 2 }\n'
    )
    second = '[[provider]]\nid = "qq"\nlimits = { per_day = 90 }\nhost = "smtp.inside.example"\n'
    paths = [written(tmp_path, first, "1.toml"), written(tmp_path, second, "2.toml")]
    before = catalogue.provider("qq")
    assert before is not None
    assert not files.load_overrides(paths)
    after = catalogue.provider("qq")
    assert after is not None
    assert (90, 2) == (after.limits.per_day, after.limits.connections)
    assert Endpoint(587, TlsMode.STARTTLS) == after.prefer
    assert (before.name, before.secrets, before.domains) == (after.name, after.secrets, after.domains)
    assert (*before.sources, *map(str, paths)) == after.sources
    assert after is catalogue.by_host("smtp.inside.example")
    assert after is catalogue.by_domain("qq.com")
    assert catalogue.by_host("smtp.qq.com") is None
    assert [one.id for one in catalogue.providers()].count("qq") == 1
    assert words.steps("qq")


def test_own_rules_come_before_those_of_the_table(tmp_path: Path) -> None:
    """A rule for a known group is asked first."""
    text = ACME.partition("[[rule]]")[2].replace('"acme"', '"qq"').replace("acme-slow-down", "our-qq")
    text = text.replace("'slow down|too (?:many|fast)'", "'frequency limited'")
    assert not files.load_overrides([written(tmp_path, f"[[rule]]{text}")])
    found = replies.find_by_stage("qq", 465, "body", code=550, text="Mail frequency limited")
    assert found is not None
    assert "our-qq" == found.id


def test_a_group_of_hosts_can_be_listed(tmp_path: Path) -> None:
    """Rules can be for hosts that no provider has."""
    text = '[hosts]\ninside = [".inside.example"]\n' + ACME.partition("[[rule]]")[2].join(["[[rule]]", ""])
    assert not files.load_overrides([written(tmp_path, text.replace('"acme"', '"inside"'))])
    assert "inside" == replies.group_of("relay.inside.example")


@pytest.mark.parametrize(
    ("text", "field", "words_of_it"),
    [
        ("[[provider", "", "not TOML"),
        ("[provider]\nid = 'x'", "provider", "[[provider]]"),
        ("x = 1", "x", "[[provider]]"),
        ('[[provider]]\nid = "new"', "provider new", "without name"),
        ('[[provider]]\nname = "No id"', "provider 1", "without id"),
        ('[[provider]]\nid = "qq"\nport = 465', "provider qq.port", "no such field"),
        ('[[provider]]\nid = "qq"\nhost = "smtp qq"', "provider qq.host", "small letters"),
        ('[[provider]]\nid = "qq"\nhosts = { x = 1 }', "provider qq.hosts", "small letters"),
        ('[[provider]]\nid = "qq"\ntls = [0]', "provider qq.tls", "1 to 65535"),
        ('[[provider]]\nid = "qq"\nprefer = [465, "ssl"]', "provider qq.prefer", '"starttls"'),
        ('[[provider]]\nid = "qq"\nprefer = [465, []]', "provider qq.prefer", '"starttls"'),
        ('[[provider]]\nid = "qq"\nprefer = [2525, "tls"]', "provider qq.prefer", "not listed"),
        ('[[provider]]\nid = "qq"\nplain = [25, 465]', "provider qq.prefer", "in two"),
        ('[[provider]]\nid = "qq"\nusername = "login"', "provider qq.username", "full_address"),
        ('[[provider]]\nid = "qq"\nusername = "literal: "', "provider qq.username", "full_address"),
        ('[[provider]]\nid = "qq"\nsecret = []', "provider qq.secret", "at least one"),
        ('[[provider]]\nid = "qq"\nsecret = ["word"]', "provider qq.secret", "app_password"),
        ('[[provider]]\nid = "qq"\nfrom = "me"', "provider qq.from", "equals_account"),
        ('[[provider]]\nid = "qq"\nlimits = { a_day = 3 }', "provider qq.limits", "per_day"),
        ('[[provider]]\nid = "qq"\nlimits = { per_day = 0 }', "provider qq.limits", "1 to"),
        ('[[provider]]\nid = "qq"\nlimits = { per_day = true }', "provider qq.limits", "1 to"),
        ('[[provider]]\nid = "qq"\ndocs = "javascript:x"', "provider qq.docs", "https://"),
        ('[[provider]]\nid = "qq"\nnote = "a\\u001bb"', "provider qq.note", "one line"),
        ('[[provider]]\nid = "Q Q"\nname = "x"', "provider Q Q.id", "small letters"),
        ('[hosts]\nx = "y"', "hosts", "a list"),
        ('[[rule]]\nid = "x-y"', "rule x-y.match", "missing"),
        (ACME.replace("slow down|", "(a*)*|"), "rule acme-slow-down.match", "repeats a group"),
        (ACME.replace('"450", "5xx"', '"250"'), "rule acme-slow-down.code", '"5xx"'),
        (ACME.replace('"mail", "body"', '"post"'), "rule acme-slow-down.stage", "any"),
        (ACME.replace('"throttle"', '"shout"'), "rule acme-slow-down.action", "pause_transport"),
        (ACME.replace("acme-slow-down", "qq-auth-code"), "rule qq-auth-code.id", "already"),
        (ACME.replace('provider = "acme"', 'provider = "nobody"'), "rule acme-slow-down.provider", "hosts"),
        (ACME + ACME.partition("[[rule]]")[2].join(["[[rule]]", ""]), "rule acme-slow-down.id", "already"),
    ],
)
def test_what_is_wrong_is_named_with_its_field(
    tmp_path: Path, text: str, field: str, words_of_it: str
) -> None:
    """A problem names file and field, what is wrong and what to write; nothing is put in."""
    path = written(tmp_path, text)
    before = (catalogue.providers(), replies.rules())
    problems = files.load_overrides([path])
    place = f"{path}: {field}" if field else str(path)
    found = [one for one in problems if place == one.field]
    assert found, problems
    assert any(words_of_it in f"{one.cause} {one.fix}" for one in found), found
    assert all(one.code == "providers-file-wrong" and one.fix for one in problems)
    assert before == (catalogue.providers(), replies.rules())


def test_unreadable_files_are_problems_too(tmp_path: Path) -> None:
    """A missing, a binary and a huge file are told."""
    binary, huge = tmp_path / "binary.toml", tmp_path / "huge.toml"
    binary.write_bytes(b"\xff\xfe")
    huge.write_bytes(b"#" * (files.MAX_BYTES + 1))
    problems = files.load_overrides([tmp_path / "none.toml", binary, huge])
    begins = ["cannot be read", "not TOML in", "1048577 byte"]
    assert [True] * 3 == [one.cause.startswith(begin) for one, begin in zip(problems, begins, strict=True)]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["qq", "tls", "plain"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(sorted(FIELD_CHECKS)) | st.text(max_size=4), VALUES, max_size=4))
def test_no_row_is_too_strange(row: dict[str, object]) -> None:
    """Whatever a row holds is taken or is a problem, and never an exception."""
    found = files._Found()
    read = files._Read(Path("/nowhere/own.toml"))
    read.problems.clear()
    read.data = {"provider": [{"id": "qq", **row}], "rule": [row], "hosts": {}}
    found.take(read)
    assert found.problems


@pytest.mark.parametrize(
    ("pattern", "begin"),
    [
        ("quota exceeded|too many", ""),
        (r"mail .* from [a-z*+?]{1,9} \(x\)", ""),
        ("", ""),
        ("(a|b)", ""),
        ("(", "no regular expression"),
        ("x" * 201, "201 characters"),
        (".*a.*b.*c", "more than 2"),
        ("(a+)+", "repeats"),
        ("(?:a)?", "repeats"),
        (r"(a)\1", "refers back"),
        ("(?=a)", "has a group"),
        ("(?i)a", "has a group"),
        ("a?a?a?", "more than 2"),
        ("()()()", "more than 2"),
        ("a{99999999999}", "no regular expression"),
    ],
)
def test_patterns_are_kept_simple(pattern: str, begin: str) -> None:
    """What could make a search take long is refused, the usual is taken."""
    assert pattern_problem(pattern).startswith(begin)
    assert bool(pattern_problem(pattern)) is bool(begin)


@pytest.mark.parametrize("pattern", [".*.*x", "a?a?a*a*b", "(a|aa|aaa)(a|aa|aaa)a*a*b"])
def test_the_worst_pattern_ends_soon(pattern: str) -> None:
    """The patterns that are taken cannot stop the process."""
    assert not pattern_problem(pattern)
    begun = time.perf_counter()
    assert not re.search(pattern, "a" * replies.MAX_OWN_TEXT)
    assert time.perf_counter() - begun < 2
