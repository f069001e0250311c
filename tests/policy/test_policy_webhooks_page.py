"""The page about webhooks is true: its tables are the code's, its examples are run."""

import re
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from postroom.model.event import EventKind
from postroom.policy import hooking
from postroom.policy.wording import kind_sentence

PAGE = (Path(__file__).resolve().parents[2] / "docs/webhooks.md").read_text("utf-8")
SECRET = hooking.new_secret(b"a secret of thirty-two bytes....")
OLD = hooking.new_secret(b"another secret of 32 bytes......")
BODY = b'{"type":"message.queued"}\n'


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def signed(*secrets: Any) -> dict[str, str]:
    return dict(hooking.headers(secrets, webhook_id="evt_1_h", body=BODY, now=datetime.now(UTC)))


def test_every_kind_is_in_the_table() -> None:
    """The table of kinds holds each kind with its sentence and nothing else."""
    rows = re.findall(r"^\| `([a-z_.]+)` \| (.+) \|$", PAGE.partition("## Kinds")[2], re.MULTILINE)

    assert [(kind.value, kind_sentence(kind)) for kind in EventKind] == rows


def test_the_waits_are_the_schedule() -> None:
    """The table of tries is the schedule of the code."""
    row = next(line for line in PAGE.splitlines() if line.startswith("| after |"))
    units = {"s": 1, "min": 60, "h": 3600}
    waits = [int(number) * units[unit] for number, unit in re.findall(r"(\d+) (s|min|h)\b", row)]

    assert list(hooking.WAITS_S) == waits


def test_the_python_example_verifies() -> None:
    """The function of the page accepts what is signed, also while a secret is changed, and nothing else."""
    space: dict[str, Any] = {}
    exec(blocks("python")[1], space)  # noqa: S102 - the page is the project's own
    is_genuine: Callable[[str, dict[str, str], bytes], bool] = space["is_genuine"]
    headers = signed(SECRET, OLD)

    assert is_genuine(SECRET.reveal(), headers, BODY)
    assert is_genuine(OLD.reveal(), headers, BODY)
    assert not is_genuine(OLD.reveal(), signed(SECRET), BODY)
    assert not is_genuine(SECRET.reveal(), headers, BODY + b" ")
    assert not is_genuine(SECRET.reveal(), headers | {"webhook-timestamp": "1"}, BODY)


def test_the_library_example_is_the_library() -> None:
    """The example with the library runs as it is written."""
    space = {"body": BODY, "headers": signed(SECRET)}
    exec(blocks("python")[0].replace("whsec_...", SECRET.reveal()), space)  # noqa: S102 - as above

    assert {"type": "message.queued"} == space["event"]


def test_the_openssl_example_makes_the_signature(tmp_path: Path) -> None:
    """The commands of the page print the signature that is sent."""
    (tmp_path / "body.json").write_bytes(BODY)
    headers = signed(SECRET)
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "SECRET": SECRET.reveal(),
        "ID": headers["webhook-id"],
        "TIMESTAMP": headers["webhook-timestamp"],
    }
    done = subprocess.run(
        ["bash", "-c", blocks("bash")[0]],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    assert headers["webhook-signature"] == done.stdout.strip()
