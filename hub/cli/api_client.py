"""Calls to a hub over HTTP, as commands make them."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import aiohttp

from hub.cli.targets import Hub, fail
from hub.errors import HubError

CALL_S = 15.0

T = TypeVar("T")


class StoreUnavailable(Exception):
    """Nothing answers there, or something that is no hub."""


class Refused(HubError):
    """The hub answered with an error."""


async def ask(url: str, token: str, query: str, **variables: Any) -> dict[str, Any]:
    """The data. Refused with the first error, StoreUnavailable where no hub answers."""
    timeout = aiohttp.ClientTimeout(total=CALL_S)
    body = {"query": query, "variables": variables}
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, headers={"authorization": f"Bearer {token}"}) as session,
            session.post(f"{url}/graphql", json=body) as response,
        ):
            answer = await response.json()
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
        raise StoreUnavailable(f"{url} is no address: it begins with http:// or https://.") from None
    except (aiohttp.ContentTypeError, ValueError):
        raise StoreUnavailable(f"What answers at {url} is no hub.") from None
    except (aiohttp.ClientError, TimeoutError, OSError):
        raise StoreUnavailable(f"Nothing answers at {url}: is the hub running?") from None
    if not isinstance(answer, dict):
        raise StoreUnavailable(f"What answers at {url} is no hub.")
    if errors := answer.get("errors"):
        raise Refused(errors[0]["message"], **errors[0].get("extensions", {}))
    data: dict[str, Any] = answer["data"]
    return data


def answered(asking: Coroutine[Any, Any, T], hub: Hub) -> T:
    """What calls of that hub come to. Where it refuses, or none answers, the command ends and says so."""
    try:
        return asyncio.run(asking)
    except StoreUnavailable as error:
        fail(str(error))
    except Refused as error:
        fail(hub.told(error))
