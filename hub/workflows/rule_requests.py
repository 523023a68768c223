"""The request of the send that a rule makes for an event.

Rules are evaluated in one thread, because their expressions and texts may take up to 50 ms each. A rule that is stopped
at a limit again and again is left out for a minute, so it does not delay the rules of other tenants."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

from hub.audience.rules import StoredRule
from hub.decide.digest import Digest
from hub.decide.rules.compiled import CompiledRule, NoSend, RuleError, RuleSend
from hub.decide.rules.matching import is_own_event
from hub.decide.templates.parts import TextLimits
from hub.errors import BadUserInput
from hub.model import Rule, Tenant
from hub.settings import Settings
from hub.workflows.send_request import SendRequest, TemplateReference
from hub.workflows.stopped_renderings import PAUSE_S, STOPS_MAX, StoppedRenderings

LEFT_OUT = (
    f"the last {STOPS_MAX} evaluations were stopped at a limit, so the rule is left out for {PAUSE_S:g} s. Simplify "
    "it, then replay the event"
)

_evaluations = ThreadPoolExecutor(1, "evaluate-rules")


class RuleRequests:
    def __init__(self, settings: Settings) -> None:
        self._limits = TextLimits(settings.notification_title_max_chars, settings.notification_body_max_bytes)
        self._stopped = StoppedRenderings()

    async def compile(self, rule: Rule) -> None:
        """Raise RuleError if a rule is not valid, or breaks a limit although the event is empty."""

        def check() -> None:
            CompiledRule(rule).check_limits()

        await asyncio.get_running_loop().run_in_executor(_evaluations, check)

    async def evaluate(
        self, stored: StoredRule, event: Mapping[str, Any], tenant: Tenant, now: datetime
    ) -> RuleSend | NoSend:
        """Return what a rule sends for an event, a JSON object in the format of CloudEvents."""

        rule = stored.rule
        id = (rule.id, rule.updated_at)

        def evaluate() -> RuleSend | NoSend:
            compiled = stored.compiled
            if isinstance(compiled, RuleError):
                return NoSend(str(compiled), matched=False)
            try:
                self._stopped.check(id, "")
            except BadUserInput:
                return NoSend(LEFT_OUT, matched=False)
            result = compiled.evaluate(event, tenant, self._limits, now)
            self._stopped.record(id, stopped=isinstance(result, NoSend) and result.stopped)
            return result

        return await asyncio.get_running_loop().run_in_executor(_evaluations, evaluate)


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
