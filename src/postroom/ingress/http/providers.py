"""The doors to what is known about providers: public knowledge, for every key that may read."""

from starlette.requests import Request
from starlette.responses import Response

from postroom.errors import NotFoundError
from postroom.ingress.http.language import ACCEPT_LANGUAGE, headers_in, language_asked
from postroom.ingress.http.replies import JsonReply
from postroom.providers import catalogue
from postroom.schema import provider_answers
from postroom.web.gate import Operation

MAX_WORDS = 200
"""Characters of what is searched for."""
_WORDS = {
    "name": "q",
    "in": "query",
    "required": False,
    "description": "Parts of an id, a name, a mail domain or a server, with blanks between; all must fit.",
    "schema": {"type": "string", "maxLength": MAX_WORDS},
}


async def list_providers(request: Request) -> Response:
    """List the providers that fit."""
    wanted = request.query_params.get("q", "")[:MAX_WORDS].split()
    return JsonReply(provider_answers.listed(provider_answers.found(wanted)))


async def one_provider(request: Request) -> Response:
    """Show one provider with its steps of set-up, in the caller's language."""
    id_ = request.path_params["id"]
    one = catalogue.provider(id_)
    if one is None:
        raise NotFoundError(f"there is no provider {id_[:100]!r}")
    language = language_asked(request)
    return JsonReply(provider_answers.shown(one, language), headers=headers_in(language))


def provider_operations() -> list[Operation]:
    """Return the operations on providers."""
    return [
        Operation(
            method="GET",
            path="/v1/providers",
            endpoint=list_providers,
            needs="read",
            summary="List known providers",
            parameters=[_WORDS],
            answers={200: ("In the order of the catalogue.", provider_answers.ProviderListAnswer)},
        ),
        Operation(
            method="GET",
            path="/v1/providers/{id}",
            endpoint=one_provider,
            needs="read",
            summary="One provider: servers, login, sender, limits, set-up step by step",
            parameters=[ACCEPT_LANGUAGE],
            answers={200: ("In the language asked for.", provider_answers.OneProviderAnswer)},
        ),
    ]
