"""`hub work` that sends no webhooks, to measure claiming and settling alone."""

from contextlib import AsyncExitStack

import uvloop

from hub.model import Channel
from hub.platform import logging
from hub.platform.outbound_http import OutboundHTTP
from hub.runtime.work import work
from hub.send.message import Message, Provider
from hub.send.outcome import Outcome, Sent
from hub.settings import Settings

CHANNEL = Channel.WEBHOOK


class Null:
    name = "null"
    timeout_s = 5.0

    def breakers(self, _: Message) -> tuple[str, ...]:
        return ("null",)

    async def send(self, _: Message) -> Outcome:
        return Sent()


async def create_providers(_: Settings, __: OutboundHTTP, ___: AsyncExitStack) -> list[Provider]:
    return [Null()]


if __name__ == "__main__":
    import sys

    settings = Settings()
    logging.configure(settings.log_level)
    uvloop.run(work(settings, [sys.modules[__name__]]))
