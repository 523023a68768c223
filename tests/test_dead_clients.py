"""Some of many clients stop reading while large events rain. The others notice nothing, and the hub lets go of the
dead."""

import asyncio
import time
from statistics import median

import pytest

from hub.platform.embedded_servers import Mongod, Redis
from hub.runtime.listen import raise_open_file_limit
from tests.bulk_clients import Line, hanging_up, metric, open_all, percentile, subscribed
from tests.client import Tenant, eventually
from tests.conftest import FULL, scaled
from tests.processes import Deployment
from tests.telemetry import resident_bytes

pytestmark = pytest.mark.alone

SOCKETS = scaled(200, 1000)
PER_USER = 20  # one of them stops reading: 5 %
USERS = [f"user{number}" for number in range(SOCKETS // PER_USER)]
PHASES = scaled(2, 3)
ROUNDS = scaled(10, 20)
LARGE = {"content": {"title": "", "body": "b" * (16 << 10)}, "data": {"d": "d" * ((32 << 10) - 100)}}
PING_INTERVAL_S, PING_TIMEOUT_S = 0.5, scaled(2, 4)
KEPT_BYTES = 1 << 20  # HUB_FEED_QUEUE_BYTES
GONE_WITHIN_S = PING_TIMEOUT_S + 2
SHUTDOWN_S = 10.0
GROWS_LESS_THAN_BYTES = 50 << 20
P99_UP_BY_LESS_THAN = 1.1 if FULL else 1.5  # `make test` shares its cores with anybody
NOISE_MS = 2.0 if FULL else 20.0


@pytest.mark.timeout(600)
async def test_clients_that_stop_reading_are_cut_off_and_nobody_else_notices(servers: tuple[Mongod, Redis]) -> None:
    raise_open_file_limit()
    settings = {"ping_interval_s": str(PING_INTERVAL_S), "ping_timeout_s": str(PING_TIMEOUT_S)}
    async with Deployment(*(server.url for server in servers), apis=1, workers=0, **settings) as running:
        [api] = running.apis
        every: list[Line] = []
        async with Tenant("dead-clients", running.urls) as tenant, hanging_up(every):
            await tenant.send(*USERS)
            heard: dict[str, list[float]] = {}

            def note(title: str) -> None:
                sent_ns = int(title) if title.isdigit() else 0
                heard.setdefault(title, []).append((time.monotonic_ns() - sent_ns) / 1e6)

            healthy = [Line(tenant.token(user), note) for user in USERS for _ in range(PER_USER - 1)]
            every += healthy
            await open_all(healthy, api.port)
            sent: list[str] = []

            async def round() -> float:
                """One large event to everybody; the p99 of the healthy ones, in milliseconds."""
                title = str(time.monotonic_ns())
                sent.append(title)
                await tenant.send(*USERS, title=title, body=LARGE["content"]["body"], data=LARGE["data"])

                async def all_have_it() -> bool:
                    return len(heard.get(title, ())) == len(healthy)

                await eventually(all_have_it, 20)
                return percentile(heard[title], 0.99)

            def passing() -> list[Line]:
                lines = [Line(tenant.token(user)) for user in USERS]
                every.extend(lines)
                return lines

            await open_all(first := passing(), api.port)  # warms up: what is allocated once is no growth
            for _ in range(3):
                await round()
            for line in first:
                line.close()
            without, beside, gone_s, cut = [], [], [], 0
            before = most = resident_bytes(api)
            for _ in range(PHASES):
                await open_all(fifth := passing(), api.port)
                await subscribed(api, SOCKETS, tenant)
                without += [await round() for _ in range(ROUNDS)]
                before = max(before, resident_bytes(api))
                for line in fifth:
                    line.stop_reading()
                stopped_at = time.monotonic()
                rounds_before = len(beside)
                while time.monotonic() < stopped_at + GONE_WITHIN_S:
                    if await metric(tenant, api, "hub_sockets") == len(healthy):
                        break
                    beside.append(await round())
                    most = max(most, resident_bytes(api))
                gone_s.append(time.monotonic() - stopped_at)
                assert len(beside) - rounds_before >= 3
                assert await metric(tenant, api, "hub_sockets") == len(healthy), "the dead are still there"
                cut += len(fifth)
                assert await metric(tenant, api, 'hub_websockets_aborted_total{why="ping"}') == cut
            said = (
                f"{SOCKETS} sockets: p99 without the dead {median(without):.1f} ms (median of {len(without)} rounds), "
                f"with them {median(beside):.1f} ms ({len(beside)}); ratio {median(beside) / median(without):.3f}; "
                f"gone after {', '.join(f'{s:.1f}' for s in gone_s)} s; memory {before >> 20} -> {most >> 20} MiB; "
                f"resyncs {await metric(tenant, api, 'hub_resyncs_total')}"
            )
            print(said)  # noqa: T201 - the measured figures
            for line in healthy:
                assert [title for title in line.heard if title in set(sent)] == sent
                assert line.others == []
                assert line.errors == []
            assert most - before < GROWS_LESS_THAN_BYTES, said
            assert median(beside) < median(without) * P99_UP_BY_LESS_THAN + NOISE_MS, said

            await open_all(last := passing(), api.port)
            await subscribed(api, SOCKETS, tenant)
            for line in last:
                line.stop_reading()
            stopped_at = time.monotonic()
            while time.monotonic() < stopped_at + PING_TIMEOUT_S * 0.8:  # the kernels' buffers take megabytes
                await asyncio.gather(*(round() for _ in range(4)))
            began = time.monotonic()
            assert await api.stop(SHUTDOWN_S) == 0
            print(f"SIGTERM: ended after {time.monotonic() - began:.1f} s")  # noqa: T201
            assert {code for line in healthy for code in line.codes} == {1012}


async def test_client_that_reads_too_slowly_is_told_to_load_anew_and_little_is_kept_for_it(
    tenant: Tenant, deployment: Deployment
) -> None:
    api = deployment.apis[0]
    await tenant.send("ann")
    line = Line(tenant.token("ann"))
    async with hanging_up([line]):
        await line.open(api.port)
        await subscribed(api, 1, tenant)
        resyncs = await metric(tenant, api, "hub_resyncs_total")
        line.pause()
        most = 0.0
        for number in range(500):  # the kernels' buffers take megabytes
            await tenant.send("ann", title=str(number), body=LARGE["content"]["body"], data=LARGE["data"])
            most = max(most, await metric(tenant, api, "hub_feed_events_most"))
            if await metric(tenant, api, "hub_resyncs_total") > resyncs:
                break
        assert 1 < most <= KEPT_BYTES // (48 << 10) + 1, f"after {number} events"
        line.read_on()

        async def told() -> bool:
            return line.others == ["RESYNC"]

        await eventually(told)
        assert line.heard == [str(number) for number in range(len(line.heard))]
