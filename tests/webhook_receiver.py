"""An HTTP receiver that verifies webhooks, counts them by id, and responds as a test requires."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

Response = Callable[[str, int], web.Response | float | asyncio.Event | Coroutine[Any, Any, web.Response]]
"""Returns the response to an id and its number of calls. A number is a delay in seconds before 204; an event is waited
for."""


class WebhookReceiver:
    """`secrets`: the secret by path. `bodies`: verified bodies by path. `received_at`: when each id arrived.
    `responses`:
    responses by path, instead of `default_response`."""

    def __init__(self) -> None:
        self.secrets: dict[str, str] = {}
        self.bodies: defaultdict[str, list[Any]] = defaultdict(list)
        self.received_at: defaultdict[str, list[float]] = defaultdict(list)
        self.invalid_signatures = 0
        self.connections = 0
        self.responses: dict[str, Response] = {}
        self.default_response: Response = lambda *_: 0.0
        self.status_counts: Counter[int] = Counter()

    async def __aenter__(self) -> "WebhookReceiver":
        self._runner = web.ServerRunner(web.Server(self._answer), shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, backlog=1024).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        body = await request.read()
        id = request.headers.get("webhook-id", "")
        self.received_at[id].append(monotonic())
        try:
            received = Verifier(self.secrets[request.path]).verify(body, dict(request.headers))
        except (WebhookVerificationError, KeyError):
            self.invalid_signatures += 1
            return web.Response(status=400)
        response = self.responses.get(request.path, self.default_response)(id, len(self.received_at[id]))
        if isinstance(response, Coroutine):
            response = await response
        if isinstance(response, asyncio.Event):
            await response.wait()
            response = 0.0
        if isinstance(response, float | int):
            await asyncio.sleep(response)
            response = web.Response(status=204)
        self.status_counts[response.status] += 1
        if response.status < 300:
            self.bodies[request.path].append(received)
        return response
