"""The language of an answer: what ``Accept-Language`` asks for, English without it.

Only doors whose answer has words for people look: the acceptance of a mail has none and asks for nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.requests import Request

from postroom.engine.service import Service, Words
from postroom.providers.words import LANGUAGES, language_of

ACCEPT_LANGUAGE: Mapping[str, Any] = {
    "name": "Accept-Language",
    "in": "header",
    "required": False,
    "description": f"The language of the words: {', '.join(LANGUAGES)}; English without one.",
    "schema": {"type": "string"},
}
"""The parameter in OpenAPI form."""


@dataclass(frozen=True, slots=True)
class Tongue:
    """How an answer speaks."""

    language: str
    headers: Mapping[str, str]
    words: Callable[[str], Words]
    """Meaning and remedy of a cause."""


def language_asked(request: Request) -> str:
    """Return the language that a request asks for."""
    for name, value in request.scope["headers"]:
        if name == b"accept-language":
            return language_of(value.decode("latin-1"))
    return LANGUAGES[0]


def headers_in(language: str) -> dict[str, str]:
    """Return the headers of an answer in a language."""
    return {"content-language": language, "vary": "Accept-Language"}


def tongue_of(request: Request, service: Service) -> Tongue:
    """Return how to answer a request."""
    language = language_asked(request)
    words = service.words if language == LANGUAGES[0] else partial(service.words, language=language)
    return Tongue(language, headers_in(language), words)
