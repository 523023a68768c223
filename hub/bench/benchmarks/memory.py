"""`memory`: the memory of idle subscriptions."""

from hub.bench.benchmark_servers import MB, BenchEnvironment, MeasuredProcess
from hub.bench.payloads import event_message, write_subscribers
from hub.bench.plan import Plan
from hub.bench.results import Figure


async def run(env: BenchEnvironment, plan: Plan) -> list[Figure]:
    """Measure the memory of an idle subscription."""
    plan.progress(f"{plan.sockets:,} idle subscriptions")
    sockets = write_subscribers(env, plan.sockets)
    async with env.hub("memory") as hub:
        socket_bytes, memory_mb = await _measure_idle(env, hub, sockets, plan.sockets)
    plan.progress("floor: bare sockets")
    async with env.baseline("plain", str(env.write_file("event", event_message()))) as floor:
        bare_bytes, _ = await _measure_idle(env, floor, sockets, plan.sockets)
    return [
        Figure(
            group="memory",
            name=f"an idle subscription, of {plan.sockets:,}",
            value=socket_bytes / 1000,
            unit="kB",
            maximum=30,
            memory_mb=memory_mb,
            floor=bare_bytes / 1000,
        ),
    ]


async def _measure_idle(
    env: BenchEnvironment, target: MeasuredProcess, sockets: dict[str, object], count: int
) -> tuple[float, float]:
    """Return the bytes per socket and the total memory in MB. To exclude shared memory, some sockets are opened
    first."""
    first = write_subscribers(env, count // 10, "first", since=count)
    async with env.idle(target, **first):
        await target.settle()
        before = target.memory_bytes
        async with env.idle(target, **sockets):
            await target.settle()
            after = target.memory_bytes
    return (after - before) / count, after / MB
