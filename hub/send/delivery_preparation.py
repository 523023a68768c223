"""The preparation of deliveries: load their data, check that they are not obsolete, and build the messages."""

import asyncio
import random
import time
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

import structlog
from msgspec.structs import replace
from pymongo.errors import PyMongoError

from hub.audience.tenants import default_category
from hub.decide.plan import PHONE_CHANNELS, Decision, user_address
from hub.decide.recheck import held_while_paused, recheck
from hub.decide.templates.errors import TemplateError
from hub.decide.templates.lookup import TemplateSet
from hub.model import Channel, Delivery, DeliveryStatus, Reason
from hub.outbox.lanes import paused_lane, scheduler_lane
from hub.platform.connections import is_outage
from hub.platform.encryption import CredentialUnavailable
from hub.send.delivery_data import DeliveryData, DeliveryStores
from hub.send.delivery_texts import SendTexts, TemplateTexts
from hub.send.digest_content import DigestMessages
from hub.send.digest_preparation import Collected, Item, collect_items, grouped, is_paused
from hub.send.email_layout import EmailLayouts, with_layout
from hub.send.job_kind import ReadyToSend
from hub.send.message import Message, Provider
from hub.send.message_builder import MessageBuilder, with_texts
from hub.send.outcome import sanitize_error
from hub.send.state_after_outcome import Transition, state_after_crash, state_without_credential
from hub.send.worker_resources import DispatchPolicy
from hub.status.delivery_ends import SENT_STATUSES

RENDER_SLICE_S = 0.005  # time of rendering after which other tasks run
OUTAGE_PAUSE = timedelta(seconds=5)  # of a digest whose preparation needs MongoDB
GROUPS_AT_ONCE = 8  # groups of digests of one batch whose items are in memory
ADDRESS_LOST_REASONS = {Reason.NO_ADDRESS: Reason.ADDRESS_GONE, Reason.SUPPRESSED: Reason.SUPPRESSED}

log = structlog.get_logger(__name__)


class DeliveryHandler:
    """The job handler for the deliveries of one channel. `configured` are the channels that have a provider. `layouts`:
    the email layouts, for EMAIL only."""

    def __init__(
        self,
        providers: Sequence[Provider],
        stores: DeliveryStores,
        texts: TemplateTexts,
        message_builder: MessageBuilder,
        digests: DigestMessages,
        configured: Collection[Channel],
        policy: DispatchPolicy,
        layouts: EmailLayouts | None = None,
    ) -> None:
        self._providers = providers
        self._stores = stores
        self._texts = texts
        self._layouts = layouts
        self._message_builder = message_builder
        self._digests = digests
        self._configured = frozenset(configured)
        self._policy = policy

    async def prepare(self, jobs: Sequence[Delivery], now: datetime) -> list[ReadyToSend | Transition]:
        """Return the message of each delivery, or its next state if the delivery is obsolete."""
        plain = [job for job in jobs if not job.digest_key]
        prepared = await self._prepare_plain(plain, now) if plain else {}
        if len(plain) < len(jobs):
            digests = [job for job in jobs if job.digest_key]
            prepared |= await self._find_channel_paused(digests)
            slots = asyncio.Semaphore(GROUPS_AT_ONCE)
            groups = grouped([job for job in digests if job.id not in prepared])
            for results in await asyncio.gather(*(self._prepare_group(group, now, slots) for group in groups)):
                prepared |= results
        return [prepared[job.id] for job in jobs]

    async def _prepare_plain(self, jobs: Sequence[Delivery], now: datetime) -> dict[str, ReadyToSend | Transition]:
        data = await self._stores.load(jobs)
        texts = await self._texts.load(jobs, data)
        layouts = await self._layouts.load(jobs, data) if self._layouts else {}
        prepared = {}
        slice_ends_s = time.monotonic() + RENDER_SLICE_S
        for job in jobs:
            try:
                prepared[job.id] = self._prepare(job, data, texts.get(job.send), layouts.get(job.send), now)
            except Exception as error:
                log.exception("preparation_crashed", delivery=job.id)
                prepared[job.id] = self._after_crash(job, error, now)
            if (texts or layouts) and time.monotonic() > slice_ends_s:
                await asyncio.sleep(0)
                slice_ends_s = time.monotonic() + RENDER_SLICE_S
        return prepared

    def _prepare(
        self,
        job: Delivery,
        data: DeliveryData,
        texts: SendTexts | None,
        layout: TemplateSet | None,
        now: datetime,
    ) -> ReadyToSend | Transition:
        if end := self._final_check(job, data, now):
            if end.due_at and not job.attempts:  # it is HELD, and the scheduler adds it to a briefing
                return replace(end, due_at=now)
            return end
        if data.tenants[job.tenant].is_paused(job.channel):
            return _channel_paused(job)
        n, user, tenant = data.notifications[job.notification], data.users[job.mailbox], data.tenants[job.tenant]
        rendered = None
        if texts:
            url = self._message_builder.unsubscribe_url(job, tenant) if job.channel is Channel.EMAIL else ""
            rendered = texts.recipient_texts.render(job.channel, user, (n.id, n.created_at), url)
        if isinstance(rendered, TemplateError):
            return _template_error(rendered)
        try:
            message = self._message_builder.build(job, n, user, tenant, data.mailboxes[job.mailbox], rendered)
        except CredentialUnavailable as error:
            return self._without_credential(job, error, now)
        if layout:
            try:
                message = with_layout(message, layout)
            except TemplateError as error:
                return _template_error(error)
        return ReadyToSend(message, self._providers, user.id, job.traceparent, texts.note if texts else None)

    async def _prepare_group(
        self, jobs: Sequence[Delivery], now: datetime, slots: asyncio.Semaphore
    ) -> dict[str, ReadyToSend | Transition]:
        """Return what `_prepare_digests` returns. If it fails, each digest is prepared alone. One that fails waits, and
        the others continue. A digest that fails repeatedly ends, but not because MongoDB is unavailable."""
        try:
            return await self._prepare_digests(jobs, now, slots)
        except Exception as error:
            if isinstance(error, PyMongoError) and is_outage(error):
                log.warning("digest_preparation_failed", delivery=jobs[0].id, digests=len(jobs), error=error)
                after = Transition(DeliveryStatus.ACCEPTED, None, now + OUTAGE_PAUSE)
            else:
                log.exception("digest_preparation_failed", delivery=jobs[0].id, digests=len(jobs))
                after = self._after_crash(jobs[0], error, now)
        if len(jobs) == 1:
            return {jobs[0].id: after}
        alone = [await self._prepare_group([job], now, slots) for job in jobs]
        return {id: result for results in alone for id, result in results.items()}

    async def _prepare_digests(
        self, jobs: Sequence[Delivery], now: datetime, slots: asyncio.Semaphore
    ) -> dict[str, ReadyToSend | Transition]:
        """Return the messages of digests. If one item is left, it is the message of that item with the digest's id."""
        async with slots:
            prepared: dict[str, ReadyToSend | Transition] = {}
            alone: dict[str, Delivery] = {}
            all_collected = await collect_items(jobs, self._stores, self._final_check, now)
            for job in jobs:
                collected = all_collected[job.id]
                if isinstance(collected, Collected) and collected.count > 1:
                    collected = await self._render_items(job, collected, now)
                if isinstance(collected, Transition):
                    prepared[job.id] = collected
                elif collected.count > 1:
                    prepared[job.id] = await self._build_digest(job, collected, now)
                else:
                    newest = collected.newest[0].delivery
                    alone[job.id] = replace(newest, lease_expirations=job.lease_expirations, tries=job.tries)
            ready = await self._prepare_plain(list(alone.values()), now) if alone else {}
            for job in jobs:
                if item := alone.get(job.id):
                    result = ready[item.id]
                    if isinstance(result, ReadyToSend):
                        result = replace(result, message=replace(result.message, id=job.id, created_at=job.accepted_at))
                    elif is_paused(result):  # in the meantime: the item leaves the digest when it is prepared again
                        result = Transition(DeliveryStatus.ACCEPTED, None, now)
                    prepared[job.id] = result
        return prepared

    async def _build_digest(self, job: Delivery, collected: Collected, now: datetime) -> ReadyToSend | Transition:
        """Return the message of a digest with several items."""
        await asyncio.sleep(0)
        try:
            message, note = await self._digests.build(job, collected)
        except TemplateError as error:
            return _template_error(error)
        except CredentialUnavailable as error:
            return self._without_credential(job, error, now)
        return ReadyToSend(message, self._providers, job.mailbox, job.traceparent, note)

    async def _render_items(self, digest: Delivery, collected: Collected, now: datetime) -> Collected | Transition:
        """Return the items with the texts that their templates have for the channel. An item whose texts cannot be
        rendered ends, and the digest leaves without it."""
        texts = await self._texts.load([item.delivery for item in collected.newest], collected.data)
        if not texts:
            return collected
        user, newest, failed = collected.data.users[digest.mailbox], [], []
        for item in collected.newest:
            n, of_send = item.notification, texts.get(item.delivery.send)
            if of_send is None:
                newest.append(item)
                continue
            rendered = of_send.recipient_texts.render(digest.channel, user, (n.id, n.created_at))
            if isinstance(rendered, TemplateError):
                failed.append(item.delivery)
            else:
                newest.append(Item(item.delivery, with_texts(n, rendered), rendered.action_url == n.action_url))
            await asyncio.sleep(0)
        if failed:
            await self._stores.digest_items.end(failed, DeliveryStatus.FAILED, Reason.TEMPLATE_ERROR)
            await self._stores.digests.set_item_counts({digest.id: collected.count - len(failed)})
        if not newest:  # prepared again with the older items, or ended if there are none
            return Transition(DeliveryStatus.ACCEPTED, None, now)
        return Collected(newest, collected.count - len(failed), collected.data)

    def _final_check(self, job: Delivery, data: DeliveryData, now: datetime) -> Transition | None:
        """Return the next state of a delivery that is not sent now, or None. What would be sent or held is held without
        `due_at` if the send is paused."""
        stopped = data.stopped.get(job.send)
        if stopped and stopped is not Reason.PAUSED:
            return _stopped(job, stopped)
        if not data.unreadable.isdisjoint((job.notification, job.mailbox, job.send)):
            return Transition(DeliveryStatus.FAILED, Reason.UNREADABLE)
        n, user = data.notifications.get(job.notification), data.users.get(job.mailbox)
        if n is None or user is None or job.mailbox not in data.mailboxes:  # the user was erased
            return Transition(DeliveryStatus.CANCELLED)
        tenant = data.tenants[job.tenant]
        category = tenant.category(n.category) or default_category(n.category)
        decision = recheck(job, n, category, tenant, user, self._configured, now)
        if stopped:
            decision = held_while_paused(decision)
        return None if decision.outcome is DeliveryStatus.ACCEPTED else transition_of(job, decision)

    def _without_credential(self, job: Delivery, error: CredentialUnavailable, now: datetime) -> Transition:
        log.warning("credential_unavailable", delivery=job.id, error=str(error), throttled=True)
        return state_without_credential(error, job.tries, self._policy.schedule, now, random.random)

    def _after_crash(self, job: Delivery, error: Exception, now: datetime) -> Transition:
        schedule, expirations_max = self._policy.schedule, self._policy.lease_max_expirations
        return state_after_crash(error, job.lease_expirations, schedule, expirations_max, now, random.random)

    async def find_stopped(self, jobs: Sequence[tuple[Delivery, ReadyToSend]]) -> dict[str, Transition]:
        """Return the next states of deliveries whose send was cancelled, recalled, or paused, whose channel was paused,
        or whose phone number opted out. A digest is not stopped with a send: it has items of several sends."""
        by_id = {job.id: job for job, _ in jobs if not job.digest_key}
        stopped, held = await asyncio.gather(
            self._stores.sends.find_stopped({job.send for job in by_id.values()}),
            self._find_channel_paused([job for job, _ in jobs]),
        )
        phones = {job.id: ready.message.user.phone or "" for job, ready in jobs if job.channel in PHONE_CHANNELS}
        opted_out = await self._stores.opt_outs.opted_out(set(phones.values())) if phones else {}
        skipped = {
            job.id: Transition(DeliveryStatus.SKIPPED, Reason.OPTED_OUT)
            for job, _ in jobs
            if job.channel in opted_out.get(phones.get(job.id, ""), ())
        }
        ended = {id: _stopped(job, stopped[job.send]) for id, job in by_id.items() if job.send in stopped}
        return held | skipped | ended

    async def _find_channel_paused(self, jobs: Sequence[Delivery]) -> dict[str, Transition]:
        """Return the next states of deliveries whose channel is paused."""
        tenants = await self._stores.tenants.get_many({job.tenant for job in jobs})
        return {job.id: _channel_paused(job) for job in jobs if tenants[job.tenant].is_paused(job.channel)}

    async def on_settled(self, jobs: Sequence[tuple[Delivery, DeliveryStatus]]) -> None:
        """Record the devices that received a message, and give the items of digests their status."""
        if reached := [(job.mailbox, job.device) for job, status in jobs if status in SENT_STATUSES and job.device]:
            await self._stores.devices.touch(reached)
        if digests := [job.id for job, _ in jobs if job.digest_key]:
            await self._stores.digest_items.begin(digests)

    async def on_address_gone(self, job: Delivery, message: Message) -> None:
        """Remove the device, or suppress the email address or phone number."""
        await self._stores.users.deactivate_address(job, user_address(job.channel, message.user))


def _stopped(job: Delivery, reason: Reason) -> Transition:
    """Return the state of a delivery whose send was stopped."""
    if reason is Reason.PAUSED:
        return Transition(DeliveryStatus.HELD, reason, None, scheduler_lane(job.priority, job.tenant))
    return Transition(DeliveryStatus.CANCELLED, reason)


def _channel_paused(job: Delivery) -> Transition:
    lane = paused_lane(job.channel, job.priority, job.tenant)
    return Transition(DeliveryStatus.HELD, Reason.PAUSED, None, lane)


def _template_error(error: TemplateError) -> Transition:
    return Transition(DeliveryStatus.FAILED, Reason.TEMPLATE_ERROR, error=sanitize_error(str(error)))


def transition_of(job: Delivery, decision: Decision) -> Transition:
    """Return the state of a delivery that is not sent now. If the delivery is HELD, the scheduler releases it.

    A delivery that was tried before and whose address is gone becomes FAILED: it can be replayed when the user has an
    address again."""
    if decision.outcome is DeliveryStatus.HELD:
        lane = scheduler_lane(job.priority, job.tenant)
        return Transition(DeliveryStatus.HELD, decision.reason, decision.due_at, lane)
    if job.attempts and decision.reason in ADDRESS_LOST_REASONS:
        return Transition(DeliveryStatus.FAILED, ADDRESS_LOST_REASONS[decision.reason])
    return Transition(decision.outcome, decision.reason)
