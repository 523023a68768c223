"""Rate limits: shared by processes, returned to clients, and per process while Redis is unavailable."""

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.platform.connections import redis as redis_client
from hub.platform.embedded_servers import Mongod, Redis
from hub.platform.rate_limiter import Limit, RateLimiter
from hub.settings import Settings
from tests.client import GraphQLErrors, Tenant, eventually
from tests.conftest import fresh_servers
from tests.processes import SECRET, Deployment

MAX_REQUESTS = 20


@pytest.fixture(scope="module")
async def limited_hub(servers: tuple[Mongod, Redis]) -> AsyncIterator[Deployment]:
    mongod, redis = servers
    settings = {"rate_limit_per_user": str(MAX_REQUESTS), "rate_limit_window_s": "3600", "redis_prefix": "strict:"}
    async with Deployment(mongod.url, redis.url, apis=2, workers=0, **settings) as running:
        yield running


async def test_rate_limit_is_shared_by_processes_and_returns_429_with_headers(limited_hub: Deployment) -> None:
    async with Tenant("rates", limited_hub.urls) as tenant:
        for _ in range(MAX_REQUESTS):
            await tenant.inbox("alice", url=limited_hub.urls[0])

        async def refused_elsewhere() -> bool:
            try:
                await tenant.inbox("alice", url=limited_hub.urls[1])
            except GraphQLErrors as refused:
                return refused.code == "RATE_LIMITED"
            return False

        await eventually(refused_elsewhere)
        headers = {"authorization": f"Bearer {tenant.token('alice')}"}
        async with tenant.http.post(limited_hub.urls[0], json={"query": "{ __typename }"}, headers=headers) as response:
            result = await response.json()
            assert response.status == 429
            assert int(response.headers["retry-after"]) >= 1
            assert response.headers["ratelimit-policy"] == f'"user";q={MAX_REQUESTS};w=3600'
            assert "r=0" in response.headers["ratelimit"]
        extensions = result["errors"][0]["extensions"]
        assert extensions["code"] == "RATE_LIMITED"
        assert extensions["retryAfter"] > 0
        assert "HUB_RATE_LIMIT_PER_USER" in result["errors"][0]["message"]
        await tenant.inbox("bob")  # other users are not delayed


async def test_rate_limit_on_a_socket_does_not_close_it(limited_hub: Deployment) -> None:
    async with (
        Tenant("rates-ws", limited_hub.urls) as tenant,
        tenant.socket("alice", url=limited_hub.urls[0]) as socket,
    ):
        for turn in range(MAX_REQUESTS):
            await socket.write({"id": str(turn), "type": "subscribe", "payload": {"query": "{ __typename }"}})
            assert [(await socket.read())["type"] for _ in range(2)] == ["next", "complete"]
        await socket.write({"id": "more", "type": "subscribe", "payload": {"query": "{ __typename }"}})
        error = await socket.read()
        assert error["payload"][0]["extensions"]["code"] == "RATE_LIMITED"
        await socket.write({"type": "ping"})
        assert await socket.read() == {"type": "pong"}


async def test_rate_limit_without_redis_is_per_process() -> None:
    async with fresh_servers() as (_, server):
        settings = Settings(redis_url=server.url, jwt_secret=SECRET)
        limit = Limit("user", 3, 3600)
        async with redis_client(settings) as client:
            limiter = RateLimiter(client, "alone:")
            server.kill()
            verdicts = [limiter.check((limit, "alice")) for _ in range(5)]
        passed = [verdict for verdict in verdicts if verdict and verdict.retry_after_s is None]
        assert len(passed) == 3


@given(st.lists(st.floats(0, 5), min_size=1, max_size=200), st.integers(1, 20))
def test_rate_limit_never_allows_more_than_its_maximum(gaps: list[float], maximum: int) -> None:
    """In any window of the limit's length, at most one window more than the limit, which is the error of the
    estimate."""
    clock = 1000.0
    limiter = RateLimiter(None, "", now=lambda: clock)  # type: ignore[arg-type]
    limit = Limit("user", maximum, 10)
    passed: list[float] = []
    for gap in gaps:
        clock += gap
        verdict = limiter.check((limit, "alice"))
        assert verdict
        if verdict.retry_after_s is None:
            passed.append(clock)
        else:
            assert verdict.retry_after_s > 0
    fixed = {int(at // 10) for at in passed}
    assert all(sum(int(at // 10) == window for at in passed) <= maximum for window in fixed)
