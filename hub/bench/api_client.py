"""A GraphQL client of the hub under test."""

from typing import Any

import aiohttp

from hub.api.token_signing import sign_token
from hub.bench.benchmark_servers import SECRET, BenchError, MeasuredProcess
from hub.bench.payloads import TENANT, TOKEN_LIFETIME_S
from hub.model import Role


class ApiClient:
    def __init__(self, http: aiohttp.ClientSession, hub: MeasuredProcess) -> None:
        self.http = http
        self.url = f"http://127.0.0.1:{hub.port}/graphql"

    async def execute(
        self, query: str, *, user: str | None = None, tenant: str = TENANT, **variables: Any
    ) -> dict[str, Any]:
        """Return the data. Without `user`, the caller is a service. Raise BenchError if there are errors."""
        body = {"query": query, "variables": variables}
        async with self.http.post(self.url, json=body, headers=self.headers(user, tenant)) as response:
            result = await response.json()
        if "errors" in result:
            raise BenchError(f"The hub returned an error: {result['errors'][0]['message']}")
        data: dict[str, Any] = result["data"]
        return data

    def headers(self, user: str | None = None, tenant: str = TENANT) -> dict[str, str]:
        role = Role.USER if user else Role.SERVICE
        token = sign_token(SECRET, user=user, tenant=tenant, role=role, expires_in_s=TOKEN_LIFETIME_S)
        return {"authorization": f"Bearer {token}"}
