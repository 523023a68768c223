"""The measurement of requests over connections that are always busy."""

from dataclasses import dataclass

from hub.bench.benchmark_servers import MB, WARMUP_S, BenchEnvironment, MeasuredProcess
from hub.bench.plan import Plan
from hub.bench.results import Figure


@dataclass(frozen=True)
class PostResult:
    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    memory_mb: float

    def figure(
        self,
        group: str,
        name: str,
        unit: str,
        *,
        items: int = 1,
        minimum: float | None = None,
        floor: float | None = None,
        hub: float | None = None,
    ) -> Figure:
        return Figure(
            group=group,
            name=name,
            value=self.per_second * items,
            unit=unit,
            minimum=minimum,
            p50_ms=self.p50_ms,
            p99_ms=self.p99_ms,
            memory_mb=self.memory_mb,
            cpu_us=self.cpu_us / items,
            floor=floor,
            hub=hub,
        )


async def measure_posts(
    env: BenchEnvironment, plan: Plan, target: MeasuredProcess, request: object, connections: int
) -> PostResult:
    async def once() -> PostResult:
        result, cpu_s = await env.load(
            "post",
            target,
            request=request,
            connections=connections,
            users=plan.users,
            warm=min(WARMUP_S, plan.seconds),
            seconds=plan.seconds,
        )
        return PostResult(
            per_second=result["responses"] / result["seconds"],
            p50_ms=result["response_ms"]["p50"],
            p99_ms=result["response_ms"]["p99"],
            cpu_us=cpu_s * 1e6 / max(1, result["responses"]),
            memory_mb=target.memory_bytes / MB,
        )

    return await plan.best(once, lambda result: -result.per_second)
