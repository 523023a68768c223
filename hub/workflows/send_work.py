"""The work of the group commit that stores one send in one transaction."""

from collections.abc import Sequence
from datetime import timedelta

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from pymongo.asynchronous.client_session import AsyncClientSession

from hub.audience.tenants import COLLECTION as TENANTS
from hub.audience.tenants import Tenants, default_category
from hub.audience.users import unknown_user
from hub.decide.digest import Digest, digest_key, effective_digest, gathered
from hub.decide.plan import Decision, Plan, plan
from hub.decide.plan_times import TimedPlan, interrupts, with_times
from hub.decide.skipped_plan import skipped_plan
from hub.decide.throttle import throttled
from hub.decide.timing import interruption_of
from hub.errors import HubError, TooLarge
from hub.ids import id_time
from hub.inbox import state
from hub.inbox.unit_of_work import UnitOfWork
from hub.inbox.window_counts import empty_count, lookback_id, mailbox_of_count, throttle_id
from hub.inbox.works import WorkDefaults
from hub.model import (
    Category,
    Channel,
    Content,
    Delivery,
    DeliveryStatus,
    Notification,
    Reason,
    Send,
    SendStatus,
    Tenant,
    User,
    WindowCount,
    delivery_id,
    document,
    mailbox_of,
)
from hub.outbox.lanes import lane_of, scheduler_lane
from hub.platform import tracing
from hub.settings import Settings
from hub.status import deliveries, receipt_change_stream, sends
from hub.status.scheduled_sends import ScheduledSend, ScheduledSends, published_update
from hub.status.virtual_deliveries import failed_rendering
from hub.webhooks import events, webhook_calls
from hub.workflows.idempotency import IdempotencyKey
from hub.workflows.removal import remove
from hub.workflows.send_request import DecisionData, OutdatedCategory, SendRequest
from hub.workflows.send_texts import SendIds, SendTexts, template_error_text

NOTIFICATION_BYTES = 1024  # size of a notification without content, with one receipt
DELIVERY_BYTES = 900  # size with the receipt
WEBHOOK_CALL_BYTES = 900  # size of a webhook call
REPLACED_BYTES = 600  # size of the update of a replaced notification, with its receipt
CREATED, SKIPPED = events.IN_APP_EVENTS[DeliveryStatus.DELIVERED], events.DELIVERY_EVENTS[DeliveryStatus.SKIPPED]
REPLACED = events.REMOVAL_EVENTS[Reason.REPLACED]


class DueSend(Struct, frozen=True):
    """A scheduled send that is due, and the store that contains it."""

    send: ScheduledSend
    store: ScheduledSends


class SendWork(WorkDefaults):
    """One send: its record and the notifications, receipts, and deliveries of its recipients. `due` is set if the send
    was scheduled."""

    needs_recipients = True

    def __init__(
        self,
        tenant: str,
        request: SendRequest,
        key: str | None,
        tenants: Tenants,
        settings: Settings,
        ids: SendIds,
        texts: SendTexts | HubError | None = None,
        due: DueSend | None = None,
        field: str = "input",
    ) -> None:
        self._due = due
        self._field = field
        self._resolved = frozenset(due.send.scheduled.resolved if due else ())
        self.low = due is not None
        self._tenant = tenant
        self._request = request
        self._texts = texts
        self._tenants = tenants
        self._configured = settings.configured
        self._requeue_after = timedelta(seconds=settings.requeue_after_s)
        self._size_max = settings.commit_max_bytes
        self.key = IdempotencyKey.of(tenant, key, request) if key else None
        self._traceparent = tracing.current_traceparent()
        self._ids = ids
        failed = isinstance(texts, HubError)
        self.mailboxes = [] if failed else [mailbox_of(tenant, user) for user in request.users]
        self.keys = (self.key.id,) if self.key else ()
        self.collapse_key = request.collapse_key
        cached = tenants.cached(tenant)  # may be outdated; `_check` counts again
        category = cached.category(request.category) or default_category(request.category)
        self._digest = digest = effective_digest(request.digest, category)
        self.digest_key = digest_key(request.category, digest.key) if digest else None
        self._throttle_ids = (
            [throttle_id(mailbox, request.throttle.key) for mailbox in self.mailboxes] if request.throttle else []
        )
        looks_back = digest and digest.lookback_s
        self._lookback_ids = [lookback_id(one, self.digest_key or "") for one in self.mailboxes] if looks_back else []
        self.counts = self._throttle_ids + self._lookback_ids
        self._content_bytes = len(msgspec.json.encode((request.content, request.tags, request.data)))
        self._texts_bytes = texts.bytes if isinstance(texts, SendTexts) else 0
        requested = request.requested
        steps = requested.steps_in(category)
        channels = (*requested.channels_in(category), *(channel for step in steps for channel in step.channels))
        recipients = len(self.mailboxes)
        self._estimate_size(
            recipients * sum(channel in self._configured for channel in channels if channel is not Channel.IN_APP),
            recipients * len(webhook_calls.subscribed_endpoints(cached.endpoints, CREATED)),
        )

    def _estimate_size(self, delivery_count: int, call_count: int) -> None:
        """Estimate the number of documents and bytes to write. The committer uses the estimate to form batches."""
        recipients = len(self.mailboxes)
        replaced = recipients if self.collapse_key else 0
        if self.digest_key:
            delivery_count *= 2  # with the digest of each item
        self.documents = recipients + replaced + delivery_count + call_count
        self.size = (
            self._content_bytes  # on the send
            + self._texts_bytes
            + recipients * (NOTIFICATION_BYTES + self._content_bytes)
            + REPLACED_BYTES * replaced
            + DELIVERY_BYTES * delivery_count
            + WEBHOOK_CALL_BYTES * call_count
        )

    async def apply(self, unit: UnitOfWork, session: AsyncClientSession) -> Send | str | None:
        """Return the new send, or the id of the send that was created earlier with this key. Return None if a scheduled
        send was changed in the meantime."""
        request, now = self._request, unit.now
        data: DecisionData = unit.decision_data
        if self.key and (first := self.key.first_send(unit)):
            return first
        if isinstance(self._texts, HubError):
            raise self._texts
        if self._due and not await self._due.store.is_unchanged(self._due.send, session):
            return None
        tenant = data.tenants[self._tenant]
        category = tenant.category(request.category)
        new_category = None if category else self._tenants.create_category_update(tenant, request.category)
        category = category or default_category(request.category)
        users = [data.users.get(mailbox) or unknown_user(mailbox, now) for mailbox in self.mailboxes]
        requested = request.requested
        plans = [plan(requested, category, tenant.preferences, user, self._configured, now) for user in users]
        for index, user in enumerate(users if self._resolved else ()):
            if user.user_id in self._resolved:
                plans[index] = skipped_plan(plans[index], Reason.RESOLVED)
        counts: list[WindowCount] = []
        if throttle := request.throttle:
            for index, (user, id) in enumerate(zip(users, self._throttle_ids, strict=True)):
                counted = unit.counts.get(id) or empty_count(id, now)
                plans[index], count = throttled(throttle, plans[index], category, tenant, user, counted, now)
                counts.append(count)
        if self._digest != effective_digest(request.digest, category):
            raise OutdatedCategory
        if self._digest:
            plans, marks = self._gather(unit, self._digest, plans)
            counts += marks
        timed_plans = [
            with_times(recipient_plan, category, tenant, user, now, request.expires_at, unit.mailboxes[user.id])
            for recipient_plan, user in zip(plans, users, strict=True)
        ]
        self._check([timed.plan for timed in timed_plans], tenant)
        for count in counts:
            unit.set_count(mailbox_of_count(count.id), count)
        if new_category:
            unit.update(TENANTS, f"{tenant.id}/{request.category}", new_category)
        if self.key:
            self.key.record(unit, self._ids.send)
        for id, user, timed in zip(self._ids.notifications, users, timed_plans, strict=True):
            self._add_recipient(unit, id, user, category, timed)
        send = self._send(category)
        if self._due:
            unit.update(sends.COLLECTION, send.id, published_update(send))
        else:
            unit.insert(sends.COLLECTION, document(send))
        return send

    def _send(self, category: Category) -> Send:
        """Return the record of the send, with its content or the versions of its template."""
        request = self._request
        send = Send(
            id=self._ids.send,
            tenant=self._tenant,
            category=request.category,
            status=SendStatus.ACCEPTED,
            created_at=id_time(self._ids.send),  # lists of sends are limited by ids
            recipients=len(self.mailboxes),
            content=request.content,
            collapse_key=request.collapse_key,
            steps=request.requested.steps_in(category),
            send_at=request.send_at,
            recipient_ids=sends.recorded(request.users) if category.retention_s or request.is_removable else None,
        )
        if not (request.template and self._texts):
            return send
        assert isinstance(self._texts, SendTexts)
        return replace(
            send,
            template=request.template.key,
            template_version=self._texts.version,
            layout_version=self._texts.layout_version,
            template_data=request.template.data,
            template_title=self._texts.title,
        )

    def _check(self, plans: Sequence[Plan], tenant: Tenant) -> None:
        """Raise TooLarge if the send does not fit in one transaction."""
        created, skipped, replaced = (
            len(webhook_calls.subscribed_endpoints(tenant.endpoints, event)) for event in (CREATED, SKIPPED, REPLACED)
        )
        self._estimate_size(
            sum(len(decision.devices or (None,)) for plan in plans for decision in plan.external),
            sum((not plan.hidden) * created + len(plan.skipped) * skipped for plan in plans)
            + (len(plans) * replaced if self.collapse_key else 0),
        )
        self.check_estimate()

    def check_estimate(self) -> None:
        """Raise TooLarge if the estimated size is too large for one transaction."""
        if self.size > self._size_max:
            users_max = max(1, self._size_max * len(self.mailboxes) // self.size)
            raise TooLarge(
                f"This send is too large for one transaction (HUB_COMMIT_MAX_BYTES, {self._size_max}). With content of "
                f"this size and this number of channels and webhooks, name at most {users_max} users per call, or "
                "shorten `data`.",
                field=f"{self._field}.to.users",
            )

    def _add_recipient(self, unit: UnitOfWork, id: str, user: User, category: Category, timed: TimedPlan) -> None:
        """Add the notification, receipts, and deliveries of one recipient. If the in-app text of a template fails, the
        notification is hidden, and its IN_APP delivery is FAILED."""
        request, now, plan = self._request, unit.now, timed.plan
        content, error = self._content(id, user)
        failed = {Channel.IN_APP.value: error} if error and not plan.hidden else {}
        if timed.interruptions:
            unit.set_interruptions(user.id, replace(timed.interruptions, last=interruption_of(id, 0)))
        n = self._add_notification(
            unit,
            Notification(
                id=id,
                mailbox=user.id,
                send=self._ids.send,
                category=category.key,
                category_name=None if category.name == category.key else category.name,
                title=content.title,
                body=content.body,
                image_url=content.image_url,
                action_url=content.action_url,
                actions=content.actions,
                markdown=content.markdown,
                data=request.data,
                tags=request.tags,
                priority=plan.priority,
                because=plan.because,
                require_ack=request.require_ack,
                collapse_key=request.collapse_key,
                expires_at=request.expires_at,
                retained_until=now + timedelta(seconds=category.retention_s) if category.retention_s else None,
                hidden=plan.hidden or bool(failed),
                in_app_step=plan.in_app_step,
                has_deliveries=bool(plan.external),
                has_steps=plan.has_steps,
                skipped=plan.skipped,
                failed=failed,
                created_at=self._ids.created_at,
                updated_at=self._ids.created_at,
            ),
        )
        if not n.hidden:
            unit.insert(
                receipt_change_stream.COLLECTION,
                receipt_change_stream.channel_receipt(n, Channel.IN_APP, DeliveryStatus.DELIVERED, now),
            )
        for channel in failed:
            receipt = receipt_change_stream.channel_receipt(
                n, Channel(channel), DeliveryStatus.FAILED, now, Reason.TEMPLATE_ERROR
            )
            unit.insert(receipt_change_stream.COLLECTION, receipt)
        for channel, reason in plan.skipped.items():
            receipt = receipt_change_stream.channel_receipt(n, Channel(channel), DeliveryStatus.SKIPPED, now, reason)
            unit.insert(receipt_change_stream.COLLECTION, receipt)
        self._add_deliveries(unit, n, user, timed, error)

    def _add_deliveries(
        self, unit: UnitOfWork, n: Notification, user: User, timed: TimedPlan, error: str | None
    ) -> None:
        """Add the deliveries of a recipient. `error`: why the in-app text could not be rendered."""
        for decision in timed.plan.external:
            for device in decision.devices or (None,):
                delivery = self._delivery(n, decision, device)
                if error and decision.channel is Channel.IN_APP:  # a step: the scheduler ends it as FAILED
                    delivery = replace(delivery, attempts=(failed_rendering(error, n.created_at),))
                if decision.reason is Reason.DIGEST:
                    delivery = self._joined(unit, delivery, decision)
                elif delivery.status is DeliveryStatus.HELD:
                    delivery = replace(delivery, revision=user.revision)
                elif timed.interruptions and interrupts(decision):
                    delivery = replace(delivery, counted=True)
                self._add_delivery(unit, delivery)

    def _add_notification(self, unit: UnitOfWork, n: Notification) -> Notification:
        """Add a notification. If it has a collapse key, remove the live notifications that it replaces. If the key was
        resolved for the user, only the reasons are stored."""
        if n.user_id in self._resolved:
            removed = state.removed(DeliveryStatus.CANCELLED, Reason.RESOLVED)
            return unit.add(removed(n, unit.now) or n)
        if not n.collapse_key:
            return unit.add(n)
        older = state.replaced_by(n, unit.list_live(n.mailbox, n.collapse_key))
        count = state.collapsed_count(older)
        unit.lock(n.mailbox)
        for live in older:
            remove(unit, live, Reason.REPLACED)
        return unit.add(replace(n, collapsed_count=count))

    def _add_delivery(self, unit: UnitOfWork, delivery: Delivery) -> None:
        """Add a delivery, with a receipt if it is SKIPPED."""
        unit.insert(deliveries.COLLECTION, document(delivery))
        if delivery.status is DeliveryStatus.SKIPPED:
            receipt = receipt_change_stream.delivery_receipt(delivery, delivery.status, unit.now, delivery.reason)
            unit.insert(receipt_change_stream.COLLECTION, receipt)

    def _content(self, id: str, user: User) -> tuple[Content, str | None]:
        """Return the content of a notification, and the error if its text cannot be rendered."""
        if self._request.content:
            return self._request.content, None
        assert isinstance(self._texts, SendTexts)
        content = self._texts.content(user, id)
        if isinstance(content, Content):
            return content, None
        return Content(title="", body=""), template_error_text(content)

    def _gather(self, unit: UnitOfWork, digest: Digest, plans: Sequence[Plan]) -> tuple[list[Plan], list[WindowCount]]:
        """Return the plans with the deliveries that wait in a digest, and the marks of `lookback`."""
        ids: Sequence[str] = self._lookback_ids or [""] * len(plans)
        marks = [unit.counts.get(id) or empty_count(id, unit.now) for id in ids]
        results = [gathered(digest, one, mark, unit.now) for one, mark in zip(plans, marks, strict=True)]
        return [one for one, _ in results], [mark for _, mark in results if self._lookback_ids]

    def _joined(self, unit: UnitOfWork, delivery: Delivery, decision: Decision) -> Delivery:
        """Return a delivery as an item of its digest."""
        assert self.digest_key
        assert self._digest
        assert decision.due_at
        waiting = replace(delivery, lane="", due_at=None)
        item: Delivery = unit.digests.join(waiting, self.digest_key, self._digest, decision.due_at, unit.now)
        return item

    def _delivery(self, n: Notification, decision: Decision, device: str | None) -> Delivery:
        """Return a delivery. An ACCEPTED one is enqueued after the commit and becomes due again if it is not claimed in
        time. The scheduler releases a HELD one."""
        accepted, lane = decision.outcome is DeliveryStatus.ACCEPTED, ""
        if accepted:
            lane = lane_of(decision.channel, n.priority, self._tenant)
        elif decision.outcome is DeliveryStatus.HELD:
            lane = scheduler_lane(n.priority, self._tenant)
        return Delivery(
            id=delivery_id(n.id, decision.channel, device, decision.step),
            tenant=self._tenant,
            notification=n.id,
            send=self._ids.send,
            mailbox=n.mailbox,
            channel=decision.channel,
            category=n.category,
            status=decision.outcome,
            priority=n.priority,
            step=decision.step,
            unless=decision.unless,
            reason=decision.reason,
            lane=lane,
            enqueue_count=int(accepted),
            device=device,
            due_at=n.created_at + self._requeue_after if accepted else decision.due_at,
            expires_at=n.expires_at,
            created_at=n.created_at,
            updated_at=n.created_at,
            traceparent=self._traceparent,
        )
