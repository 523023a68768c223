"""`send`: accepted notifications per second."""

from hub.bench.benchmark_servers import BenchEnvironment
from hub.bench.payloads import SEND, operation, send_input, write_request
from hub.bench.plan import Plan
from hub.bench.post_load import measure_posts
from hub.bench.results import Figure

CONNECTIONS = 64
BATCH_CONNECTIONS = 8
SENDS_PER_BATCH = 100  # sends per sendMany call
SEND_MANY = "mutation($inputs: [SendInput!]!) { sendMany(inputs: $inputs) { send { id } duplicate } }"


async def run(env: BenchEnvironment, plan: Plan) -> list[Figure]:
    """Measure sends with one recipient each over 64 connections."""
    single = write_request(env, "send", operation(SEND, input=send_input()))
    batch = write_request(env, "many", operation(SEND_MANY, inputs=[send_input() for _ in range(SENDS_PER_BATCH)]))
    async with env.hub("send") as hub:
        plan.progress("send, 64 connections")
        sends = await measure_posts(env, plan, hub, single, CONNECTIONS)
        plan.progress("sendMany")
        batches = await measure_posts(env, plan, hub, batch, BATCH_CONNECTIONS)
    floors = {}
    for writes in ("plain", "journaled"):
        plan.progress(f"floor: insert and publish, {writes}")
        async with env.baseline(writes) as floor:
            floors[writes] = await measure_posts(env, plan, floor, single, CONNECTIONS)
    plain = floors["plain"].per_second
    return [
        sends.figure("send", "to one user each", "/s", minimum=2500, floor=plain),
        Figure(
            group="send",
            name="p99 of the above",
            value=sends.p99_ms,
            unit="ms",
            maximum=60,
            floor=floors["plain"].p99_ms,
        ),
        batches.figure(
            "send", f"sendMany of {SENDS_PER_BATCH}, notifications", "/s", items=SENDS_PER_BATCH, minimum=6000
        ),
        floors["plain"].figure("floor", "insert and publish one by one, without waiting for the journal", "/s"),
        floors["journaled"].figure("floor", "the same, journaled", "/s"),
    ]
