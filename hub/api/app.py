"""The ASGI application: paths to doors."""

from importlib.resources import files

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pymongo.errors import PyMongoError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from hub.api.auth import Authenticator
from hub.api.context import Services
from hub.api.engine import Engine
from hub.api.http import METHODS, GraphQLOverHTTP
from hub.api.idempotency import Answers
from hub.api.schema import make_schema
from hub.api.socket import GraphQLOverWebSocket
from hub.connections import Database


def make_app(services: Services, auth: Authenticator, answers: Answers, database: Database) -> Starlette:
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
        Route("/graphql", GraphQLOverHTTP(engine, services, auth, answers), methods=METHODS),
        WebSocketRoute("/graphql", GraphQLOverWebSocket(engine, services, auth).handle),
        Route("/healthz", _healthz),
        Route("/readyz", readyz),
        Route("/metrics", _metrics),
    ]
    if development:
        routes.append(Route("/graphiql", _graphiql))
    cors = Middleware(
        CORSMiddleware,
        allow_origins=services.settings.allowed_origins,
        allow_methods=METHODS,
        allow_headers=["authorization", "content-type", "idempotency-key"],
    )
    return Starlette(routes=routes, middleware=[cors] if services.settings.allowed_origins else [])


async def _healthz(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _metrics(_: Request) -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def _graphiql(_: Request) -> Response:
    return HTMLResponse(files("hub.api").joinpath("graphiql.html").read_text())
