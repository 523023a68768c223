"""`/providers/twilio`: the statuses of messages, and incoming messages, from Twilio.

- A status moves a delivery forward only, so repeated and late callbacks change nothing.
- STOP and START are recorded and answered empty, because Twilio answers them itself. HELP is answered with TwiML,
  unless Twilio reports that it has answered (`OptOutType`). Other incoming messages are ignored.

API: https://www.twilio.com/docs/messaging/guides/track-outbound-message-status
     https://www.twilio.com/docs/messaging/guides/webhook-request
     https://help.twilio.com/articles/223134027
"""

import asyncio
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from hub.api.context import Services
from hub.api.public.twilio_signature import is_signed
from hub.api.public_responses import json_errors, read_body
from hub.audience.opt_out_words import START, STOP, word_of
from hub.audience.opt_outs import WHATSAPP_PREFIX
from hub.decide.plan import user_address
from hub.errors import Forbidden, Unavailable
from hub.inbox import state
from hub.model import Channel, Delivery, DeliveryStatus, Reason
from hub.platform.twilio_callback import CALLBACK_PATH

FORM_FIELDS_MAX = 200
STORED_TRIES, STORED_PAUSE_S = 10, 0.1  # a callback may arrive before the worker has stored the id of the message

HELP = {
    **dict.fromkeys(("HELP", "INFO"), "You get notifications from this number. Reply STOP to end them."),
    "HILFE": "Sie erhalten Benachrichtigungen von dieser Nummer. Antworten Sie STOP, um sie zu beenden.",
    "AYUDA": "Recibe notificaciones de este número. Responda STOP para dejar de recibirlas.",
}
"""The answers by word."""

ERROR_CODE = re.compile(r"[0-9]{1,6}")
OPTED_OUT = "21610"
GONE_ERRORS = frozenset({"30005", "30006"})
"""The number cannot receive text messages: it is suppressed for the user."""
ERRORS: Mapping[str, str] = {
    OPTED_OUT: "the recipient has opted out (STOP)",
    "30003": "the phone is off, out of coverage, or cannot receive text messages",
    "30004": "the carrier or the recipient blocked the message",
    "30005": "the number is unknown and may no longer exist",
    "30006": "the number is a landline, or its carrier cannot be reached",
    "30007": "the message was filtered as unwanted by Twilio or the carrier",
    "30008": "the carrier reported no reason",
    "63016": "more than 24 hours since the recipient's last message: set `whatsappContentSid` in the template",
}
"""The meanings of the error codes of failed messages. See https://www.twilio.com/docs/api/errors."""

log = structlog.get_logger(__name__)


def twilio_routes(services: Services) -> list[BaseRoute]:
    return [Route(CALLBACK_PATH, json_errors(TwilioEndpoint(services).receive), methods=["POST"])]


class TwilioEndpoint:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._logged: set[str] = set()

    async def receive(self, request: Request) -> Response:
        """Verify and process one request. Raise Forbidden if Twilio did not sign it."""
        try:
            form = await self._verified_form(request)
        except Forbidden as error:
            if error.message not in self._logged:  # each message is logged once, because the endpoint is public
                self._logged.add(error.message)
                log.warning("twilio_request_rejected", reason=error.message)
            raise
        if status := form.get("MessageStatus"):
            await self._record_status(form, status)
            return Response(status_code=204)
        return _twiml(await self._receive_message(form) if "Body" in form else "")

    async def _verified_form(self, request: Request) -> dict[str, str]:
        settings = self._services.settings
        token, public_url = settings.twilio_auth_token.get_secret_value(), settings.public_url.rstrip("/")
        if not token or not public_url:
            raise Forbidden("HUB_TWILIO_AUTH_TOKEN or HUB_PUBLIC_URL is not set.")
        body = await read_body(request, settings)
        try:
            form = parse_qsl(body.decode(errors="replace"), keep_blank_values=True, max_num_fields=FORM_FIELDS_MAX)
        except ValueError:
            raise Forbidden("The form has too many fields.") from None
        url = public_url + CALLBACK_PATH + (f"?{request.url.query}" if request.url.query else "")
        if not is_signed(request.headers.get("x-twilio-signature", ""), url, form, token):
            raise Forbidden("The signature is not valid. HUB_PUBLIC_URL must be the URL that Twilio calls.")
        return dict(form)

    # ------------------------------------------------------------- statuses

    async def _record_status(self, form: Mapping[str, str], status: str) -> None:
        if status not in ("delivered", "read", "undelivered", "failed"):
            return
        if form.get("ErrorCode") == OPTED_OUT:  # also if the delivery was erased with its user
            number = form.get("To", "")
            for sender in _senders(form, number, "From"):
                await self._services.opt_outs.record(sender, number, OPTED_OUT)
            log.info("opt_out_recorded", how=OPTED_OUT)
        delivery = await self._find_delivery(form.get("MessageSid", ""))
        deliveries, sent = self._services.deliveries, DeliveryStatus.SENT
        if status == "delivered":
            await deliveries.record_provider_status(delivery.id, DeliveryStatus.DELIVERED, before=[sent])
        elif status == "read":
            before = [sent, DeliveryStatus.DELIVERED]
            await deliveries.record_provider_status(delivery.id, DeliveryStatus.READ, before=before)
            if not delivery.digest_key:
                await self._services.inbox_actions.mark(delivery.mailbox, [delivery.notification], state.read)
        else:
            await self._record_failure(delivery, form)

    async def _record_failure(self, delivery: Delivery, form: Mapping[str, str]) -> None:
        code = form.get("ErrorCode", "")
        gone = code in GONE_ERRORS and delivery.channel is Channel.SMS
        reason = Reason.ADDRESS_GONE if gone else Reason.REFUSED
        if gone and delivery.status is DeliveryStatus.SENT:  # first, because a repeated call finds FAILED
            await self._suppress(delivery, form.get("To", ""))
        await self._services.deliveries.record_provider_failure(delivery.id, reason, "twilio", _describe(code))

    async def _find_delivery(self, message: str) -> Delivery:
        """Return the delivery of a message. Raise Unavailable if it is not stored. Twilio calls again."""
        for attempt in range(STORED_TRIES):
            if attempt:
                await asyncio.sleep(STORED_PAUSE_S)
            if found := await self._services.deliveries.find_by_message_sid(message):
                return found
        raise Unavailable("No delivery has this message id. Send the request again.")

    async def _suppress(self, delivery: Delivery, number: str) -> None:
        """Suppress the number for the user of the delivery, unless the user has another number now."""
        user = await self._services.users.get(delivery.mailbox)
        if user and user_address(delivery.channel, user) == number:
            await self._services.users.deactivate_address(delivery, number)

    # ------------------------------------------------------------- incoming messages

    async def _receive_message(self, form: Mapping[str, str]) -> str:
        """Record STOP and START. Return the answer, or an empty text."""
        word, opt_outs = word_of(form.get("OptOutType") or form["Body"]), self._services.opt_outs
        message, number = form.get("MessageSid", ""), form.get("From", "")
        if word in STOP or word in START:
            if await opt_outs.receive(message, number, _senders(form, number, "To"), word):
                log.info("opt_out_recorded" if word in STOP else "opt_out_removed", how=word)
            return ""
        return "" if form.get("OptOutType") else HELP.get(word, "")


def _senders(form: Mapping[str, str], number: str, sender: str) -> list[str]:
    """Return the hub's senders that a message from or to `number` concerns: the one in the field `sender`, and the
    messaging service that contains it. A messaging service may also contain a WhatsApp sender, but the hub sends only
    SMS through it."""
    names = (sender,) if number.startswith(WHATSAPP_PREFIX) else (sender, "MessagingServiceSid")
    return [form[name] for name in names if form.get(name)]


def _describe(code: str) -> str:
    """Return the meaning of an error code, or where Twilio describes it."""
    if meaning := ERRORS.get(code):
        return f"{code}: {meaning}"
    if not ERROR_CODE.fullmatch(code):
        return "Twilio reported no error code"
    return f"{code}: see https://www.twilio.com/docs/api/errors/{code}"


def _twiml(answer: str) -> Response:
    """Return TwiML with one message, or with none if `answer` is empty."""
    message = f"<Message>{escape(answer)}</Message>" if answer else ""
    xml = f'<?xml version="1.0" encoding="UTF-8"?><Response>{message}</Response>'
    return Response(xml, media_type="text/xml")
