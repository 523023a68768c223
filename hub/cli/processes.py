"""`hub serve` and `hub work`."""

import uvloop

from hub import log
from hub.cli.environment import load


def serve() -> None:
    """Run the API. Start as many processes as you like beside one another."""
    from hub.__main__ import serve as run

    settings = load()
    log.configure(settings.log_level)
    uvloop.run(run(settings))


def work() -> None:
    """Run the ticker: snoozes that end, notifications that expire. Start one or more."""
    from hub.__main__ import work as run

    settings = load()
    log.configure(settings.log_level)
    uvloop.run(run(settings))
