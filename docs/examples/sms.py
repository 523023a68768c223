"""SMS: append each text message to a file."""

import asyncio
from pathlib import Path

import orjson

from hub.model import Channel
from hub.send.channel import ChannelResources
from hub.send.message import Message, Preview, Provider
from hub.send.outcome import Dead, Outcome, Retry, Sent

CHANNEL = Channel.SMS


async def create_providers(resources: ChannelResources) -> tuple[Provider, ...]:
    settings = resources.settings
    return (FileSmsProvider(settings.sms_file, settings.provider_timeout_s),) if settings.sms_file else ()


class FileSmsProvider:
    name = "sms_file"

    def __init__(self, path: Path, timeout_s: float) -> None:
        self._path = path
        self.timeout_s = timeout_s

    def breakers(self, message: Message) -> tuple[str, ...]:  # noqa: ARG002
        return (self.name,)

    async def send(self, message: Message) -> Outcome:
        if not message.user.phone:
            return Dead("the user has no phone number")
        try:
            await asyncio.to_thread(self._append, line(message))
        except OSError as error:
            return Retry(f"writing failed: {error.strerror}")
        return Sent(message.id)

    def _append(self, text: bytes) -> None:
        with self._path.open("ab") as file:
            file.write(text)


def preview(message: Message) -> Preview:
    return Preview(message.notification.title, line(message).decode())


def line(message: Message) -> bytes:
    """Return the message as one line of JSON, the same in every attempt."""
    return orjson.dumps({"id": message.id, "to": message.user.phone, "text": message.notification.title}) + b"\n"
