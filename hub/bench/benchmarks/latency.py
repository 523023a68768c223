"""`latency`: the time from a mutation to the recipient's socket."""

from hub.bench.benchmark_servers import MB, WARMUP_S, BenchEnvironment, BenchError, LoadResult
from hub.bench.payloads import SEND, operation, send_input, write_request, write_subscribers
from hub.bench.plan import Plan
from hub.bench.results import Figure

CONNECTIONS = 64


async def run(env: BenchEnvironment, plan: Plan) -> list[Figure]:
    """Measure the time from a mutation to the recipient's socket, including the commit."""
    request = write_request(env, "send", operation(SEND, input=send_input()))
    async with env.hub("latency") as hub:

        async def once() -> tuple[LoadResult, float]:
            result, cpu_s = await env.load(
                "latency",
                hub,
                request=request,
                connections=CONNECTIONS,
                **write_subscribers(env, plan.users),
                rate=plan.rate,
                warm=min(WARMUP_S, plan.seconds),
                seconds=plan.seconds,
            )
            if result["skipped"] or result["received"] != result["sent"]:
                raise BenchError(f"Some sends did not arrive: {result}")
            return result, cpu_s / result["sent"]

        plan.progress(f"{plan.users:,} subscriptions, {plan.rate} sends/s")
        result, cpu_s = await plan.best(once, lambda measured: float(measured[0]["socket_ms"]["p99"]))
        memory_mb = hub.memory_bytes / MB
    waits = result["socket_ms"]
    return [
        Figure(
            group="latency",
            name="mutation to socket, p50",
            value=waits["p50"],
            unit="ms",
            maximum=8,
            p50_ms=waits["p50"],
            p99_ms=waits["p99"],
            memory_mb=memory_mb,
            cpu_us=cpu_s * 1e6,
        ),
        Figure(group="latency", name="mutation to socket, p99", value=waits["p99"], unit="ms", maximum=25),
    ]
