"""The door that says what would become of a mail: it reads what `POST /v1/messages` does and stores nothing.

Files are counted while they come and dropped, so the answer costs no disk; the bytes of a body are charged
to the budget of the process as everywhere.
"""

import hashlib

from starlette.requests import Request
from starlette.responses import Response

from postroom.engine.explain import Explainer
from postroom.engine.service import Service
from postroom.ingress.http.language import ACCEPT_LANGUAGE, tongue_of
from postroom.ingress.http.messages import MessageDoors
from postroom.ingress.http.replies import JsonReply
from postroom.model.message import BlobRef
from postroom.schema.bodies import SubmissionBody
from postroom.schema.explained import ExplainAnswer, explanation
from postroom.web.budget import ByteBudget
from postroom.web.gate import Operation, caller_of


class CountedFile:
    """A file that is not kept: its size and hash are all that is asked of it (the port ``StagedBlob``)."""

    def __init__(self) -> None:
        """Begin empty."""
        self.size = 0
        self._hash = hashlib.sha256()

    def write(self, data: bytes) -> None:
        """Count and hash."""
        self.size += len(data)
        self._hash.update(data)

    def commit(self) -> BlobRef:
        """Name the content, as the store would."""
        return BlobRef(self._hash.hexdigest(), self.size)

    def discard(self) -> None:
        """Forget nothing: nothing is kept."""


class ExplainDoors:
    """``POST /v1/explain``."""

    def __init__(
        self, service: Service, explainer: Explainer, *, messages: MessageDoors, budget: ByteBudget
    ) -> None:
        """Take the parts; ``messages`` reads the bodies."""
        self._service = service
        self._explainer = explainer
        self._messages = messages
        self._budget = budget

    async def explain(self, request: Request) -> Response:
        """Say what would become of one message."""
        caller = caller_of(request)
        with self._budget.hold() as hold:
            submission = await self._messages.read(request, caller, hold, stage=CountedFile)
            found = await self._explainer.explain(submission, senders=caller.senders)
        tongue = tongue_of(request, self._service)
        shown = explanation(found, self._service.mode, tongue.words)
        return JsonReply(shown, headers=tongue.headers)

    def operations(self, *, max_body: int) -> list[Operation]:
        """Return the table; ``max_body`` in bytes."""
        return [
            Operation(
                method="POST",
                path="/v1/explain",
                endpoint=self.explain,
                needs="send",
                summary="What would become of a mail",
                description="Takes what POST /v1/messages takes, accepts and stores nothing, and says which "
                "rule and transport it would get, when it could be sent, and what would stop it.",
                media_types=frozenset({"application/json", "multipart/form-data"}),
                max_body=max_body,
                body=SubmissionBody,
                parameters=[ACCEPT_LANGUAGE],
                answers={200: ("The decision now, with its reasons.", ExplainAnswer)},
            )
        ]
