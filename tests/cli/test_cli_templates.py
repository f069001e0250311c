"""The commands for authors of templates: files here, and what a real server has stored."""

import json
import sys
from pathlib import Path

import pytest

from cli.scripted_answers import Run
from cli.scripted_server import ScriptedServer
from peers.postroom_process import PostroomProcess
from postroom.cli.app import run
from postroom.cli.exits import CliError
from postroom.cli.templates_values import read_values

HELLO = """---
subject: Hello @{{ name }}
preheader: @{{ count }} things
variables:
  name: Ann
  count: 3
---
<x-shout to="@{{ name }}">@{{ count }} {% for one in lines %}[@{{ one.label }}]{% endfor %}</x-shout>
"""
SHOUT = """<script props>
module.exports = { to: props.to }
</script>
<html><body><p>Hi {{{ to }}}!</p><div><yield /></div></body></html>
"""
JINJA = """---
subject: Bonjour {{ name }}
language: fr
variables: {name: {example: Ann}, is_new: {default: false, type: boolean}}
getter: salut
description: A greeting.
---
<html lang="fr"><body><p>Bonjour {{ name }}{% if is_new %} !{% endif %}</p></body></html>
"""


@pytest.fixture
def mails(tmp_path: Path) -> Path:
    """Return a directory with one component and two templates."""
    root = tmp_path / "mails"
    for folder in ("components", "emails"):
        (root / folder).mkdir(parents=True)
    (root / "components/shout.html").write_text(SHOUT)
    (root / "emails/hello.html").write_text(HELLO)
    (root / "emails/greeting.jinja").write_text(JINJA)
    return root


def test_preview_prints_one_part_and_nothing_else(postroom: Run, mails: Path) -> None:
    """A file finds the components above it; every part is exactly what the mail has."""
    hello = str(mails / "emails/hello.html")
    given = ("--set", "name=Bob & Eve", "--set", "count=5", "--set", 'lines:=[{"label": "a"}]')
    parts = {}
    for part in ("subject", "preheader", "text", "html", "compiled", "source"):
        code, parts[part], err = postroom("templates", "preview", hello, *given, "--part", part)
        assert (0, "") == (code, err)
    assert parts["subject"] == "Hello Bob & Eve"
    assert parts["preheader"] == "5 things"
    assert "Hi Bob & Eve!" in parts["text"]
    assert "Hi Bob &amp; Eve!" in parts["html"]
    assert "[a]" in parts["html"]
    assert "{{ name }}" in parts["compiled"]
    assert parts["source"] == HELLO
    by_name = postroom("templates", "preview", "hello", *given, "--dir", str(mails))
    assert (0, parts["html"], "") == by_name
    _, mail, _ = postroom("templates", "preview", hello, *given, "--part", "eml")
    assert "Subject: Hello Bob & Eve\r\n" in mail
    assert "Content-Type: multipart/alternative" in mail


def test_preview_names_every_missing_variable(postroom: Run, mails: Path) -> None:
    """All at once, on standard error, with exit code 2; examples fill what is not given."""
    hello = str(mails / "emails/hello.html")
    code, out, err = postroom("templates", "preview", hello)
    assert (2, "") == (code, out)
    for name in ("variables.name", "variables.count", "variables.lines"):
        assert f"{name}: is missing" in err
    code, out, err = postroom("templates", "preview", hello, "--examples", "--set", "nam=x")
    assert (2, "") == (code, out)
    assert "variables.lines: is missing" in err
    assert "Did you mean name?" in err
    (mails / "v.json").write_text('{"lines": [], "name": "File"}')
    code, out, _ = postroom("templates", "preview", hello, "--examples", "--vars", str(mails / "v.json"))
    assert code == 0
    assert "Hi File!" in out


def test_a_broken_template_is_told_with_its_line(postroom: Run, mails: Path) -> None:
    """Preview exits with 1 and names file and line; list says it is broken; no package is built of it."""
    broken = mails / "emails/broken.html"
    broken.write_text("---\nsubject: x\n---\n<p>x</p>\n<x-nothing>y</x-nothing>\n")
    code, out, err = postroom("templates", "preview", str(broken))
    assert (1, "") == (code, out)
    assert "emails/broken.html:5" in err
    code, out, _ = postroom("templates", "list", "--dir", str(mails))
    assert code == 1
    assert "broken    broken" in out
    code, _, err = postroom("templates", "build", str(mails), "--package", "x-mails")
    assert code == 1
    assert "emails/broken.html:5" in err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("preview", "nothing.html"), "nothing.html cannot be read"),
        (("preview", "postroom:one-time-cod"), "Did you mean postroom:one-time-code?"),
        (("preview", "nopackage:x"), "there is no package 'nopackage'"),
        (("preview", "mails/emails/hello.html", "--vars", "none.json"), "none.json cannot be read"),
        (("preview", "mails/emails/hello.html", "--set", "name"), "gives no variable a value"),
        (("preview", "mails/emails/hello.html", "--set", "lines:=["), "not JSON"),
        (("preview", "hello", "--dir", "nowhere"), "there is no directory nowhere"),
        (("build", "mails", "--package", "9x"), "cannot be the name of a package"),
        (("dev", "nowhere"), "there is no directory nowhere"),
    ],
)
def test_what_is_wrong_is_said(postroom: Run, mails: Path, args: tuple[str, ...], said: str) -> None:
    """Names, files and values that are none exit with 2 and say so."""
    assert mails.is_dir()
    code, out, err = postroom("templates", *args)
    assert (2, "") == (code, out)
    assert said in err


def test_list_and_what_comes_with_postroom(postroom: Run, mails: Path) -> None:
    """JSON has locales, variables and findings; a package and the shipped ones are previewed by name."""
    code, out, _ = postroom("templates", "list", "--dir", str(mails), "--json")
    assert code == 0
    found = {one["template"]: one for one in json.loads(out)["templates"]}
    assert {"greeting", "hello"} == set(found)
    assert ["fr"] == found["greeting"]["locales"]
    assert {"name", "count", "lines"} == set(found["hello"]["variables"]["properties"])
    code, out, _ = postroom(
        "templates", "preview", "postroom:one-time-code", "--examples", "--part", "subject"
    )
    assert (0, True) == (code, bool(out.strip()))
    given = (
        "--set",
        "activation_url=https://example.com/a",
        "--set",
        "_product_name=P",
        "--set",
        "_logo_url=https://l",
    )
    more = ("--set", "_entity_name=E", "--set", "_entity_site_url=https://example.com")
    code, out, _ = postroom("templates", "preview", "calypsso:account-activation", *given, *more)
    assert code == 0
    assert 'href="https://example.com/a"' in out


def test_list_asks_a_server_for_what_it_has_stored(
    postroom: Run, server: ScriptedServer, mails: Path
) -> None:
    """Stored templates stand beside those of the directory that the settings name."""
    stored = {
        "template": "welcome",
        "origin": "store",
        "version": "4",
        "state": "published",
        "locales": ["de"],
        "subject": "",
        "variables": {"properties": {"a": {}}},
        "globals": [],
        "findings": [],
    }
    server.script["GET /v1/templates"] = (200, {"mode": "live", "templates": [stored], "findings": []})
    Path("postroom.toml").write_text(f'[templates]\ndirectory = "{mails}"\n')
    code, out, _ = postroom("templates", "list", url=server.url)
    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    assert ["welcome", "published", "4", "de", "a", "-"] in lines
    assert ["greeting", "published", "fr", "name", "is_new", "-"] in lines
    assert any(line[0] == "postroom:receipt" for line in lines)
    assert ["server:", server.url] in lines


def test_build_makes_a_package_that_renders_the_same(
    postroom: Run, mails: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Getters, preview of the file and the package as a catalogue agree; alias and default are taken over."""
    code, out, _ = postroom("templates", "build", str(mails), "--package", "twin-mails", "--output", "out")
    assert code == 0
    assert "twin_mails.MailTemplates, templates: 2" in out
    monkeypatch.syspath_prepend("out/src")
    try:
        mail = __import__("twin_mails").MailTemplates()
        hello = str(mails / "emails/hello.html")
        given = ("--set", "name=<b>", "--set", "count=5", "--set", 'lines:=[{"label": "a"}]')
        for part, getter in (("html", "mail"), ("text", "text"), ("subject", "subject")):
            shown = postroom("templates", "preview", hello, *given, "--part", part)[1]
            assert shown == getattr(mail, f"get_{getter}_hello")("<b>", 5, [{"label": "a"}])
            again = postroom("templates", "preview", "twin_mails:hello", *given, "--part", part)
            assert (0, shown, "") == again
        assert "Bonjour Ann</p>" in mail.get_mail_salut("Ann")
        assert "Bonjour Ann !</p>" in mail.get_mail_salut("Ann", is_new=True)
        assert "A greeting." in mail.get_mail_salut.__doc__
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "twin_mails"]:
            del sys.modules[name]


def test_values_of_a_command_line() -> None:
    """Types follow the schema, paths reach into objects and lists, later ones win."""
    schema = {
        "properties": {
            "count": {"type": "integer"},
            "flag": {"type": "boolean"},
            "code": {"type": ["string", "number"]},
            "user": {"type": "object", "properties": {"age": {"type": "number"}}},
            "rows": {"type": "array", "items": {"properties": {"n": {"type": "number"}}}},
        }
    }
    given = ["count=3", "flag=true", "code=007", "user.age=4.5", "user.name=A=B", "rows.0.n=2", "count=4"]
    start = {"rows": [{"n": 1, "m": 1}]}
    assert read_values(given, start, schema) == {
        "rows": [{"n": 2, "m": 1}],
        "count": 4,
        "flag": True,
        "code": "007",
        "user": {"age": 4.5, "name": "A=B"},
    }
    assert start == {"rows": [{"n": 1, "m": 1}]}
    assert read_values(["count=many"], {}, schema) == {"count": "many"}
    for wrong in ("rows.5.n=2", "=x", "a..b=1", "rows.x=1"):
        with pytest.raises(CliError):
            read_values([wrong], start, schema)


@pytest.mark.slow
def test_stored_templates_of_a_server(
    mails: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Versions are previewed, compared with each other and with the directory, and sent to one address."""
    monkeypatch.chdir(tmp_path)
    for name in ("POSTROOM_URL", "POSTROOM_API_KEY"):
        monkeypatch.delenv(name, raising=False)

    def ask(*args: str) -> tuple[int, str, str]:
        code = run(["templates", *args, "--data", str(tmp_path / "room")])
        return (code, *capfd.readouterr())

    with PostroomProcess(tmp_path / "room") as server:
        for text in (JINJA, JINJA.replace("Bonjour {{ name }}", "Salut {{ name }}")):
            body = {"name": "greeting", "variants": {"fr": {"text": text, "form": "jinja"}}}
            assert server.call("POST", "/v1/templates", body)[0] == 201
        assert ask("preview", "greeting", "--examples", "--part", "subject") == (0, "Salut Ann", "")
        assert ask("preview", "greeting@1", "--set", "name=B", "--part", "subject") == (0, "Bonjour B", "")
        assert ask("preview", "greeting@1", "--part", "source") == (0, JINJA, "")
        code, out, _ = ask("preview", "greeting", "--examples", "--part", "eml")
        assert code == 0
        assert "Subject: Salut Ann\r\n" in out
        code, _, err = ask("preview", "greeting")
        assert code == 2
        assert "variables.name: is missing" in err

        code, out, _ = ask("diff", "greeting", "1", "2")
        assert code == 1
        assert "-subject: Bonjour {{ name }}\n+subject: Salut {{ name }}\n" in out
        assert ask("diff", "greeting", "2", "2") == (0, "", "")
        assert ask("diff", "greeting", "1", "--dir", str(mails)) == (0, "", "")
        code, out, _ = ask("diff", "greeting", "--dir", str(mails), "--rendered")
        assert code == 1
        assert "--- stored/fr/text\n+++ changed/fr/text\n@@ -1 +1 @@\n-Salut Ann\n+Bonjour Ann\n" in out

        file = str(mails / "emails/hello.html")
        code, out, _ = ask(
            "test", file, "--to", "a@example.com", "--examples", "--set", "lines:=[]", "--json"
        )
        assert (0, "captured") == (code, json.loads(out)["state"])
        assert json.loads(out)["subject"] == "Hello Ann"
        code, out, _ = ask("test", "greeting", "--to", "a@example.com", "--examples")
        assert code == 0
        assert "a@example.com captured" in out


@pytest.mark.slow
def test_push_stores_what_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Every template becomes a version, an unchanged one none; drafts are published, broken ones told."""
    monkeypatch.chdir(tmp_path)
    for name in ("POSTROOM_URL", "POSTROOM_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    place = tmp_path / "pushed"
    (place / "components").mkdir(parents=True)
    (place / "components/note.html").write_text('<p class="text-red-600"><yield /></p>')
    note = "---\nsubject: Hi @{{ name }}\nvariables: {name: Ann, total: 3}\n---\n<x-note>@{{ name }}</x-note>"
    (place / "note.html").write_text(note + "@{{ total|currency('EUR') }}")
    (place / "note.fr.html").write_text(note.replace("Hi", "Salut"))
    (place / "other.jinja").write_text(JINJA)

    def push(*args: str) -> tuple[int, dict[str, tuple[str, int | None]]]:
        code = run(["templates", "push", str(place), *args, "--data", str(tmp_path / "room"), "--json"])
        told = json.loads(capfd.readouterr().out)["templates"]
        return code, {one["template"]: (one["result"], one["version"]) for one in told}

    with PostroomProcess(tmp_path / "room") as server:
        both = {"note": ("new", 1), "other": ("new", 1)}
        assert (0, both) == push("--dry-run") == push("--dry-run")
        assert (0, both) == push()
        assert (0, {"note": ("unchanged", 1), "other": ("unchanged", 1)}) == push()
        (place / "note.fr.html").write_text(note.replace("Hi", "Bonjour"))
        changed = {"note": ("changed", 2), "other": ("published", 1)}
        assert (0, changed) == push("--publish", "--dry-run") == push("--publish")
        assert (0, {"note": ("unchanged", 2), "other": ("unchanged", 1)}) == push("--publish")
        body = {"template": "note", "locale": "fr", "variables": {"name": "Ann", "total": 3.5}}
        assert "Bonjour Ann" == server.call("POST", "/v1/templates/preview", body)[1]["subject"]
        body |= {"locale": "en"}
        assert "€3.50" in server.call("POST", "/v1/templates/preview", body)[1]["text"]
        (place / "other.jinja").write_text(JINJA + "{% if %}")
        assert (1, {"note": ("unchanged", 2), "other": ("broken", None)}) == push()
