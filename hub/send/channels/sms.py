"""The SMS channel, through Twilio or Amazon SNS.

- https://www.twilio.com/docs/messaging/api/message-resource
- https://docs.aws.amazon.com/sns/latest/dg/sms_sending-overview.html

A text has at most HUB_SMS_SEGMENTS segments. An SMS cannot carry the id of its delivery.
"""

import asyncio
from typing import Any

from botocore.exceptions import ClientError

from hub.model import Channel, Priority
from hub.phone_number import E164, stored_number
from hub.send import aws, phone_preview, sms_segments
from hub.send.channel import ChannelResources
from hub.send.message import Message, Preview, Provider
from hub.send.outcome import Dead, Gone, Outcome, Sent
from hub.send.sms_text import describe_segments, sms_text
from hub.send.twilio import INVALID_NUMBER, TwilioMessages

CHANNEL = Channel.SMS

NO_NUMBER = Dead("the user's phone number is not in E.164 format: write it again with `upsertUsers`")
NO_TEXT = Dead("the text is empty")
GONE_CODES = {INVALID_NUMBER, 21614}
SNS_DEAD = {
    *("InvalidParameter", "InvalidParameterException", "InvalidParameterValue", "InvalidParameterValueException"),
    *("ParameterValueInvalid", "ValidationException", "ValidationError"),
}


async def create_providers(resources: ChannelResources) -> tuple[Provider, ...]:
    """Return the configured providers: Twilio first, then SNS."""
    settings = resources.settings
    providers: list[Provider] = []
    if settings.sms_from:
        providers.append(TwilioSms(resources))
    if settings.sns_sms_from:
        client = await aws.open_client("sns", settings, resources.stack)
        providers.append(SnsSms(client, settings.sns_sms_from, settings.provider_timeout_s))
    return tuple(providers)


def preview(message: Message) -> Preview:
    """Return the text with its segments, as a phone shows it."""
    text = sms_text(message)
    page = phone_preview.html(message, sms_segments.split(text), describe_segments(text))
    return Preview(message.notification.title or text, text, page)


class TwilioSms:
    """Twilio. Its opt-outs are recorded."""

    name = "twilio"

    def __init__(self, resources: ChannelResources) -> None:
        settings = resources.settings
        self.timeout_s = settings.provider_timeout_s
        self._messages = TwilioMessages(resources, CHANNEL, GONE_CODES)
        is_number = E164.fullmatch(settings.sms_from)
        self._sender = {"From" if is_number else "MessagingServiceSid": settings.sms_from}

    def breakers(self, message: Message) -> tuple[str, ...]:  # noqa: ARG002 - all messages go to the same account
        return ("twilio-sms",)

    async def send(self, message: Message) -> Outcome:
        number, text = stored_number(message.user.phone), sms_text(message)
        if not number:
            return NO_NUMBER
        if not text:
            return NO_TEXT
        return await self._messages.create(number, {"To": number, **self._sender, "Body": text})


class SnsSms:
    """Amazon SNS. Amazon handles STOP itself, and accepts messages to numbers that opted out."""

    name = "sns"

    def __init__(self, client: Any, sender: str, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._client = client
        name = "AWS.MM.SMS.OriginationNumber" if E164.fullmatch(sender) else "AWS.SNS.SMS.SenderID"
        self._sender = {name: sender}

    def breakers(self, message: Message) -> tuple[str, ...]:  # noqa: ARG002 - all messages go to the same service
        return ("sns-sms",)

    async def send(self, message: Message) -> Outcome:
        number, text = stored_number(message.user.phone), sms_text(message)
        if not number:
            return NO_NUMBER
        if not text:
            return NO_TEXT
        kind = "Promotional" if message.notification.priority is Priority.LOW else "Transactional"
        attributes = {**self._sender, "AWS.SNS.SMS.SMSType": kind}
        try:
            async with asyncio.timeout(self.timeout_s):
                response = await self._client.publish(
                    PhoneNumber=number,
                    Message=text,
                    MessageAttributes={
                        name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
                    },
                )
        except aws.AWS_ERRORS as error:
            outcome = aws.outcome_of_error(error, SNS_DEAD)
            return Gone(outcome.error) if _is_not_a_number(error) else outcome
        return Sent(response["MessageId"])


def _is_not_a_number(error: BaseException) -> bool:
    """Return True if SNS reported that the phone number does not exist."""
    details = error.response.get("Error", {}) if isinstance(error, ClientError) else {}
    return details.get("Code") in SNS_DEAD and "PhoneNumber" in details.get("Message", "")
