"""`hub dev`: everything on one machine.

MongoDB and Redis run as children, the API, the dispatchers and the ticker in this process. Ctrl-C ends the API first,
then the servers; whatever ends this process, its children end with it (see `hub.platform.embedded_servers`). What has
to be there is checked before anything is started, so that a wrong setting costs no wait.
"""

import asyncio
import shlex
import shutil
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from hub.api.auth import sign_for
from hub.cli import demo
from hub.cli.api_client import Refused, StoreUnavailable
from hub.cli.data_dir import Home, Running
from hub.cli.targets import DAY_S, DEFAULT_DATA, fail, is_set, load
from hub.model import Role
from hub.platform import connections, logging
from hub.platform.embedded_servers import Mongod, Redis, Server, ServerError
from hub.runtime import listen
from hub.settings import ConfigurationError, Settings

DEFAULT_PORT = 8000
TOKENS_S = 365 * DAY_S
THIS_MACHINE = ("127.0.0.0/8", "::1/128")  # where a developer's webhooks are
RESTARTS = 3  # of a server that ends by itself
LOOK_S = 0.5
SHUTDOWN_S = 3.0  # with the servers after it, all is over within 5 s of Ctrl-C
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - what is listened on, and called at


def dev(
    port: Annotated[
        int | None,
        typer.Option("--port", show_default="HUB_PORT, else 8000", min=0, max=65535, help="Where the API answers."),
    ] = None,
    data: Annotated[Path, typer.Option("--data", help="Where everything is kept, and found again.")] = DEFAULT_DATA,
) -> None:
    """Run everything on this machine.

    That is MongoDB, Redis, the API, the dispatchers and demo data. Ctrl-C stops it.

    What channels without a provider would send is shown at /dev/outbox.

    Settings in the environment win: with HUB_MONGO_URL or HUB_REDIS_URL that server is used and none is started;
    HUB_MONGOD and HUB_REDIS_SERVER name the programs to start.

    Example: hub dev --port 8001 --data /tmp/try
    """
    home = Home(data)
    try:
        with home.taken() as mine:
            if not mine:
                where = f" at {home.running.url}" if home.running else ""
                fail(
                    f"Another hub dev runs on {data}{where}: stop that one, or give this one a folder with --data "
                    "(under make: DATA=folder)."
                )
            settings = _settings(home, port)
            with ExitStack() as opened:
                bound = [opened.enter_context(one) for one in listen.bind(settings.host, settings.port)]
                logging.configure(settings.log_level)
                uvloop.run(_run(settings, home, bound))
    except KeyboardInterrupt:
        _say("\nStopped before it served.")
    except listen.HostUnavailable as error:
        fail(f"{error}.")
    except listen.PortUnavailable as error:
        fail(f"{error}: choose another with --port (under make: PORT=8001).")
    except (ServerError, connections.StoreUnavailable, ConfigurationError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{data} can't hold the data: {error.strerror}. Name another folder with --data.")


def _settings(home: Home, port: int | None) -> Settings:
    settings = load(
        mode="development",
        port=DEFAULT_PORT,
        log_level="warning",
        shutdown_seconds=SHUTDOWN_S,
        egress_allow=THIS_MACHINE,
        jwt_secret=None if is_set("jwt_secret") else home.secret(),
    )
    return settings if port is None else settings.model_copy(update={"port": port})


async def _run(settings: Settings, home: Home, bound: list[socket.socket]) -> None:
    from hub.runtime.processes import serve

    beside: list[asyncio.Task[None]] = []
    here = _url(settings.host, bound[0].getsockname()[1])  # so that links in mails lead somewhere
    settings = settings.model_copy(
        update={"public_url": settings.public_url or here, "app_url": settings.app_url or here}
    )
    async with _servers(settings, home) as (settings, children):
        keepers = [asyncio.create_task(_keep(child)) for child in children]

        def ready(port: int) -> None:
            beside.append(asyncio.create_task(_greet(settings, home, port)))

        try:
            await serve(settings, with_worker=True, ready=ready, bound=bound)
        finally:
            home.withdraw()
            for task in beside + keepers:
                task.cancel()
        for ended in await asyncio.gather(*keepers, return_exceptions=True):
            if isinstance(ended, ServerError):
                raise ended
    _say("\nStopped. The data stays in " + str(home.folder) + ".")


@asynccontextmanager
async def _servers(settings: Settings, home: Home) -> AsyncIterator[tuple[Settings, list[Server]]]:
    """The settings with the servers' addresses, and the servers. Those that the environment names are not started."""
    mongod = Mongod(home.folder / "mongo", binary=_program(settings.mongod))
    redis = Redis(home.folder / "redis", binary=_program(settings.redis_server))
    children: list[Server] = []
    found: dict[str, str] = {}
    if not is_set("mongo_url"):
        children.append(mongod)
    if not is_set("redis_url"):
        children.append(redis)
    try:
        for outcome in await asyncio.gather(*(_start(child) for child in children), return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
        if mongod in children:
            found["mongo_url"] = mongod.url
        if redis in children:
            found["redis_url"] = redis.url
        yield settings.model_copy(update=found), children
    finally:
        await asyncio.gather(*(child.stop() for child in children))


async def _start(server: Server) -> None:
    name = server.program.name
    _say(f"Starting {name} ...")
    since = time.monotonic()
    await server.start()
    _say(f"{name} is ready after {time.monotonic() - since:.1f} s.")


async def _keep(server: Server) -> None:
    """Starts it again when it ends by itself. After RESTARTS it ends the hub, and raises ServerError."""
    for starts_left in range(RESTARTS, -1, -1):
        try:
            while True:
                server.check_running()
                await asyncio.sleep(LOOK_S)
        except ServerError as error:
            if not starts_left:
                _give_up()
                raise
            print(f"{error}\nStarting {server.program.name} again ...", file=sys.stderr, flush=True)
        server.kill()  # what is left of it
        try:
            await server.start()
        except ServerError:
            _give_up()
            raise
        _say(f"{server.program.name} is back.")


def _give_up() -> None:
    """As Ctrl-C would: the API first, then the servers."""
    signal.raise_signal(signal.SIGINT)


def _program(path: Path | None) -> str | None:
    return str(path) if path else None


async def _greet(settings: Settings, home: Home, port: int) -> None:
    """Says where it is and how to try it, once there is something to see."""
    from hub.api.public.static_files import Front

    url = _url(settings.host, port)
    service = sign_for(settings, None, Role.SERVICE, TOKENS_S)
    people = {user: sign_for(settings, user, Role.USER, TOKENS_S) for user in ("alice", "bob")}
    try:
        await demo.fill(url, sign_for(settings, None, Role.ADMIN, TOKENS_S), people)
    except (Refused, StoreUnavailable) as error:
        _say(f"The demo data could not be made: {error}")
    home.announce(
        Running(
            url=url,
            secret=settings.jwt_secret[0].get_secret_value(),
            mongo_url=settings.mongo_url,
            redis_url=settings.redis_url,
            issuer=settings.jwt_issuer,
            audience=settings.jwt_audience,
        )
    )
    folder = "" if home.folder == DEFAULT_DATA else f" --data {shlex.quote(str(home.folder))}"
    development = settings.mode == "development"
    _say(
        GREETING.format(
            url=url,
            demo=(DEMO if Front(development).built else UNBUILT).format(url=url) if development else "",
            data=home.folder,
            **people,
            service=service,
            explorer=sign_for(settings, "alice", Role.SERVICE, TOKENS_S),
            admin=f"{_command()} token --role admin{folder}",
            watch=f"{_command()} watch --user alice{folder}",
            body=shlex.quote(demo.SEND_BODY),
            outbox=OUTBOX.format(url=url, command=_command(), folder=folder) if development else "",
        )
    )


def _url(host: str, port: int) -> str:
    host = ANYWHERE.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


GREETING = """
{demo}The hub serves at {url} and keeps its data in {data}. Ctrl-C stops it.

Tokens, good for a year:
alice    {alice}
bob      {bob}
service  {service}
An administrator's, for categories, webhooks and erasing people, is printed by: {admin}

Try it. Watch alice's inbox, in another terminal:
{watch}

Send her something, in a third one:
curl -s {url}/graphql -H 'content-type: application/json' -H 'authorization: Bearer {service}' -d {body}

{outbox}Explore the API in a browser, as a service that has alice's inbox too:
{url}/graphiql#token={explorer}"""

DEMO = """Open the demo, with two people and a sender's desk:
{url}/

"""

UNBUILT = """The demo page is not built. `make front` does it, where Node 20 or later is, and this shows it then:
{url}/

"""

OUTBOX = """Mails, pushes and other things that leave are shown, not sent, while their channel has no provider:
{url}/dev/outbox

Add a mail to it:
{command} send "Two for one" "All of spring." --to alice --category marketing{folder}

"""


def _command() -> str:
    """How the caller's shell finds this program."""
    own = Path(sys.executable).with_name("hub")
    if (found := shutil.which("hub")) and own.exists() and own.samefile(found):
        return "hub"
    if not own.exists():
        return f"{shlex.quote(sys.executable)} -m hub"
    here = Path.cwd()
    return shlex.quote(str(own.relative_to(here) if own.is_relative_to(here) else own))


def _say(text: str) -> None:
    print(text, flush=True)
