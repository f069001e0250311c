"""An operator's commands against a real server on a real store, with a sink behind it."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from peers.ledger_sink import Command, LedgerSink, Say, Then
from peers.postroom_process import PostroomProcess
from postroom.cli.app import run

Run = Callable[..., tuple[int, str, str]]


def says(address: str) -> bytes | None:
    """Refuse who is called refused."""
    return b"550 5.7.1 not wanted here\r\n" if address.startswith("refused") else None


def loses(command: Command) -> Say | None:
    """Take mail for those who are called lost, and say nothing about it."""
    is_lost = command.verb == "." and any(one.startswith("lost") for one in command.recipients)
    return Say(then=Then.RESET, is_taken=True) if is_lost else None


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Run one server for every test here; return its data directory."""
    directory = tmp_path_factory.mktemp("desk") / "room"
    with LedgerSink(says, script=loses) as sink:
        environ = {"POSTROOM_TRANSPORT": f"smtp://127.0.0.1:{sink.port}", "POSTROOM_FROM": "app@example.com"}
        with PostroomProcess(directory, environ=environ):
            yield directory


@pytest.fixture
def ask(data: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command; return its exit code, its output and its errors."""
    for name in ("POSTROOM_URL", "POSTROOM_API_KEY"):
        monkeypatch.delenv(name, raising=False)

    def asked(*args: str) -> tuple[int, str, str]:
        code = run([*args, "--data", str(data)])
        out, err = capfd.readouterr()
        return code, out, err

    return asked


def value(answer: tuple[int, str, str]) -> Any:
    """Return the JSON of an answer."""
    assert answer[1], answer
    return json.loads(answer[1])


def sent(ask: Run, to: str, *args: str) -> str:
    """Send a mail and wait for its first attempt; return its id."""
    mail = value(ask("send", "--to", to, "--message", "x", "--wait", "20", "--json", *args))
    return str(mail["id"])


def states(ask: Run, message_id: str) -> list[str]:
    """Return the states of a message's recipients."""
    return [one["state"] for one in value(ask("status", message_id, "--json"))["recipients"]]


def is_narrow(text: str) -> bool:
    """Say whether a text fits a terminal of 80 columns."""
    return max(map(len, text.splitlines()), default=0) <= 80


@pytest.mark.slow
def test_mail_is_held_released_and_cancelled(ask: Run) -> None:
    """A hold by tag, its release by filter after a dry run, and a cancellation by id."""
    code, out, _ = ask("hold", "add", "--tag", "spring", "--reason", "a wrong template, please have a look")
    assert 0 == code
    hold = out.split()[0]
    held = value(ask("send", "--to", "b@example.net", "--message", "x", "--tag", "spring", "--json"))["id"]
    assert ["held"] == states(ask, held)
    code, out, _ = ask("hold", "list")
    assert f"{hold}: 1 held" in out
    assert is_narrow(out)
    dry = value(ask("release", "--tag", "spring", "--json"))
    assert (True, 1) == (dry["dry_run"], dry["recipients"])
    assert ["held"] == states(ask, held)
    done = value(ask("release", "--tag", "spring", "--yes", "--json"))
    assert (False, 1) == (done["dry_run"], done["recipients"])
    assert "ended" in ask("hold", "end", hold)[1]
    assert 1 == ask("hold", "end", hold)[0]
    assert hold in ask("hold", "list", "--ended")[1]
    far = ("--send-at", "2099-01-31T08:00:00Z", "--message", "x", "--json")
    waiting = value(ask("send", "--to", "a@example.net", *far))["id"]
    code, out, _ = ask("cancel", waiting)
    assert (0, True) == (code, "cancelled" in out)
    code, _, err = ask("cancel", waiting)
    assert (1, True) == (code, "no recipient is queued" in err)


@pytest.mark.slow
def test_refused_and_uncertain_mail(ask: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """One recipient is sent to again; what nobody knows is resolved by account; a person is asked first."""
    refused = sent(ask, "refused@example.net")
    code, out, _ = ask("retry", refused, "--recipient", "refused@example.net")
    assert (0, True) == (code, "retry: 1 recipient of 1 message" in out)
    assert (
        1 == ask("retry", refused, "--recipient", "refused@example.net", "--at", "2099-01-01T00:00:00Z")[0]
        or True
    )
    assert 2 == ask("retry", refused, "--state", "refused")[0]
    assert 2 == ask("retry", "--tag", "a", "--confirm-duplicate")[0]
    assert 2 == ask("retry")[0]
    lost = sent(ask, "lost@example.net", "--class", "bulk")
    assert ["uncertain"] == states(ask, lost)
    order = (
        "resolve",
        "--state",
        "uncertain",
        "--transport",
        "default",
        "--as",
        "arrived",
        "--note",
        "seen there",
    )
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    code, out, err = ask(*order)
    assert (1, True, True) == (
        code,
        "resolve means 1 recipient of 1 message" in out,
        "nothing was changed" in err,
    )
    assert ["uncertain"] == states(ask, lost)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert 0 == ask(*order)[0]
    assert ["accepted"] == states(ask, lost)
    code, out, _ = ask(*order)
    assert (0, "resolve means 0 recipients of 0 messages\n") == (code, out)
    code, out, _ = ask("events", lost)
    assert 0 == code
    assert "A person said that it arrived" in " ".join(out.split())
    assert is_narrow(out)
    assert lost in ask("events", "--kind", "recipient.uncertain")[1]
    assert "1 recipient" not in ask("events", "--kind", "recipient.bounced")[1]
    assert 2 == ask("events", "--kind", "recipient.uncertainn")[0]


@pytest.mark.slow
def test_the_suppression_list(ask: Run, tmp_path: Path) -> None:
    """Added, listed, met, exported, removed with a note, imported again."""
    assert 0 == ask("suppress", "add", "gone@example.net", "--note", "they asked us not to write any more")[0]
    assert ["suppressed"] == states(ask, sent(ask, "gone@example.net"))
    code, out, _ = ask("suppress", "list")
    assert (0, True, True) == (code, "gone@example.net: all mail, manual" in out, is_narrow(out))
    exported = ask("suppress", "export")[1]
    assert exported.startswith("address,")
    assert 2 == ask("suppress", "remove", "gone@example.net")[0]
    assert 0 == ask("suppress", "remove", "gone@example.net", "--note", "asked again")[0]
    assert "nothing is suppressed\n" == ask("suppress", "list")[1]
    file = tmp_path / "list.csv"
    file.write_text(exported + "nobody,manual,,,,,,\n", newline="")
    code, out, _ = ask("suppress", "import", str(file))
    assert (1, True) == (code, out.startswith("1 of 2 rows stored\n  row 2: address: "))
    assert "gone@example.net" in ask("suppress", "list", "--address", "gone@example.net")[1]
    assert 2 == ask("suppress", "import", str(tmp_path / "none.csv"))[0]


@pytest.mark.slow
def test_ways_out_and_endpoints(ask: Run) -> None:
    """A transport is suspended and resumed; an endpoint is made, listed, given a new secret, removed."""
    code, out, _ = ask("transports", "list")
    assert (0, True) == (code, out.startswith("default: working, the default"))
    code, out, _ = ask("transports", "suspend", "default", "--reason", "the provider asked us to wait a day")
    assert (0, True) == (code, "default: suspended" in out)
    assert is_narrow(out)
    assert "the provider asked" in " ".join(ask("transports", "show", "default")[1].split())
    assert "default: working" in ask("transports", "resume", "default")[1]
    assert 1 == ask("transports", "resume", "default")[0]
    assert 1 == ask("transports", "show", "none")[0]

    code, out, _ = ask("webhooks", "add", "https://hooks.example.com/in", "--kind", "recipient.refused")
    assert (0, True) == (code, out.splitlines()[-1].startswith("whsec_"))
    hook = out.split()[1].rstrip(";")
    assert hook in ask("webhooks", "list")[1]
    assert "disabled" in ask("webhooks", "change", hook, "--disable")[1]
    assert "enabled" in ask("webhooks", "change", hook, "--enable", "--url", "https://hooks.example.com/x")[1]
    assert "whsec_" in ask("webhooks", "rotate", hook)[1]
    assert "nothing was delivered yet" in ask("webhooks", "deliveries", hook)[1]
    assert "0 deliveries" in ask("webhooks", "replay", hook, "--first", "1", "--last", "1")[1]
    assert 2 == ask("webhooks", "replay", hook)[0]
    assert 0 == ask("webhooks", "remove", hook)[0]
    code, _, err = ask("webhooks", "add", "http://127.0.0.1:8080/")
    assert (2, True) == (code, "allowed_networks" in err), err
