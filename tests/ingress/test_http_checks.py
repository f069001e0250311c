"""Checks and test mails over HTTP: real servers on loopback, a real store, and no DATA during any check."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from peers.desk_room import OTHER, DeskRoom, desk_room
from peers.doctor_room import PASSWORD, Peer, ca_file, certified, hosts
from postroom.ingress.http import checks
from postroom.model.address import parse_mailbox
from postroom.model.secret import Secret
from postroom.model.transport import SmtpAccount, TlsMode, TransportKind, TransportSpec
from postroom.schema.checking import TestMailAnswer
from postroom.schema.checkup_answers import CheckupAnswer
from postroom.schema.diagnosed import DiagnosisAnswer

pytestmark = pytest.mark.slow

HOST = "mail.example.com"
ACCOUNT = {
    "name": "relay",
    "host": HOST,
    "port": 587,
    "encryption": "starttls",
    "username": "app@example.com",
    "password": PASSWORD,
    "ca_file": ca_file(),
}
SETTINGS = TransportSpec(
    name="main",
    kind=TransportKind.SMTP,
    account=SmtpAccount(
        host=HOST,
        port=587,
        tls=TlsMode.STARTTLS,
        username="app@example.com",
        password=Secret(PASSWORD),
        ca_file=ca_file(),
    ),
    receivers=(parse_mailbox("ops@example.com"),),
)
Story = Callable[[DeskRoom], Awaitable[None]]


def run(path: Path, story: Story, peers: Mapping[tuple[str, int], Peer] | None = None) -> None:
    """Tell a story in a room; no peer is told DATA, and no secret is in any answer."""

    async def told() -> None:
        async with AsyncExitStack() as stack:
            leads = {}
            for place, peer in (peers or {}).items():
                await stack.enter_async_context(peer.listening())
                leads[place] = peer.port
            await stack.enter_async_context(hosts(leads))
            room = await stack.enter_async_context(desk_room(path, configured={"main": SETTINGS}))
            await story(room)

    asyncio.run(told())
    for peer in (peers or {}).values():
        assert not any(command.upper().startswith("DATA") for command in peer.commands)


async def check(room: DeskRoom, path: str, body: object = None, **parts: Any) -> Any:
    answer = await room.ask("POST", path, body, **parts)
    assert 200 == answer.status, answer.body
    assert PASSWORD.encode() not in answer.body
    CheckupAnswer.model_validate_json(answer.body)
    return answer.json()


def starttls(**fields: Any) -> Peer:
    return Peer(starttls=certified(HOST), **fields)


def test_what_is_not_stored_is_checked(tmp_path: Path) -> None:
    """Every member of the answer is there, the login worked, the recipient was asked for, nothing is kept."""
    peer = starttls()

    async def story(room: DeskRoom) -> None:
        found = await check(room, "/v1/transports/check", {**ACCOUNT, "recipient": "who@example.org"})
        assert (True, "relay") != (found["ok"], found["cause"])
        assert {"ok", "cause", "target", "stages"} == found.keys()
        members = {"stage", "status", "ms", "evidence", "cause", "meaning", "remedy", "fix", "docs"}
        assert all(members <= stage.keys() for stage in found["stages"])
        by_stage = {stage["stage"]: stage["status"] for stage in found["stages"]}
        assert {"ok"} == {by_stage[one] for one in ("dns", "tcp", "tls", "auth", "mail", "rcpt", "rset")}
        assert "RCPT TO:<who@example.org>" in peer.commands
        assert 404 == (await room.ask("GET", "/v1/transports/relay")).status

    run(tmp_path, story, {(HOST, 587): peer})


@pytest.mark.parametrize(
    "form",
    [
        {"server": HOST, "port": 587, "enableSsl": False, "account": "app@example.com"}
        | {"password": PASSWORD, "fromAddress": "app@example.com", "signature": "App", "ca_file": ca_file()},
        {"SMTP_Server_Host": HOST, "SMTP_Server_Port": "587", "Email_Communication_Protocol": "TLS"}
        | {"SMTP_Server_User": "app@example.com", "SMTP_Server_password": PASSWORD, "ca_file": ca_file()}
        | {"Email_Send_Address": "app@example.com", "Email_Receivers": "ops@example.com"},
        {"URI": f"smtp://{HOST}:587?starttls=always", "UserName": "app@example.com", "ca_file": ca_file()}
        | {"Password": PASSWORD, "DefaultFromAddress": "app@example.com"},
    ],
    ids=["hap", "tapdata", "app-builder"],
)
def test_other_programs_forms_are_checked(tmp_path: Path, form: Mapping[str, Any]) -> None:
    """The forms of HAP, TapData and App Builder lead to the same dialogue."""
    peer = starttls()

    async def story(room: DeskRoom) -> None:
        await check(room, "/v1/transports/check", form)
        assert "MAIL FROM:<app@example.com>" in [one.partition(" SIZE")[0] for one in peer.commands]

    run(tmp_path, story, {(HOST, 587): peer})


def test_a_fix_is_one_call(tmp_path: Path) -> None:
    """Check, PATCH with the fix, check again: the cause is gone."""
    host = "smtp.163.com"
    peer = Peer(
        implicit=certified(host),
        replies={"AUTH": lambda line: b"235 ok\r\n" if _login(line) == "app" else b"535 Error\r\n"},
    )
    account = {"name": "mail", "host": host, "port": 465, "username": "app@163.com", "ca_file": ca_file()}

    async def story(room: DeskRoom) -> None:
        made = await room.ask("POST", "/v1/transports", {**account, "password": PASSWORD})
        assert 201 == made.status, made.body
        found = await check(room, "/v1/transports/mail/check")
        assert not found["ok"]
        fix = next(stage["fix"] for stage in found["stages"] if stage["status"] == "failed")
        assert "local-part-login" == fix["id"]
        assert fix["sentence"]
        changed = await room.ask("PATCH", "/v1/transports/mail", fix["patch"])
        assert 200 == changed.status, changed.body
        assert (await check(room, "/v1/transports/mail/check"))["ok"]

    run(tmp_path, story, {(host, 465): peer})


def test_a_warning_goes_with_its_fix(tmp_path: Path) -> None:
    """TLS at a plain port, written as a URL: the fix changes the encryption and nothing is warned of then."""
    url = f"smtps://app%40example.com:{PASSWORD}@{HOST}:587"

    async def story(room: DeskRoom) -> None:
        body = {"name": "mail", "url": url, "ca_file": ca_file()}
        assert 201 == (await room.ask("POST", "/v1/transports", body)).status
        found = await check(room, "/v1/transports/mail/check")
        tls = next(one for one in found["stages"] if one["stage"] == "tls")
        assert ("warning", "use-starttls") == (tls["status"], tls["fix"]["id"])
        changed = await room.ask("PATCH", "/v1/transports/mail", tls["fix"]["patch"])
        assert 200 == changed.status, changed.body
        found = await check(room, "/v1/transports/mail/check")
        assert "ok" == next(one["status"] for one in found["stages"] if one["stage"] == "tls")
        assert "ok" == next(one["status"] for one in found["stages"] if one["stage"] == "auth")

    run(tmp_path, story, {(HOST, 587): starttls()})


def _login(line: str) -> str:
    from base64 import b64decode  # noqa: PLC0415 - one use

    return b64decode(line.rsplit(maxsplit=1)[-1]).split(b"\0")[1].decode()


def test_a_stored_secret_is_taken_for_stars(tmp_path: Path) -> None:
    """Stars in a body are the stored secret of that name, also with another port."""
    peer, other = starttls(), Peer(implicit=certified(HOST))

    async def story(room: DeskRoom) -> None:
        assert 201 == (await room.ask("POST", "/v1/transports", ACCOUNT)).status
        body = {**ACCOUNT, "password": "*****", "port": 465, "encryption": "tls"}
        found = await check(room, "/v1/transports/check", body)
        assert "ok" == next(one["status"] for one in found["stages"] if one["stage"] == "auth")

    run(tmp_path, story, {(HOST, 587): peer, (HOST, 465): other})
    assert any(command.startswith("AUTH") for command in other.commands)


def test_a_secret_of_the_settings_stays_with_its_server(tmp_path: Path) -> None:
    """Stars for a configured transport and another server are refused before anybody is asked."""
    peer, evil = starttls(), Peer()

    async def story(room: DeskRoom) -> None:
        same = {**ACCOUNT, "name": "main", "password": "*****"}
        found = await check(room, "/v1/transports/check", same)
        assert "ok" == next(one["status"] for one in found["stages"] if one["stage"] == "auth")
        for change in (
            {"host": "evil.example.net"},
            {"verify": False},
            {"proxy": "http://evil.example.net:1"},
        ):
            answer = await room.ask("POST", "/v1/transports/check", {**same, **change})
            assert [("secret-elsewhere", "password")] == answer.problems()

    run(tmp_path, story, {(HOST, 587): peer, ("evil.example.net", 587): evil})
    assert 0 == evil.connections


def test_words_follow_the_caller(tmp_path: Path) -> None:
    """Accept-Language chooses the words, and the answer says which language they are in."""
    peer = Peer(starttls=certified(HOST), replies={"AUTH": b"535 5.7.8 no\r\n"})

    async def story(room: DeskRoom) -> None:
        texts = set()
        for asked, language in (("", "en"), ("de-AT, en;q=0.5", "de"), ("zh-CN", "zh"), ("xx", "en")):
            headers = {"accept-language": asked} if asked else {}
            answer = await room.ask("POST", "/v1/transports/main/check", headers=headers)
            assert (language, "Accept-Language") == (
                answer.headers["content-language"],
                answer.headers["vary"],
            )
            texts.add(next(one["remedy"] for one in answer.json()["stages"] if one["cause"] == "auth-wrong"))
        assert 3 == len(texts)

    run(tmp_path, story, {(HOST, 587): peer})


def test_who_may_check(tmp_path: Path) -> None:
    """It takes an administrator of the house, a transport that exists, and fields that can be understood."""

    async def story(room: DeskRoom) -> None:
        for path in ("/v1/transports/check", "/v1/transports/main/check", "/v1/transports/main/test"):
            assert 403 == (await room.ask("POST", path, {}, key=room.read_key)).status
            answer = await room.ask("POST", path, {}, tenant=OTHER)
            assert (403, "house-only") == (answer.status, answer.json()["code"])
        for verb in ("check", "test"):
            assert 404 == (await room.ask("POST", f"/v1/transports/none/{verb}", {})).status
        answer = await room.ask("POST", "/v1/transports/check", {"hosst": "x", "recipient": "nobody"})
        assert 422 == answer.status
        assert [("address-invalid", "recipient")] == (
            await room.ask("POST", "/v1/transports/main/check", {"recipient": "nobody"})
        ).problems()
        assert 422 == (await room.ask("POST", "/v1/transports/check", [1])).status

    run(tmp_path, story)


def test_a_few_checks_at_a_time(tmp_path: Path) -> None:
    """One more than may run is told to come back; when the others are through there is room."""
    peer = Peer(greeting=None)

    async def story(room: DeskRoom) -> None:
        path = "/v1/transports/main/check"
        answers = await asyncio.gather(*(room.ask("POST", path) for _ in range(checks.MAX_CHECKS + 1)))
        assert [200] * checks.MAX_CHECKS + [429] == sorted(answer.status for answer in answers)
        (refused,) = (answer for answer in answers if answer.status == 429)
        assert "checks-running" == refused.json()["code"]
        assert refused.headers["retry-after"]
        assert 200 == (await room.ask("POST", path)).status

    run(tmp_path, story, {(HOST, 587): peer})


def test_a_test_mail_is_a_real_one(tmp_path: Path) -> None:
    """It goes by its transport to the receivers in class code; a second one within a minute is refused."""

    async def story(room: DeskRoom) -> None:
        path = "/v1/transports/main/test"
        answer = await room.ask("POST", path, headers={"accept-language": "de"})
        assert 200 == answer.status, answer.body
        TestMailAnswer.model_validate_json(answer.body)
        told = answer.json()
        assert (True, True, None, "code", "main", "accepted") == (
            told["success"],
            told["result"],
            told["stack"],
            told["class"],
            told["transport"],
            told["state"],
        )
        assert "ops@example.com" in told["message"]
        assert "Testmail" == told["subject"]
        again = await room.ask("POST", path)
        assert (429, "test-too-soon", 60) == (
            again.status,
            again.json()["code"],
            again.json()["remaining_s"],
        )
        assert "60" == again.headers["retry-after"]
        room.clock.advance(60)
        body = {"to": "you@example.org", "title": "Hello", "text": "There."}
        assert "Hello" == (await room.ask("POST", path, body)).json()["subject"]

    run(tmp_path, story)


def test_a_test_mail_that_fails_says_why(tmp_path: Path) -> None:
    """The short forms say no, with the server's words; a request that is wrong costs no minute."""

    async def story(room: DeskRoom) -> None:
        path = "/v1/transports/spare/test"
        assert 404 == (await room.ask("POST", path, {"to": "refused@example.com"})).status
        path = "/v1/transports/main/test"
        assert 422 == (await room.ask("POST", path, {"to": "nobody"})).status
        told = (await room.ask("POST", path, {"to": "refused@example.com"})).json()
        TestMailAnswer.model_validate_json(json.dumps(told))
        assert (False, False) == (told["success"], told["result"])
        assert "not wanted here" in told["stack"]
        assert told["message"] == told["meaning"] != ""

    run(tmp_path, story)


def test_a_pasted_text_is_diagnosed(tmp_path: Path) -> None:
    """Cause, words, action and confidence; a text that says nothing is unknown; any tenant may ask."""

    async def story(room: DeskRoom) -> None:
        body = {"text": "535 Error: authentication failed", "host": "smtp.163.com", "language": "de"}
        answer = await room.ask("POST", "/v1/diagnose", body, tenant=OTHER)
        DiagnosisAnswer.model_validate_json(answer.body)
        found = answer.json()
        assert ("netease-auth", "pause_transport", "sure", 535) == (
            found["cause"],
            found["action"],
            found["confidence"],
            found["code"],
        )
        assert "de" == answer.headers["content-language"]
        unknown = (await room.ask("POST", "/v1/diagnose", {"text": "hello"}, key=room.read_key)).json()
        assert ("unknown", None, "unknown", "") == tuple(
            unknown[name] for name in ("cause", "action", "confidence", "remedy")
        )
        assert 422 == (await room.ask("POST", "/v1/diagnose", {"text": 5})).status
        assert 413 == (await room.ask("POST", "/v1/diagnose", {"text": "x" * checks.MAX_TEXT})).status

    run(tmp_path, story)


def test_a_transport_may_have_the_name_of_a_verb(tmp_path: Path) -> None:
    """One called ``check`` is shown, checked and removed like any other."""

    async def story(room: DeskRoom) -> None:
        assert 201 == (await room.ask("POST", "/v1/transports", {**ACCOUNT, "name": "check"})).status
        assert "check" == (await room.ask("GET", "/v1/transports/check")).json()["name"]
        assert "net-refused" == (await check(room, "/v1/transports/check/check"))["cause"]
        assert 204 == (await room.ask("DELETE", "/v1/transports/check")).status
        assert 405 == (await room.ask("PUT", "/v1/transports/check")).status

    run(tmp_path, story)
