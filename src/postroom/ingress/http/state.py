"""The doors that only look: is the process alive, is mail taken, how does all stand, what is counted."""

from importlib.metadata import version

from starlette.requests import Request
from starlette.responses import Response

from postroom.engine.service import Service
from postroom.ingress.http.language import tongue_of
from postroom.ingress.http.replies import JsonReply
from postroom.schema import status_answers
from postroom.telemetry import catalogue
from postroom.telemetry.exposition import CONTENT_TYPE, Scrape
from postroom.web.gate import caller_of
from postroom.web.keyless import is_loopback

NOT_READY_RETRY_S = 5


class StateDoors:
    """``/healthz``, ``/readyz``, ``/v1/status`` and ``/metrics``."""

    def __init__(self, service: Service, scrape: Scrape) -> None:
        """Take the service, and the sources of the metrics."""
        self._service = service
        self._scrape = scrape
        self._version = version("postroom")

    async def alive(self, _request: Request) -> Response:
        """Say that the process answers."""
        return JsonReply({"status": "alive"})

    async def ready(self, request: Request) -> Response:
        """Say whether new mail is taken; 503 with the reasons when it is not.

        Callers from elsewhere need no key here, so what only needs a look is shown on this machine alone.
        """
        status = await self._service.status()
        is_shown = not status.ready or is_loopback(caller_of(request).peer)
        answer = status_answers.ready(status, is_shown=is_shown)
        if status.ready:
            return JsonReply(answer)
        return JsonReply(answer, 503, {"retry-after": str(NOT_READY_RETRY_S)})

    async def status(self, request: Request) -> Response:
        """Show how everything stands, and what to do next."""
        status = await self._service.status()
        tongue = tongue_of(request, self._service)
        shown = status_answers.status(status, version=self._version, words=tongue.words)
        return JsonReply(shown, headers=tongue.headers)

    async def metrics(self, _request: Request) -> Response:
        """Show every metric in the text format of Prometheus."""
        catalogue.INFO.show({(self._version, self._service.mode): 1})
        text = await self._scrape.text()
        return Response(text, headers={"content-type": CONTENT_TYPE, "cache-control": "no-store"})
