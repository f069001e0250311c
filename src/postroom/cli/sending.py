"""``postroom send``: one mail from the command line."""
# ruff: noqa: PLC0415 - commands import what they need when they run, so that --help answers at once

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from postroom.cli.exits import CliError, Exit
from postroom.cli.options import (
    Attach,
    Bcc,
    Cc,
    Config,
    Data,
    Direct,
    EnvFile,
    From,
    Header,
    HtmlFile,
    IdempotencyKey,
    Json,
    Locale,
    MailClassName,
    ReplyTo,
    SendAt,
    SetValue,
    Subject,
    Tag,
    TemplateName,
    TextFile,
    To,
    Wait,
    Words,
    flags_of,
    server_of,
    settings_of,
)

if TYPE_CHECKING:
    from postroom.config.sources import Flags

MAX_WAIT_S = 30
"""What the server grants (``Prefer: wait``)."""

_LISTS = ("to", "cc", "bcc", "reply_to")
GOOD_STATES = frozenset({"accepted", "captured"})


def send(  # noqa: PLR0913 - each is a flag
    *,
    to: To = None,
    cc: Cc = None,
    bcc: Bcc = None,
    from_: From = None,
    reply_to: ReplyTo = None,
    subject: Subject = "",
    message: Words = None,
    text: TextFile = None,
    html: HtmlFile = None,
    template: TemplateName = None,
    set_: SetValue = None,
    locale: Locale = None,
    attach: Attach = None,
    header: Header = None,
    tag: Tag = None,
    mail_class: MailClassName = None,
    send_at: SendAt = None,
    wait: Wait = 0,
    idempotency_key: IdempotencyKey = None,
    direct: Direct = False,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Send one mail."""
    addresses = {"from": from_, "to": to, "cc": cc, "bcc": bcc, "reply_to": reply_to}
    rendered = {"template": template, "locale": locale, "variables": _variables(set_ or ())}
    fields = {
        **addresses,
        "subject": subject,
        **rendered,
        "tags": tag,
        "class": mail_class,
        "send_at": send_at,
        "idempotency_key": idempotency_key,
    }
    body, files = composed(
        fields, message=message, text=text, html=html, headers=header or (), attach=attach or ()
    )
    flags = flags_of(data, config, env_file)
    if direct:
        answer = _send_directly(flags, body, files, wait_s=wait or MAX_WAIT_S)
    else:
        answer = _post(flags, body, files, wait=wait)
    _show(answer, json=json)
    raise typer.Exit(exit_of(answer) if wait or direct else Exit.OK)


def _variables(given: Sequence[str]) -> Mapping[str, Any]:
    from postroom.cli.templates_values import read_values

    return read_values(given, {}) if given else {}


def composed(
    fields: Mapping[str, Any],
    *,
    message: str | None,
    text: str | None,
    html: str | None,
    headers: Sequence[str],
    attach: Sequence[Path],
) -> tuple[dict[str, Any], dict[str, Path]]:
    """Return the body in the form of ``POST /v1/messages``, and the file of each part it names.

    Reads the files of the texts. Raises CliError.
    """
    if text == html == "-" or (message is not None and text is not None):
        cause = (
            "the text is given twice" if message is not None else "--text and --html are both standard input"
        )
        raise CliError(Exit.USAGE, cause, fix="Give each of text and HTML once.")
    texts = {
        "text": message if message is not None else _content("--text", text),
        "html": _content("--html", html),
        "headers": [_header(line) for line in headers],
    }
    files = _files(attach)
    addresses = {name: _parted(fields[name]) for name in _LISTS if fields.get(name)}
    body = {name: value for name, value in {**fields, **addresses, **texts}.items() if value}
    return body | _attachments(files), files


def _parted(values: Sequence[str]) -> list[str]:
    """Cut each value where people part addresses."""
    from postroom.schema.mailbox_lists import split_mailboxes

    return [part for value in values for part in split_mailboxes(value)]


def exit_of(message: Mapping[str, Any]) -> Exit:
    """Return the code that says how a message stands: still open, all good, or something failed."""
    if message.get("open", message.get("state") == "queued"):
        return Exit.UNFINISHED
    states = {recipient["state"] for recipient in message.get("recipients", ())} or {message.get("state")}
    return Exit.OK if states <= GOOD_STATES else Exit.FAILED


def _show(answer: Mapping[str, Any], *, json: bool) -> None:
    from postroom.cli.show import say, say_json, show_message

    if json:
        say_json(answer)
        return
    if "recipients" in answer:
        show_message(answer)
        return
    say(answer["id"], answer.get("state", "queued"))
    if answer.get("mode") == "capture":
        say("  capture mode: nothing leaves this machine", style="cyan")


def _content(option: str, file: str | None) -> str | None:
    if file is None:
        return None
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except OSError:
        fix = f"{option} takes a file; words on the command line go into --message."
        raise CliError(Exit.USAGE, f"{option}: {file} cannot be read", fix=fix) from None
    except UnicodeDecodeError:
        raise CliError(Exit.USAGE, f"{option}: {file} is not UTF-8 text", fix="Save it as UTF-8.") from None


def _header(line: str) -> list[str]:
    name, colon, value = line.partition(":")
    if not colon:
        raise CliError(Exit.USAGE, "--header is not NAME: VALUE", fix="Write --header 'X-Name: value'.")
    return [name.strip(), value.strip()]


def _files(paths: Sequence[Path]) -> dict[str, Path]:
    """Name each file for its part of the body."""
    for path in paths:
        try:
            path.open("rb").close()
        except OSError as error:
            why = (error.strerror or "unknown reason").lower()
            raise CliError(Exit.USAGE, f"--attach: {path} cannot be read: {why}", fix="Check it.") from None
    return {f"file{number}": path for number, path in enumerate(paths)}


def _attachments(files: Mapping[str, Path]) -> dict[str, Any]:
    import mimetypes

    attachments = [
        {
            "filename": path.name,
            "content_type": mimetypes.guess_type(path.name)[0] or "application/octet-stream",
            "upload": upload,
        }
        for upload, path in files.items()
    ]
    return {"attachments": attachments} if attachments else {}


def _send_directly(
    flags: "Flags", body: Mapping[str, Any], files: Mapping[str, Path], *, wait_s: float
) -> Mapping[str, Any]:
    settings = settings_of(flags)
    from postroom.bootstrap.direct import send_direct  # last: it loads the whole program

    return send_direct(settings, body, files, wait_s=wait_s)


def _post(
    flags: "Flags", body: Mapping[str, Any], files: Mapping[str, Path], *, wait: int
) -> Mapping[str, Any]:
    """Hand the mail to the server. Always under an idempotency key: a lost answer can be asked for again."""
    from postroom.clock import SystemDice

    key = body.get("idempotency_key") or SystemDice().token(16).hex()
    body = {**body, "idempotency_key": key}
    headers = {"Prefer": f"wait={wait}"} if wait else {}
    with ExitStack() as stack:
        server = stack.enter_context(server_of(flags))
        options = carried(body, files, stack)
        try:
            return server.ask("POST", "/v1/messages", headers=headers, **options)
        except CliError as error:
            if error.exit_code is not Exit.UNFINISHED:
                raise
            fix = f"Run it again with --idempotency-key {key}: it is then sent once, whatever happened."
            raise CliError(Exit.UNFINISHED, error.cause, fix=fix) from None


def carried(body: Mapping[str, Any], files: Mapping[str, Path], stack: ExitStack) -> dict[str, Any]:
    """Return the request's options that carry a mail: JSON, or a form when there are files.

    The files stay open until ``stack`` ends.
    """
    import json

    if not files:
        return {"json": body}
    parts: list[tuple[str, Any]] = [("message", ("message.json", json.dumps(body), "application/json"))]
    for upload, path in files.items():
        parts.append((upload, (path.name, stack.enter_context(path.open("rb")))))
    return {"files": parts}
