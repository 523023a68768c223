"""`fanout`: events to many open sockets."""

from pathlib import Path

from hub.bench.benchmark_servers import MB, BenchEnvironment
from hub.bench.event_publisher import Schedule, event_publisher, request_repeater
from hub.bench.payloads import SEND, event_message, operation, send_input, user_id, write_request, write_subscribers
from hub.bench.plan import Plan
from hub.bench.results import Figure

BURST_EVENTS = 20
BURST_ROUNDS = 3
STREAM_SOCKETS = 1_000
STREAM_RECIPIENTS = 100
STREAM_INTERVAL_S = 0.01  # 10,000 messages per second


async def run(env: BenchEnvironment, plan: Plan) -> list[Figure]:
    """Measure one send to all users with a socket, and events that another process publishes."""
    text = env.write_file("event", event_message())
    return [*await _one_send(env, plan, text), await _burst(env, plan, text), await _stream(env, plan)]


async def _one_send(env: BenchEnvironment, plan: Plan, text: Path) -> list[Figure]:
    """Measure one send to all users. The baseline writes the same bytes to equally many sockets."""
    options = {**_subscribers(env, plan.sockets), "rounds": plan.rounds}
    plan.progress(f"one send to {plan.sockets:,} sockets")
    async with env.hub("fanout", **_settings(plan.sockets)) as hub:
        result, cpu_s = await env.load("fanout", hub, **options)
        memory_mb = hub.memory_bytes / MB
    plan.progress("floor: bare broadcast")
    async with env.baseline("plain", str(text)) as floor:
        bare, _ = await env.load("fanout", floor, **options)
    last, total, commit = result["last_after_response_ms"], result["last_after_request_ms"], result["response_ms"]
    return [
        Figure(
            group="fanout",
            name=f"last of {plan.sockets:,} sockets after the commit",
            value=last["p50"],
            unit="ms",
            maximum=200,
            p50_ms=last["p50"],
            p99_ms=last["p99"],
            memory_mb=memory_mb,
            cpu_us=cpu_s * 1e6 / plan.rounds / plan.sockets,
            floor=bare["last_after_response_ms"]["p50"],
        ),
        Figure(
            group="fanout",
            name="the same since the request",
            value=total["p50"],
            unit="ms",
            p50_ms=total["p50"],
            p99_ms=total["p99"],
        ),
        Figure(
            group="fanout",
            name=f"commit of {plan.sockets:,} notifications",
            value=commit["p50"],
            unit="ms",
            p50_ms=commit["p50"],
            p99_ms=commit["p99"],
        ),
    ]


async def _burst(env: BenchEnvironment, plan: Plan, text: Path) -> Figure:
    """Measure a burst of events to all sockets, from the first message to the last one."""
    schedule = Schedule(BURST_EVENTS, plan.sockets)
    options = {**_subscribers(env, plan.sockets), "rounds": BURST_ROUNDS}
    plan.progress(f"{BURST_EVENTS} events to {plan.sockets:,} sockets")
    async with (
        env.hub("burst", **_settings(plan.sockets)) as hub,
        event_publisher(env, "burst", schedule) as port,
    ):
        result, cpu_s = await env.load("fanout", hub, **options, messages=schedule.messages, publisher=port)
        memory_mb = hub.memory_bytes / MB
    plan.progress(f"floor: bare broadcast of {BURST_EVENTS} events")
    async with env.baseline("plain", str(text)) as floor, request_repeater(floor, BURST_EVENTS) as port:
        bare, _ = await env.load("fanout", floor, **options, messages=schedule.messages, publisher=port)
    rate, bare_rate = (schedule.messages / measured["last_after_first_ms"]["p50"] * 1e3 for measured in (result, bare))
    return Figure(
        group="fanout",
        name=f"burst of {BURST_EVENTS} events to {plan.sockets:,} sockets, messages",
        value=rate,
        unit="/s",
        memory_mb=memory_mb,
        cpu_us=cpu_s * 1e6 / BURST_ROUNDS / schedule.messages,
        floor=bare_rate,
    )


async def _stream(env: BenchEnvironment, plan: Plan) -> Figure:
    """Measure the time from the publication of an event to each socket, at a constant rate."""
    sockets = min(STREAM_SOCKETS, plan.sockets)
    recipients, interval_s = min(STREAM_RECIPIENTS, sockets), STREAM_INTERVAL_S
    schedule = Schedule(max(1, round(plan.seconds / interval_s)), recipients, interval_s)
    plan.progress(f"{recipients / interval_s:,.0f} messages/s to {sockets:,} sockets")
    async with env.hub("stream") as hub, event_publisher(env, "stream", schedule) as port:
        options = {**_subscribers(env, sockets), "messages": schedule.messages, "publisher": port}
        result, cpu_s = await env.load("fanout", hub, **options, rounds=1)
        memory_mb = hub.memory_bytes / MB
    waits = result["socket_ms"]
    return Figure(
        group="fanout",
        name=f"{recipients / interval_s:,.0f} messages/s to {sockets:,} sockets, p99 since publication",
        value=waits["p99"],
        unit="ms",
        maximum=5,
        p50_ms=waits["p50"],
        p99_ms=waits["p99"],
        memory_mb=memory_mb,
        cpu_us=cpu_s * 1e6 / schedule.messages,
    )


def _subscribers(env: BenchEnvironment, sockets: int) -> dict[str, object]:
    """Return the options for one socket per user, and a send to all of them."""
    users = [user_id(number) for number in range(sockets)]
    request = write_request(env, "all", operation(SEND, input=send_input(*users)))
    return {"request": request, **write_subscribers(env, sockets)}


def _settings(sockets: int) -> dict[str, str]:
    return {"call_max_users": str(max(1000, sockets)), "request_max_bytes": str(4 << 20)}
