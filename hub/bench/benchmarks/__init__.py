"""The benchmarks, with one module each. A benchmark starts new processes, measures them, and returns figures."""

from collections.abc import Awaitable, Callable, Mapping

from hub.bench.benchmark_servers import BenchEnvironment
from hub.bench.benchmarks import digest, dispatch, expansion, fanout, inbox, latency, memory, send, storage
from hub.bench.plan import Plan
from hub.bench.results import Figure

BENCHMARKS: Mapping[str, Callable[[BenchEnvironment, Plan], Awaitable[list[Figure]]]] = {
    "send": send.run,
    "latency": latency.run,
    "fanout": fanout.run,
    "inbox": inbox.run,
    "memory": memory.run,
    "dispatch": dispatch.run,
    "digest": digest.run,
    "storage": storage.run,
    "expansion": expansion.run,
}
