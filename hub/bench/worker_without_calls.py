"""A `hub work` process that sends nothing on one channel: `python -m hub.bench.worker_without_calls CHANNEL`."""

import sys
from types import ModuleType

import uvloop

from hub.model import Channel
from hub.platform import logging
from hub.runtime.work import work
from hub.send.channel import ChannelResources
from hub.send.message import Message, Preview, Provider
from hub.send.outcome import Outcome, Sent
from hub.settings import Settings


class Null:
    name = "null"
    timeout_s = 5.0

    def breakers(self, _: Message) -> tuple[str, ...]:
        return ("null",)

    async def send(self, _: Message) -> Outcome:
        return Sent()


async def create_providers(_: ChannelResources) -> list[Provider]:
    return [Null()]


def preview(message: Message) -> Preview:
    return Preview(message.notification.title, "")


if __name__ == "__main__":
    settings = Settings()
    logging.configure(settings.log_level)
    this: ModuleType = sys.modules[__name__]
    this.CHANNEL = Channel(sys.argv[1])  # type: ignore[attr-defined]
    uvloop.run(work(settings, [this]))
