"""``postroom alerts``: what is active, what was told and why, the catalogue, the rules."""
# ruff: noqa: PLC0415 - commands import what they need when they run, so that --help answers at once
# ruff: noqa: PLR0913 - the options of a command

from typing import Annotated, Any
from urllib.parse import quote

import typer

from postroom.cli import alerts_rules, alerts_trial
from postroom.cli.alerts_quiet import ack, rhythm, silence, silences, unsilence
from postroom.cli.language import Lang
from postroom.cli.options import Config, Data, EnvFile, Json, Limit, flags_of, server_of

app = typer.Typer(
    help="Look at alerts, ask why they were told, silence them.", no_args_is_help=True, rich_markup_mode=None
)
AlertId = Annotated[str, typer.Argument(metavar="ID", help="Id of the alert.")]


def _only(flag: str, metavar: str, text: str) -> Any:
    return typer.Option(flag, metavar=metavar, help=text)


Key = Annotated[str | None, _only("--key", "KEY", "Only of this type.")]
Before = Annotated[int | None, _only("--before", "N", "Only older ones than this number.")]


@app.command("list")
def list_alerts(
    *,
    all_: Annotated[
        bool, typer.Option("--all", help="Also those that are over and not forgotten yet.")
    ] = False,
    key: Key = None,
    severity: Annotated[str | None, _only("--severity", "WORD", "This one and worse ones.")] = None,
    source: Annotated[str | None, _only("--source", "NAME", "Only what this one reports.")] = None,
    object_: Annotated[str | None, _only("--object", "NAME", "Only what is about this.")] = None,
    match: Annotated[
        list[str] | None,
        _only("--match", "MATCHER", "Only what matches, such as team=~'db.*'; repeat for more."),
    ] = None,
    after: Annotated[str | None, _only("--after", "CURSOR", "Go on after this page.")] = None,
    limit: Limit = 50,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """List the active alerts, the worst first."""
    from postroom.cli.alerts_shown import show_alerts
    from postroom.cli.show import say_json

    given = {
        "state": "any" if all_ else None,
        "key": key,
        "severity": severity,
        "source": source,
        "object": object_,
        "match": ",".join(match) if match else None,
        "cursor": after,
        "limit": limit,
    }
    with server_of(flags_of(data, config, env_file)) as server:
        answer = server.ask("GET", "/v1/alerts", params=_given(given))
    (say_json if json else show_alerts)(answer)


@app.command()
def show(
    alert_id: AlertId,
    *,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Show one alert."""
    from postroom.cli.alerts_shown import show_alert
    from postroom.cli.show import say_json

    with server_of(flags_of(data, config, env_file)) as server:
        answer = server.ask("GET", f"/v1/alerts/{quote(alert_id, safe='')}")
    (say_json if json else show_alert)(answer)


@app.command()
def why(
    alert_id: AlertId,
    *,
    event: Annotated[int | None, _only("--event", "N", "Only what this report led to.")] = None,
    before: Before = None,
    limit: Limit = 50,
    lang: Lang = None,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Say why an alert was told, or was not."""
    from postroom.cli.alerts_shown import show_story
    from postroom.cli.show import say_json

    params = _given({"event": event, "before": before, "limit": limit})
    with server_of(flags_of(data, config, env_file), lang) as server:
        answer = server.ask("GET", f"/v1/alerts/{quote(alert_id, safe='')}/why", params=params)
    (say_json if json else show_story)(answer)


@app.command()
def events(
    *,
    key: Key = None,
    alert: Annotated[str | None, _only("--alert", "ID", "Only of this alert.")] = None,
    before: Before = None,
    limit: Limit = 20,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Show the newest reports, oldest first."""
    from postroom.cli.alerts_shown import show_reports
    from postroom.cli.show import say_json

    params = _given({"key": key, "alert": alert, "before": before, "limit": limit})
    with server_of(flags_of(data, config, env_file)) as server:
        answer = server.ask("GET", "/v1/alerts/events", params=params)
    (say_json if json else show_reports)(answer)


@app.command()
def types(*, data: Data = None, config: Config = None, env_file: EnvFile = None, json: Json = False) -> None:
    """List the catalogue of types."""
    from postroom.cli.alerts_shown import show_rules
    from postroom.cli.show import say, say_json

    with server_of(flags_of(data, config, env_file)) as server:
        answer = server.ask("GET", "/v1/alerts/types")
    if json:
        say_json(answer)
    elif answer["types"]:
        show_rules(answer["types"])
    else:
        say("there is no type: the defaults hold for every report")


for verb in (silence, silences, unsilence, ack, rhythm):
    app.command(verb.__name__)(verb)
app.command("test")(alerts_trial.try_report)
app.add_typer(alerts_rules.app, name="rules")


def _given(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
