"""``postroom templates lint``: what it takes, what it prints, and how it ends."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from cli.scripted_answers import Run
from cli.scripted_server import ScriptedServer

HEAD = '<!DOCTYPE html><html lang="en"><head><title>Hello</title></head><body>'
SOUND = f"{HEAD}<p>Hello {{{{ name }}}}, we have sent you a parcel today.</p></body></html>"
FAINT = f'{HEAD}\n<p style="color: #aaaaaa">Hello {{{{ name }}}}, a parcel is on its way.</p></body></html>'
BROKEN = f"{HEAD}\n<p>{{{{ name|shout }}}}</p></body></html>"
NO_FILTER = (
    "emails/broken.jinja:2:12: error: there is no filter or test shout [unknown-filter] Did you mean sort?"
)
TOO_FAINT = (
    'emails/faint.jinja:2:27: warning: "Hello {{ name }}, a parcel is on its wa…": #aaaaaa on #ffffff is '
    "2.32:1, less than 4.5:1 [contrast] Darken one colour or lighten the other (WCAG 2.2, 1.4.3)."
)
CARD = '<x-card>\n<p>@{{ name }}</p><a href="javascript:go()">Go</a></x-card>'


def write(files: dict[str, str]) -> None:
    for path, text in files.items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text, encoding="utf-8")


def test_this_directory_is_checked(postroom: Run) -> None:
    """Without arguments every template here is checked; errors end with 1, and what is told can be read."""
    write({"emails/faint.jinja": FAINT, "emails/broken.jinja": BROKEN, "components/own.html": "<b></b>"})

    code, out, err = postroom("templates", "lint")

    assert (1, "") == (code, err)
    assert [
        NO_FILTER,
        TOO_FAINT,
        "2 templates: 1 error, 1 warning, 0 notes",
    ] == out.splitlines()


def test_warnings_fail_when_that_is_wished(postroom: Run) -> None:
    """A directory, a file and a name are the same template; warnings end with 0, strictly with 1."""
    write({"mails/theme.toml": "[colors]", "mails/faint.jinja": FAINT, "mails/sound.jinja": SOUND})
    Path("postroom.toml").write_text('[templates]\ndirectory = "mails"\n')

    assert [0, 1, 0, 1] == [
        postroom("templates", "lint", *args)[0]
        for args in (
            ["mails"],
            ["mails", "--strict"],
            ["mails/sound.jinja", "--strict"],
            ["faint", "--strict"],
        )
    ]
    code, out, _ = postroom("templates", "lint", "mails/faint.jinja")
    assert (0, "mails/faint.jinja:2:27: warning") == (code, out[:31])
    assert "1 template: 0 errors, 1 warning, 0 notes" == out.splitlines()[-1]


def test_components_are_looked_into(postroom: Run) -> None:
    """A file in the component language is compiled with the components beside it."""
    write({"theme.toml": "[colors]", "card.html": CARD, "components/card.html": "<div><yield /></div>"})

    code, out, _ = postroom("templates", "lint", "card.html", "--format", "json")

    value = json.loads(out)
    assert 1 == code
    assert ["card.html"] == value["files"]
    assert ("link-script", 2, 28) in {(one["code"], one["line"], one["column"]) for one in value["findings"]}


@pytest.mark.parametrize("how", ["sarif", "junit", "json", "text"])
def test_reports_go_to_a_file(postroom: Run, how: str) -> None:
    """What CI reads is written where it is wanted, and nothing is printed."""
    write({"emails/broken.jinja": BROKEN})

    code, out, err = postroom("templates", "lint", "emails", "--format", how, "--output", "report")
    report = Path("report").read_text(encoding="utf-8")

    assert (1, "", "") == (code, out, err)
    match how:
        case "sarif":
            (result,) = json.loads(report)["runs"][0]["results"]
            assert "unknown-filter" == result["ruleId"]
        case "junit":
            assert "1" == ET.fromstring(report).get("failures")  # noqa: S314 - our own
        case "json":
            assert {"error": 1, "warning": 0, "note": 0} == json.loads(report)["counts"]
        case _:
            assert "emails/broken.jinja:2:12: error: " in report


def test_a_package_is_checked_with_its_getters(postroom: Run) -> None:
    """What the getters of an installed package never pass is an error in the line of its own file."""
    code, out, _ = postroom("templates", "lint", "--package", "calypsso", "--clients", "gmail")

    errors = [line for line in out.splitlines() if ": error: " in line]
    assert 1 == code
    assert ["account-exist.html:229:21", "mypayment-structure-transfer.html:229:67"] == [
        line.removeprefix("calypsso/mail_templates/").partition(": ")[0] for line in errors
    ]


@pytest.mark.parametrize(
    ("args", "cause"),
    [
        ([], "there are no templates"),
        (["nothing"], "there is no template nothing"),
        (["postroom:recipt"], "Did you mean receipt?"),
        (["notes.md"], "notes.md is no template"),
        (["--package", "json"], "no package json with a folder mail_templates is installed"),
        (["--clients", "netscape"], "no mail program 'netscape'"),
        (["one.jinja", "--output", "none/report"], "none/report cannot be written"),
        (["broken.toml", "--config", "broken.toml"], "settings"),
    ],
)
def test_what_cannot_be_read_ends_with_2(postroom: Run, args: list[str], cause: str) -> None:
    """A name, a file, a package or a program that there is not is told on standard error."""
    write({"notes.md": "notes", "broken.toml": "="} | ({"one.jinja": SOUND} if "one.jinja" in args else {}))

    code, out, err = postroom("templates", "lint", *args)

    assert (2, "") == (code, out)
    assert cause in err


def test_a_file_elsewhere_is_checked_by_itself(postroom: Run) -> None:
    """A template need not lie where a directory of templates has them."""
    write({"docs/old/broken.jinja": BROKEN})

    code, out, _ = postroom("templates", "lint", "docs/old/broken.jinja")

    assert (1, NO_FILTER.replace("emails", "docs/old")) == (code, out.splitlines()[0])


def test_a_stored_template_is_checked_by_the_server(postroom: Run, server: ScriptedServer) -> None:
    """A name that no file here has is asked about, and what the server says is told as any other."""
    finding = {
        "code": "link-empty",
        "severity": "error",
        "file": "greeting",
        "line": 3,
        "column": 5,
        "cause": "the link is empty",
        "fix": "Give it an address.",
    }
    server.script["POST /v1/templates/lint"] = (200, {"template": "greeting", "findings": [finding]})

    code, out, _ = postroom("templates", "lint", "greeting", url=server.url)

    assert {"template": "greeting"} == server.asked[0].json
    postroom("templates", "lint", "greeting", "--clients", "outlook.windows", url=server.url)
    assert {"template": "greeting", "clients": ["outlook.windows"]} == server.asked[-1].json
    assert 1 == code
    assert [
        "greeting:3:5: error: the link is empty [link-empty] Give it an address.",
        "1 template: 1 error, 0 warnings, 0 notes",
    ] == out.splitlines()


def test_many_templates_are_shared_among_processes(postroom: Run) -> None:
    """What several processes have compiled is told as one process would, in the same order."""
    names = [f"m{number:02}" for number in range(20)]
    write({f"emails/{name}.jinja": FAINT if name == "m07" else SOUND for name in names})

    code, out, err = postroom("templates", "lint", "--format", "json")

    value = json.loads(out)
    assert (0, "") == (code, err)
    assert [f"emails/{name}.jinja" for name in names] == value["files"]
    assert ["emails/m07.jinja"] == [one["file"] for one in value["findings"]]
