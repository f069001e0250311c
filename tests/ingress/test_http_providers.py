"""What is known about providers, through the application."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from peers.desk_room import OTHER, DeskRoom, desk_room
from postroom.providers import catalogue
from postroom.schema.provider_answers import OneProviderAnswer, ProviderListAnswer


def run(path: Path, story: Callable[[DeskRoom], Awaitable[None]]) -> None:
    async def told() -> None:
        async with desk_room(path) as room:
            await story(room)

    asyncio.run(told())


def test_providers_are_listed_and_searched(tmp_path: Path) -> None:
    """The list is the catalogue; words narrow it, whatever they are."""

    async def story(room: DeskRoom) -> None:
        whole = ProviderListAnswer.model_validate((await room.ask("GET", "/v1/providers")).json())
        assert [one.id for one in catalogue.providers()] == [one.id for one in whole.providers]
        for query, ids in (("q=Tencent+ses", ["tencent-ses"]), ("q=%00", []), ("q=" + "x" * 900, [])):
            found = (await room.ask("GET", "/v1/providers", query=query)).json()
            assert ids == [one["id"] for one in found["providers"]]

    run(tmp_path, story)


@pytest.mark.parametrize(
    ("wish", "language"), [(None, "en"), ("de-AT, en;q=0.5", "de"), ("sv", "en"), ("*;q=0, ko", "ko")]
)
def test_one_provider_is_shown_in_the_callers_language(
    tmp_path: Path, wish: str | None, language: str
) -> None:
    """Accept-Language chooses, and the answer says so; every tenant may know."""

    async def story(room: DeskRoom) -> None:
        headers = {} if wish is None else {"accept-language": wish}
        answer = await room.ask("GET", "/v1/providers/qq", headers=headers, tenant=OTHER)
        assert (200, language) == (answer.status, answer.headers["content-language"])
        one = OneProviderAnswer.model_validate(answer.json())
        assert language == one.language
        assert len(one.steps) > 8

    run(tmp_path, story)


def test_an_unknown_provider_is_not_found(tmp_path: Path) -> None:
    """404, with a problem."""

    async def story(room: DeskRoom) -> None:
        answer = await room.ask("GET", "/v1/providers/nobody")
        assert 404 == answer.status
        assert "nobody" in answer.json()["detail"]

    run(tmp_path, story)
