"""A `hub work` process that sends no webhooks, to measure only claiming and settling."""

import uvloop

from hub.model import Channel
from hub.platform import logging
from hub.runtime.work import work
from hub.send.channel import ChannelResources
from hub.send.message import Message, Preview, Provider
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


async def create_providers(_: ChannelResources) -> list[Provider]:
    return [Null()]


def preview(message: Message) -> Preview:
    return Preview(message.notification.title, "")


if __name__ == "__main__":
    import sys

    settings = Settings()
    logging.configure(settings.log_level)
    uvloop.run(work(settings, [sys.modules[__name__]]))
