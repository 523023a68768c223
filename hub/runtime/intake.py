"""The intake process: it receives events from the queues of HUB_INTAKE, stores them, and leaves their rules to
workers."""

import asyncio
import re
from contextlib import AsyncExitStack
from typing import Any

import structlog
from botocore.exceptions import ClientError
from msgspec import Struct

from hub.api.public.probes import Probes
from hub.intake.queue_intake import WAIT_S, QueueIntake
from hub.intake.store_gate import StoreGate
from hub.runtime import listen
from hub.runtime.background import log_crash, run_background
from hub.runtime.container import Components, build_components
from hub.runtime.stop_deadline import StopDeadline
from hub.runtime.work import serve_probes, stop_on_signal
from hub.send import aws
from hub.settings import ConfigurationError, Settings

WAITING = "ApproximateNumberOfMessages"
READ_MARGIN_S = 10.0  # by which the timeout of a call exceeds the time of a long poll
REGION = re.compile(r"https://sqs\.([a-z0-9-]+)\.amazonaws\.com")

log = structlog.get_logger(__name__)


class QueueState(Struct, frozen=True):
    """A queue of SQS. `waiting`: the approximate number of messages that can be received."""

    waiting: int
    has_dead_letters: bool


async def intake(settings: Settings) -> None:
    """Receive events until SIGTERM or SIGINT. Raise ConfigurationError, listen.PortUnavailable, or
    connections.StoreUnavailable."""
    if not settings.intake:
        raise ConfigurationError(
            'HUB_INTAKE names no queue: write {"https://sqs.eu-west-1.amazonaws.com/123456789012/events": "acme"}, '
            "the URL of each queue with the tenant of its events."
        )
    async with AsyncExitStack() as stack:
        listeners = listen.bind_optional(settings.host, settings.work_port)
        for listener in listeners:
            stack.enter_context(listener).listen()
        hub = await stack.enter_async_context(build_components(settings))
        stopping = stop_on_signal(StopDeadline(settings.shutdown_timeout_s))
        queues = await _open_queues(hub, settings, stopping, stack)
        loops = hub.common_loops()
        if listeners:
            probes = Probes(hub.database, hub.services.credential_encryption)
            loops.append(serve_probes(probes, settings, listeners))
        port = {"port": listeners[0].getsockname()[1]} if listeners else {}
        async with run_background(loops), asyncio.TaskGroup() as group:
            log.info("receiving", queues=[queue.name for queue in queues], **port)
            for queue in queues:
                group.create_task(log_crash(queue.run()))


async def _open_queues(
    hub: Components, settings: Settings, stopping: asyncio.Event, stack: AsyncExitStack
) -> list[QueueIntake]:
    gate = StoreGate(hub.database)
    queues = []
    for url, client in (await open_clients(settings, stack)).items():
        queue = QueueIntake(client, url, settings.intake[url], hub.services.receive_events, gate, stopping)
        try:
            if not (await read_queue(client, url)).has_dead_letters:
                log.warning("queue_without_dead_letter_queue", queue=queue.name)
        except aws.AWS_ERRORS as error:
            log.warning("queue_not_checked", queue=queue.name, error=error)
        queues.append(queue)
    return queues


async def open_clients(settings: Settings, stack: AsyncExitStack) -> dict[str, Any]:
    """Return the client of each queue of HUB_INTAKE, by URL. Raise ConfigurationError."""
    clients: dict[str | None, Any] = {}
    by_url = {}
    for url in settings.intake:
        found = REGION.match(url)
        region = found[1] if found else None
        if region not in clients:
            try:
                clients[region] = await aws.open_client("sqs", settings, stack, region, WAIT_S + READ_MARGIN_S)
            except ValueError as error:
                raise ConfigurationError(str(error)) from None
        by_url[url] = clients[region]
    return by_url


async def read_queue(client: Any, url: str) -> QueueState:
    """Return the state of a queue. Raise ConfigurationError if SQS refuses access to the queue. Other errors, which are
    of AWS_ERRORS, may be temporary."""
    try:
        result = await client.get_queue_attributes(QueueUrl=url, AttributeNames=[WAITING, "RedrivePolicy"])
    except ClientError as error:
        text = aws.outcome_of_error(error).error
        raise ConfigurationError(f"HUB_INTAKE: the queue {url} cannot be used: {text}") from None
    attributes = result.get("Attributes", {})
    return QueueState(int(attributes.get(WAITING, 0)), "RedrivePolicy" in attributes)
