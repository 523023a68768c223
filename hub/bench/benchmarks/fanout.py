"""`fanout`: one send to many open sockets."""

from hub.bench.benchmark_servers import MB, BenchEnvironment
from hub.bench.payloads import SEND, event_message, operation, send_input, user_id, write_request, write_subscribers
from hub.bench.plan import Plan
from hub.bench.results import Figure


async def run(env: BenchEnvironment, plan: Plan) -> list[Figure]:
    """Measure one send to all users with a socket. The baseline writes the same bytes to equally many sockets."""
    users = [user_id(number) for number in range(plan.sockets)]
    request = write_request(env, "all", operation(SEND, input=send_input(*users)))
    sockets = write_subscribers(env, plan.sockets)
    options = {"request": request, **sockets, "rounds": plan.rounds}
    plan.progress(f"one send to {plan.sockets:,} sockets")
    async with env.hub("fanout", call_max_users=str(max(1000, plan.sockets)), request_max_bytes=str(4 << 20)) as hub:
        result, cpu_s = await env.load("fanout", hub, **options)
        memory_mb = hub.memory_bytes / MB
    plan.progress("floor: bare broadcast")
    text = env.write_file("event", event_message())
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
