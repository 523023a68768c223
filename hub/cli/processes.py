"""`hub serve` and `hub work`."""

from collections.abc import Coroutine
from typing import Any

import uvloop

from hub import log
from hub.cli.environment import fail, load
from hub.connections import Unreachable
from hub.ports import NoPort


def serve() -> None:
    """Run the API. Start as many processes as you like beside one another."""
    from hub.__main__ import serve as run

    settings = load()
    log.configure(settings.log_level)
    _run(run(settings))


def work() -> None:
    """Run the ticker: snoozes that end, notifications that expire. Start one or more."""
    from hub.__main__ import work as run

    settings = load()
    log.configure(settings.log_level)
    _run(run(settings))


def _run(process: Coroutine[Any, Any, None]) -> None:
    try:
        uvloop.run(process)
    except NoPort as error:
        fail(f"{error}: choose another with HUB_PORT.")
    except Unreachable as error:
        fail(str(error))
