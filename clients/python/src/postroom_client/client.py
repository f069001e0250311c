"""The clients: ``exchange`` on a wire, once blocking and once with ``await``.

A client may be used by several threads or tasks. It keeps connections; ``close`` or a ``with`` block ends it.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self, TypeVar, Unpack

import httpx2

from postroom_client import exchange
from postroom_client.alerts import Alert, TakenAlert
from postroom_client.errors import NotConfiguredError, PostroomError, ServerError
from postroom_client.messages import Mail, Message, TemplateLook
from postroom_client.templates import Preview, Template

T = TypeVar("T")

TIMEOUT_S = 30.0
"""Without any byte, beside what the server was asked to wait."""
RETRIES = 3
POLL_S = 1.0
"""Between two looks at a message that is waited for."""


class _Target:
    """Where the server is and how it is asked."""

    def __init__(self, url: str | None, api_key: str | None) -> None:
        self.url = (url or os.environ.get("POSTROOM_URL", "")).rstrip("/")
        key = api_key or os.environ.get("POSTROOM_API_KEY", "")
        self.headers = {"authorization": f"Bearer {key}"} if key else {}
        if not self.url:
            raise NotConfiguredError("no server is named: set POSTROOM_URL, or give url")
        parts = httpx2.URL(self.url)
        if parts.scheme not in {"http", "https"} or not parts.host or parts.userinfo:
            raise NotConfiguredError("url is not http:// or https:// with a host and without a login")


class PostroomClient:
    """Blocking calls to one Postroom server."""

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float = TIMEOUT_S,
        retries: int = RETRIES,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        """Take the server; what is not given is ``POSTROOM_URL`` and ``POSTROOM_API_KEY``.

        Args:
            url: Of the server, such as ``http://127.0.0.1:8587``.
            api_key: With the scope ``send``; ``read`` as well to look at messages.
            timeout: Seconds without an answer, beside what ``wait`` asks for.
            retries: How often a call is repeated that got no answer.
            transport: Another wire, for tests.

        Raises:
            NotConfiguredError: No server is named.
        """
        target = _Target(url, api_key)
        self._url, self._timeout_s, self._retries = target.url, timeout, retries
        self._http = httpx2.Client(headers=target.headers, transport=transport, follow_redirects=False)

    def send(
        self, *, wait: float | None = None, idempotency_key: str | None = None, **mail: Unpack[Mail]
    ) -> Message:
        """Hand in one mail; when this returns it is on stable storage and will not be lost.

        Args:
            wait: Seconds, at most 30, to wait for the first attempt; without it the answer comes at once
                and has no recipients.
            idempotency_key: Names this mail; the same key and content never make a second mail, also from
                another process. One is made up for each call that gives none.
            **mail: The mail; see ``Mail``.

        Raises:
            InvalidError: The mail cannot be taken; ``problems`` names every wrong field.
            PostroomError: See ``errors``.
        """
        return self._ask(exchange.submission(mail, wait=wait, idempotency_key=idempotency_key))

    def send_batch(
        self, mails: Sequence[Mail], *, defaults: Mail | None = None, idempotency_key: str | None = None
    ) -> list[Message | PostroomError]:
        """Hand in up to 500 mails; each is accepted or refused by itself, in their order.

        Args:
            mails: The mails.
            defaults: What every mail has that does not bring its own; ``variables`` are merged, one level.
            idempotency_key: Of the batch; each mail's is this and its number.

        Raises:
            PostroomError: The whole batch was refused, or nobody answered.
        """
        return self._ask(exchange.batch(mails, defaults=defaults, idempotency_key=idempotency_key))

    def alert(self, **event: Unpack[Alert]) -> TakenAlert:
        """Report one alert event; when this returns it is on stable storage. Raises PostroomError."""
        return self.alerts([event])[0]

    def alerts(self, events: Sequence[Alert]) -> list[TakenAlert]:
        """Report up to 1,000 alert events, all or none of them. Raises PostroomError.

        An event whose answer was lost is reported again and may be counted twice; it is mailed once.
        """
        return self._ask(exchange.alerts(events))

    def templates(self) -> tuple[Template, ...]:
        """Return every template this key can use; it needs the scope ``read``. Raises PostroomError."""
        return self._ask(exchange.templates())

    def preview(self, **look: Unpack[TemplateLook]) -> Preview:
        """Render a mail and send nothing; the key needs the scope ``read``. Raises PostroomError."""
        return self._ask(exchange.preview(look))

    def send_test(self, to: str, *, wait: float | None = None, **look: Unpack[TemplateLook]) -> Message:
        """Send what ``preview`` shows to one address; its tag is ``template-test``. Raises PostroomError."""
        return self._ask(exchange.template_test(to, look, wait=wait))

    def message(self, message_id: str) -> Message:
        """Return one message as it stands. Raises PostroomError; ValueError for what is no id."""
        return self._ask(exchange.look(message_id))

    def wait(self, message_id: str, *, timeout: float = 60.0) -> Message:
        """Return a message when nothing of it is open any more, or as it stands after ``timeout`` seconds."""
        ends_at = time.monotonic() + timeout
        while True:
            message = self.message(message_id)
            left_s = ends_at - time.monotonic()
            if not message.is_open or left_s <= 0:
                return message
            time.sleep(min(POLL_S, left_s))

    def close(self) -> None:
        """Close the connections; may be called again."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, call: exchange.Call[T]) -> T:
        attempt = 0
        while True:
            try:
                return self._once(call)
            except PostroomError as error:
                pause_s = exchange.pause_after(error, attempt, retries=self._retries)
                if pause_s is None:
                    raise
            time.sleep(pause_s)
            attempt += 1

    def _once(self, call: exchange.Call[T]) -> T:
        try:
            answer = self._http.request(
                call.method,
                self._url + call.path,
                headers=dict(call.headers),
                content=call.content,
                timeout=self._timeout_s + call.wait_s,
            )
        except httpx2.TransportError as error:
            raise exchange.unreachable(self._url, error) from error
        except httpx2.HTTPError as error:
            raise ServerError(f"the answer of {self._url} cannot be read: {error}") from error
        return exchange.read(call, answer.status_code, answer.headers, answer.content)


class AsyncPostroomClient:
    """``PostroomClient`` with ``await``."""

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float = TIMEOUT_S,
        retries: int = RETRIES,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        """Take the server, as ``PostroomClient`` does. Raises NotConfiguredError."""
        target = _Target(url, api_key)
        self._url, self._timeout_s, self._retries = target.url, timeout, retries
        self._http = httpx2.AsyncClient(headers=target.headers, transport=transport, follow_redirects=False)

    async def send(
        self, *, wait: float | None = None, idempotency_key: str | None = None, **mail: Unpack[Mail]
    ) -> Message:
        """Hand in one mail, as ``PostroomClient.send`` does. Raises PostroomError."""
        return await self._ask(exchange.submission(mail, wait=wait, idempotency_key=idempotency_key))

    async def send_batch(
        self, mails: Sequence[Mail], *, defaults: Mail | None = None, idempotency_key: str | None = None
    ) -> list[Message | PostroomError]:
        """Hand in many mails, as ``PostroomClient.send_batch`` does. Raises PostroomError."""
        return await self._ask(exchange.batch(mails, defaults=defaults, idempotency_key=idempotency_key))

    async def alert(self, **event: Unpack[Alert]) -> TakenAlert:
        """Report one alert event; when this returns it is on stable storage. Raises PostroomError."""
        return (await self.alerts([event]))[0]

    async def alerts(self, events: Sequence[Alert]) -> list[TakenAlert]:
        """Report up to 1,000 alert events, all or none of them. Raises PostroomError.

        An event whose answer was lost is reported again and may be counted twice; it is mailed once.
        """
        return await self._ask(exchange.alerts(events))

    async def templates(self) -> tuple[Template, ...]:
        """Return every template this key can use. Raises PostroomError."""
        return await self._ask(exchange.templates())

    async def preview(self, **look: Unpack[TemplateLook]) -> Preview:
        """Render a mail and send nothing. Raises PostroomError."""
        return await self._ask(exchange.preview(look))

    async def send_test(self, to: str, *, wait: float | None = None, **look: Unpack[TemplateLook]) -> Message:
        """Send what ``preview`` shows to one address. Raises PostroomError."""
        return await self._ask(exchange.template_test(to, look, wait=wait))

    async def message(self, message_id: str) -> Message:
        """Return one message as it stands. Raises PostroomError; ValueError for what is no id."""
        return await self._ask(exchange.look(message_id))

    async def wait(self, message_id: str, *, timeout: float = 60.0) -> Message:  # noqa: ASYNC109 - the same signature
        """Return a message when nothing of it is open any more, or as it stands after ``timeout`` seconds."""
        ends_at = time.monotonic() + timeout
        while True:
            message = await self.message(message_id)
            left_s = ends_at - time.monotonic()
            if not message.is_open or left_s <= 0:
                return message
            await asyncio.sleep(min(POLL_S, left_s))

    async def close(self) -> None:
        """Close the connections; may be called again."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _ask(self, call: exchange.Call[T]) -> T:
        attempt = 0
        while True:
            try:
                return await self._once(call)
            except PostroomError as error:
                pause_s = exchange.pause_after(error, attempt, retries=self._retries)
                if pause_s is None:
                    raise
            await asyncio.sleep(pause_s)
            attempt += 1

    async def _once(self, call: exchange.Call[T]) -> T:
        try:
            answer = await self._http.request(
                call.method,
                self._url + call.path,
                headers=dict(call.headers),
                content=call.content,
                timeout=self._timeout_s + call.wait_s,
            )
        except httpx2.TransportError as error:
            raise exchange.unreachable(self._url, error) from error
        except httpx2.HTTPError as error:
            raise ServerError(f"the answer of {self._url} cannot be read: {error}") from error
        return exchange.read(call, answer.status_code, answer.headers, answer.content)
