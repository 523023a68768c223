"""The documents of one send: its record, and the notification, receipts, and deliveries of each recipient."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from hub.decide.digest import CHOSEN, Digest, digest_key
from hub.decide.plan import Decision
from hub.decide.plan_times import TimedPlan, interrupts
from hub.decide.timing import interruption_of
from hub.enrichment.calls import NO_ANSWER
from hub.ids import id_time
from hub.inbox import state
from hub.inbox.unit_of_work import UnitOfWork
from hub.model import (
    Category,
    Channel,
    Content,
    Delivery,
    DeliveryStatus,
    Notification,
    PendingReceipt,
    Reason,
    Send,
    SendStatus,
    User,
    delivery_id,
    document,
)
from hub.outbox.lanes import lane_of, scheduler_lane
from hub.status import deliveries, sends
from hub.status.held_deliveries import PREFERENCE_REASONS
from hub.status.virtual_deliveries import failed_rendering
from hub.workflows.removal import remove
from hub.workflows.send_request import SendRequest
from hub.workflows.send_texts import SendIds, SendTexts, template_error_text


class SendDocuments(Struct, frozen=True):
    """Builds the documents of one send. `texts` is set if the send has a template. `obsolete`: the mailboxes that
    do not get the send, with the reason. `accepted_at`, `requeue_after`: see `RecipientsWork`."""

    tenant: str
    request: SendRequest
    ids: SendIds
    texts: SendTexts | None
    digest: Digest | None = None
    obsolete: Mapping[str, Reason] = {}
    accepted_at: datetime | None = None
    requeue_after: timedelta | None = None
    traceparent: str | None = None

    def record(self, category: Category) -> Send:
        """Return the record of the send, with its content or the versions of its template."""
        request = self.request
        send = Send(
            id=self.ids.send,
            tenant=self.tenant,
            category=request.category,
            status=SendStatus.ACCEPTED,
            created_at=id_time(self.ids.send),  # lists of sends are limited by ids
            recipients=len(request.users),
            created_by=request.created_by,
            tags=request.tags,
            priority=request.priority or category.priority,
            channels=request.channels,
            expires_at=request.expires_at,
            audience=request.recorded_audience,
            excluded=request.excluded,
            content=request.content,
            collapse_key=request.collapse_key,
            steps=request.requested.steps_in(category),
            send_at=request.send_at,
            from_own_event=request.from_own_event,
            recipient_ids=sends.recorded(request.users) if category.retention_s or request.is_removable else None,
        )
        if not (request.template and self.texts):
            return send
        return replace(
            send,
            template=request.template.key,
            template_version=self.texts.version,
            layout_version=self.texts.layout_version,
            template_data=request.template.data,
            enriched=None if request.enriched == NO_ANSWER else request.enriched,
            template_title=self.texts.title,
        )

    def add_recipient(self, unit: UnitOfWork, id: str, user: User, category: Category, timed: TimedPlan) -> None:
        """Add the notification `id`, the receipts, and the deliveries of one recipient. If the in-app text of a
        template fails, the notification is hidden, and its IN_APP delivery is FAILED."""
        request, now, plan = self.request, unit.now, timed.plan
        content, error = self._content(id, user)
        failed = {Channel.IN_APP.value: error} if error and not plan.hidden else {}
        if timed.interruptions:
            unit.set_interruptions(user.id, replace(timed.interruptions, last=interruption_of(id, 0)))
        n = self._add_notification(
            unit,
            Notification(
                id=id,
                mailbox=user.id,
                send=self.ids.send,
                category=category.key,
                category_name=None if category.name == category.key else category.name,
                title=content.title,
                body=content.body,
                image_url=content.image_url,
                action_url=content.action_url,
                actions=content.actions,
                markdown=content.markdown,
                actor=content.actor,
                data=request.data,
                tags=request.tags,
                priority=plan.priority,
                because=request.because,
                require_ack=request.require_ack,
                pinned=request.pinned,
                thread_key=request.thread_key,
                collapse_key=request.collapse_key,
                expires_at=request.expires_at,
                retained_until=now + timedelta(seconds=category.retention_s) if category.retention_s else None,
                hidden=plan.hidden or bool(failed),
                in_app_step=plan.in_app_step,
                has_deliveries=bool(plan.external),
                has_steps=plan.has_steps,
                skipped=plan.skipped,
                failed=failed,
                created_at=self.ids.created_at,
                updated_at=self.ids.created_at,
            ),
        )
        if not n.hidden:
            unit.receipts.append(PendingReceipt(n, Channel.IN_APP, DeliveryStatus.DELIVERED))
        unit.receipts += [
            PendingReceipt(n, Channel(channel), DeliveryStatus.FAILED, Reason.TEMPLATE_ERROR) for channel in failed
        ]
        unit.receipts += [
            PendingReceipt(n, Channel(channel), DeliveryStatus.SKIPPED, reason)
            for channel, reason in plan.skipped.items()
        ]
        self._add_deliveries(unit, n, user, timed, error)

    def _content(self, id: str, user: User) -> tuple[Content, str | None]:
        """Return the content of a notification, and the error if its text cannot be rendered."""
        if self.request.content:
            return self.request.content, None
        assert self.texts
        content = self.texts.content(user, id)
        if isinstance(content, Content):
            return content, None
        return Content(title="", body=""), template_error_text(content)

    def _add_notification(self, unit: UnitOfWork, n: Notification) -> Notification:
        """Add a notification. If it has a collapse key, remove the live notifications that it replaces. If it is
        obsolete, only the reasons are stored."""
        if reason := self.obsolete.get(n.mailbox):
            removed = state.removed(DeliveryStatus.CANCELLED, reason)
            return unit.add(removed(n, unit.now) or n)
        if not n.collapse_key:
            return unit.add(n)
        live = unit.list_live(n.mailbox, n.collapse_key)
        older = state.replaced_by(n, [one for one in live if not state.is_newer(one, self.accepted_at)])
        count = state.collapsed_count(older)
        for one in older:
            remove(unit, one, Reason.REPLACED)
        return unit.add(replace(n, collapsed_count=count))

    def _add_deliveries(
        self, unit: UnitOfWork, n: Notification, user: User, timed: TimedPlan, error: str | None
    ) -> None:
        """Add the deliveries of a recipient. `error`: why the in-app text could not be rendered."""
        for decision in timed.plan.external:
            for device in decision.devices or (None,):
                delivery = self._delivery(n, decision, device)
                if error and decision.channel is Channel.IN_APP:  # a step: the scheduler ends it as FAILED
                    delivery = replace(delivery, attempts=(failed_rendering(error, n.created_at),))
                if delivery.status is DeliveryStatus.HELD:
                    delivery = replace(delivery, revision=user.revision)
                    if decision.reason in PREFERENCE_REASONS:
                        unit.held_inserts.append(delivery)
                        continue
                    if decision.reason is Reason.DIGEST:
                        delivery = self._joined(unit, delivery, decision)
                elif timed.interruptions and interrupts(decision):
                    delivery = replace(delivery, counted=True)
                unit.insert(deliveries.COLLECTION, document(delivery))
                if delivery.status is DeliveryStatus.SKIPPED:
                    unit.receipts.append(PendingReceipt(n, delivery.channel, delivery.status, delivery.reason))

    def _joined(self, unit: UnitOfWork, delivery: Delivery, decision: Decision) -> Delivery:
        """Return a delivery as an item of its digest."""
        digest = CHOSEN if decision.chosen else self.digest
        assert digest
        assert decision.due_at
        key = digest_key(delivery.category, digest.key)
        item: Delivery = unit.digests.join(delivery, key, digest, decision.due_at, unit.now, chosen=decision.chosen)
        return item

    def _delivery(self, n: Notification, decision: Decision, device: str | None) -> Delivery:
        """Return a delivery. An ACCEPTED one is enqueued after the commit and becomes due again if it is not claimed in
        time, or is due and enqueued by the scheduler. The scheduler releases a HELD one."""
        accepted, lane = decision.outcome is DeliveryStatus.ACCEPTED, ""
        due_at = decision.due_at
        if accepted:
            due_at = n.created_at + (self.requeue_after or timedelta())
            lane = lane_of(decision.channel, n.priority, self.tenant)
        elif decision.outcome is DeliveryStatus.HELD:
            lane = scheduler_lane(n.priority, self.tenant)
        return Delivery(
            id=delivery_id(n.id, decision.channel, device, decision.step),
            tenant=self.tenant,
            notification=n.id,
            send=self.ids.send,
            mailbox=n.mailbox,
            channel=decision.channel,
            category=n.category,
            status=decision.outcome,
            priority=n.priority,
            step=decision.step,
            unless=decision.unless,
            reason=decision.reason,
            lane=lane,
            enqueue_count=int(accepted and self.requeue_after is not None),
            device=device,
            due_at=due_at,
            expires_at=n.expires_at,
            created_at=n.created_at,
            updated_at=n.created_at,
            traceparent=self.traceparent,
            expanded=self.request.audience is not None,
        )
