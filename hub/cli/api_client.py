"""The calls that the commands make to a hub over HTTP."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, TypeVar

import aiohttp

from hub.cli.target_hub import TargetHub, fail
from hub.errors import HubError

CALL_TIMEOUT_S = 15.0
TRIES_MAX = 4
RETRY_PAUSE_S = 1.0
RESTART_TIMEOUT_S = 60.0
RESTART_PAUSE_S = 0.1  # shorter than a restart

T = TypeVar("T")


class HubUnreachable(Exception):
    """No server responds at the URL, or the server is not a hub."""


class ApiError(HubError):
    """The hub responded with an error."""


async def execute(url: str, token: str, query: str, **variables: Any) -> dict[str, Any]:
    """Return the data of the response. Raise ApiError with the first error, or HubUnreachable if no hub responds."""
    _, result = await _request("POST", url, "/graphql", token, {"query": query, "variables": variables})
    data: dict[str, Any] = result["data"]
    return data


async def execute_with_retries(url: str, token: str, query: str, **variables: Any) -> dict[str, Any]:
    """Return the data of the response. If the hub is busy or does not respond, wait and try again.

    Raise as `execute` after TRIES_MAX tries. A rate limit is waited for without a limit."""
    tries = 0
    while True:
        try:
            return await execute(url, token, query, **variables)
        except ApiError as error:
            code = error.extensions.get("code")
            if code == "RATE_LIMITED":
                await asyncio.sleep(error.extensions.get("retryAfter", RETRY_PAUSE_S))
                continue
            tries += 1
            if code != "UNAVAILABLE" or tries == TRIES_MAX:
                raise
        except HubUnreachable:
            tries += 1
            if tries == TRIES_MAX:
                raise
        await asyncio.sleep(RETRY_PAUSE_S)


async def call_clock(
    url: str, token: str, method: str = "GET", path: str = "/dev/clock", **body: Any
) -> dict[str, Any] | None:
    """Return the response of a clock endpoint, or None if the hub is not in development mode. Raise as `execute`."""
    status, result = await _request(method, url, path, token, body or None)
    return None if status == HTTPStatus.NOT_FOUND else result


async def wait_for_restart(url: str, token: str, is_running: Callable[[], bool]) -> None:
    """Wait until a hub has stopped, responds again, and `is_running`. Raise HubUnreachable after RESTART_TIMEOUT_S."""
    try:
        async with asyncio.timeout(RESTART_TIMEOUT_S):
            for expected in (False, True):
                while (is_running() and await _responds(url, token)) is not expected:
                    await asyncio.sleep(RESTART_PAUSE_S)
    except TimeoutError:
        raise HubUnreachable(f"The hub at {url} has not started again within {RESTART_TIMEOUT_S:g} s.") from None


async def _responds(url: str, token: str) -> bool:
    try:
        await call_clock(url, token)
    except (HubUnreachable, ApiError):
        return False
    return True


async def read_time(url: str, token: str) -> datetime:
    """Return the hub's time. In production, it is the time of this machine. Raise as `execute`."""
    shown = await call_clock(url, token)
    return datetime.fromisoformat(shown["now"]) if shown else datetime.now(UTC)


async def _request(
    method: str, url: str, path: str, token: str, body: dict[str, Any] | None
) -> tuple[int, dict[str, Any]]:
    """Return the status and the JSON object of the response. The object is empty if the path does not exist."""
    timeout = aiohttp.ClientTimeout(total=CALL_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, headers={"authorization": f"Bearer {token}"}) as session,
            session.request(method, f"{url}{path}", json=body) as response,
        ):
            if response.status == HTTPStatus.NOT_FOUND and path != "/graphql":
                return response.status, {}
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
    return response.status, result


def run_or_exit(call: Coroutine[Any, Any, T], hub: TargetHub, subject: str = "") -> T:
    """Return the result of a call. If the hub rejects the call or does not respond, print the error and exit. `subject`
    is named before an error of the hub."""
    try:
        return asyncio.run(call)
    except HubUnreachable as error:
        fail(str(error))
    except ApiError as error:
        fail(f"{subject}: {hub.format_error(error)}" if subject else hub.format_error(error))
