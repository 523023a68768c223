"""The GraphQL calls that the commands make to a hub over HTTP."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import aiohttp

from hub.cli.target_hub import TargetHub, fail
from hub.errors import HubError

CALL_TIMEOUT_S = 15.0

T = TypeVar("T")


class HubUnreachable(Exception):
    """No server responds at the URL, or the server is not a hub."""


class ApiError(HubError):
    """The hub responded with an error."""


async def execute(url: str, token: str, query: str, **variables: Any) -> dict[str, Any]:
    """Return the data of the response. Raise ApiError with the first error, or HubUnreachable if no hub responds."""
    timeout = aiohttp.ClientTimeout(total=CALL_TIMEOUT_S)
    body = {"query": query, "variables": variables}
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, headers={"authorization": f"Bearer {token}"}) as session,
            session.post(f"{url}/graphql", json=body) as response,
        ):
            result = await response.json()
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
        raise HubUnreachable(f"{url} is not a valid URL: it must start with http:// or https://.") from None
    except (aiohttp.ContentTypeError, ValueError):
        raise HubUnreachable(f"The server at {url} is not a hub.") from None
    except (aiohttp.ClientError, TimeoutError, OSError):
        raise HubUnreachable(
            f"Nothing responds at {url}: start the hub, or choose another with --url (HUB_URL)."
        ) from None
    if not isinstance(result, dict):
        raise HubUnreachable(f"The server at {url} is not a hub.")
    if errors := result.get("errors"):
        raise ApiError(errors[0]["message"], **errors[0].get("extensions", {}))
    data: dict[str, Any] = result["data"]
    return data


def run_or_exit(call: Coroutine[Any, Any, T], hub: TargetHub) -> T:
    """Return the result of a call. If the hub rejects the call or does not respond, print the error and exit."""
    try:
        return asyncio.run(call)
    except HubUnreachable as error:
        fail(str(error))
    except ApiError as error:
        fail(hub.format_error(error))
