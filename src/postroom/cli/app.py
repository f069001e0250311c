"""The commands that have no module of their own, and how a failure becomes an exit code."""
# ruff: noqa: PLC0415 - commands import what they need when they run, so that --help answers at once

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from postroom.cli import (
    acting,
    alert,
    alerts,
    captured,
    checking,
    diagnosing,
    events,
    explaining,
    hap,
    holds,
    importing,
    keys,
    providers,
    secrets,
    sending,
    setting_up,
    smtp_door,
    suppressions,
    templates,
    transport_changes,
    webhook_trial,
    webhooks,
)
from postroom.cli.exits import CliError, Exit
from postroom.cli.language import Lang
from postroom.cli.options import (
    Capture,
    Config,
    Data,
    Encryption,
    EnvFile,
    HapConfig,
    Host,
    Http,
    Json,
    NexusConfig,
    PasswordFile,
    Port,
    ProviderId,
    ProxyUrl,
    Smtp,
    SmtpCert,
    SmtpKey,
    TlsCert,
    TlsKey,
    User,
    flags_of,
    server_of,
    settings_of,
)
from postroom.cli.smtp_door import announce as announce_smtp
from postroom.errors import CallerError, ConfigError, ConflictError, InputError, OperatorError, TooLargeError

if TYPE_CHECKING:
    from postroom.bootstrap.serve import Started
    from postroom.config.sources import Flags

app = typer.Typer(
    name="postroom",
    help="The gateway for outgoing mail: stores it durably, sends it, tells the truth per recipient.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(help="Look at the settings.", no_args_is_help=True, rich_markup_mode=None)
app.command("send")(sending.send)
app.command("explain")(explaining.explain)
app.command("alert")(alert.alert)
app.command("check")(checking.check)
app.command("diagnose")(diagnosing.diagnose)
app.command("setup")(setting_up.setup)
for verb in (acting.retry, acting.cancel, acting.resolve, acting.release, events.events):
    app.command(verb.__name__)(verb)
app.add_typer(alerts.app, name="alerts")
app.add_typer(keys.app, name="keys")
app.add_typer(captured.app, name="captured")
app.add_typer(hap.app, name="hap")
app.add_typer(holds.app, name="hold")
app.add_typer(importing.app, name="import")
app.add_typer(secrets.app, name="secrets")
app.add_typer(providers.app, name="providers")
app.add_typer(smtp_door.app, name="smtp")
app.add_typer(suppressions.app, name="suppress")
app.add_typer(templates.app, name="templates")
app.add_typer(transport_changes.app, name="transports")
app.add_typer(webhook_trial.app, name="webhook")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(config_app, name="config")


def run(args: Sequence[str]) -> int:
    """Run one command and return its exit code; failures are told on standard error."""
    try:
        _command()(args=list(args), prog_name="postroom")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else Exit.OK
    except (CliError, CallerError, OperatorError) as error:
        from postroom.cli.show import say_error

        told = error if isinstance(error, CliError) else _told(error)
        say_error(told, as_json="--json" in args)
        return told.exit_code
    return Exit.OK


@cache  # what it is made of takes as long as most commands
def _command() -> Callable[..., object]:
    return typer.main.get_command(app)


def _told(error: CallerError | OperatorError) -> CliError:
    """Put an error of the program itself into the words of a command."""
    match error:
        case ConfigError():
            return CliError(Exit.USAGE, "the settings are wrong", problems=error.problems)
        case InputError():
            return CliError(Exit.USAGE, "the message cannot be taken as it is", problems=error.problems)
        case TooLargeError():
            return CliError(Exit.USAGE, str(error), problems=[error.problem])
        case ConflictError():
            return CliError(Exit.FAILED, str(error), problems=[error.problem])
        case _:
            return CliError(Exit.FAILED, str(error))


@app.command()
def serve(  # noqa: PLR0913 - its flags
    *,
    data: Data = None,
    http: Http = None,
    config: Config = None,
    capture: Capture = False,
    nexus_config: NexusConfig = None,
    hap_config: HapConfig = None,
    env_file: EnvFile = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    smtp: Smtp = None,
    smtp_cert: SmtpCert = None,
    smtp_key: SmtpKey = None,
) -> None:
    """Run the server until it is told to stop."""
    from postroom.config.sources import Flags

    flags = Flags(
        data=data,
        http=tuple(http or ()),
        config=config,
        capture=capture,
        nexus_config=nexus_config,
        hap_config=hap_config,
        env_file=env_file,
        tls_cert=tls_cert,
        tls_key=tls_key,
        smtp=tuple(smtp or ()),
        smtp_cert=smtp_cert,
        smtp_key=smtp_key,
    )
    settings = settings_of(flags)
    from postroom.bootstrap.serve import run_server  # last: it loads the whole program

    raise typer.Exit(run_server(settings, _announce))


def _announce(started: "Started") -> None:
    """Tell the person at the terminal where everything is."""
    from postroom.cli.show import say

    say("postroom", _version(), "serves", " ".join(started.urls), style="bold")
    say("  data:", started.data)
    say("  store:", started.durability)
    if started.mode == "capture":
        say("  CAPTURE MODE: nothing leaves this machine; set POSTROOM_TRANSPORT to send", style="yellow")
    if started.smtp is not None:
        announce_smtp(started.smtp)
    for target in started.targets:
        say("  way out:", target)
    for warning in started.warnings:
        say("  warning:", warning, style="yellow")
    say("  first page:", started.urls[0] + "/")
    if started.first_key is not None:
        say("  first key, shown this once:", started.first_key, style="green")
        say("  try it:")
        say(f"    curl {started.urls[0]}/v1/messages -H 'Authorization: Bearer {started.first_key}' \\")
        say("      -H 'Content-Type: application/json' -H 'Prefer: wait=10' \\")
        say('      -d \'{"to": "you@example.com", "subject": "Hello", "text": "It works."}\'')


@app.command()
def status(
    message_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="Id of one message.")] = None,
    *,
    lang: Lang = None,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Show the queue, or one message with its recipients, causes and remedies."""
    from postroom.cli.show import say_json, show_message
    from postroom.cli.standing import show_status

    with server_of(flags_of(data, config, env_file), lang) as server:
        if message_id is None:
            value = server.ask("GET", "/v1/status")
            exit_code = Exit.OK if value.get("ready") else Exit.FAILED
        else:
            value = server.ask("GET", f"/v1/messages/{_segment(message_id)}")
            exit_code = sending.exit_of(value)
    show = say_json if json else show_status if message_id is None else show_message
    show(value)
    raise typer.Exit(exit_code)


def _segment(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="New file for the copy of the store.")],
    *,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Copy the store to a new file: through the server when it runs, else directly."""
    from postroom.cli.show import say, say_json

    target = Path.cwd() / file
    flags = flags_of(data, config, env_file)
    if not _server_backed_up(flags, target):
        settings = settings_of(flags)
        if not settings.data.is_dir():
            raise CliError(Exit.FAILED, f"there is no data directory {settings.data}", fix="Check --data.")
        from postroom.bootstrap.direct import backup_offline

        backup_offline(settings, target)
    if json:
        say_json({"path": str(target)})
    else:
        say("backed up to", target)


def _server_backed_up(flags: "Flags", target: Path) -> bool:
    """Ask the server of this data directory, and no other; say whether there was one."""
    with server_of(flags) as server:
        if server.target.is_guess:
            return False
        try:
            server.ask("POST", "/v1/backup", json={"path": str(target)})
        except CliError as error:
            if error.exit_code is not Exit.UNREACHABLE:
                raise
            return False
        return True


@config_app.command("check")
def check(  # noqa: PLR0913 - the flags of serve
    *,
    data: Data = None,
    http: Http = None,
    config: Config = None,
    capture: Capture = False,
    nexus_config: NexusConfig = None,
    hap_config: HapConfig = None,
    env_file: EnvFile = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    smtp: Smtp = None,
    smtp_cert: SmtpCert = None,
    smtp_key: SmtpKey = None,
    json: Json = False,
) -> None:
    """Show every error of the settings, or what they come to, without secrets."""
    from json import dumps as to_json

    from postroom.cli.show import say, say_json
    from postroom.config.shown import shown
    from postroom.config.sources import Flags

    flags = Flags(
        data=data,
        http=tuple(http or ()),
        config=config,
        capture=capture,
        nexus_config=nexus_config,
        hap_config=hap_config,
        env_file=env_file,
        tls_cert=tls_cert,
        tls_key=tls_key,
        smtp=tuple(smtp or ()),
        smtp_cert=smtp_cert,
        smtp_key=smtp_key,
    )
    settings = settings_of(flags)
    if settings.templates.directory is not None:
        from dataclasses import replace

        from postroom.bootstrap.templates import checked_alone

        settings = replace(settings, warnings=(*settings.warnings, *checked_alone(settings)))
    if json:
        say_json(shown(settings))
        return
    for name, value in shown(settings).items():
        if name != "warnings":
            say(f"{name}:", to_json(value, ensure_ascii=False))
    for warning in settings.warnings:
        say("warning:", warning, style="yellow")
    say("the settings are good", style="green")


@app.command("transport-url")
def transport_url(
    *,
    host: Host = None,
    provider: ProviderId = None,
    encryption: Encryption = None,
    port: Port = None,
    user: User = None,
    password_file: PasswordFile = None,
    proxy: ProxyUrl = None,
) -> None:
    """Print a transport URL with everything encoded that must be; the secret is in it."""
    from postroom.cli.account import read_secret, url_of

    if host is None and provider is None:
        host = typer.prompt("Server")
    given = {
        "host": host,
        "provider": provider,
        "port": port,
        "username": user,
        "password": read_secret(password_file) if user is not None else None,
        "proxy": proxy,
    }
    url, warnings = url_of(encryption, given)
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(url)


@app.command(
    "sendmail",
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def sendmail(context: typer.Context) -> None:
    """Hand in a mail as programs do that know `sendmail -t -i`; the page of the command has its options."""
    from postroom.cli.sendmail import run as run_sendmail

    raise typer.Exit(run_sendmail(context.args))


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(_version())


def _version() -> str:
    from importlib.metadata import version as installed_version

    return installed_version("postroom")
