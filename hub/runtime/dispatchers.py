"""The dispatchers of one process: a desk, its providers and its settings each."""

from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Any

from hub.audience import tenants
from hub.decide.plan import skip_reason
from hub.model import (
    Channel,
    Delivery,
    Notification,
    Reason,
    Tenant,
    User,
)
from hub.outbox.claims import Claims
from hub.platform.signed_links import LinkPurpose
from hub.runtime.container import Components
from hub.send import dev_capture
from hub.send.deliver import DeliveryHandler
from hub.send.isolation import IsolationLock
from hub.send.job_handler import JobHandler
from hub.send.throttle import DeliveryThrottle
from hub.send.webhook_endpoint import WebhookEndpointProvider, WebhookHandler
from hub.send.worker import CANCEL_GRACE_S, Dispatcher
from hub.settings import ConfigurationError, Settings
from hub.status.captured import CapturedMessages
from hub.webhooks import webhook_calls

TIMED = frozenset({Channel.WEB_PUSH, Channel.MOBILE_PUSH, Channel.WEBHOOK})
"""Their providers are told how long a message is good for, or when it was made."""


async def build_dispatchers(
    hub: Components, settings: Settings, serving: Sequence[Any], stack: AsyncExitStack
) -> list[Dispatcher[Any]]:
    """A dispatcher for each channel that has a provider, and one for the calls of tenants' endpoints. In development
    what leaves is kept, and channels without a provider end there. Raises ConfigurationError for a setting that can't
    be used."""
    services = hub.services
    made: list[Dispatcher[Any]] = []
    pace, company = DeliveryThrottle(hub.limiter, settings), IsolationLock()

    def dispatcher(
        channel: Any, desk: JobHandler[Any], jobs: Claims[Any], providers: Sequence[Any], schedule: Sequence[float]
    ) -> Dispatcher[Any]:
        for provider in providers:
            hub.tally.add_provider(channel, provider.name)
        return Dispatcher(
            channel,
            desk,
            jobs,
            hub.lanes,
            hub.breakers,
            pace,
            company,
            hub.time.now,
            concurrency=settings.concurrency_of(channel),
            lease_s=sum(provider.timeout_s + CANCEL_GRACE_S for provider in providers) + settings.lease_margin_s,
            schedule=schedule,
            retry_after_max_s=settings.retry_after_max_s,
            lease_max_expirations=settings.lease_max_expirations,
            count=hub.tally.count,
        )

    def refused(delivery: Delivery, n: Notification, user: User, tenant: Tenant, now: datetime) -> Reason | None:
        category = tenant.category(n.category) or tenants.default_category(n.category)
        return skip_reason(delivery.channel, category, tenant.preferences, user, settings.configured, now)

    async def stored(ids: Collection[str]) -> set[str]:
        wanted = {"_id": {"$in": list(ids)}}
        both = hub.database.notifications.find(wanted, {"_id": 1}), hub.database.users.find(wanted, {"_id": 1})
        return {doc["_id"] for found in both for doc in await found.to_list()}

    catch = CapturedMessages(hub.database) if settings.mode == "development" else None
    if catch:
        await catch.create_collection()
    for channel in serving:
        more: dict[str, Any] = {"now": hub.time.now} if channel.CHANNEL in TIMED else {}
        if channel.CHANNEL is Channel.MOBILE_PUSH:
            more["store_endpoint"] = services.devices.set_sns_endpoint
        try:
            providers = await channel.create_providers(settings, hub.outbound_http, stack, **more)
        except ValueError as error:
            raise ConfigurationError(str(error)) from None
        if catch:
            timeout_s = settings.provider_timeout_s
            providers = dev_capture.capture(
                channel.CHANNEL, providers, channel.preview, catch.add, hub.time.now, timeout_s
            )
        if not providers:
            continue
        desk = DeliveryHandler(
            providers,
            notifications=services.inboxes.get_notifications,
            users=services.users.get_many,
            mailboxes=services.inboxes.get_mailboxes_by_id,
            tenants=services.tenants.get_many,
            find_stored=stored,
            cancelled_sends=services.sends.find_cancelled,
            skip_reason=refused,
            deactivate_address=services.users.deactivate_address,
            touch_devices=services.devices.touch,
            unsubscribe_url=lambda delivery: services.signed_links.url(LinkPurpose.UNSUBSCRIBE, delivery.id),
            receipt_url=lambda delivery: services.signed_links.url(LinkPurpose.RECEIPT, delivery.id),
            app_url=settings.app_url,
        )
        made.append(dispatcher(channel.CHANNEL, desk, hub.jobs, providers, settings.schedule_of(channel.CHANNEL)))
    caller = WebhookEndpointProvider(hub.outbound_http, settings.provider_timeout_s, hub.time.now)
    calls = WebhookHandler(caller, services.tenants.get_many, services.webhook_endpoints.record_result)
    made.append(dispatcher(webhook_calls.LANE, calls, hub.calls, [caller], settings.schedule_of(webhook_calls.LANE)))
    return made


def load_channels() -> list[Any]:
    """Every channel there is. Their vendors' libraries are large: processes that send nothing go without."""
    from hub.send.channels import email, mobile_push, web_push, webhook

    return [email, mobile_push, web_push, webhook]
