"""`hub dev`: run everything on one machine.

MongoDB and Redis run as child processes. The API, the workers, and the scheduler run in this process. Ctrl-C stops the
API first, then the servers. The child processes never outlive this process (see `hub.platform.server_process`). The
settings are checked before the first process starts.
"""

import asyncio
import os
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

from hub.api.auth import sign_token_for
from hub.cli import demo_data
from hub.cli.api_client import ApiError, HubUnreachable
from hub.cli.data_dir import SERVER_FOLDERS, DataDirectory, RunningHub
from hub.cli.target_hub import DAY_S, DEFAULT_DATA, fail, is_set, load_settings
from hub.model import Role
from hub.platform import connections, logging
from hub.platform.embedded_servers import Mongod, Redis
from hub.platform.server_process import ServerProcess
from hub.platform.server_programs import ServerError
from hub.runtime import listen
from hub.settings import ConfigurationError, Settings

DEFAULT_PORT = 8000
TOKEN_LIFETIME_S = 365 * DAY_S
LOOPBACK_NETWORKS = ("127.0.0.0/8", "::1/128")  # allowed for webhooks in development
MAX_RESTARTS = 3  # per server that exits unexpectedly
POLL_S = 0.5
SHUTDOWN_S = 3.0  # with the servers, a shutdown takes at most 5 s
WILDCARD_HOSTS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - bind address to URL host


def dev(
    port: Annotated[
        int | None,
        typer.Option("--port", show_default="HUB_PORT, else 8000", min=0, max=65535, help="Port of the API."),
    ] = None,
    data: Annotated[Path, typer.Option("--data", help="Folder in which all data is stored.")] = DEFAULT_DATA,
) -> None:
    """Run the hub and its servers on this machine.

    Starts MongoDB, Redis, the API, and the workers, and creates demo data. Press Ctrl-C to stop all of them.

    The page /dev/outbox shows the messages of channels that have no provider.

    Settings in the environment take precedence. If HUB_MONGO_URL or HUB_REDIS_URL is set, the command uses that server
    and does not start its own. HUB_MONGOD and HUB_REDIS_SERVER are the paths of the programs to start.

    Example: hub dev --port 8001 --data /tmp/try
    """
    data_dir = DataDirectory(data)
    try:
        with data_dir.lock() as locked:
            if not locked:
                location = f" at {data_dir.running.url}" if data_dir.running else ""
                fail(
                    f"Another hub dev runs on {data}{location}: stop it, or choose another folder with --data "
                    "(under make: DATA=folder)."
                )
            settings = _settings(data_dir, port)
            with ExitStack() as stack:
                listeners = [stack.enter_context(listener) for listener in listen.bind(settings.host, settings.port)]
                logging.configure(settings.log_level, settings.public_url)
                start_again_on = uvloop.run(_run(settings, data_dir, listeners))
    except KeyboardInterrupt:
        _print("\nStopped before the API started.")
    except listen.HostUnavailable as error:
        fail(f"{error}.")
    except listen.PortUnavailable as error:
        fail(f"{error}: choose another with --port (under make: PORT=8001).")
    except (ServerError, connections.StoreUnavailable, ConfigurationError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"Cannot write to {data}: {error.strerror}. Choose another folder with --data.")
    else:
        if start_again_on is not None:
            os.execv(sys.executable, [sys.executable, "-m", "hub", "dev", f"--port={start_again_on}", f"--data={data}"])  # noqa: S606 - this program


def _settings(data_dir: DataDirectory, port: int | None) -> Settings:
    settings = load_settings(
        mode="development",
        port=DEFAULT_PORT,
        log_level="warning",
        shutdown_timeout_s=SHUTDOWN_S,
        drain_s=0,
        egress_allow=LOOPBACK_NETWORKS,
        jwt_secret=None if is_set("jwt_secret") else data_dir.secret(),
    )
    return settings if port is None else settings.model_copy(update={"port": port})


async def _run(settings: Settings, data_dir: DataDirectory, listeners: list[socket.socket]) -> int | None:
    """Run until Ctrl-C. Return the port on which to start again with empty data, or None."""
    from hub.runtime.serve import serve

    background: list[asyncio.Task[None]] = []
    port: int = listeners[0].getsockname()[1]
    local_url = _url(settings.host, port)  # for links in emails
    settings = settings.model_copy(
        update={
            "public_url": settings.public_url or local_url,
            "app_url": settings.app_url or local_url,
            "chat_origins": settings.chat_origins or (local_url,),  # of the demo data's chats
        }
    )
    start_again = asyncio.Event()

    def delete_data_and_start_again() -> None:
        start_again.set()
        _request_shutdown()

    async with _servers(settings, data_dir) as (settings, children):
        supervisors = [asyncio.create_task(_restart_on_exit(child)) for child in children]

        def ready(port: int) -> None:
            background.append(asyncio.create_task(_print_greeting(settings, data_dir, port)))

        try:
            await serve(
                settings,
                with_worker=True,
                ready=ready,
                bound=listeners,
                start_again=delete_data_and_start_again if len(children) == len(SERVER_FOLDERS) else None,
            )
        finally:
            data_dir.remove_running()
            for task in background + supervisors:
                task.cancel()
        for outcome in await asyncio.gather(*supervisors, return_exceptions=True):
            if isinstance(outcome, ServerError):
                raise outcome
    if not start_again.is_set():
        _print("\nStopped. The data stays in " + str(data_dir.folder) + ".")
        return None
    data_dir.delete_data()
    _print("\nThe data is deleted. Starting again ...")
    return port


@asynccontextmanager
async def _servers(settings: Settings, data_dir: DataDirectory) -> AsyncIterator[tuple[Settings, list[ServerProcess]]]:
    """Start the servers that the environment does not name. Yield the settings with the URLs, and the servers."""
    mongod = Mongod(data_dir.folder / "mongo", binary=_binary(settings.mongod))
    redis = Redis(data_dir.folder / "redis", binary=_binary(settings.redis_server))
    children: list[ServerProcess] = []
    urls: dict[str, str] = {}
    if not is_set("mongo_url"):
        children.append(mongod)
    if not is_set("redis_url"):
        children.append(redis)
    try:
        for outcome in await asyncio.gather(*(_start(child) for child in children), return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
        if mongod in children:
            urls["mongo_url"] = mongod.url
        if redis in children:
            urls["redis_url"] = redis.url
        yield settings.model_copy(update=urls), children
    finally:
        await asyncio.gather(*(child.stop() for child in children))


async def _start(server: ServerProcess) -> None:
    name = server.program.name
    _print(f"Starting {name} ...")
    started_at = time.monotonic()
    await server.start()
    _print(f"{name} is ready after {time.monotonic() - started_at:.1f} s.")


async def _restart_on_exit(server: ServerProcess) -> None:
    """Restart the server whenever it exits. After MAX_RESTARTS restarts, stop the hub and raise ServerError."""
    for starts_left in range(MAX_RESTARTS, -1, -1):
        try:
            while True:
                server.check_running()
                await asyncio.sleep(POLL_S)
        except ServerError as error:
            if not starts_left:
                _request_shutdown()
                raise
            print(f"{error}\nStarting {server.program.name} again ...", file=sys.stderr, flush=True)
        server.kill()  # in case it is still running
        try:
            await server.start()
        except ServerError:
            _request_shutdown()
            raise
        _print(f"{server.program.name} is running again.")


def _request_shutdown() -> None:
    """Stop in the same order as Ctrl-C: the API first, then the servers."""
    signal.raise_signal(signal.SIGINT)


def _binary(path: Path | None) -> str | None:
    return str(path) if path else None


async def _print_greeting(settings: Settings, data_dir: DataDirectory, port: int) -> None:
    """Create the demo data, write running.json, and print the greeting."""
    from hub.api.public.static_files import FrontendFiles

    url = _url(settings.host, port)
    service = sign_token_for(settings, None, Role.SERVICE, TOKEN_LIFETIME_S)
    user_tokens = {user: sign_token_for(settings, user, Role.USER, TOKEN_LIFETIME_S) for user in ("alice", "bob")}
    try:
        await demo_data.create_demo_data(url, sign_token_for(settings, None, Role.ADMIN, TOKEN_LIFETIME_S), user_tokens)
    except (ApiError, HubUnreachable) as error:
        _print(f"The demo data could not be created: {error}")
    data_dir.write_running(
        RunningHub(
            url=url,
            secret=settings.jwt_secret[0].get_secret_value(),
            mongo_url=settings.mongo_url,
            redis_url=settings.redis_url,
            issuer=settings.jwt_issuer,
            audience=settings.jwt_audience,
        )
    )
    folder = "" if data_dir.folder == DEFAULT_DATA else f" --data {shlex.quote(str(data_dir.folder))}"
    development = settings.mode == "development"
    _print(
        GREETING.format(
            url=url,
            demo=(DEMO if FrontendFiles(development).built else NOT_BUILT).format(url=url) if development else "",
            data=data_dir.folder,
            **user_tokens,
            service=service,
            explorer=sign_token_for(settings, "alice", Role.ADMIN, TOKEN_LIFETIME_S),
            admin=f"{_command()} token --role admin{folder}",
            keys=f"{_command()} keys create my-back-end{folder}",
            watch=f"{_command()} watch --user alice{folder}",
            body=shlex.quote(demo_data.SEND_BODY),
            outbox=OUTBOX.format(url=url, command=_command(), folder=folder) if development else "",
        )
    )


def _url(host: str, port: int) -> str:
    host = WILDCARD_HOSTS.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


GREETING = """
{demo}The hub serves at {url} and stores its data in {data}. Ctrl-C stops it.

Tokens, valid for one year:
alice    {alice}
bob      {bob}
service  {service}
To print a token for an administrator (categories, webhooks, erasing users): {admin}
To create a key for a back end, which can be revoked: {keys}

Try it. Watch alice's inbox, in another terminal:
{watch}

Send a notification, in a third terminal:
curl -s {url}/graphql -H 'content-type: application/json' -H 'authorization: Bearer {service}' -d {body}

{outbox}Explore the API in a browser, as an administrator with alice's inbox:
{url}/graphiql#token={explorer}"""

DEMO = """Open the demo page, with two users and a form to send:
{url}/

See people, deliveries, and their reasons in the console:
{url}/console/

"""

NOT_BUILT = """The demo page is not built. Run `make front` (needs Node 20.19 or later), then open:
{url}/

"""

OUTBOX = """Messages of channels without a provider are captured, not sent. See them at:
{url}/dev/outbox

Add an email:
{command} send "Two for one" "All of spring." --to alice --category marketing{folder}

"""


def _command() -> str:
    """Return the command that runs this program from the caller's shell."""
    script = Path(sys.executable).with_name("hub")
    if (found := shutil.which("hub")) and script.exists() and script.samefile(found):
        return "hub"
    if not script.exists():
        return f"{shlex.quote(sys.executable)} -m hub"
    folder = Path.cwd()
    return shlex.quote(str(script.relative_to(folder) if script.is_relative_to(folder) else script))


def _print(text: str) -> None:
    print(text, flush=True)
