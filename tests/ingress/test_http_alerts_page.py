"""The page about alerts is true: its calls are answered, its settings taken, its tables are the code's."""

import re
import shlex
from pathlib import Path

from each_row import each
from ingress.alert_doors_room import AlertDoorsRoom, on_doors
from peers.fake_service import KEY
from postroom.config.load import load
from postroom.config.sources import Flags
from postroom.model.alert import Clause
from postroom.policy.alerting.filling import OWN
from postroom.policy.alerting.reason_words import ENGLISH
from postroom.schema.alerts import AlertBody

PAGE = (Path(__file__).resolve().parents[2] / "docs/alerts.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def calls() -> list[list[str]]:
    """Return the words of each command of the shell blocks."""
    found: list[list[str]] = []
    for block in blocks("sh"):
        text = "\n".join(line for line in block.splitlines() if not line.startswith(("ask()", "export")))
        for word in shlex.split(text.replace("\\\n", " ")):
            if word in ("ask", "curl"):
                found.append([])
            found[-1].append(word)
    return found


def headers_of(words: list[str]) -> dict[str, str]:
    given = [words[place + 1] for place, word in enumerate(words) if word == "-H"]
    return {name.lower(): value for name, _, value in (one.partition(": ") for one in given)}


async def answered(room: AlertDoorsRoom, words: list[str], known: dict[str, str]) -> None:
    """Make one call of the page; remember the ids that later ones ask for."""
    words = [re.sub(r"\$([A-Z]+)", lambda name: known[name[1]], word) for word in words]
    body = words[words.index("-d") + 1].encode() if "-d" in words else b""
    if words[0] == "ask":
        method, path, headers = words[1], words[2], {"content-type": "application/json"}
    else:
        method, path = "POST", next(word.partition("8587")[2] for word in words if "://127" in word)
        headers = headers_of(words)
    headers.pop("authorization", None)
    answer = await room.ask(method, path, body=body, headers=headers if body else {}, key=known["KEY"])
    assert answer.status < 300, (words, answer.body)
    await room.looked_at()
    said = answer.json() if answer.body else {}
    if path == "/v1/alerts" and body:
        known["ID"] = said["alerts"][0]["alert"]
    if path == "/v1/alerts/silences" and body:
        known["SILENCE"] = said["id"]


def test_every_call_of_the_page_is_answered() -> None:
    """Each command of the page, in its order, is taken by a real engine."""

    async def scenario(room: AlertDoorsRoom) -> None:
        known = {"KEY": KEY}
        for words in calls():
            await answered(room, words, known)

    assert len(calls()) > 15
    on_doors(scenario)


@each("block", blocks("toml"))
def test_settings_of_the_page_are_settings(block: str, tmp_path: Path) -> None:
    """Each example of the page is taken by a start as it stands."""
    (tmp_path / "postroom.toml").write_text(block, "utf-8")
    load(Flags(), {}, tmp_path)


def test_the_tables_are_the_code() -> None:
    """Every field of a report, every clause with its sentence, and every variable stands on the page."""
    fields = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.*?) \| ", PAGE, re.MULTILINE))))
    assert set() == set(AlertBody.model_fields) - fields
    told = re.findall(r"^\| `([a-z-]+)` \| (.*) \|$", PAGE.partition("| clause |")[2], re.MULTILINE)
    assert {(clause.value, ENGLISH.sentences[clause]) for clause in Clause} <= set(told)
    row = next(line for line in PAGE.splitlines() if line.startswith("| `subject`, `body` |"))
    assert set() == set(OWN) - set(re.findall(r"`(\w+)`", row))
