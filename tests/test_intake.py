"""`hub intake`: events from Amazon EventBridge through SQS, against the servers of moto."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

import aioboto3
import pytest

from hub.events.cloud_events import EVENT_MAX_BYTES, SHOWN_BYTES
from hub.platform.embedded_servers import Mongod, Redis
from tests.cli_commands import run_command
from tests.client import Tenant, eventually
from tests.conftest import fresh_servers, scaled
from tests.event_calls import REPLAY, cloud_event, list_events
from tests.hub_process import CONSTANTS
from tests.processes import SECRET, Deployment, Process

REGION = "eu-west-1"
CREDENTIALS = {"aws_access_key_id": "AKIATEST", "aws_secret_access_key": "secret", "region_name": REGION}
AWS_VARIABLES = {"AWS_REGION": REGION, "AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "secret"}
SHORT_TIMES = {
    "hub.intake.queue_intake.VISIBILITY_S": 1,
    "hub.intake.queue_intake.WAIT_S": 1,
    "hub.intake.store_gate.PROBE_PAUSE_S": 0.1,
    "hub.intake.store_gate.CONFIRMED_S": 0.1,
}
KILLS = scaled(3, 30)
EVENTS = scaled(200, 10_000)
OUTAGE_S = scaled(4.5, 180.0)  # in which a message could be received more often than RECEIVES_MAX
RECEIVES_MAX = scaled(3, 5)
WAITING = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]


class Queues:
    """Queues of a fake of Amazon's services, each with a dead-letter queue."""

    def __init__(self, url: str, sqs: Any, bridge: Any) -> None:
        self.url = url
        self._sqs = sqs
        self._bridge = bridge
        self._dead: dict[str, str] = {}

    async def create(self, receives_max: int) -> str:
        """Create a queue. Return its URL."""
        name = f"events-{uuid4().hex[:8]}"
        dead = (await self._sqs.create_queue(QueueName=f"{name}-dead"))["QueueUrl"]
        arn = (await self._sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"]))["Attributes"][
            "QueueArn"
        ]
        policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": receives_max})
        url: str = (await self._sqs.create_queue(QueueName=name, Attributes={"RedrivePolicy": policy}))["QueueUrl"]
        self._dead[url] = dead
        return url

    async def route_events(self, queue: str, source: str) -> None:
        """Add a rule to the event bus that sends the events of a source to a queue."""
        name = queue.rpartition("/")[2]
        attributes = await self._sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
        await self._bridge.put_rule(Name=name, EventPattern=json.dumps({"source": [source]}))
        target = {"Id": "hub", "Arn": attributes["Attributes"]["QueueArn"]}
        await self._bridge.put_targets(Rule=name, Targets=[target])

    async def put_events(self, source: str, *details: Any) -> None:
        entries = [{"Source": source, "DetailType": "Order Shipped", "Detail": json.dumps(one)} for one in details]
        await self._bridge.put_events(Entries=entries)

    async def send(self, queue: str, *bodies: str) -> None:
        for start in range(0, len(bodies), 10):
            entries = [{"Id": str(n), "MessageBody": body} for n, body in enumerate(bodies[start : start + 10])]
            await self._sqs.send_message_batch(QueueUrl=queue, Entries=entries)

    async def count(self, queue: str) -> int:
        """Return the number of messages that are not deleted."""
        result = await self._sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=WAITING)
        return sum(map(int, result["Attributes"].values()))

    async def receive_counts(self, queue: str) -> dict[str, int]:
        """Receive up to 10 messages. Return how often each was received, by body."""
        names = ["ApproximateReceiveCount"]
        found = await self._sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, AttributeNames=names)
        return {one["Body"]: int(one["Attributes"][names[0]]) for one in found.get("Messages", ())}

    async def dead(self, queue: str) -> list[str]:
        """Return the bodies in the dead-letter queue, and delete them."""
        bodies = []
        while found := (await self._sqs.receive_message(QueueUrl=self._dead[queue])).get("Messages"):
            for message in found:
                bodies.append(message["Body"])
                await self._sqs.delete_message(QueueUrl=self._dead[queue], ReceiptHandle=message["ReceiptHandle"])
        return bodies


@pytest.fixture
async def queues(moto_url: str) -> AsyncIterator[Queues]:
    session, endpoint = aioboto3.Session(**CREDENTIALS), {"endpoint_url": moto_url}
    async with session.client("sqs", **endpoint) as sqs, session.client("events", **endpoint) as bridge:
        yield Queues(moto_url, sqs, bridge)


def intake_process(
    servers: tuple[Mongod, Redis],
    queues: Queues,
    tenants: dict[str, str],
    times: dict[str, float] | None = None,
    **own: str,
) -> Process:
    mongod, redis = servers
    process = Process("intake", mongod.url, redis.url, intake=json.dumps(tenants), **own)
    process.environment |= {**AWS_VARIABLES, "AWS_ENDPOINT_URL": queues.url}
    process.environment[CONSTANTS] = json.dumps(SHORT_TIMES if times is None else times)
    return process


@asynccontextmanager
async def running_intake(*processes: Process) -> AsyncIterator[None]:
    try:
        await asyncio.gather(*(process.start() for process in processes))
        yield
    finally:
        for process in processes:
            process.kill()


async def test_events_of_eventbridge_arrive_through_sqs(
    servers: tuple[Mongod, Redis], tenant: Tenant, queues: Queues
) -> None:
    """EventBridge's envelopes and plain CloudEvents become events of the tenant of the queue, once. What is not an
    event ends in the dead-letter queue. What is too large is FAILED."""
    queue = await queues.create(receives_max=2)
    source = f"shop.{uuid4().hex[:8]}"
    await queues.route_events(queue, source)
    async with running_intake(intake_process(servers, queues, {queue: tenant.name})):
        await queues.put_events(source, {"order": 1}, {"order": 2})
        large = json.dumps(cloud_event("large", data="x" * EVENT_MAX_BYTES, tenant="other"))
        poison = ["not JSON", json.dumps({"id": "no event"}), json.dumps({**cloud_event("x"), "time": "late"})]
        plain = json.dumps(cloud_event("plain", data={"order": 3}, tenant="other"))
        await queues.send(queue, *poison, plain, plain, large)

        async def all_stored() -> list[Any]:
            found = await list_events(tenant, statuses=["UNMATCHED", "FAILED"])
            return found if len(found) == 4 else []

        found = await eventually(all_stored)

        async def empty() -> bool:
            return await queues.count(queue) == 0

        await eventually(empty)
        assert sorted(await queues.dead(queue)) == sorted(poison)
    shipped = [event for event in found if event["type"] == "Order Shipped"]
    assert {(event["source"], event["data"]["order"]) for event in shipped} == {(source, 1), (source, 2)}
    [too_large] = [event for event in found if event["status"] == "FAILED"]
    assert (too_large["eventId"], too_large["reason"]) == ("large", "TOO_LARGE")
    assert len(too_large["data"].encode()) == SHOWN_BYTES
    assert (await tenant.execute(REPLAY, ids=[too_large["id"]]))["replayEvents"] == 1

    async def replayed() -> bool:
        return not await list_events(tenant, statuses=["FAILED", "RECEIVED"])

    await eventually(replayed)


async def test_no_message_is_lost_although_intakes_are_killed(
    servers: tuple[Mongod, Redis], tenant: Tenant, queues: Queues
) -> None:
    queue = await queues.create(receives_max=1000)  # each kill counts as a receipt
    processes = [intake_process(servers, queues, {queue: tenant.name}) for _ in range(2)]
    async with running_intake(*processes):

        async def send() -> None:
            for start in range(0, EVENTS, 10):
                await queues.send(queue, *(json.dumps(cloud_event(str(n))) for n in range(start, start + 10)))

        async def kill() -> None:
            for n in range(KILLS):
                await asyncio.sleep(0.1)
                processes[n % 2].kill()
                await processes[n % 2].start()

        await asyncio.gather(send(), kill())

        async def empty() -> bool:
            return await queues.count(queue) == 0

        await eventually(empty, 60)
    found = [event["eventId"] for event in await list_events(tenant)]
    assert sorted(found, key=int) == [str(n) for n in range(EVENTS)]
    assert not await queues.dead(queue)


async def test_outage_of_the_store_moves_no_message_to_the_dead_letter_queue(queues: Queues) -> None:
    """The outage lasts longer than the receipts that the queue allows would."""
    queue = await queues.create(receives_max=RECEIVES_MAX)
    async with AsyncExitStack() as stack:
        mongod, redis = await stack.enter_async_context(fresh_servers())
        running = await stack.enter_async_context(Deployment(mongod.url, redis.url, apis=1, workers=0))
        tenant = await stack.enter_async_context(Tenant("acme", running.urls))
        intakes = [
            intake_process((mongod, redis), queues, {queue: "acme"}, commit_deadline_s="0.5")
            for _ in range(scaled(1, 2))
        ]
        await stack.enter_async_context(running_intake(*intakes))

        async def polling() -> bool:
            return all("intake_resumed" in intake.log for intake in intakes)

        await eventually(polling)
        mongod.suspend()
        ids = [str(n) for n in range(30)]
        await queues.send(queue, *(json.dumps(cloud_event(id)) for id in ids))
        await asyncio.sleep(OUTAGE_S)
        assert await queues.count(queue) == len(ids)
        mongod.resume()

        async def stored() -> bool:
            return {event["eventId"] for event in await list_events(tenant)} == set(ids)

        await eventually(stored)

        async def empty() -> bool:
            return await queues.count(queue) == 0

        await eventually(empty)
        assert not await queues.dead(queue)
        assert all("intake_paused" in intake.log for intake in intakes)


async def test_queue_that_does_not_exist_is_reported(servers: tuple[Mongod, Redis], queues: Queues) -> None:
    process = intake_process(servers, queues, {f"{queues.url}/123456789012/missing": "acme"})
    with pytest.raises(AssertionError, match=r"HUB_INTAKE: the queue .* cannot be used"):
        await process.start()


async def test_doctor_reads_the_queues(
    servers: tuple[Mongod, Redis], queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It receives no message. It names a queue that does not exist, and a server that does not respond."""
    for name, value in AWS_VARIABLES.items():
        monkeypatch.setenv(name, value)
    queue, missing = await queues.create(2), f"{queues.url}/123456789012/missing"
    await queues.send(queue, "a", "b")
    settings = {"mongo_url": servers[0].url, "redis_url": servers[1].url, "jwt_secret": SECRET}

    async def doctor(url: str, **tenants: str) -> str:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        return (await asyncio.to_thread(run_command, "doctor", **settings, intake=json.dumps(tenants))).stdout

    output = await doctor(queues.url, **{queue: "acme", f"{queue}-dead": "beta", missing: "acme"})
    assert f"ok     2 messages wait in the queue {queue} of the tenant acme\n" in output
    assert f"note   messages of {queue}-dead that are not events are received again" in output
    assert f"messages of {queue} " not in output
    assert f"wrong  HUB_INTAKE: the queue {missing} cannot be used: AWS.SimpleQueueService.NonExistentQueue" in output
    assert await queues.receive_counts(queue) == {"a": 1, "b": 1}
    assert f"wrong  HUB_INTAKE: the queue {queue} cannot be read" in await doctor(
        "http://127.0.0.1:9", **{queue: "acme"}
    )
