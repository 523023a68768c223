"""The WHATSAPP channel, through Twilio.

- https://www.twilio.com/docs/messaging/api/message-resource
- https://www.twilio.com/docs/whatsapp/key-concepts
- https://www.twilio.com/docs/content/send-templates-created-with-the-content-template-builder

A template with `whatsappContentSid` sends the template that WhatsApp approved, with `whatsappVariables` as its values.
Other messages are free text, which WhatsApp accepts only within 24 hours after the recipient's last message.
"""

import orjson

from hub.model import Channel
from hub.phone_number import stored_number
from hub.send import phone_preview
from hub.send.channel import ChannelResources
from hub.send.message import Message, Preview, Provider
from hub.send.outcome import Dead, Outcome
from hub.send.short_text import short_text
from hub.send.twilio import BODY_MAX_CHARS, INVALID_NUMBER, TwilioMessages

CHANNEL = Channel.WHATSAPP

GONE_CODES = {INVALID_NUMBER, 63003, 63024}


async def create_providers(resources: ChannelResources) -> tuple[Provider, ...]:
    """Return the Twilio provider if HUB_WHATSAPP_FROM is set."""
    return (TwilioWhatsApp(resources),) if resources.settings.whatsapp_from else ()


def preview(message: Message) -> Preview:
    """Return the message as a phone shows it, or the values of the approved template, whose text only Twilio has."""
    if sid := message.whatsapp_content_sid:
        lines = (f"{{{{{number}}}}}: {value}" for number, value in enumerate(message.whatsapp_variables, 1))
        text, note = "\n".join((f"Template {sid}", *lines)), "an approved template, whose text only WhatsApp has"
    else:
        text, note = _content(message)["Body"], "free text, accepted within 24 hours after a message of the recipient"
    return Preview(message.notification.title or text, text, phone_preview.html(message, [text], note))


class TwilioWhatsApp:
    name = "twilio"

    def __init__(self, resources: ChannelResources) -> None:
        self.timeout_s = resources.settings.provider_timeout_s
        self._messages = TwilioMessages(resources, CHANNEL, GONE_CODES)
        self._sender = f"whatsapp:{resources.settings.whatsapp_from}"

    def breakers(self, message: Message) -> tuple[str, ...]:  # noqa: ARG002 - all messages have the same sender
        return ("twilio-whatsapp",)

    async def send(self, message: Message) -> Outcome:
        number, content = stored_number(message.user.phone), _content(message)
        if not number:
            return Dead("the user's phone number is not in E.164 format: write it again with `upsertUsers`")
        if not all(content.values()):
            return Dead("the text is empty")
        return await self._messages.create(number, {"To": f"whatsapp:{number}", "From": self._sender, **content})


def _content(message: Message) -> dict[str, str]:
    """Return the form fields of the content: those of an approved template, or free text."""
    if not message.whatsapp_content_sid:
        return {"Body": short_text(message, lambda text: len(text) <= BODY_MAX_CHARS, BODY_MAX_CHARS)}
    content = {"ContentSid": message.whatsapp_content_sid}
    if message.whatsapp_variables:
        values = {str(number): value for number, value in enumerate(message.whatsapp_variables, 1)}
        content["ContentVariables"] = orjson.dumps(values).decode()
    return content
