"""The ASGI application and its routes."""

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from hub.api.auth import Authenticator
from hub.api.context import Services
from hub.api.dev.captured_messages_page import dev_outbox_routes
from hub.api.dev.clock import dev_clock_routes
from hub.api.dev.demo_tokens import dev_token_routes
from hub.api.execution.engine import Engine
from hub.api.execution.fast_path.direct_resolvers import install_direct_resolvers
from hub.api.execution.idempotency import IdempotentResponses
from hub.api.public.console_sign_in import console_sign_in
from hub.api.public.email_links import email_link_routes
from hub.api.public.probes import Probes, probe_routes
from hub.api.public.ses_events import provider_routes
from hub.api.public.static_files import FrontendFiles
from hub.api.public.twilio_callbacks import twilio_routes
from hub.api.public_responses import TEMPLATES
from hub.api.schema.access import enforce_access
from hub.api.schema.resolver_metrics import time_resolvers
from hub.api.schema.root import make_schema
from hub.api.schema.staff_audit import audit_staff
from hub.api.transport.events import EventEndpoint
from hub.api.transport.http import METHODS, GraphQLOverHTTP
from hub.api.transport.keyed_limiter import KeyedLimiter
from hub.api.transport.origins import Origins
from hub.api.transport.websocket import GraphQLOverWebSocket
from hub.platform.connections import Database

GRAPHQL = "/graphql"
PUBLIC_PREFIXES = ("/unsubscribe/", "/r/", "/providers/")
"""Paths that need no access token and accept any origin."""


def make_app(
    services: Services,
    auth: Authenticator,
    idempotent_responses: IdempotentResponses,
    database: Database,
    probes: Probes,
    start_again: Callable[[], None] | None = None,
) -> ASGIApp:
    """Return the app of one process. Raise settings.ConfigurationError for invalid settings.

    `start_again` deletes all data and starts the hub again. Only `hub dev` can do so. The app has no lifespan: the code
    that created `services` must close them."""
    development = services.settings.mode == "development"
    schema = make_schema()._schema
    if services.settings.fast_execution:
        install_direct_resolvers(schema)
    audit_staff(schema)
    enforce_access(schema)
    time_resolvers(schema)
    engine = Engine(schema, services.settings, services.persisted_queries)
    user_max_connections = KeyedLimiter(services.settings.user_max_connections)  # WebSockets and event streams together
    graphql = GraphQLOverHTTP(engine, services, auth, idempotent_responses, user_max_connections)
    routes: list[BaseRoute] = [
        Route(GRAPHQL, graphql, methods=METHODS),
        Route("/events", EventEndpoint(services, auth).post, methods=["POST"]),
        *probe_routes(probes, services.settings),
    ]
    if development:
        routes += _development_routes(services, auth, database, start_again)
    origins = Origins(services.settings)
    starlette = Starlette(routes=routes, middleware=_cors(origins))
    public = Starlette(routes=[*email_link_routes(services), *provider_routes(services), *twilio_routes(services)])
    for application in (starlette, public):
        application.router.redirect_slashes = False  # a redirect would contain the client's Host header
    frontend = FrontendFiles(development, sign_in=console_sign_in(services.settings))
    websocket = GraphQLOverWebSocket(engine, services, auth, origins, user_max_connections)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        """Dispatch by path. WebSockets bypass Starlette, whose wrappers would stay in memory as long as the WebSocket
        is open. GraphQL requests without an origin also bypass Starlette, because they come from back ends and are the
        most frequent."""
        if scope["type"] == "websocket" and scope["path"] == GRAPHQL:
            await websocket.handle(WebSocket(scope, receive, send))
        elif scope["type"] == "http" and scope["path"].startswith(PUBLIC_PREFIXES):
            await public({**scope, "path": scope["path"].rstrip("/")}, receive, send)
        elif scope["type"] == "http" and scope["path"] in frontend:
            await frontend(scope, receive, send)
        elif scope["type"] == "http" and scope["path"] == GRAPHQL:
            headers = Headers(scope=scope)
            origin = headers.get("origin")
            if origin is None and scope["method"] in METHODS:
                await graphql(scope, receive, send)
            else:
                origins.allows(origin, headers.get("host"))  # logs a rejected origin
                await starlette(scope, receive, send)
        else:
            await starlette(scope, receive, send)

    return app


def _cors(origins: Origins) -> list[Middleware]:
    """Return the middleware that adds CORS headers, if pages of other origins are allowed."""
    if not origins.allowed and not origins.pattern:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=origins.allowed,
            allow_origin_regex=origins.pattern,
            allow_methods=METHODS,
            allow_headers=["*"],  # safe because the API uses tokens, not cookies
            expose_headers=["x-request-id"],
        )
    ]


def _development_routes(
    services: Services, auth: Authenticator, database: Database, start_again: Callable[[], None] | None
) -> list[BaseRoute]:
    return [
        Route("/graphiql", _graphiql),
        *dev_outbox_routes(database),
        *dev_token_routes(services.settings),
        *dev_clock_routes(services.hub_clock, auth, services.settings, start_again),
    ]


async def _graphiql(_: Request) -> Response:
    return HTMLResponse(TEMPLATES.get_template("graphiql.html").render())
