"""``postroom secrets``: whether the stored secrets can be opened, and a new key for them."""
# ruff: noqa: PLC0415 - commands import what they need when they run, so that --help answers at once

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from postroom.cli.exits import Exit
from postroom.cli.options import Config, Data, EnvFile, Json, flags_of, settings_of

if TYPE_CHECKING:
    from postroom.spool.sqlite.sealed import SealedRow

app = typer.Typer(
    help="Look after the key that seals stored secrets.", no_args_is_help=True, rich_markup_mode=None
)
NewKeyFile = Annotated[
    Path | None,
    typer.Option(
        "--new-key-file", metavar="FILE", help="File of the new key, where the settings give the key."
    ),
]
LeaveUnreadable = Annotated[
    bool, typer.Option("--leave-unreadable", help="Go on when a secret cannot be opened; it stays as it is.")
]
_KINDS = {"stored_transport": "transport", "hook": "webhook"}


@app.command()
def check(*, data: Data = None, config: Config = None, env_file: EnvFile = None, json: Json = False) -> None:
    """Show which stored secrets can be opened; also beside a running server."""
    from postroom.bootstrap.secrets import check_secrets
    from postroom.cli.show import say, say_json

    keys, rows = check_secrets(settings_of(flags_of(data, config, env_file)))
    bad = [row for row in rows if row.problem]
    if json:
        say_json({"ok": not bad, "keys": list(keys), "secrets": [_told(row) for row in rows]})
    else:
        say("keys:", " ".join(keys) or "none")
        _list(bad)
        say(f"{len(rows) - len(bad)} of {len(rows)} can be opened", style="yellow" if bad else "green")
    raise typer.Exit(Exit.FAILED if bad else Exit.OK)


@app.command()
def rotate(
    *,
    new_key_file: NewKeyFile = None,
    leave_unreadable: LeaveUnreadable = False,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Seal every stored secret with a new key; stop the server first."""
    from postroom.bootstrap.secrets import rotate_secrets
    from postroom.cli.show import say, say_json

    settings = settings_of(flags_of(data, config, env_file))
    file = None if new_key_file is None else Path.cwd() / new_key_file
    done = rotate_secrets(settings, new_key_file=file, leave_unreadable=leave_unreadable)
    left = [row for row in done.rows if row.problem]
    if json:
        shown = {"key": done.key_id, "file": str(done.key_file), "sealed": len(done.rows) - len(left)}
        say_json({**shown, "left": [_told(row) for row in left]})
        return
    say(f"{len(done.rows) - len(left)} sealed with the new key {done.key_id}, which is in {done.key_file}")
    if file is not None:
        say("set POSTROOM_SECRET_KEY_FILE to that file before the next start", style="yellow")
    _list(left)


def _list(rows: "Sequence[SealedRow]") -> None:
    from postroom.cli.show import say

    for row in rows:
        say("cannot be opened:", _KINDS[row.table], f"{row.row}: {row.problem}", style="red")


def _told(row: "SealedRow") -> dict[str, object]:
    return {"kind": _KINDS[row.table], "name": row.row, "keys": list(row.key_ids), "problem": row.problem}
