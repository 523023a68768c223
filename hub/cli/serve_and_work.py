"""`hub serve`, `hub work`, and `hub intake`."""

from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop
from pydantic import SecretStr

from hub.cli.target_hub import fail, load_settings
from hub.platform import logging
from hub.platform.connections import StoreUnavailable
from hub.runtime import tls
from hub.runtime.listen import HostUnavailable, PortUnavailable
from hub.settings import ConfigurationError


def serve(
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
    """Run an API process. You can run any number of them.

    Each option overrides the setting with the same name, such as HUB_SSL_CERTFILE.

    Example: HUB_PORT=443 hub serve --ssl-certfile fullchain.pem --ssl-keyfile privkey.pem
    """
    from hub.runtime.serve import serve as run

    options = {
        "ssl_certfile": ssl_certfile,
        "ssl_keyfile": ssl_keyfile,
        "ssl_keyfile_password": SecretStr(ssl_keyfile_password) if ssl_keyfile_password else None,
        "ssl_ca_certs": ssl_ca_certs,
    }
    settings = load_settings().model_copy(update={name: value for name, value in options.items() if value})
    try:
        context = tls.server_context(settings)
    except tls.CertificateError as error:
        fail(str(error), 2)
    logging.configure(settings.log_level, settings.public_url)
    _run_or_exit(run(settings, tls=context), "HUB_PORT")


def work() -> None:
    """Run a worker process with the scheduler. You can run any number of them.

    Workers send and retry deliveries, end snoozes, and remove expired notifications. After SIGTERM, calls in progress
    must finish within HUB_SHUTDOWN_TIMEOUT_S.

    Example: HUB_SMTP_URL=smtps://hub:secret@mail.example.org HUB_SMTP_FROM=hub@example.org hub work
    """
    from hub.runtime.work import work as run

    settings = load_settings()
    logging.configure(settings.log_level, settings.public_url)
    _run_or_exit(run(settings), "HUB_WORK_PORT")


def intake() -> None:
    """Run a process that receives events from the SQS queues in HUB_INTAKE. You can run any number of them.

    A message is deleted after its event is stored. Workers run the rules of the events.

    Example: HUB_INTAKE='{"https://sqs.eu-west-1.amazonaws.com/123456789012/events":"acme"}' hub intake
    """
    from hub.runtime.intake import intake as run

    settings = load_settings()
    logging.configure(settings.log_level, settings.public_url)
    _run_or_exit(run(settings), "HUB_WORK_PORT")


def _run_or_exit(process: Coroutine[Any, Any, None], port: str) -> None:
    try:
        uvloop.run(process)
    except HostUnavailable as error:
        fail(f"{error}: use 127.0.0.1, 0.0.0.0 (all addresses) or another address of this machine.")
    except PortUnavailable as error:
        fail(f"{error}: choose another with {port}.")
    except (StoreUnavailable, ConfigurationError) as error:
        fail(str(error))
