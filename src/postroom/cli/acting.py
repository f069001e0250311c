"""``postroom retry``, ``cancel``, ``resolve`` and ``release``: one message by its id, or many by a filter.

Many are counted first; then a person is asked, or ``--yes`` has answered. With ``--json`` nobody is asked:
without ``--yes`` the count is all that happens.
"""
# ruff: noqa: PLC0415 - commands import what they need when they run, so that --help answers at once
# ruff: noqa: PLR0913 - the options of a command

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from postroom.cli.exits import CliError, Exit
from postroom.cli.options import (
    ClassFilter,
    Config,
    Data,
    EnvFile,
    Json,
    Note,
    OneId,
    RecipientFilter,
    Recipients,
    SenderFilter,
    Since,
    State,
    TagFilter,
    TransportFilter,
    Until,
    Yes,
    flags_of,
    server_of,
)

if TYPE_CHECKING:
    from postroom.cli.server import Server

BULK_TIMEOUT_S = 3600.0
"""Seconds: many are changed in chunks before the answer comes."""

RetryAt = Annotated[str | None, typer.Option("--at", metavar="TIME", help="When to send again, default now.")]
Duplicate = Annotated[
    bool, typer.Option("--confirm-duplicate", help="Uncertain ones of one message too; they may get two.")
]
As = Annotated[
    str,
    typer.Option("--as", metavar="WHAT", help="arrived, send-again or drop: what you found out."),
]


def retry(
    message_id: OneId = None,
    *,
    recipient: Recipients = None,
    at: RetryAt = None,
    confirm_duplicate: Duplicate = False,
    state: State = None,
    mail_class: ClassFilter = None,
    tag: TagFilter = None,
    sender: SenderFilter = None,
    transport: TransportFilter = None,
    since: Since = None,
    until: Until = None,
    yes: Yes = False,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Send again what was refused, expired, suppressed, deferred or held."""
    more: dict[str, Any] = {"at": at} if at is not None else {}
    wanted = _filter(state, mail_class, tag, sender, transport, since, until)
    with server_of(flags_of(data, config, env_file)) as server:
        if message_id is not None:
            more["confirm_duplicate"] = confirm_duplicate
            _one(server, "retry", message_id, {**_chosen(recipient, wanted), **more}, json=json)
        elif confirm_duplicate:
            fix = "Use `postroom resolve --as send-again` with the filter."
            raise CliError(Exit.USAGE, "--confirm-duplicate is for one message", fix=fix)
        else:
            _many(server, "retry", {**wanted, **_single(recipient)}, more, yes=yes, json=json)


def cancel(
    message_id: OneId = None,
    *,
    recipient: RecipientFilter = None,
    state: State = None,
    mail_class: ClassFilter = None,
    tag: TagFilter = None,
    sender: SenderFilter = None,
    transport: TransportFilter = None,
    since: Since = None,
    until: Until = None,
    yes: Yes = False,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Cancel what is queued, deferred or held."""
    from postroom.cli.show import say_json, show_message

    wanted = _filter(state, mail_class, tag, sender, transport, since, until)
    if recipient is not None:
        wanted["recipient"] = recipient
    with server_of(flags_of(data, config, env_file)) as server:
        if message_id is None:
            _many(server, "cancel", wanted, {}, yes=yes, json=json)
            return
        _chosen(None, wanted)
        answer = server.ask("DELETE", f"/v1/messages/{quote(message_id, safe='')}")
    (say_json if json else show_message)(answer)


def resolve(
    message_id: OneId = None,
    *,
    what: As,
    note: Note,
    recipient: Recipients = None,
    state: State = None,
    mail_class: ClassFilter = None,
    tag: TagFilter = None,
    sender: SenderFilter = None,
    transport: TransportFilter = None,
    since: Since = None,
    until: Until = None,
    yes: Yes = False,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Say what became of uncertain recipients: they arrived, send again, or drop."""
    more = {"resolution": what.replace("-", "_"), "note": note}
    wanted = _filter(state, mail_class, tag, sender, transport, since, until)
    with server_of(flags_of(data, config, env_file)) as server:
        if message_id is not None:
            _one(server, "resolve", message_id, {**_chosen(recipient, wanted), **more}, json=json)
        else:
            _many(server, "resolve", {**wanted, **_single(recipient)}, more, yes=yes, json=json)


def release(
    message_id: OneId = None,
    *,
    recipient: Recipients = None,
    state: State = None,
    mail_class: ClassFilter = None,
    tag: TagFilter = None,
    sender: SenderFilter = None,
    transport: TransportFilter = None,
    since: Since = None,
    until: Until = None,
    yes: Yes = False,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Let held mail go."""
    wanted = _filter(state, mail_class, tag, sender, transport, since, until)
    with server_of(flags_of(data, config, env_file)) as server:
        if message_id is not None:
            _one(server, "release", message_id, _chosen(recipient, wanted), json=json)
        else:
            _many(server, "release", {**wanted, **_single(recipient)}, {}, yes=yes, json=json)


def _filter(*values: str | None) -> dict[str, str]:
    """Return the filter of these options, in their order."""
    names = ("state", "class", "tag", "sender", "transport", "since", "until")
    return {name: value for name, value in zip(names, values, strict=True) if value is not None}


def _single(recipients: Sequence[str] | None) -> dict[str, str]:
    if not recipients:
        return {}
    if len(recipients) > 1:
        fix = "Give one --recipient, an address or @domain."
        raise CliError(Exit.USAGE, "a filter takes one recipient", fix=fix)
    return {"recipient": recipients[0]}


def _chosen(recipients: Sequence[str] | None, wanted: Mapping[str, str]) -> dict[str, Any]:
    """Return which recipients of one message are meant. Raises CliError when a filter is given too."""
    if wanted:
        fix = "Give the id alone, or a filter without an id."
        raise CliError(Exit.USAGE, "an id and a filter do not go together", fix=fix)
    return {"recipients": list(recipients)} if recipients else {}


def _one(server: "Server", verb: str, message_id: str, order: Mapping[str, Any], *, json: bool) -> None:
    from postroom.cli.show import say, say_json, show_message

    answer = server.ask("POST", f"/v1/messages/{quote(message_id, safe='')}/{verb}", json=order)
    if json:
        say_json(answer)
        return
    show_message(answer)
    say(f"{verb}:", _counted(answer["changed"]))


def _many(
    server: "Server",
    verb: str,
    wanted: Mapping[str, str],
    more: Mapping[str, Any],
    *,
    yes: bool,
    json: bool,
) -> None:
    from postroom.cli.show import say, say_json

    path, body = f"/v1/messages/{verb}", {"filter": dict(wanted), **more}
    answer = server.ask("POST", path, json=body, timeout=BULK_TIMEOUT_S)
    if json and not yes:
        say_json(answer)
        return
    if not json:
        say(f"{verb} means", _counted(answer))
    if not answer["recipients"]:
        if json:
            say_json(answer)
        return
    if not yes and not typer.confirm(f"{verb} them?"):
        raise CliError(Exit.FAILED, "nothing was changed")
    answer = server.ask("POST", path, json={**body, "token": answer["token"]}, timeout=BULK_TIMEOUT_S)
    if json:
        say_json(answer)
    else:
        say(f"{verb}:", _counted(answer))


def _counted(changed: Mapping[str, Any]) -> str:
    recipients, messages, left = changed["recipients"], changed["messages"], changed["left"]
    text = f"{recipients} recipient{'s' * (recipients != 1)} of {messages} message{'s' * (messages != 1)}"
    return f"{text}; {left} left alone" if left else text
