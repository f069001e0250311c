"""``postroom providers``: lists, shows, and speaks the reader's language."""

import json
import os
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from postroom.cli.app import run
from postroom.cli.exits import CliError
from postroom.cli.language import language_for
from postroom.model.outcome import Action
from postroom.providers import catalogue, files, replies
from postroom.providers.provider import FromRule, Limits, Provider, SecretKind, UsernameRule
from postroom.providers.row_checks import FIELD_CHECKS, RULE_CHECKS
from postroom.schema.provider_answers import OneProviderAnswer, ProviderListAnswer, ports_of

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "providers.md").read_text(encoding="utf-8")
EXAMPLE = PAGE.partition("```toml\n")[2].partition("```")[0]
Ask = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Ask]:
    monkeypatch.chdir(tmp_path)
    for name in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C.UTF-8")

    def asked(*args: str) -> tuple[int, str, str]:
        code = run(["providers", *args])
        return code, *capfd.readouterr()

    yield asked
    files.load_overrides([])


def test_every_provider_is_listed(ask: Ask) -> None:
    """Each has a line with id, server and domains, and the JSON is the documented answer."""
    code, out, _ = ask()
    lines = out.splitlines()
    assert (0, 68) == (code, len(lines))
    assert [one.id for one in catalogue.providers()] == [line.split()[0] for line in lines[1:]]
    assert re.search(r"^gmail .* smtp\.gmail\.com:465 \(tls\) +gmail\.com googlemail\.com", out, re.MULTILINE)
    _, out, _ = ask("--json")
    assert 67 == len(ProviderListAnswer.model_validate_json(out).providers)


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        (["TENCENT"], ["exmail", "tencent-ses"]),
        (["tencent", "qcloud"], ["tencent-ses"]),
        (["foxmail.com"], ["qq"]),
        (["네이버"], ["naver"]),
        (["smtp.mxhichina.com"], ["aliyun-qiye"]),
        (["no such thing"], []),
    ],
)
def test_words_narrow_the_list(ask: Ask, wanted: list[str], ids: list[str]) -> None:
    """Every word must be part of id, name, domain or server."""
    code, out, _ = ask("list", *wanted, "--json")
    assert (0, ids) == (code, [one["id"] for one in json.loads(out)["providers"]])
    if not ids:
        assert "no provider fits\n" == ask("list", *wanted)[1]


@pytest.mark.slow
@pytest.mark.parametrize("one", catalogue.providers(), ids=lambda one: one.id)
def test_every_provider_is_shown(ask: Ask, one: Provider) -> None:
    """Server, ports, login, password, sender and every step are there, nothing is left to be filled in."""
    code, out, _ = ask("show", one.id)
    assert 0 == code
    assert "Set-up:" in out
    assert not re.search(r"\{(?!region\})", out)
    answer = OneProviderAnswer.model_validate_json(ask("show", one.id, "--json")[1])
    assert list(ports_of(one)) == [each.port for each in answer.ports]
    assert all(each.text for each in answer.ports)
    assert all(each.text for each in (*answer.login, *answer.secrets, answer.from_rule))
    shown = " ".join(out.split())
    for text in (*answer.steps, answer.docs, answer.from_rule.text):
        assert " ".join(text.split()) in shown


def test_the_answer_is_in_the_readers_language(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """--lang wins over the environment, and the environment over English."""
    english = ask("show", "qq")[1]
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    chinese = ask("show", "qq")[1]
    assert "The provider's page" in english
    assert english != chinese
    assert "QQ 邮箱" in chinese
    assert english == ask("show", "qq", "--lang", "en")[1]
    assert chinese == ask("show", "qq", "--lang", "zh-CN")[1]
    assert "zh" == json.loads(ask("show", "qq", "--json")[1])["language"]


@pytest.mark.parametrize(
    ("environ", "language"),
    [
        ({}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "de"),
        ({"LANG": "de_DE", "LC_MESSAGES": "fr_FR"}, "fr"),
        ({"LANG": "de_DE", "LC_MESSAGES": "fr_FR", "LC_ALL": "ko_KR.eucKR"}, "ko"),
        ({"LANG": "de_DE", "LC_ALL": ""}, "de"),
        ({"LANG": "de_DE", "LC_ALL": "C"}, "en"),
    ],
)
def test_the_environment_names_the_language(environ: dict[str, str], language: str) -> None:
    """LC_ALL before LC_MESSAGES before LANG, empty ones left out."""
    assert language == language_for(None, environ)


def test_a_language_that_is_none_of_ours_is_refused(ask: Ask) -> None:
    """The five are named."""
    code, _, err = ask("show", "qq", "--lang", "xx")
    assert 2 == code
    assert "en, zh, ko, de, fr" in err
    with pytest.raises(CliError):
        language_for("", os.environ)


def test_an_unknown_provider_names_those_it_may_be(ask: Ask) -> None:
    """A part of an id or name is answered with what has it."""
    code, _, err = ask("show", "tencent")
    assert 1 == code
    assert "exmail, tencent-ses" in err
    assert "`postroom providers` lists them" in ask("show", "nobody")[2]


def test_the_example_of_the_page_can_be_tried(ask: Ask, tmp_path: Path) -> None:
    """The file in docs/providers.md is taken as it stands; a wrong one is told field by field."""
    path = tmp_path / "acme.toml"
    path.write_text(EXAMPLE, encoding="utf-8")
    code, out, _ = ask("show", "acme", "--file", str(path))
    assert 0 == code
    assert "50 messages per hour; 2 connections at a time" in out
    assert "1. Ask the office for an app password." in out
    assert replies.rule("acme-slow-down") is not None
    assert "acme" in ask("list", "acme", "--file", str(path))[1]
    path.write_text(EXAMPLE.replace('"full_address"', '"login"'), encoding="utf-8")
    code, _, err = ask("show", "acme", "--file", str(path))
    assert 2 == code
    assert f"{path}: provider acme.username" in err


def test_the_files_of_the_settings_are_used(ask: Ask, tmp_path: Path) -> None:
    """A provider that the settings name is shown; settings that are wrong are told and left alone."""
    (tmp_path / "acme.toml").write_text(EXAMPLE, encoding="utf-8")
    settings = tmp_path / "own.toml"
    settings.write_text('[providers]\nfiles = ["acme.toml"]\n', encoding="utf-8")
    code, out, err = ask("show", "acme", "--config", str(settings))
    assert (0, "") == (code, err)
    assert "smtp.acme.example" in out
    settings.write_text("nonsense = 1\n", encoding="utf-8")
    code, out, err = ask("show", "qq", "--config", str(settings))
    assert 0 == code
    assert "smtp.qq.com" in out
    assert "nonsense" in err


def test_the_page_has_every_field_and_value() -> None:
    """Fields of providers and rules, and every word that they may have, stand on the page."""
    named = set(re.findall(r"`([a-z0-9_]+)`", PAGE))
    assert set(FIELD_CHECKS) | set(RULE_CHECKS) <= named
    assert {*UsernameRule, *SecretKind, *FromRule, *Action, *Limits.__dataclass_fields__} - {
        "literal"
    } <= named
    assert replies.STAGES <= named
    assert set(tomllib.loads(EXAMPLE)) == {"provider", "rule"}
