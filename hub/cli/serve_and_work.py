"""`hub serve`, `hub work`, and `hub intake`."""

import ssl
import sys
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer
import uvloop
from pydantic import SecretStr

from hub.cli.target_hub import fail, load_settings
from hub.platform import logging
from hub.platform.connections import StoreUnavailable
from hub.runtime import listen, tls
from hub.runtime.listen import HostUnavailable, PortUnavailable
from hub.settings import ConfigurationError, Settings
from hub.settings.types import WORKERS_MAX

if TYPE_CHECKING:
    from hub.runtime.supervisor import Member

T = TypeVar("T")
Workers = Annotated[
    int | None,
    typer.Option(
        min=1, max=WORKERS_MAX, help="The number of processes. They share the port, and are restarted if they end."
    ),
]


def serve(
    workers: Workers = None,
    ssl_certfile: Annotated[
        Path | None, typer.Option(help="The PEM file with the certificate chain. Enables HTTPS.")
    ] = None,
    ssl_keyfile: Annotated[
        Path | None, typer.Option(help="The PEM file with the private key, if it is separate.")
    ] = None,
    ssl_keyfile_password: Annotated[
        str | None,
        typer.Option(
            help="The password of the private key. Other users of the machine can see it: "
            "prefer HUB_SSL_KEYFILE_PASSWORD."
        ),
    ] = None,
    ssl_ca_certs: Annotated[
        Path | None,
        typer.Option(
            help="The PEM file with CA certificates. Clients must present a certificate signed by one of these CAs."
        ),
    ] = None,
) -> None:
    """Run an API process, or several with --workers. You can run this command any number of times.

    Each option overrides the setting with the same name, such as HUB_SSL_CERTFILE.

    Example: HUB_PORT=443 hub serve --ssl-certfile fullchain.pem --ssl-keyfile privkey.pem
    """
    options = {
        "workers": workers,
        "ssl_certfile": ssl_certfile,
        "ssl_keyfile": ssl_keyfile,
        "ssl_keyfile_password": SecretStr(ssl_keyfile_password) if ssl_keyfile_password else None,
        "ssl_ca_certs": ssl_ca_certs,
    }
    settings = load_settings().model_copy(update={name: value for name, value in options.items() if value})
    context = _tls_context(settings)
    if settings.workers > 1:
        _supervise(settings, settings.port, serve_one, "HUB_PORT")
    from hub.runtime.serve import serve as run

    logging.configure(settings.log_level, settings.public_url)
    _run_or_exit(run(settings, tls=context), "HUB_PORT")


def serve_one(member: "Member") -> None:
    """Run one of several API processes."""
    from hub.runtime.serve import serve as run

    async def run_one() -> None:
        with member.join() as group:
            await run(member.settings, bound=list(member.listeners), tls=_tls_context(member.settings), group=group)

    logging.configure(member.settings.log_level, member.settings.public_url, member.index)
    _run_or_exit(run_one(), "HUB_PORT")


def _tls_context(settings: Settings) -> ssl.SSLContext | None:
    try:
        return tls.server_context(settings)
    except tls.CertificateError as error:
        fail(str(error), 2)


def work(workers: Workers = None) -> None:
    """Run a worker process with the scheduler, or several with --workers. You can run this command any number of times.

    Workers send and retry deliveries, end snoozes, and remove expired notifications. After SIGTERM, calls in progress
    must finish within HUB_SHUTDOWN_TIMEOUT_S.

    Example: HUB_SMTP_URL=smtps://hub:secret@mail.example.org HUB_SMTP_FROM=hub@example.org hub work
    """
    settings = load_settings()
    if workers:
        settings = settings.model_copy(update={"workers": workers})
    if settings.workers > 1:
        _supervise(settings, settings.work_port, work_one, "HUB_WORK_PORT")
    from hub.runtime.work import work as run

    logging.configure(settings.log_level, settings.public_url)
    _run_or_exit(run(settings), "HUB_WORK_PORT")


def work_one(member: "Member") -> None:
    """Run one of several worker processes."""
    from hub.runtime.work import work as run

    async def run_one() -> None:
        with member.join() as group:
            await run(member.settings, bound=member.listeners, group=group)

    logging.configure(member.settings.log_level, member.settings.public_url, member.index)
    _run_or_exit(run_one(), "HUB_WORK_PORT")


def intake() -> None:
    """Run a process that receives events from the SQS queues in HUB_INTAKE. You can run any number of them.

    A message is deleted after its event is stored. Workers run the rules of the events.

    Example: HUB_INTAKE='{"https://sqs.eu-west-1.amazonaws.com/123456789012/events":"acme"}' hub intake
    """
    from hub.runtime.intake import intake as run

    settings = load_settings()
    logging.configure(settings.log_level, settings.public_url)
    _run_or_exit(run(settings), "HUB_WORK_PORT")


def _supervise(settings: Settings, port: int | None, target: "Callable[[Member], None]", port_setting: str) -> NoReturn:
    """Run `settings.workers` processes, and exit with their exit code."""
    from hub.runtime.supervisor import Supervisor

    async def run() -> int:
        with ExitStack() as stack:
            listeners = listen.bind_optional(settings.host, port)
            for listener in listeners:
                stack.enter_context(listener)
                listen.accept_connections(listener, settings.host)
            return await Supervisor(settings, listeners, target).run()

    logging.configure(settings.log_level, settings.public_url)
    sys.exit(_run_or_exit(run(), port_setting))


def _run_or_exit(process: Coroutine[Any, Any, T], port: str) -> T:
    try:
        return uvloop.run(process)
    except HostUnavailable as error:
        fail(f"{error}: use 127.0.0.1, 0.0.0.0 (all addresses) or another address of this machine.")
    except PortUnavailable as error:
        fail(f"{error}: choose another with {port}.")
    except (StoreUnavailable, ConfigurationError) as error:
        fail(str(error))
