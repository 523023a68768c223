"""The digests that the deliveries of a simulated send would join."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from hub import model
from hub.api.context import Services
from hub.decide.digest import CHOSEN, Digest, digest_key, effective_digest, end_after_join, end_with_item, gathered
from hub.decide.digest_choices import chosen_ends
from hub.decide.plan import Decision, Plan
from hub.inbox.window_counts import empty_count, lookback_id
from hub.model import Reason
from hub.workflows.send_request import SendRequest


class SimulatedDigests(Struct, frozen=True):
    """- `digest`: the digest of the send. `key`: its stored key. `marks`: the marks of `lookback` by id.
    - `chosen`: the ends that recipients chose, by mailbox.
    - `stored`: the open digests by mailbox, channel, and stored key. Those of several devices are joined together.
    """

    digest: Digest | None
    key: str
    marks: Mapping[str, model.WindowCount]
    chosen: Mapping[str, Mapping[model.Channel, datetime | None]]
    stored: Mapping[tuple[str, model.Channel, str], model.Delivery]
    chosen_key: str
    now: datetime

    def gather(self, plan: Plan, mailbox: str) -> Plan:
        """Return the plan of a recipient with the deliveries that would wait in a digest, and when it leaves after they
        have joined."""
        mark_id = lookback_id(mailbox, self.key)
        mark = self.marks.get(mark_id) or empty_count(mark_id, self.now)
        plan, _ = gathered(self.digest, self.chosen[mailbox], plan, mark, self.now)

        joining = [one.channel for one in plan.decisions if one.reason is Reason.DIGEST]

        def joined(decision: Decision) -> Decision:
            rules, key = (CHOSEN, self.chosen_key) if decision.chosen else (self.digest, self.key)
            if decision.reason is not Reason.DIGEST or not rules:
                return decision
            due_at, count = decision.due_at or self.now, joining.count(decision.channel)
            if found := self.stored.get((mailbox, decision.channel, key)):
                count += found.joined
                end = end_with_item(found, rules, due_at, count, self.now, chosen=decision.chosen)
            else:
                end = end_after_join(rules, due_at, self.now, count, self.now)
            return replace(decision, due_at=end)

        return replace(plan, decisions=tuple(joined(decision) for decision in plan.decisions))


async def load_digests(
    services: Services,
    request: SendRequest,
    category: model.Category,
    tenant: model.Tenant,
    users: Sequence[model.User],
    now: datetime,
    later_at: datetime | None,
) -> SimulatedDigests:
    """Return the digests that deliveries to `users` would join, now or at `later_at`."""
    at = later_at or now
    digest, priority = effective_digest(request.digest, category), request.priority or category.priority
    key, chosen_key = digest_key(category.key, digest.key if digest else ""), digest_key(category.key, CHOSEN.key)
    marks: Mapping[str, model.WindowCount] = {}
    if digest and digest.lookback_s:
        marks = await services.window_counts.get_many([lookback_id(user.id, key) for user in users])
    chosen = {user.id: chosen_ends(user, tenant, category, priority, at) for user in users}
    joined = {chosen_key: [mailbox for mailbox, ends in chosen.items() if ends]}
    if digest:
        joined[key] = list(chosen)
    found = [one for key, ids in joined.items() if ids for one in await services.digests.list_open(key, ids)]
    still_open = [one for one in found if later_at is None or (one.due_at and one.due_at > later_at)]
    stored = {(one.mailbox, one.channel, one.digest_key or ""): one for one in still_open}
    return SimulatedDigests(digest, key, marks, chosen, stored, chosen_key, at)
