"""The request of the send that a rule makes for an event.

Rules are evaluated in one thread, because their expressions and texts may take up to 50 ms each. Tenants take turns:
the thread gets one rule of a tenant at a time, so a rule waits for at most one rule of each other tenant. A rule that
is stopped at a limit again and again is left out for a minute."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from hub.audience.rules import StoredRule
from hub.decide.digest import Digest
from hub.decide.rules.compiled import CompiledRule, NoSend, RuleError, RuleSend
from hub.decide.rules.matching import is_own_event
from hub.decide.templates.parts import TextLimits
from hub.errors import BadUserInput, RateLimited
from hub.model import Rule, Tenant
from hub.settings import Settings
from hub.workflows.send_request import SendRequest, TemplateReference
from hub.workflows.stopped_renderings import PAUSE_S, STOPS_MAX, StoppedRenderings

T = TypeVar("T")

LEFT_OUT = (
    f"the last {STOPS_MAX} evaluations were stopped at a limit, so the rule is left out for {PAUSE_S:g} s. The event "
    "is then tried again. Simplify the rule"
)

TURN_SHARE = 1 / 3
"""The part of HUB_PROVIDER_TIMEOUT_S for which an event waits for its turn. The rest is left for its rules."""
TURN_RETRY_S = 1.0

_evaluations = ThreadPoolExecutor(1, "evaluate-rules")


class RuleRequests:
    def __init__(self, settings: Settings) -> None:
        self._limits = TextLimits(settings.notification_title_max_chars, settings.notification_body_max_bytes)
        self._turn_wait_s = settings.provider_timeout_s * TURN_SHARE
        self._stopped = StoppedRenderings()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def compile(self, rule: Rule) -> None:
        """Raise RuleError if a rule is not valid, or breaks a limit although the event is empty. Raise RateLimited as
        `evaluate` does."""
        async with self._turn(rule.tenant):
            await _in_thread(lambda: CompiledRule(rule).check_limits())

    async def evaluate(
        self, rules: Sequence[StoredRule], event: Mapping[str, Any], tenant: Tenant, now: datetime
    ) -> list[RuleSend | NoSend]:
        """Return what each of the rules sends for an event, a JSON object in the format of CloudEvents. Raise
        RateLimited if too many other events of the tenant are evaluated."""
        async with self._turn(tenant.id):
            return [await _in_thread(partial(self._evaluate, one, event, tenant, now)) for one in rules]

    @asynccontextmanager
    async def _turn(self, tenant: str) -> AsyncIterator[None]:
        """Wait until no other evaluation of the tenant is in progress, so the thread never has more than one of its
        rules."""
        turn = self._turns.setdefault(tenant, asyncio.Lock())
        try:
            async with asyncio.timeout(self._turn_wait_s):
                await turn.acquire()
        except TimeoutError:
            raise RateLimited("Too many rules of this tenant are being evaluated.", TURN_RETRY_S) from None
        try:
            yield
        finally:
            turn.release()

    def _evaluate(
        self, stored: StoredRule, event: Mapping[str, Any], tenant: Tenant, now: datetime
    ) -> RuleSend | NoSend:
        rule, compiled = stored.rule, stored.compiled
        if isinstance(compiled, RuleError):
            return NoSend(str(compiled), matched=False)
        id = (rule.id, rule.updated_at)
        try:
            self._stopped.check(id, "")
        except BadUserInput:
            return NoSend(LEFT_OUT, matched=False)
        result = compiled.evaluate(event, tenant, self._limits, now)
        self._stopped.record(id, stopped=isinstance(result, NoSend) and result.stopped)
        return result


async def _in_thread(call: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(_evaluations, call)


def to_request(rule: Rule, send: RuleSend, event_type: str, event_at: datetime, now: datetime) -> SendRequest:
    """Return the request of a send. `event_at`: the time of the event, from which `after` is counted."""
    send_at = event_at + timedelta(seconds=rule.after_s) if rule.after_s else None
    begins = max(now, send_at or now)
    return SendRequest(
        users=send.users,
        audience=send.audience,
        excluded=send.excluded,
        category=rule.category,
        content=send.content,
        template=TemplateReference(rule.template, send.data) if rule.template else None,
        tags=rule.tags,
        priority=rule.priority,
        channels=rule.channels,
        steps=rule.steps or None,
        send_at=send_at,
        expires_at=begins + timedelta(seconds=rule.expires_in_s) if rule.expires_in_s else None,
        require_ack=rule.require_ack,
        collapse_key=send.collapse_key,
        digest=Digest(key=send.digest_key, window_s=rule.digest.window_s) if rule.digest and send.digest_key else None,
        from_own_event=is_own_event(event_type),
    )
