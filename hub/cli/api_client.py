"""Calls to a hub over HTTP, as commands make them."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import aiohttp

from hub.cli.targets import TargetHub, fail
from hub.errors import HubError

CALL_TIMEOUT_S = 15.0

T = TypeVar("T")


class HubUnreachable(Exception):
    """Nothing answers there, or something that is no hub."""


class ApiError(HubError):
    """The hub answered with an error."""


async def execute(url: str, token: str, query: str, **variables: Any) -> dict[str, Any]:
    """Return the data. Raise ApiError with the first error, HubUnreachable if no hub responds."""
    timeout = aiohttp.ClientTimeout(total=CALL_TIMEOUT_S)
    body = {"query": query, "variables": variables}
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, headers={"authorization": f"Bearer {token}"}) as session,
            session.post(f"{url}/graphql", json=body) as response,
        ):
            result = await response.json()
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
        raise HubUnreachable(f"{url} is no address: it begins with http:// or https://.") from None
    except (aiohttp.ContentTypeError, ValueError):
        raise HubUnreachable(f"What answers at {url} is no hub.") from None
    except (aiohttp.ClientError, TimeoutError, OSError):
        raise HubUnreachable(f"Nothing answers at {url}: is the hub running?") from None
    if not isinstance(result, dict):
        raise HubUnreachable(f"What answers at {url} is no hub.")
    if errors := result.get("errors"):
        raise ApiError(errors[0]["message"], **errors[0].get("extensions", {}))
    data: dict[str, Any] = result["data"]
    return data


def run_or_exit(call: Coroutine[Any, Any, T], hub: TargetHub) -> T:
    """What calls of that hub come to. Where it refuses, or none answers, the command ends and says so."""
    try:
        return asyncio.run(call)
    except HubUnreachable as error:
        fail(str(error))
    except ApiError as error:
        fail(hub.format_error(error))
