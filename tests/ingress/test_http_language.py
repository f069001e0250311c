"""Every door whose answer has words for people speaks the caller's language; the others are not touched."""

import asyncio
from pathlib import Path

from ingress.asgi_client import Answer
from peers.desk_room import desk_room
from postroom.providers.replies import words

CAUSE = "rcpt-unknown"
GERMAN = {"accept-language": "de-DE,de;q=0.9,en;q=0.5"}


def assert_speaks(answer: Answer, language: str, cause: str = CAUSE) -> None:
    """Check the words of a cause, and that the answer says which language they are in."""
    assert answer.status in {200, 201}, answer.body
    assert (language, "Accept-Language") == (answer.headers["content-language"], answer.headers["vary"])
    meaning, remedy = words(cause, language)
    shown = answer.body.decode()
    assert meaning in shown
    assert remedy.replace('"', '\\"') in shown


def test_words_follow_the_caller(tmp_path: Path) -> None:
    """Messages, events, transports and the state: German for who asks for it, else English."""

    async def story() -> None:
        async with desk_room(tmp_path) as room:
            sent = await room.send("unknown@example.com")
            for headers, language in ((GERMAN, "de"), ({}, "en")):
                for path in (f"/v1/messages/{sent}", f"/v1/messages/{sent}/events", "/v1/events"):
                    assert_speaks(await room.ask("GET", path, headers=headers), language)
                mail = {"to": f"unknown@{language}.example.com", "text": "It works.", "class": "code"}
                waiting = {**headers, "prefer": "wait=20"}
                assert_speaks(await room.ask("POST", "/v1/messages", mail, headers=waiting), language)
            body = {"reason": "x"}
            for path in (
                "/v1/transports/main/suspend",
                "/v1/transports/main",
                "/v1/transports",
                "/v1/status",
            ):
                method = "POST" if path.endswith("suspend") else "GET"
                answer = await room.ask(
                    method, path, body if method == "POST" else None, headers={"accept-language": "zh"}
                )
                assert_speaks(answer, "zh", "transport-suspended")

    asyncio.run(story())


def test_an_acceptance_has_no_words(tmp_path: Path) -> None:
    """The answer to a mail is the same whatever its caller speaks."""

    async def story() -> None:
        async with desk_room(tmp_path) as room:
            mail = {"to": "a@example.com", "text": "It works."}
            answer = await room.ask("POST", "/v1/messages", mail, headers=GERMAN)
            assert 202 == answer.status
            assert "content-language" not in answer.headers

    asyncio.run(story())
