"""``postroom explain``: what would become of a mail, without sending it."""
# ruff: noqa: PLC0415 - commands import what they need when they run, so that --help answers at once

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import typer

from postroom.cli.exits import Exit
from postroom.cli.language import Lang
from postroom.cli.options import (
    Attach,
    Bcc,
    Cc,
    Config,
    Data,
    EnvFile,
    From,
    Header,
    HtmlFile,
    IdempotencyKey,
    Json,
    MailClassName,
    ReplyTo,
    SendAt,
    Subject,
    Tag,
    TextFile,
    To,
    Words,
    flags_of,
    server_of,
)
from postroom.cli.sending import carried, composed

_STATE_STYLES = {"working": "green", "queued": "green", "down": "red", "suppressed": "red"}
_WINDOWS = {1: "second", 60: "minute", 3600: "hour", 86400: "day"}


def explain(  # noqa: PLR0913 - each is a flag
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
    attach: Attach = None,
    header: Header = None,
    tag: Tag = None,
    mail_class: MailClassName = None,
    send_at: SendAt = None,
    idempotency_key: IdempotencyKey = None,
    lang: Lang = None,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Say which way a mail would take, and what would stop it; nothing is stored or sent."""
    from postroom.cli.show import say_json

    fields = {
        "from": from_,
        "to": to,
        "cc": cc,
        "bcc": bcc,
        "reply_to": reply_to,
        "subject": subject,
        "tags": tag,
        "class": mail_class,
        "send_at": send_at,
        "idempotency_key": idempotency_key,
    }
    body, files = composed(
        fields, message=message, text=text, html=html, headers=header or (), attach=attach or ()
    )
    with ExitStack() as stack:
        server = stack.enter_context(server_of(flags_of(data, config, env_file), lang))
        answer = server.ask("POST", "/v1/explain", **carried(body, files, stack))
    if json:
        say_json(answer)
    else:
        _show(answer)
    raise typer.Exit(Exit.OK if answer["accepted"] else Exit.USAGE)


def _show(answer: Mapping[str, Any]) -> None:
    from postroom.cli.show import say

    accepted = answer["accepted"]
    say("would be accepted" if accepted else "would be refused", style="green" if accepted else "red")
    for problem in answer["problems"]:
        say(f"  {problem['field']}:", problem["cause"], style="red")
        say("   ", problem["fix"])
    if answer["mode"] == "capture":
        say("  capture mode: nothing leaves this machine", style="cyan")
    say("rule:", answer["rule"])
    say("route:", answer["route"])
    for leg in answer["legs"]:
        _show_leg(leg)
    for name, label in _DETAILS:
        if answer[name] is not None:
            say(f"{label}:", answer[name])
    if answer["size"] is not None:
        say("size:", answer["size"], "bytes on the wire, at most", answer["max_size"])
    for recipient in answer["recipients"]:
        state = recipient["state"]
        stop = recipient["suppressed"] or recipient["held"] or {}
        why = " ".join(str(stop[part]) for part in ("kind", "reason") if stop.get(part))
        until = f" until {stop['until']}" if stop.get("until") else ""
        line = f"{recipient['address']} {state}{until}"
        say(" ", f"{line}: {why}" if why else line, style=_STATE_STYLES.get(state, "yellow"))
    _show_class(answer["class"])
    if answer["idempotency"] is not None:
        _show_key(answer["idempotency"])


_DETAILS = (
    ("from", "from"),
    ("from_wished", "rewritten from"),
    ("reverse_path", "MAIL FROM"),
    ("not_before", "sent not before"),
    ("expires_at", "given up at"),
)


def _show_leg(leg: Mapping[str, Any]) -> None:
    from postroom.cli.show import say

    mark = "->" if leg["chosen"] else "  "
    say(f"  {mark} {leg['transport']}", leg["state"], style=_STATE_STYLES.get(leg["state"], "yellow"))
    for wait in leg["waits"]:
        until = f"until {wait['until']}" if wait["until"] else "until a person resumes it"
        say(f"       {wait['kind']} {until}:", wait["meaning"] or wait["cause"])
        if wait["remedy"]:
            say("      ", wait["remedy"])
    for line in _pace(leg):
        say("      ", line)


def _pace(leg: Mapping[str, Any]) -> Iterator[str]:
    for one in leg["pace"]:
        window = _WINDOWS.get(one["window_s"], f"{one['window_s']} s")
        yield f"{one['used']} of {one['allowed']} used in this {window}"
    if leg["paced_until"]:
        yield f"its pace lets the next one go at {leg['paced_until']}"
    if leg["quota_ends_at"]:
        yield f"the day's quota ends at {leg['quota_ends_at']} at this pace"


def _show_class(rules: Mapping[str, Any]) -> None:
    from postroom.cli.show import say

    waits = ", ".join(f"{least:g}-{most:g} s" for least, most in rules["retries"])
    say(f"class {rules['name']}: tried again after {waits}")
    if rules["uncertain_policy"]:
        elsewhere = "" if rules["uncertain_failover"] else ", never by another transport"
        say(f"  when nobody knows whether it arrived: {rules['uncertain_policy']}{elsewhere}")


def _show_key(use: Mapping[str, Any]) -> None:
    from postroom.cli.show import say

    match use["use"]:
        case "replay":
            say("idempotency key: known, message", use["message_id"], "would be answered again")
        case "refused":
            say("idempotency key: used for another mail, different in", ", ".join(use["fields"]))
        case _:
            say("idempotency key: new, kept until", use["kept_until"])
