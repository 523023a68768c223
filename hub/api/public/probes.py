"""Endpoints for monitoring: `/healthz`, `/readyz`, and `/metrics`."""

import asyncio
import time
from hmac import compare_digest
from math import inf

import pymongo
import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pymongo.errors import PyMongoError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from hub.api.shutdown import Shutdown
from hub.live.pubsub import PubSubConnection
from hub.platform.connections import Database
from hub.settings import Settings
from hub.workflows.credential_encryption import CredentialEncryption

READY_TIMEOUT_S = 2.0  # load balancers poll every few seconds
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


def probe_app(settings: Settings, database: Database, credentials: CredentialEncryption) -> Starlette:
    """Return an app with only these endpoints, for worker processes."""
    app = Starlette(routes=probe_routes(settings, database, credentials))
    app.router.redirect_slashes = False
    return app


def probe_routes(
    settings: Settings,
    database: Database,
    credentials: CredentialEncryption,
    pubsub: PubSubConnection | None = None,
    shutdown: Shutdown | None = None,
) -> list[BaseRoute]:
    """Return the routes. `pubsub` is the Redis connection of a process that serves subscriptions. Once `shutdown` has
    begun, the process is not ready."""
    token = settings.metrics_token.get_secret_value().encode()
    missing_keys = _MissingKeys(credentials)

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        """Return 503 if MongoDB does not respond in time, or after SIGTERM. Without Redis, or without a key that
        encrypted credentials, the hub is degraded but ready."""
        if shutdown and shutdown.has_begun:
            return JSONResponse({"status": "draining"}, 503)
        realtime = {"realtime": "degraded" if pubsub.disconnected else "ok"} if pubsub else {}
        try:
            with pymongo.timeout(READY_TIMEOUT_S):
                async with asyncio.timeout(READY_TIMEOUT_S):
                    await database.command("ping")
        except (PyMongoError, TimeoutError):
            return JSONResponse({"store": "unavailable", **realtime}, 503)
        missing = await missing_keys.get()
        keys = {"missingEncryptionKeys": missing} if missing else {}
        return JSONResponse({"store": "ok", **realtime, **keys})

    async def metrics(request: Request) -> Response:
        bearer = request.headers.get("authorization", "").partition(" ")[2].encode()
        if token and not compare_digest(bearer, token):
            text = "Send the token of HUB_METRICS_TOKEN: Authorization: Bearer ...\n"
            return PlainTextResponse(text, 401, {"www-authenticate": "Bearer"})
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)]
