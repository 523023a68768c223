"""Calls that publish and read events."""

import asyncio
from collections.abc import Sequence
from typing import Any

import aiohttp

from hub.model import Role
from tests.client import Json, Tenant, eventually

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
EVENT = "id eventId source type subject time receivedAt status reason data results { rule matched reason send { id } }"
PUBLISH = f"mutation ($input: EventInput!) {{ publishEvent(input: $input) {{ {EVENT} }} }}"
EVENTS = f"""query ($filter: EventFilter, $first: Int, $after: String) {{
  events(filter: $filter, first: $first, after: $after) {{ nodes {{ {EVENT} }} pageInfo {{ hasNextPage endCursor }} }}
}}"""
REPLAY = "mutation ($ids: [ID!]!) { replayEvents(ids: $ids) }"
ENDED = ["PROCESSED", "UNMATCHED", "FAILED"]


def cloud_event(id: str, **more: Any) -> Json:
    """Return an event in the JSON format."""
    return {"specversion": "1.0", "id": id, "source": "/shop", "type": "com.example.order.shipped", **more}


async def post(
    tenant: Tenant,
    body: Any,
    content_type: str | None = STRUCTURED,
    *,
    role: Role = Role.SERVICE,
    headers: dict[str, str] | None = None,
) -> tuple[int, Json]:
    """Call `POST /events`. Return the status and the JSON of the response. Without `role`, the call has no token."""
    url = f"{tenant.next_url().removesuffix('/graphql')}/events"
    sent = {"authorization": f"Bearer {tenant.token('alice' if role is Role.USER else None, role=role)}"}
    sent |= {"content-type": content_type} if content_type else {}
    data = {"data": body} if isinstance(body, bytes) else {"json": body}
    async with tenant.http.post(url, **data, headers={**sent, **(headers or {})}) as response:
        return response.status, await response.json()


async def post_until_stored(tenant: Tenant, events: Sequence[Json]) -> None:
    """Post a batch again until it is stored, as a sender does whose hub restarts."""

    async def stored() -> bool:
        try:
            status, _ = await post(tenant, list(events), BATCH)
        except (aiohttp.ClientError, OSError):
            await asyncio.sleep(0.1)
            return False
        return status in {200, 202}

    await eventually(stored, 60)


async def list_events(tenant: Tenant, **filter: Any) -> list[Json]:
    """Return all events that match, newest first."""
    found: list[Json] = []
    after = None
    while True:
        page = (await tenant.execute(EVENTS, filter=filter or None, first=50, after=after))["events"]
        found += page["nodes"]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            return found
