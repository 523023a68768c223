"""The rules of a tenant, run for an event.

Guarantees
- A rule makes at most one send per event: the transaction of the send stores the key of the event and the rule. The
  rule may change in between, because requests with this key are not compared.
- A rule that fails does not affect the others. Its result has the reason.
- A rule that is left out, because its evaluations were stopped at a limit, loses no send: the event is tried again.
- The hub's own events do not start a rule if they are about a send that a rule made for one of the hub's own events, so
  rules cannot start themselves.
"""

import asyncio
from datetime import datetime, timedelta

from msgspec.structs import replace

from hub.audience.rules import Rules
from hub.audience.tenants import Tenants
from hub.decide.rules.compiled import NoSend, RuleSend
from hub.decide.rules.matching import is_own_event
from hub.errors import Conflict, HubError, RateLimited, Unavailable
from hub.model import Event, Rule, RuleResult, RulesRun, event_values
from hub.settings import Settings
from hub.status.sends import Sends
from hub.utc_time import Clock
from hub.workflows.idempotency import IdempotencyKey
from hub.workflows.publish import Publish
from hub.workflows.rule_requests import LEFT_OUT, RuleRequests, to_request
from hub.workflows.stopped_renderings import PAUSE_S

DUPLICATE = "duplicate"
"""The reason of a result whose send was made when the rules ran for the event before."""
OWN_SEND = "a rule made the send of this event for one of the hub's own events"
KEY_MARGIN = timedelta(days=2)  # a key outlives its event


class RunRules:
    def __init__(
        self,
        rules: Rules,
        tenants: Tenants,
        requests: RuleRequests,
        publish: Publish,
        sends: Sends,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._rules = rules
        self._tenants = tenants
        self._requests = requests
        self._publish = publish
        self._sends = sends
        self._keys_kept = timedelta(days=settings.events_days) + KEY_MARGIN
        self._clock = clock

    async def run_rules(self, event: Event) -> RulesRun:
        """Run the rules of the event's tenant. Return one result for each rule whose type pattern fits.

        The method may run several times for one event: after a failure, after the process was killed, and after a
        replay. `event.results` contains the results of the last run. A rule makes at most one send per event.

        Raise RateLimited if the event has to wait. Raise another HubError or PyMongoError for a temporary failure, such
        as Unavailable: the event is then tried again. The `reason` of a result says what is wrong with the rule."""
        fitting = await self._rules.list_fitting(event.tenant, event.type, event.source)
        sent = {result.rule: result for result in event.results if result.send}
        found = {one.rule.key for one in fitting}
        kept = [result for rule, result in sent.items() if rule not in found]  # the rule was deleted or changed
        if not fitting:
            return RulesRun(kept)
        if await self._is_about_own_send(event):
            own = [RuleResult(rule=key, matched=False, reason=OWN_SEND) for key in sorted(found)]
            return RulesRun(kept + own)
        tenant, values, now = await self._tenants.get(event.tenant), event_values(event), self._clock()
        to_run = [one for one in fitting if one.rule.key not in sent]
        evaluated = await self._requests.evaluate(to_run, values, tenant, now)
        results = await asyncio.gather(
            *(self._run(one.rule, event, result, now) for one, result in zip(to_run, evaluated, strict=True)),
            return_exceptions=True,
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result  # the other rules have run
        made = {result.rule: result for result in results if isinstance(result, RuleResult)}
        complete = kept + [made.get(key) or replace(sent[key], reason=DUPLICATE) for key in sorted(found)]
        if any(result.reason == LEFT_OUT for result in complete):
            return RulesRun(complete, LEFT_OUT, PAUSE_S)
        return RulesRun(complete)

    async def _is_about_own_send(self, event: Event) -> bool:
        data = event_values(event).get("data") if is_own_event(event.type) else None
        send = data.get("sendId") if isinstance(data, dict) else None
        found = await self._sends.get(event.tenant, send) if isinstance(send, str) else None
        return found is not None and found.from_own_event

    async def _run(self, rule: Rule, event: Event, evaluated: RuleSend | NoSend, now: datetime) -> RuleResult:
        if isinstance(evaluated, NoSend):
            return RuleResult(rule=rule.key, matched=evaluated.matched, reason=evaluated.reason)
        request = to_request(rule, evaluated, event.type, min(event.time, event.created_at), now)
        key = IdempotencyKey.of_rule(event.tenant, event.id, rule.key, now + self._keys_kept)
        try:
            published = await self._publish.send(event.tenant, request, key)
        except (Unavailable, RateLimited):
            raise
        except Conflict:  # the send was erased
            return RuleResult(rule=rule.key, matched=True, reason=DUPLICATE)
        except HubError as error:
            return RuleResult(rule=rule.key, matched=True, reason=error.message)
        reason = DUPLICATE if published.duplicate else None
        return RuleResult(rule=rule.key, matched=True, reason=reason, send=published.send.id)
