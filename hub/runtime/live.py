"""Builds what listens to the pub/sub connection of a process: inbox subscriptions, and revocations of service keys."""

import functools
from dataclasses import dataclass

from hub.api.service_key_authenticator import ServiceKeyAuthenticator
from hub.audience.service_keys import ServiceKeys
from hub.inbox.inbox_reader import Inboxes
from hub.live.key_revocations import KeyRevocations
from hub.live.pubsub import PubSubConnection
from hub.live.subscriptions import SubscriptionHub
from hub.platform import connections
from hub.platform.rate_limiter import RateLimiter
from hub.runtime.stores import Stores
from hub.settings import Settings


@dataclass(frozen=True, slots=True)
class LiveComponents:
    subscriptions: SubscriptionHub
    service_keys: ServiceKeys
    key_authenticator: ServiceKeyAuthenticator
    key_revocations: KeyRevocations


def build_live_components(
    settings: Settings, stores: Stores, inboxes: Inboxes, rate_limiter: RateLimiter
) -> LiveComponents:
    prefix = settings.redis_prefix
    keys = ServiceKeys(stores.database, stores.server_clock.now, settings.commit_deadline_s)
    authenticator = ServiceKeyAuthenticator(keys, rate_limiter, lambda: subscriptions.pubsub.disconnected)
    revocations = KeyRevocations(stores.redis, prefix, authenticator.on_revoked)

    def connect(subscriptions: SubscriptionHub) -> PubSubConnection:
        def on_message(channel: str, data: bytes) -> None:
            if channel == revocations.channel:
                revocations.on_message(data)
            else:
                subscriptions.on_message(channel, data)

        def on_change() -> None:
            subscriptions.reconcile()
            authenticator.on_missed()

        client = functools.partial(connections.pubsub_client, settings)
        pubsub = PubSubConnection(client, stores.redis, prefix, on_message, on_change)
        pubsub.subscribe(revocations.channel)
        return pubsub

    subscriptions = SubscriptionHub(inboxes, connect, prefix)
    return LiveComponents(subscriptions, keys, authenticator, revocations)
