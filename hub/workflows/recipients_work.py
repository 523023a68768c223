"""The decisions of one send for its recipients, or for some of them, in one transaction."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from hub.audience.tenants import COLLECTION as TENANTS
from hub.audience.tenants import Tenants, default_category
from hub.audience.users import unknown_user
from hub.decide.digest import Digest, effective_digest
from hub.decide.plan import PHONE_CHANNELS, Decision, Plan, plan
from hub.decide.plan_times import with_times
from hub.decide.skipped_plan import skipped_plan
from hub.decide.throttle import throttled
from hub.errors import TooLarge
from hub.inbox import state
from hub.inbox.unit_of_work import UnitOfWork
from hub.inbox.window_counts import empty_count, throttle_id
from hub.inbox.works import WorkDefaults
from hub.model import Category, Channel, DeliveryStatus, Reason, Tenant, WindowCount, mailbox_of
from hub.platform import tracing
from hub.settings import Settings
from hub.status.held_deliveries import PREFERENCE_REASONS
from hub.webhooks import events, webhook_calls
from hub.workflows.send_digests import SendDigests
from hub.workflows.send_documents import SendDocuments
from hub.workflows.send_request import DecisionData, SendRequest
from hub.workflows.send_texts import SendIds, SendTexts

NOTIFICATION_BYTES = 1024  # size of a notification without content, with one receipt
DELIVERY_BYTES = 900  # size with the receipt
WEBHOOK_CALL_BYTES = 900  # size of a webhook call
REPLACED_BYTES = 600  # size of the update of a replaced notification, with its receipt
CREATED, SKIPPED = events.IN_APP_EVENTS[DeliveryStatus.DELIVERED], events.DELIVERY_EVENTS[DeliveryStatus.SKIPPED]
REPLACED = events.REMOVAL_EVENTS[Reason.REPLACED]


class RecipientsWork(WorkDefaults):
    """Decides a send for its recipients, or for some of them, and stores their documents. `request.users` are these
    recipients. `resolved`: the users for whom the collapse key was resolved. `requeue_after`: the time that a delivery
    may be on its lane. None: deliveries are due at once, and the scheduler puts them on their lanes."""

    needs_recipients = True
    creates_category = True
    accepted_at: datetime | None = None  # of an expansion: recipients may have got newer sends since then

    def __init__(
        self,
        tenant: str,
        request: SendRequest,
        tenants: Tenants,
        settings: Settings,
        ids: SendIds,
        texts: SendTexts | None,
        resolved: frozenset[str],
        requeue_after: timedelta | None,
        field: str = "input",
    ) -> None:
        self._field = field
        self._resolved = resolved
        self._tenant = tenant
        self._request = request
        self._texts = texts
        self._tenants = tenants
        self._configured = settings.configured
        self._requeue_after = requeue_after
        self._size_max = settings.commit_max_bytes
        self._traceparent = tracing.current_traceparent()
        self._ids = ids
        self.mailboxes = [mailbox_of(tenant, user) for user in request.users]
        self.collapse_key = request.collapse_key
        cached = tenants.cached(tenant)  # may be outdated; `_check` counts again
        category = cached.category(request.category) or default_category(request.category)
        self._digests = SendDigests(tenant, request, self.mailboxes)
        self._throttle_ids = (
            [throttle_id(mailbox, request.throttle.key) for mailbox in self.mailboxes] if request.throttle else []
        )
        self.counts = self._throttle_ids + self._digests.mark_ids
        self._content_bytes = len(msgspec.json.encode((request.content, request.tags, request.data)))
        self._texts_bytes = (texts.bytes if texts else 0) + len(request.enriched or "")
        requested = request.requested
        steps = requested.steps_in(category)
        channels = (*requested.channels_in(category), *(channel for step in steps for channel in step.channels))
        self.needs_opt_outs = any(channel in PHONE_CHANNELS and channel in self._configured for channel in channels)
        recipients = len(self.mailboxes)
        leaving = sum(channel in self._configured for channel in channels if channel is not Channel.IN_APP)
        documents = 2 if effective_digest(request.digest, category) else 1  # with the digest of each item
        self._estimate_size(recipients * documents * leaving, recipients * self._count_calls(cached, CREATED))

    def _estimate_size(self, delivery_count: int, call_count: int) -> None:
        """Estimate the number of documents and bytes to write. The committer uses the estimate to form batches."""
        recipients = len(self.mailboxes)
        replaced = recipients if self.collapse_key else 0
        self.documents = recipients + replaced + delivery_count + call_count
        self.size = (
            self._content_bytes  # on the send
            + self._texts_bytes
            + recipients * (NOTIFICATION_BYTES + self._content_bytes)
            + REPLACED_BYTES * replaced
            + DELIVERY_BYTES * delivery_count
            + WEBHOOK_CALL_BYTES * call_count
        )

    def digest_keys(self, decision_data: DecisionData) -> Mapping[str, Collection[str]]:
        """Return the mailboxes whose open digests the deliveries may join, by digest key."""
        return self._digests.keys(decision_data)

    def _store(self, unit: UnitOfWork) -> tuple[SendDocuments, Category]:
        """Decide for each recipient, and add their documents. Return what builds them, and the category.

        Raise TooLarge before the unit is changed."""
        request, now = self._request, unit.now
        data: DecisionData = unit.decision_data
        tenant = data.tenants[self._tenant]
        category = tenant.category(request.category)
        new_category = None
        if category is None and self.creates_category:
            new_category = self._tenants.create_category_update(tenant, request.category)
        category = category or default_category(request.category)
        users = [data.users.get(mailbox) or unknown_user(mailbox, now) for mailbox in self.mailboxes]
        requested = request.requested
        plans = [
            plan(requested, category, tenant.preferences, user, self._configured, now, data.opted_out_of(user))
            for user in users
        ]
        obsolete = self._find_obsolete(unit)
        for index, mailbox in enumerate(self.mailboxes if obsolete else ()):
            if reason := obsolete.get(mailbox):
                plans[index] = skipped_plan(plans[index], reason)
        counts: list[WindowCount] = []
        if throttle := request.throttle:
            for index, (user, id) in enumerate(zip(users, self._throttle_ids, strict=True)):
                counted = unit.counts.get(id) or empty_count(id, now)
                plans[index], count = throttled(throttle, plans[index], category, tenant, user, counted, now)
                counts.append(count)
        digest = effective_digest(request.digest, category)
        plans, marks = self._digests.gather(unit, digest, tenant, category, users, plans)
        counts += marks
        timed_plans = [
            with_times(recipient_plan, category, tenant, user, now, request.expires_at, unit.mailboxes[user.id])
            for recipient_plan, user in zip(plans, users, strict=True)
        ]
        self._check([timed.plan for timed in timed_plans], tenant)
        for count in counts:
            unit.set_count(count)
        if new_category:
            unit.update(TENANTS, f"{tenant.id}/{request.category}", new_category)
        documents = self._documents(digest, obsolete)
        for id, user, timed in zip(self._ids.notifications, users, timed_plans, strict=True):
            documents.add_recipient(unit, id, user, category, timed)
        return documents, category

    def _find_obsolete(self, unit: UnitOfWork) -> dict[str, Reason]:
        """Return why mailboxes do not get the send: its collapse key was resolved for the user, or the user has a newer
        notification with the key, which would have replaced this one."""
        key, accepted_at, require_ack = self.collapse_key, self.accepted_at, self._request.require_ack
        reasons = {mailbox_of(self._tenant, user): Reason.RESOLVED for user in self._resolved}
        for mailbox in self.mailboxes if key and accepted_at else ():
            newer = [n for n in unit.list_live(mailbox, key or "") if state.is_newer(n, accepted_at)]
            if any(n.require_ack or not require_ack for n in newer):
                reasons.setdefault(mailbox, Reason.REPLACED)
        return reasons

    def _documents(self, digest: Digest | None, obsolete: Mapping[str, Reason]) -> SendDocuments:
        return SendDocuments(
            self._tenant,
            self._request,
            self._ids,
            self._texts,
            digest,
            obsolete,
            self.accepted_at,
            self._requeue_after,
            self._traceparent,
        )

    def _check(self, plans: Sequence[Plan], tenant: Tenant) -> None:
        """Raise TooLarge if the send does not fit in one transaction."""
        created, skipped = self._count_calls(tenant, CREATED), self._count_calls(tenant, SKIPPED)
        replaced = len(webhook_calls.subscribed_endpoints(tenant.endpoints, REPLACED))  # of other sends
        self._estimate_size(
            sum(document_count(decision) for plan in plans for decision in plan.external),
            sum((not plan.hidden) * created + len(plan.skipped) * skipped for plan in plans)
            + (len(plans) * replaced if self.collapse_key else 0),
        )
        self.check_estimate()

    def _count_calls(self, tenant: Tenant, event: str) -> int:
        """Return the number of webhook calls for an event of one recipient."""
        named = self._request.audience is not None
        return len(webhook_calls.subscribed_endpoints(tenant.endpoints, event, named=named))

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


def document_count(decision: Decision) -> int:
    """Return the number of stored deliveries. Each item may open a digest or a briefing."""
    return len(decision.devices or (None,)) * (2 if decision.reason in (Reason.DIGEST, *PREFERENCE_REASONS) else 1)
