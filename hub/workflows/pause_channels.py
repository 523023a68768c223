"""The pause and the resumption of a channel of a tenant.

- A pause only marks the tenant. From then on, no call on the channel starts: the preparation of deliveries, the check
  right before each call, and the release of what waits for a time read the tenant, and hold the deliveries with the
  reason PAUSED, without `due_at`, on a lane that nobody takes. An open digest stays open.
- A resumption unmarks the tenant, and records that what waits must be released. The scheduler makes it due in slices,
  CRITICAL first, only as fast as it can decide each delivery again. The limits of lanes, providers, and users hold as
  for other deliveries.
- Calls that a worker prepares at this time are not held. A release that read the channel as paused may be committed
  until its deadline, so the record remains for twice that time, and until nothing is left.
- Pause and record are fields of the tenant, and change in one transaction with their audit entry. So they survive a
  crash, and a pause during a release stops it.
"""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

from msgspec.structs import replace

from hub.audience.tenants import Tenants
from hub.model import Channel, PausedChannel, Priority, ResumedChannel, Tenant
from hub.outbox.lanes import Lanes
from hub.platform.audit import AuditedAction
from hub.platform.audit_changes import Changes
from hub.status.held_deliveries import DUE_AT_ONCE, HeldDeliveries
from hub.utc_time import Clock, RealClock

LOCK_MS = 10_000


class ChannelPauses:
    """`tick` is a task of every worker. A Redis lock assigns each round to one worker."""

    def __init__(
        self,
        tenants: Tenants,
        held: HeldDeliveries,
        lanes: Lanes,
        clock: Clock,
        real_clock: RealClock,
        commit_deadline_s: float,
    ) -> None:
        self._tenants = tenants
        self._held = held
        self._lanes = lanes
        self._clock = clock
        self._real_clock = real_clock
        self._last_round = timedelta(seconds=2 * commit_deadline_s)

    async def pause(self, id: str, channel: Channel, reason: str, audit: AuditedAction) -> bool:
        """Start no more calls on a channel of a tenant. Return False if it is paused already."""
        paused = PausedChannel(channel=channel, since=self._clock(), reason=reason)

        def step(tenant: Tenant) -> Tenant:
            return tenant if tenant.is_paused(channel) else _with(tenant, channel, paused=(paused,))

        return await self._change(id, channel, step, audit, paused=True)

    async def resume(self, id: str, channel: Channel, audit: AuditedAction) -> bool:
        """Continue the calls on a channel of a tenant. Return False if it is not paused."""

        def step(tenant: Tenant) -> Tenant:
            resumed = ResumedChannel(channel=channel, at=self._real_clock())
            return _with(tenant, channel, resumed=(resumed,)) if tenant.is_paused(channel) else tenant

        return await self._change(id, channel, step, audit, paused=False)

    async def _change(
        self, id: str, channel: Channel, step: Callable[[Tenant], Tenant], audit: AuditedAction, *, paused: bool
    ) -> bool:
        if (await self._tenants.get(id)).is_paused(channel) is paused:
            return False
        changed = False

        def changes(before: Tenant, after: Tenant) -> Changes:
            nonlocal changed
            found = _changes(channel, before, after)
            changed = bool(found)
            return found

        await self._tenants.change(id, step, audit, changes)
        return changed

    async def tick(self) -> int:
        """Release what waits for channels that were resumed, at most one slice per priority. Return the number of
        deliveries that became due."""
        released = 0
        async with self._lanes.tick_lock("resumed_channels", LOCK_MS) as may_run:
            for tenant in await self._tenants.list_resumed() if may_run else ():
                for resumed in tenant.resumed_channels:
                    released += await self._release(tenant.id, resumed)
        return released

    async def _release(self, tenant: str, resumed: ResumedChannel) -> int:
        """Release slices of a channel. If nothing is left, remove the record of the resumption."""
        released, may_be_left = 0, self._real_clock() < resumed.at + self._last_round
        await self._held.keep_running_on(tenant, resumed.channel)
        for priority in Priority:
            now = self._clock()
            capacity = DUE_AT_ONCE - await self._held.count_due(tenant, priority, now)
            found = await self._held.release_paused(tenant, resumed.channel, priority, capacity, now) if capacity else 0
            released += found
            may_be_left = may_be_left or found == capacity
        if not may_be_left:
            await self._tenants.change(tenant, partial(_without, resumed=resumed), None)
        return released


def _with(
    tenant: Tenant,
    channel: Channel,
    paused: tuple[PausedChannel, ...] = (),
    resumed: tuple[ResumedChannel, ...] = (),
) -> Tenant:
    """Return the tenant with the state of a channel: paused, resumed, or neither."""
    return replace(
        tenant,
        paused_channels=(*(one for one in tenant.paused_channels if one.channel is not channel), *paused),
        resumed_channels=(*(one for one in tenant.resumed_channels if one.channel is not channel), *resumed),
    )


def _without(tenant: Tenant, resumed: ResumedChannel) -> Tenant:
    """Return the tenant without a resumption, unless the channel was paused or resumed again in the meantime."""
    return replace(tenant, resumed_channels=tuple(one for one in tenant.resumed_channels if one != resumed))


def _changes(channel: Channel, before: Tenant, after: Tenant) -> Changes:
    was_paused, is_paused = before.is_paused(channel), after.is_paused(channel)
    if was_paused == is_paused:
        return {}
    reason = next((one.reason for one in after.paused_channels if one.channel is channel), "")
    return {"paused": {"before": was_paused, "after": is_paused}} | ({"reason": {"after": reason}} if reason else {})
