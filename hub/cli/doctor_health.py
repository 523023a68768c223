"""The health section of `hub doctor`, read from the running hub or directly from MongoDB and Redis."""

import asyncio
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from hub.cli.api_client import ApiError, HubUnreachable, execute
from hub.cli.target_hub import TargetHub
from hub.model import Channel, Role
from hub.platform import connections
from hub.platform.hub_clock import read_clocks
from hub.settings import Settings

HEALTH_QUERY = """{
  health {
    ok problems deadLetters failureRate oldestDueSeconds
    providers { provider channel open failureRate }
    queues { channel priority waiting oldestSeconds held }
    workers { host version calls }
  }
}"""

NO_PROVIDER = "catcher"  # development only: captures messages of channels without a provider
PrintLine = Callable[[str, str], None]


class HealthReport(Struct, frozen=True):
    """The lines to print. `configured_channels` maps channels of running workers to their provider."""

    lines: list[str]
    problems: list[str]
    configured_channels: dict[Channel, str]

    def print_lines(self, print_line: PrintLine) -> bool:
        """Print the report. Return True if it has no problems."""
        for line in self.lines:
            print_line("ok", line)
        for problem in self.problems:
            print_line("wrong", problem)
        return not self.problems


def query_hub(hub: TargetHub, tenant: str) -> HealthReport:
    """Return the health of the running hub. If the hub does not respond, the report contains that as a problem."""
    token = hub.token(user=None, role=Role.ADMIN, tenant=tenant)
    try:
        health = asyncio.run(execute(hub.url, token, HEALTH_QUERY))["health"]
    except HubUnreachable as error:
        return HealthReport([], [str(error)], {})
    except ApiError as error:
        return HealthReport([], [f"The hub at {hub.url} did not return its health. {hub.format_error(error)}"], {})
    return _report(health)


async def read_stores(settings: Settings, tenant: str) -> HealthReport:
    """Return the health from MongoDB and Redis. Raise connections.StoreUnavailable or PyMongoError."""
    from hub.api.schema.health import Health
    from hub.runtime.health_reader import health_reader

    async with connections.mongo(settings) as database, connections.redis(settings) as redis:
        server_clock, hub_clock = await read_clocks(database, movable=settings.mode == "development")
        reader = health_reader(database, redis, settings, hub_clock.now, server_clock.now, configured=None)
        snapshot = await reader.read(tenant)
    health = Health.of(snapshot)
    return _report(
        {
            "problems": health.problems,
            "deadLetters": health.dead_letters,
            "failureRate": health.failure_rate,
            "oldestDueSeconds": health.oldest_due_seconds,
            "providers": [vars(provider) | {"failureRate": provider.failure_rate} for provider in health.providers],
            "queues": [vars(queue) | {"oldestSeconds": queue.oldest_seconds} for queue in health.queues],
            "workers": [vars(worker) for worker in health.workers],
        }
    )


def _report(health: dict[str, Any]) -> HealthReport:
    lines = [
        f"worker on {worker['host']} (version {worker['version']}) runs, {worker['calls']} calls since its start"
        for worker in health["workers"]
    ]
    lines += [
        f"{provider['channel']} is sent through {provider['provider']}, failure rate {provider['failureRate']:.0%}"
        if provider["provider"] != NO_PROVIDER
        else f"{provider['channel']} is not sent: it has no provider, and /dev/outbox shows its messages"
        for provider in health["providers"]
        if not provider["open"]
    ]
    lines += [
        f"{queue['waiting']} waiting on {queue['channel']} {queue['priority']}, "
        f"the oldest for {queue['oldestSeconds']:.0f} s"
        for queue in health["queues"]
        if queue["waiting"]
    ]
    lines += [
        f"{queue['held']} held on {queue['channel']} {queue['priority']}, because the channel is paused"
        for queue in health["queues"]
        if queue["held"]
    ]
    lines.append(
        f"dead letters: {health['deadLetters']}; failure rate of all calls in 15 minutes: {health['failureRate']:.0%}"
    )
    configured = {
        Channel(provider["channel"]): provider["provider"]
        for provider in health["providers"]
        if provider["provider"] != NO_PROVIDER and provider["channel"] in Channel.__members__
    }
    return HealthReport(lines, health["problems"], configured)
