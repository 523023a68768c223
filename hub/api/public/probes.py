"""Endpoints for monitoring: `/healthz`, `/readyz`, and `/metrics`."""

import asyncio
import time
from hmac import compare_digest
from math import inf
from typing import Any

import orjson
import pymongo
import structlog
from prometheus_client import CONTENT_TYPE_LATEST
from pymongo.errors import PyMongoError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from hub.api.shutdown import Shutdown
from hub.live.pubsub import PubSubConnection
from hub.platform.connections import Database
from hub.platform.metrics_text import merge_metrics, metrics_text
from hub.platform.process_group import ProcessGroup
from hub.settings import Settings
from hub.workflows.credential_encryption import CredentialEncryption

READY_TIMEOUT_S = 2.0  # load balancers poll every few seconds
PROCESS_TIMEOUT_S = 3.0  # longer than READY_TIMEOUT_S
MISSING_KEYS_TIMEOUT_S = 0.5
MISSING_KEYS_MAX_AGE_S = 10.0

log = structlog.get_logger(__name__)


class _MissingKeys:
    """The missing encryption keys, read at most every MISSING_KEYS_MAX_AGE_S. If a read fails, the last ones."""

    def __init__(self, credentials: CredentialEncryption) -> None:
        self._credentials = credentials
        self._keys: list[str] = []
        self._read_at = -inf

    async def get(self) -> list[str]:
        if time.monotonic() > self._read_at + MISSING_KEYS_MAX_AGE_S:
            self._read_at = time.monotonic()
            try:
                with pymongo.timeout(MISSING_KEYS_TIMEOUT_S):
                    self._keys = await self._credentials.missing_keys()
            except PyMongoError as error:
                log.warning("missing_keys_unknown", error=error, throttled=True)
        return self._keys


class Probes:
    """The readiness and the metrics of a process.

    `pubsub` is the Redis connection of a process that serves subscriptions. Once `shutdown` has begun, the process is
    not ready. With a `group`, the results are those of all its processes."""

    def __init__(
        self,
        database: Database,
        credentials: CredentialEncryption,
        pubsub: PubSubConnection | None = None,
        shutdown: Shutdown | None = None,
        group: ProcessGroup | None = None,
    ) -> None:
        self._database = database
        self._missing_keys = _MissingKeys(credentials)
        self._pubsub = pubsub
        self._shutdown = shutdown
        self._group = group

    async def run(self) -> None:
        """Answer the other processes of the group until cancelled."""
        if self._group:
            await self._group.answer({b"metrics": self._own_metrics, b"ready": self._own_readiness, b"alive": _alive})

    async def readiness(self) -> Response:
        """Return 503 if MongoDB does not respond in time, after SIGTERM, or if another process of the group is not
        ready. Without Redis, or without a key that encrypted credentials, the hub is degraded but ready."""
        own, others = await asyncio.gather(self._readiness(), self._ask_others(b"ready"))
        status, body = own
        not_ready = [index for index, answer in others.items() if answer is None or orjson.loads(answer)[0] != 200]
        if not_ready:
            return JSONResponse({**body, "processesNotReady": not_ready}, 503)
        return JSONResponse(body, status)

    async def metrics(self) -> Response:
        others = await self._ask_others(b"metrics")
        texts = [await self._own_metrics(), *filter(None, others.values())]
        return Response(merge_metrics(texts) if self._group else texts[0], media_type=CONTENT_TYPE_LATEST)

    async def _ask_others(self, question: bytes) -> dict[int, bytes | None]:
        return await self._group.ask_others(question, PROCESS_TIMEOUT_S) if self._group else {}

    async def _own_metrics(self) -> bytes:
        return metrics_text(self._group.index if self._group else None)

    async def _own_readiness(self) -> bytes:
        return orjson.dumps(await self._readiness())

    async def _readiness(self) -> tuple[int, dict[str, Any]]:
        """Return the status and the body of `/readyz` for this process alone."""
        if self._shutdown and self._shutdown.has_begun:
            return 503, {"status": "draining"}
        realtime = {"realtime": "degraded" if self._pubsub.disconnected else "ok"} if self._pubsub else {}
        try:
            with pymongo.timeout(READY_TIMEOUT_S):
                async with asyncio.timeout(READY_TIMEOUT_S):
                    await self._database.command("ping")
        except (PyMongoError, TimeoutError):
            return 503, {"store": "unavailable", **realtime}
        missing = await self._missing_keys.get()
        keys = {"missingEncryptionKeys": missing} if missing else {}
        return 200, {"store": "ok", **realtime, **keys}


async def _alive() -> bytes:
    return b"alive"


def probe_app(probes: Probes, settings: Settings) -> Starlette:
    """Return an app with only these endpoints, for worker processes."""
    app = Starlette(routes=probe_routes(probes, settings))
    app.router.redirect_slashes = False
    return app


def probe_routes(probes: Probes, settings: Settings) -> list[BaseRoute]:
    token = settings.metrics_token.get_secret_value().encode()

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        return await probes.readiness()

    async def metrics(request: Request) -> Response:
        bearer = request.headers.get("authorization", "").partition(" ")[2].encode()
        if token and not compare_digest(bearer, token):
            text = "Send the token of HUB_METRICS_TOKEN: Authorization: Bearer ...\n"
            return PlainTextResponse(text, 401, {"www-authenticate": "Bearer"})
        return await probes.metrics()

    return [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)]
