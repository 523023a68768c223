"""The only outgoing HTTP. Bounded in time and size, and it follows no redirect."""

from typing import Any

import aiohttp
import orjson

TIMEOUT_S = 3.0  # callers wait for it
ANSWER_MAX_BYTES = 1 << 20


class EgressError(Exception):
    """The other side did not answer as it should."""


class Egress:
    """An async context manager; one per process."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "Egress":
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session:
            await self._session.close()

    async def fetch_json(self, url: str) -> Any:
        """The JSON at an address that the operator chose. EgressError for anything but a 200 with JSON."""
        assert self._session
        try:
            async with self._session.get(url, allow_redirects=False) as response:
                body = await response.content.read(ANSWER_MAX_BYTES + 1)
                while len(body) <= ANSWER_MAX_BYTES and (more := await response.content.read(ANSWER_MAX_BYTES)):
                    body += more
                if response.status != 200 or len(body) > ANSWER_MAX_BYTES:
                    raise EgressError(f"{response.status}, {len(body)} bytes")
                return orjson.loads(body)
        except (aiohttp.ClientError, TimeoutError, orjson.JSONDecodeError) as error:
            raise EgressError(repr(error)) from error
