"""`/dev/clock`, in development only: show and move the hub's clock, for `hub clock` and the demo page.

| Request | Effect |
| --- | --- |
| `GET /dev/clock` | Return the hub's time, `now`, and the milliseconds by which it is ahead of real time, `aheadMs`. |
| `POST /dev/clock` | Move the clock forward by the duration `advance`. Return the same when it has moved. |
| `POST /dev/clock/reset` | Delete all data, and start `hub dev` again with real time. |

A caller needs the token of a service or an administrator. All tenants share the clock.
"""

from collections.abc import Callable
from datetime import timedelta

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from hub import iso_duration
from hub.api.auth import Authenticator
from hub.api.public_responses import Handler, json_errors, read_body
from hub.errors import BadUserInput, Conflict, Forbidden
from hub.model import Role
from hub.platform.hub_clock import AHEAD_MAX, MILLISECOND, HubClock, TooFarAhead
from hub.settings import Settings
from hub.utc_time import rfc3339

PATH = "/dev/clock"


def dev_clock_routes(
    clock: HubClock, auth: Authenticator, settings: Settings, start_again: Callable[[], None] | None
) -> list[BaseRoute]:
    """Return the routes. `start_again` deletes all data and starts the hub again. It is None if that is impossible."""

    def route(path: str, method: str, handler: Handler) -> Route:
        async def authorized(request: Request) -> Response:
            caller = await auth.authenticate(request.headers.get("authorization"), request.scope.get("client"))
            if caller.role not in (Role.SERVICE, Role.ADMIN) or caller.scopes:
                raise Forbidden("The clock requires the role service or admin. A service key must have no scopes.")
            return await handler(request)

        return Route(path, json_errors(authorized), methods=[method])

    async def show(_: Request) -> Response:
        return JSONResponse({"now": rfc3339(clock.now()), "aheadMs": clock.ahead // MILLISECOND})

    async def advance(request: Request) -> Response:
        try:
            by = timedelta(seconds=iso_duration.parse(orjson.loads(await read_body(request, settings))["advance"]))
            if by < MILLISECOND:
                raise ValueError
            await clock.advance(by)
        except (ValueError, TypeError, KeyError, OverflowError, TooFarAhead):
            rule = f"`advance` is a duration such as PT24H. The clock can be at most {AHEAD_MAX.days} days ahead."
            raise BadUserInput(rule, "advance") from None
        return await show(request)

    async def reset(_: Request) -> Response:
        if start_again is None:
            raise Conflict(
                "Only a `hub dev` process that runs its own MongoDB and Redis can delete all data. Start this hub with "
                "an empty database and an empty Redis instead (HUB_MONGO_DATABASE, HUB_REDIS_URL)."
            )
        start_again()
        return JSONResponse({}, 202)

    return [route(PATH, "GET", show), route(PATH, "POST", advance), route(f"{PATH}/reset", "POST", reset)]
