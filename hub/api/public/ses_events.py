"""`/providers/ses`: bounces, complaints, and deliveries from Amazon SES, received through an Amazon SNS topic."""

import os
from datetime import datetime, timedelta
from email.utils import parseaddr
from typing import Annotated

import idna
import msgspec
import structlog
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from hub.api.context import Services
from hub.api.public.sns_signature import CONFIRMATION, NOTIFICATION, SNSVerifier
from hub.api.public_responses import json_errors, read_body
from hub.errors import Forbidden, NotFound, Unavailable
from hub.model import Delivery, DeliveryStatus, Reason
from hub.utc_time import elapsed

UNKNOWN_EMAIL_GRACE = timedelta(minutes=1)
"""An event may arrive before the worker has stored the message id of the email. SNS resends rejected events."""

log = structlog.get_logger(__name__)


class _Mail(Struct, rename="camel"):
    message_id: str
    timestamp: Annotated[datetime, Meta(tz=True)]


class _Recipient(Struct, rename="camel"):
    email_address: str


class _Bounce(Struct, rename="camel"):
    bounce_type: str
    bounced_recipients: list[_Recipient] = []


class _Complaint(Struct, rename="camel"):
    complained_recipients: list[_Recipient] = []
    complaint_feedback_type: str | None = None


class _SesEvent(Struct, rename="camel"):
    """An SES event, sent by an identity (`notificationType`) or a configuration set (`eventType`)."""

    mail: _Mail
    notification_type: str = ""
    event_type: str = ""
    bounce: _Bounce | None = None
    complaint: _Complaint | None = None


def provider_routes(services: Services) -> list[BaseRoute]:
    """Return the routes. AWS_ENDPOINT_URL_SNS and AWS_ENDPOINT_URL override the SNS endpoint."""
    endpoint_override = os.environ.get("AWS_ENDPOINT_URL_SNS") or os.environ.get("AWS_ENDPOINT_URL") or ""
    sns = SNSVerifier(services.outbound_http, services.settings.sns_topics, endpoint_override)
    return [Route("/providers/ses", json_errors(SESEndpoint(services, sns).receive), methods=["POST"])]


class SESEndpoint:
    def __init__(self, services: Services, sns: SNSVerifier) -> None:
        self._services = services
        self._sns = sns
        self._logged: set[str] = set()

    async def receive(self, request: Request) -> Response:
        """Verify and process one SNS message. Raise Forbidden if it is not signed by one of the topics."""
        body = await read_body(request, self._services.settings)
        try:
            message = await self._sns.verify(body)
            if message.get("Type") == CONFIRMATION:
                await self._sns.confirm(message)
        except Forbidden as error:
            if error.message not in self._logged:  # each message is logged once, because the endpoint is public
                self._logged.add(error.message)
                log.warning("sns_message_rejected", reason=error.message)
            raise
        if message.get("Type") == NOTIFICATION:
            try:
                event = msgspec.json.decode(message.get("Message", ""), type=_SesEvent)
            except msgspec.DecodeError:  # SES sends plain text to a new topic
                log.info("ses_message_ignored")
            else:
                await self._handle(event)
        return Response(status_code=204)

    async def _handle(self, event: _SesEvent) -> None:
        deliveries, kind = self._services.deliveries, event.notification_type or event.event_type
        if kind not in {"Bounce", "Complaint", "Delivery"}:
            return
        delivery = await deliveries.find_by_provider_id(event.mail.message_id)
        if delivery is None:
            if elapsed(event.mail.timestamp, self._services.real_clock()) < UNKNOWN_EMAIL_GRACE:
                raise Unavailable("The email is not stored yet. Send the event again.")
            return  # another system sent the email through the same account
        if kind == "Delivery":
            await deliveries.record_provider_status(delivery.id, DeliveryStatus.DELIVERED)
        elif event.bounce and event.bounce.bounce_type == "Permanent":
            await self._suppress(delivery, event.bounce.bounced_recipients, "bounced")
            await deliveries.record_provider_status(delivery.id, DeliveryStatus.FAILED, Reason.ADDRESS_GONE)
        elif event.complaint and event.complaint.complaint_feedback_type != "not-spam":
            await self._suppress(delivery, event.complaint.complained_recipients, "complained")
            await deliveries.record_provider_status(delivery.id, DeliveryStatus.FAILED, Reason.SUPPRESSED)

    async def _suppress(self, delivery: Delivery, recipients: list[_Recipient], why: str) -> None:
        """Suppress the addresses for the user of the delivery. `why`: `bounced` or `complained`."""
        user = await self._services.users.get(delivery.mailbox)
        for address in {parseaddr(recipient.email_address)[1] for recipient in recipients} - {""}:
            if user is None:
                return
            same = user.email and _normalize_address(user.email) == _normalize_address(address)
            try:
                await self._services.users.suppress(user.id, user.email if same and user.email else address, why)
            except NotFound:  # the user was erased in the meantime
                return
        log.info("address_suppressed", why=why, delivery=delivery.id)


def _normalize_address(address: str) -> str:
    """Return the address for comparison. SES returns the domain in ASCII, as in the envelope."""
    local, _, domain = address.strip().lower().rpartition("@")
    try:
        domain = idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        return address.lower()
    return f"{local}@{domain}"
