"""The dispatchers of one process: one for each channel with a provider, and one each for webhook calls,
events, and the enrichment of sends."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

from hub.decide.templates.parts import TextLimits
from hub.enrichment import jobs
from hub.enrichment.calls import CRITICAL_TIMEOUT_S, TIMEOUT_MAX_S
from hub.events import event_store
from hub.model import Channel, Delivery
from hub.outbox.claims import Claims
from hub.runtime.container import Components
from hub.runtime.rules import build_run_rules
from hub.send import dev_capture
from hub.send.channel import ChannelModule, ChannelResources
from hub.send.delivery_attempt import CANCEL_GRACE_S
from hub.send.delivery_data import DeliveryStores
from hub.send.delivery_preparation import DeliveryHandler
from hub.send.delivery_rate_limits import DeliveryThrottle
from hub.send.delivery_texts import TemplateTexts
from hub.send.digest_content import DigestMessages
from hub.send.email_layout import EmailLayouts
from hub.send.enrichment_handler import EnrichmentHandler, EnrichmentProvider
from hub.send.event_handler import EventHandler, RuleProvider
from hub.send.job_kind import JobHandler
from hub.send.message_builder import MessageBuilder
from hub.send.poison_isolation import IsolationLock
from hub.send.sms_limit import SmsLimit
from hub.send.tenant_webhook_handler import WebhookEndpointProvider, WebhookHandler
from hub.send.worker import Dispatcher
from hub.send.worker_resources import DispatchPolicy, WorkerResources
from hub.settings import ConfigurationError, Settings
from hub.status.captured import CapturedMessages
from hub.webhooks import webhook_calls


async def build_dispatchers(
    hub: Components, settings: Settings, channels: Sequence[ChannelModule], stack: AsyncExitStack
) -> list[Dispatcher[Any]]:
    """Return a dispatcher for each channel in `channels` that has a provider, and one each for webhook calls, events,
    and the enrichment of sends.

    In development, messages are captured; on a channel without a provider, they are only captured. Raise
    ConfigurationError if a setting cannot be used."""
    builder = _DispatcherBuilder(hub, settings)
    deliveries = await _delivery_dispatchers(builder, hub, settings, channels, stack)
    others = [build(builder, hub, settings) for build in (_webhook_dispatcher, _event_dispatcher)]
    return [*deliveries, *others, *_enrichment_dispatchers(builder, hub, settings)]


def load_channels() -> list[ChannelModule]:
    """Import and return the modules of all channels. Processes that send nothing do not load their large libraries."""
    from hub.send.channels import discord, email, mobile_push, slack, sms, teams, web_push, webhook, whatsapp

    return [discord, email, mobile_push, slack, sms, teams, web_push, webhook, whatsapp]


class _DispatcherBuilder:
    """Builds dispatchers that share the rate limits and the isolation lock of the process."""

    def __init__(self, hub: Components, settings: Settings) -> None:
        self._settings = settings
        throttle = DeliveryThrottle(hub.rate_limiter, settings)
        clock = hub.hub_clock.now
        sms_limit = SmsLimit(hub.redis, settings.redis_prefix, settings.sms_limit_per_user, clock)
        self._resources = WorkerResources(
            hub.lanes, hub.breakers, sms_limit, throttle, IsolationLock(), hub.call_tally, clock
        )

    def policy(self, channel: str, providers: Sequence[Any]) -> DispatchPolicy:
        settings = self._settings
        return DispatchPolicy(
            concurrency=settings.concurrency_of(channel),
            lease_s=sum(provider.timeout_s + CANCEL_GRACE_S for provider in providers) + settings.lease_margin_s,
            schedule=settings.schedule_of(channel),
            retry_after_max_s=settings.retry_after_max_s,
            lease_max_expirations=settings.lease_max_expirations,
        )

    def build(
        self, channel: str, handler: JobHandler[Any], claims: Claims[Any], providers: Sequence[Any]
    ) -> Dispatcher[Any]:
        for provider in providers:
            self._resources.tally.add_provider(channel, provider.name)
        return Dispatcher(channel, handler, claims, self._resources, self.policy(channel, providers))


async def _delivery_dispatchers(
    builder: _DispatcherBuilder,
    hub: Components,
    settings: Settings,
    channels: Sequence[ChannelModule],
    stack: AsyncExitStack,
) -> list[Dispatcher[Delivery]]:
    services, clock, real_clock = hub.services, hub.hub_clock.now, hub.server_clock.now
    people = services.devices, services.opt_outs
    resources = ChannelResources(settings, hub.outbound_http, stack, clock, real_clock, *people)
    stores = DeliveryStores(
        services.inboxes,
        services.users,
        services.devices,
        services.tenants,
        services.sends,
        services.digests,
        hub.digest_items,
        services.opt_outs,
    )
    limits = TextLimits(settings.notification_title_max_chars, settings.notification_body_max_bytes)
    texts = TemplateTexts(services.templates, limits)
    message_builder = MessageBuilder(
        services.signed_links, settings.app_url, services.devices.decrypted, settings.sms_segments
    )
    captured = CapturedMessages(hub.database) if settings.mode == "development" else None
    if captured:
        await captured.create_collection()
    dispatchers = []
    for channel in channels:
        try:
            providers = await channel.create_providers(resources)
        except ValueError as error:
            raise ConfigurationError(str(error)) from None
        if captured:
            providers = dev_capture.capture(channel, providers, captured, clock, settings.provider_timeout_s)
        if providers:
            layouts = EmailLayouts(services.templates) if channel.CHANNEL is Channel.EMAIL else None
            digests = DigestMessages(services.templates, services.digests, message_builder, limits, layouts)
            policy = builder.policy(channel.CHANNEL, providers)
            handler = DeliveryHandler(
                providers, stores, texts, message_builder, digests, settings.configured, policy, layouts
            )
            dispatchers.append(builder.build(channel.CHANNEL, handler, hub.delivery_claims, providers))
    return dispatchers


def _webhook_dispatcher(builder: _DispatcherBuilder, hub: Components, settings: Settings) -> Dispatcher[Any]:
    provider = WebhookEndpointProvider(
        hub.outbound_http, settings.provider_timeout_s, hub.hub_clock.now, hub.server_clock.now
    )
    policy = builder.policy(webhook_calls.LANE, [provider])
    handler = WebhookHandler(provider, hub.services.tenants, hub.services.webhook_endpoints, policy)
    return builder.build(webhook_calls.LANE, handler, hub.webhook_claims, [provider])


def _event_dispatcher(builder: _DispatcherBuilder, hub: Components, settings: Settings) -> Dispatcher[Any]:
    run_rules = build_run_rules(settings, hub.services).run_rules
    provider = RuleProvider(hub.events.store, run_rules, settings.provider_timeout_s)
    return builder.build(event_store.LANE, EventHandler(provider), hub.events.claims, [provider])


def _enrichment_dispatchers(builder: _DispatcherBuilder, hub: Components, settings: Settings) -> list[Dispatcher[Any]]:
    """Return a dispatcher for CRITICAL sends, and one for the others, whose calls may take longer."""
    dispatchers = []
    for lane, call_s in ((jobs.CRITICAL_LANE, CRITICAL_TIMEOUT_S), (jobs.LANE, TIMEOUT_MAX_S)):
        timeout_s = call_s + settings.commit_deadline_s
        provider = EnrichmentProvider(hub.prepare_sends.prepare, timeout_s, hub.server_clock.now)
        handler = EnrichmentHandler(provider, hub.services.sends)
        dispatchers.append(builder.build(lane, handler, hub.enrichment.claims, [provider]))
    return dispatchers
