"""The hub's clock: for components that a test creates itself, and moved in a deployment in development mode."""

from typing import Any

from hub import utc_time
from hub.utc_time import HubTime
from tests.client import Json, Tenant


def hub_now() -> HubTime:
    """Return the hub's time of a clock that was not moved."""
    return HubTime(utc_time.now())


async def request_clock(tenant: Tenant, method: str, url: str, path: str = "", **body: Any) -> tuple[int, Json]:
    """Return the status and the body of the response. Without `token`, the caller is a service."""
    headers = {"authorization": f"Bearer {body.pop('token', None) or tenant.token()}"}
    address = url.removesuffix("/graphql") + "/dev/clock" + path
    async with tenant.http.request(method, address, headers=headers, json=body or None) as response:
        return response.status, await response.json() if response.status != 404 else {}


async def advance(tenant: Tenant, url: str, by: str) -> Json:
    status, shown = await request_clock(tenant, "POST", url, advance=by)
    assert status == 200, shown
    return shown
