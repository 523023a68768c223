"""The ASGI application: paths to doors."""

from importlib.resources import files

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pymongo.errors import PyMongoError
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from hub.api.auth import Authenticator
from hub.api.context import Services
from hub.api.engine import Engine
from hub.api.http import METHODS, GraphQLOverHTTP
from hub.api.idempotency import Answers
from hub.api.origins import Origins
from hub.api.schema import make_schema
from hub.api.socket import GraphQLOverWebSocket
from hub.connections import Database

GRAPHQL = "/graphql"


def make_app(services: Services, auth: Authenticator, answers: Answers, database: Database) -> ASGIApp:
    """The app for one process. It has no lifespan: whoever made `services` ends them."""
    development = services.settings.mode == "development"
    engine = Engine(make_schema()._schema, introspection=development)

    async def readyz(_: Request) -> Response:
        """MongoDB decides; without Redis the hub is degraded, not unready."""
        realtime = "degraded" if services.rooms.link.away else "ok"
        try:
            await database.command("ping")
        except PyMongoError:
            return JSONResponse({"store": "unavailable", "realtime": realtime}, 503)
        return JSONResponse({"store": "ok", "realtime": realtime})

    routes: list[BaseRoute] = [
        Route(GRAPHQL, GraphQLOverHTTP(engine, services, auth, answers), methods=METHODS),
        Route("/healthz", _healthz),
        Route("/readyz", readyz),
        Route("/metrics", _metrics),
    ]
    if development:
        routes += [Route("/graphiql", _graphiql), Route("/", _to_graphiql)]
    origins = Origins(services.settings)
    cors = Middleware(
        CORSMiddleware,
        allow_origins=origins.named,
        allow_origin_regex=origins.pattern,
        allow_methods=METHODS,
        allow_headers=["authorization", "content-type", "idempotency-key"],
    )
    starlette = Starlette(routes=routes, middleware=[cors] if origins.named or origins.pattern else [])
    sockets = GraphQLOverWebSocket(engine, services, auth, origins)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        """WebSockets go straight to their door: what Starlette wraps around it would stay as long as they do."""
        if scope["type"] == "websocket" and scope["path"] == GRAPHQL:
            await sockets.handle(WebSocket(scope, receive, send))
        else:
            if scope["type"] == "http" and scope["path"] == GRAPHQL:
                headers = Headers(scope=scope)
                origins.allow(headers.get("origin"), headers.get("host"))  # a refused one is logged
            await starlette(scope, receive, send)

    return app


async def _healthz(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _metrics(_: Request) -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def _graphiql(_: Request) -> Response:
    return HTMLResponse(files("hub.api").joinpath("graphiql.html").read_text())


async def _to_graphiql(_: Request) -> Response:
    return RedirectResponse("/graphiql")
