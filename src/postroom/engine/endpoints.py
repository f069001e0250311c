"""Webhook endpoints as a person sees them: made, changed, given new secrets, looked into, told again.

Rules: a secret is shown once, when it is made; a new one signs at once, and the old one beside it for a day,
so that a receiver can change over; an endpoint that was disabled is told of what happens from now on, and of
the meantime by a replay.

Not here: telling (``engine.hooks``). Source: Standard Webhooks 1.0.0 (secrets are ``whsec_`` and base64).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

from postroom.clock import Clock, Dice
from postroom.engine.desk import Actor
from postroom.errors import InputError, NotFoundError, Problem, SecretKeyError
from postroom.model.event import EventKind
from postroom.model.hook import Delivery, DeliveryState, Hook
from postroom.model.ids import TenantId
from postroom.model.secret import Secret
from postroom.policy import hooking
from postroom.ports import Events, HookAnswer, HookPoster, Hooks

OLD_SECRET_LIFE = timedelta(hours=24)
"""How long a replaced secret still signs."""
TEST_TIMEOUT_S = 10.0
"""A person waits for the answer of a test."""
MAX_HOOKS = 50
"""Endpoints of a tenant: each is told of every event."""


class Endpoints:
    """The webhook endpoints of every tenant."""

    def __init__(self, *, hooks: Hooks, events: Events, poster: HookPoster, clock: Clock, dice: Dice) -> None:
        """Take the parts."""
        self.changed: Callable[[], None] = lambda: None
        """Called after an endpoint came, went, changed or is to be told again; whoever tells looks again."""
        self._hooks = hooks
        self._events = events
        self._poster = poster
        self._clock = clock
        self._dice = dice

    async def all(self, tenant: TenantId) -> Sequence[Hook]:
        """Return the endpoints of a tenant, oldest first."""
        return await self._hooks.all(tenant)

    async def one(self, hook_id: str, tenant: TenantId) -> Hook:
        """Return an endpoint. Raises NotFoundError."""
        for hook in await self._hooks.all(tenant):
            if hook.id == hook_id:
                return hook
        raise NotFoundError(f"there is no webhook {hook_id[:100]!r}")

    async def add(self, url: str, kinds: Sequence[EventKind], tenant: TenantId) -> tuple[Hook, Secret]:
        """Make an endpoint that is told of what happens from now on; return it with its secret.

        Raises InputError.
        """
        self._check(url)
        if len(await self._hooks.all(tenant)) >= MAX_HOOKS:
            cause = f"there are {MAX_HOOKS} endpoints, more are not told"
            problem = Problem(code="limit-exceeded", field="url", cause=cause, fix="Remove one first.")
            raise InputError([problem])
        secret = self._new_secret()
        hook = Hook(
            id=f"hook_{self._dice.token(6).hex()}",
            tenant=tenant,
            url=url,
            kinds=tuple(dict.fromkeys(kinds)),
            secrets=(secret,),
            created_at=self._clock.now(),
            told_up_to=await self._events.newest(),
        )
        await self._hooks.add(hook)
        self.changed()
        return hook, secret

    async def change(
        self,
        hook_id: str,
        actor: Actor,
        *,
        url: str | None,
        kinds: Sequence[EventKind] | None,
        is_enabled: bool | None,
    ) -> Hook:
        """Change what is given. Raises NotFoundError, InputError."""
        hook = await self.one(hook_id, actor.tenant)
        if url is not None:
            self._check(url)
            hook = replace(hook, url=url)
        if kinds is not None:
            hook = replace(hook, kinds=tuple(dict.fromkeys(kinds)))
        if is_enabled and hook.disabled_at is not None:
            told_up_to = await self._events.newest()
            hook = replace(hook, disabled_at=None, disabled_why="", told_up_to=told_up_to)
        elif is_enabled is False and hook.disabled_at is None:
            hook = replace(hook, disabled_at=self._clock.now(), disabled_why=f"by {actor.name}")
        return await self._store(hook)

    async def remove(self, hook_id: str, tenant: TenantId) -> None:
        """Remove an endpoint with its log. Raises NotFoundError."""
        if not await self._hooks.remove(hook_id, tenant=tenant):
            raise NotFoundError(f"there is no webhook {hook_id[:100]!r}")
        self.changed()

    async def rotate(self, hook_id: str, tenant: TenantId) -> tuple[Hook, Secret]:
        """Give an endpoint a new secret; the one before signs too for a day. Raises NotFoundError."""
        hook = await self.one(hook_id, tenant)
        secret = self._new_secret()
        until = self._clock.now() + OLD_SECRET_LIFE if hook.secrets else None
        rotated = replace(hook, secrets=(secret, *hook.secrets[:1]), old_secrets_until=until, problem="")
        return await self._store(rotated), secret

    async def test(self, hook_id: str, tenant: TenantId) -> HookAnswer:
        """Post a signed test to an endpoint, once. Raises NotFoundError, SecretKeyError."""
        hook = await self.one(hook_id, tenant)
        if hook.problem:
            raise SecretKeyError(
                hook.problem, f"the secrets of {hook.id} cannot be read: nothing can be signed"
            )
        now = self._clock.now()
        told = {
            "type": "webhook.test",
            "timestamp": f"{now:%Y-%m-%dT%H:%M:%SZ}",
            "data": {"webhook": hook.id},
        }
        body = json.dumps(told).encode()
        headers = hooking.headers(
            hook.signing_secrets(now),
            webhook_id=f"test_{self._dice.token(8).hex()}_{hook.id}",
            body=body,
            now=now,
        )
        return await self._poster.post(hook.url, headers=headers, body=body, timeout_s=TEST_TIMEOUT_S)

    async def deliveries(
        self,
        hook_id: str,
        tenant: TenantId,
        *,
        state: DeliveryState | None,
        before: int | None,
        limit: int,
    ) -> Sequence[Delivery]:
        """Return one page of an endpoint's deliveries, newest event first. Raises NotFoundError."""
        hook = await self.one(hook_id, tenant)
        return await self._hooks.log(hook.id, state=state, before=before, limit=limit)

    async def replay(self, hook_id: str, tenant: TenantId, *, first: int, last: int) -> int:
        """Tell a range of events again; return how many are due. Raises NotFoundError, InputError."""
        hook = await self.one(hook_id, tenant)
        if hook.disabled_at is not None:
            cause = "the endpoint is disabled"
            fix = "Enable it first."
            raise InputError([Problem(code="webhook-disabled", field="id", cause=cause, fix=fix)])
        count = await self._hooks.replay(hook.id, first=first, last=last, now=self._clock.now())
        self.changed()
        return count

    async def _store(self, hook: Hook) -> Hook:
        if not await self._hooks.change(hook):
            raise NotFoundError(f"there is no webhook {hook.id!r}")
        self.changed()
        return hook

    def _check(self, url: str) -> None:
        if cause := self._poster.problem_with(url):
            fix = "Give an https URL of a host that may be called."
            raise InputError([Problem(code="webhook-url", field="url", cause=cause, fix=fix)])

    def _new_secret(self) -> Secret:
        return hooking.new_secret(self._dice.token(hooking.NEW_SECRET_BYTES))
