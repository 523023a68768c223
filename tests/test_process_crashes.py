"""Processes that are killed or stopped during their work."""

import asyncio
import logging
import os
import random
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

import aiohttp
import pytest
from websockets.exceptions import ConnectionClosed

from hub.platform.embedded_servers import Mongod, Redis
from tests.client import FEED, SEND, SHORTEST_PAUSE_S, GraphQLErrors, Json, Tenant, eventually
from tests.conftest import fresh_servers, scaled
from tests.inbox_watchers import count_titles, find_log_faults, modseq, retry_until_answered
from tests.processes import Deployment

KILLS = scaled(3, 20)
SUBMITS = scaled(300, 2000)
CALLERS = 24
USERS = [f"user-{number}" for number in range(40)]
MANY = USERS[:30]  # recipients of a large send
IMPATIENT = 5  # one caller in so many disconnects at first and does not get the result
PARTS = 5  # sends of one sendMany
SHUTDOWN_S = 10.0  # HUB_SHUTDOWN_TIMEOUT_S
STARTS_AN_API = """
import asyncio, sys
from tests.processes import Process

async def main():
    api = Process("serve", *sys.argv[1:])
    await api.start()
    print(api.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""
SEND_MANY = "mutation ($inputs: [SendInput!]!) { sendMany(inputs: $inputs) { duplicate send { id } } }"

log = logging.getLogger(__name__)


class Callers:
    """The calls of callers, and their results: send id by key, and the recipients of each key."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.acknowledged: dict[str, str] = {}
        self.recipients: dict[str, list[str]] = {}
        self.tries = 0
        self.submitted = 0
        self.duplicates = 0
        self.slowest_s = 0.0
        self._random = random.Random(2)

    async def submit(self, number: int) -> None:
        """Make one call, retried until it succeeds: to one user, to many users, or several sends at once."""
        if number % 20 == 7:
            await self._send([MANY], number)
        elif number % 20 in {3, 13}:
            await self._send([[USERS[(number + part) % len(USERS)]] for part in range(PARTS)], number)
        else:
            await self._send([[USERS[number % len(USERS)]]], number)
        self.submitted += 1

    async def _send(self, recipients: list[list[str]], number: int) -> None:
        keys = [f"{number}/{part}" for part in range(len(recipients))]
        inputs = [_input(users, key) for users, key in zip(recipients, keys, strict=True)]
        self.recipients |= dict(zip(keys, recipients, strict=True))
        started_at = time.monotonic()
        if number % IMPATIENT == 0:
            with suppress(TimeoutError, aiohttp.ClientError, OSError):
                async with asyncio.timeout(self._random.uniform(0.002, 0.03)):
                    await self._try(inputs)
        sent = await retry_until_answered(lambda: self._try(inputs))
        self.slowest_s = max(self.slowest_s, time.monotonic() - started_at)
        for key, payload in zip(keys, sent, strict=True):
            self.acknowledged[key] = payload["send"]["id"]
            self.duplicates += payload["duplicate"]

    async def _try(self, inputs: list[Json]) -> list[Json]:
        self.tries += 1
        if len(inputs) == 1:
            return [(await self.tenant.execute(SEND, input=inputs[0]))["send"]]
        sent: list[Json] = (await self.tenant.execute(SEND_MANY, inputs=inputs))["sendMany"]
        return sent

    async def verify(self) -> None:
        """Check that every returned id is in the inboxes of its recipients once, that every key made one notification
        per
        recipient, and that every count equals a recount."""
        expected: dict[str, Counter[str]] = defaultdict(Counter)
        for key, users in self.recipients.items():
            for user in users:
                expected[user][key] += 1
        for user in USERS:
            assert await count_titles(self.tenant, user) == expected[user]
            page = await self.tenant.inbox(user)
            assert modseq(page["position"]) == page["unread"] == expected[user].total()
        for key, id in self.acknowledged.items():
            data = await self.tenant.execute(
                f'{{ send(id: "{id}") {{ recipients notifications(first: 100) {{ nodes {{ title userId }} }} }} }}'
            )
            nodes = data["send"]["notifications"]["nodes"]
            assert {node["title"] for node in nodes} == {key}
            assert sorted(node["userId"] for node in nodes) == sorted(self.recipients[key])
        total = 0
        cursor = None
        while True:
            page = (await self.tenant.execute(SENDS, after=cursor))["sends"]
            total += len(page["nodes"])
            cursor = page["pageInfo"]["endCursor"]
            if not page["pageInfo"]["hasNextPage"]:
                break
        assert total == len(self.recipients)


SENDS = (
    "query ($after: String) { sends(first: 100, after: $after) { nodes { id } pageInfo { hasNextPage endCursor } } }"
)


def _input(users: list[str], key: str) -> Json:
    content = {"title": key, "body": "there"}
    return {"to": {"users": users}, "category": "news", "content": content, "idempotencyKey": key}


@asynccontextmanager
async def running(apis: int, **settings: str) -> AsyncIterator[tuple[Deployment, Tenant]]:
    """API processes with their own servers. No process may log an error."""
    async with fresh_servers() as (mongod, redis):
        async with Deployment(mongod.url, redis.url, apis=apis, workers=0, **settings) as deployment:
            async with Tenant(f"t{uuid4().hex[:12]}", deployment.urls) as tenant:
                yield deployment, tenant
            assert not find_log_faults(deployment.apis)


async def run_calls(numbers: list[int], work: Callable[[int], Awaitable[None]]) -> None:
    """Make all calls, by several concurrent callers."""

    async def caller() -> None:
        while numbers:
            await work(numbers.pop())

    async with asyncio.TaskGroup() as group:
        for _ in range(CALLERS):
            group.create_task(caller())


@pytest.mark.timeout(900)
async def test_sigkill_of_the_api_during_sends_loses_and_duplicates_nothing() -> None:
    async with running(apis=2) as (deployment, tenant):
        submits = Callers(tenant)
        chosen = random.Random(1)
        started_at = time.monotonic()
        each = SUBMITS // KILLS
        for kill in range(KILLS):
            batch = list(range(kill * each, (kill + 1) * each))
            due = kill * each + chosen.randrange(each // 2)
            submitting = asyncio.create_task(run_calls(batch, submits.submit))

            async def so_many(due: int = due) -> bool:
                return submits.submitted >= due

            await eventually(so_many, 60, longest_pause_s=SHORTEST_PAUSE_S)
            assert batch  # during a call
            api = deployment.apis[kill % 2]
            api.kill()
            await asyncio.gather(submitting, api.start())
        log.info(
            "%d submits, %d tries, %d answered as duplicates, slowest answer %.1f s, all in %.1f s",
            submits.submitted,
            submits.tries,
            submits.duplicates,
            submits.slowest_s,
            time.monotonic() - started_at,
        )
        assert submits.tries > submits.submitted + SUBMITS // IMPATIENT  # the kills had an effect
        assert submits.duplicates  # and some calls were stored although their caller got no response
        await submits.verify()


@pytest.mark.usefixtures("new_interpreters")
async def test_sigterm_under_load_keeps_acknowledged_sends_and_closes_sockets_with_1012() -> None:
    async with running(apis=1, shutdown_timeout_s=str(SHUTDOWN_S)) as (deployment, tenant):
        [api] = deployment.apis
        acknowledged: dict[str, str] = {}
        stopping = asyncio.Event()

        async def submit(number: int) -> None:
            if stopping.is_set():
                return
            user = USERS[number % len(USERS)]
            try:
                acknowledged[str(number)] = (await tenant.send(user, title=str(number)))["send"]["id"]
            except GraphQLErrors as refused:
                assert refused.code == "UNAVAILABLE"
                stopping.set()
            except (aiohttp.ClientError, OSError):
                stopping.set()

        await tenant.send("watcher", title="first")
        async with tenant.socket("watcher") as socket, tenant.socket("watcher") as idle:
            await socket.subscribe(FEED)
            headers = {"authorization": f"Bearer {tenant.token('watcher')}", "accept": "text/event-stream"}
            body = {"query": "subscription { inbox { kind } }"}
            async with tenant.http.post(api.url, json=body, headers=headers) as stream:
                submitting = asyncio.create_task(run_calls(list(range(100_000)), submit))

                async def well_under_way() -> bool:
                    return len(acknowledged) > 200

                await eventually(well_under_way)
                started_at = time.monotonic()
                assert await api.stop(within_s=SHUTDOWN_S) == 0
                log.info("stopped after %.2f s, %d answered", time.monotonic() - started_at, len(acknowledged))
                await stream.content.read()
            await submitting
            for each in (socket, idle):
                with pytest.raises(ConnectionClosed) as closed:
                    while True:
                        await each.read()
                assert closed.value.rcvd
                assert closed.value.rcvd.code == 1012
        await api.start()
        found: Counter[str] = Counter()
        for user in USERS:
            found += await count_titles(tenant, user)
        assert max(found.values()) == 1
        assert acknowledged.keys() <= found.keys()
        assert len(found) <= len(acknowledged) + CALLERS


@pytest.mark.usefixtures("new_interpreters")
async def test_sigterm_while_mongodb_and_redis_are_suspended_ends_in_time() -> None:
    """Running calls are rejected, and servers that do not respond do not delay the exit."""
    async with fresh_servers() as (mongod, redis):
        async with Deployment(
            mongod.url, redis.url, apis=1, workers=1, shutdown_timeout_s=str(SHUTDOWN_S)
        ) as deployment:
            async with Tenant(f"t{uuid4().hex[:12]}", deployment.urls) as tenant:
                await tenant.send("watcher", title="first")
                async with tenant.feed("watcher"):
                    mongod.suspend()
                    redis.suspend()
                    sending = asyncio.create_task(tenant.send("watcher", title="second"))

                    async def under_way() -> bool:
                        async with tenant.http.get(tenant.urls[0].replace("/graphql", "/healthz")) as response:
                            return response.status == 200

                    await eventually(under_way)
                    started_at = time.monotonic()
                    ended = await asyncio.gather(
                        *(process.stop(within_s=SHUTDOWN_S + 1) for process in [*deployment.apis, *deployment.workers])
                    )
                    log.info("stopped after %.2f s", time.monotonic() - started_at)
                    assert ended == [0, 0]
                    with pytest.raises((GraphQLErrors, aiohttp.ClientError, OSError)):
                        await sending
                mongod.resume()
                redis.resume()
                assert not find_log_faults([*deployment.apis, *deployment.workers])


async def test_hub_processes_of_tests_end_with_the_process_that_started_them(servers: tuple[Mongod, Redis]) -> None:
    """They left its output open."""
    urls = [server.url for server in servers]
    tests = await asyncio.create_subprocess_exec(
        sys.executable, "-c", STARTS_AN_API, *urls, stdout=asyncio.subprocess.PIPE
    )
    assert tests.stdout
    pid = int(await tests.stdout.readline())
    tests.kill()
    try:
        async with asyncio.timeout(30):
            assert await tests.stdout.read() == b""
    except TimeoutError:
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        await tests.wait()
