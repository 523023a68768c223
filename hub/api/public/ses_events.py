"""The doors of providers, who tell what became of messages after they took them: `/providers/ses`, bounces, complaints
and deliveries of Amazon SES, through a topic of Amazon SNS."""

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
from hub.api.responses import json_errors, read_body
from hub.errors import Forbidden, NotFound, Unavailable
from hub.model import Delivery, DeliveryStatus, Reason

UNKNOWN_MAIL_GRACE = timedelta(minutes=1)
"""A bounce may come before the worker has noted the number of its mail. Amazon tells it again."""

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
    """What SES tells, as a notification of an identity or as an event of a configuration set."""

    mail: _Mail
    notification_type: str = ""
    event_type: str = ""
    bounce: _Bounce | None = None
    complaint: _Complaint | None = None


def provider_routes(services: Services) -> list[BaseRoute]:
    """Their routes."""
    elsewhere = os.environ.get("AWS_ENDPOINT_URL_SNS") or os.environ.get("AWS_ENDPOINT_URL") or ""
    door = SESEndpoint(services, SNSVerifier(services.outbound_http, services.settings.sns_topics, elsewhere))
    return [Route("/providers/ses", json_errors(door.receive), methods=["POST"])]


class SESEndpoint:
    def __init__(self, services: Services, sns: SNSVerifier) -> None:
        self._services = services
        self._sns = sns
        self._refused: set[str] = set()

    async def receive(self, request: Request) -> Response:
        body = await read_body(request, self._services.settings)
        try:
            message = await self._sns.verify(body)
            if message.get("Type") == CONFIRMATION:
                await self._sns.confirm(message)
        except Forbidden as error:
            if error.message not in self._refused:  # each once: anybody may come here
                self._refused.add(error.message)
                log.warning("sns_refused", why=error.message)
            raise
        if message.get("Type") == NOTIFICATION:
            try:
                told = msgspec.json.decode(message.get("Message", ""), type=_SesEvent)
            except msgspec.DecodeError:  # SES greets a new topic with a sentence
                log.info("ses_told_something_else")
            else:
                await self._handle(told)
        return Response(status_code=204)

    async def _handle(self, told: _SesEvent) -> None:
        deliveries, kind = self._services.deliveries, told.notification_type or told.event_type
        if kind not in {"Bounce", "Complaint", "Delivery"}:
            return
        delivery = await deliveries.find_by_provider_id(told.mail.message_id)
        if delivery is None:
            if self._services.clock() - told.mail.timestamp < UNKNOWN_MAIL_GRACE:
                raise Unavailable("This mail is not known yet.")
            return  # of somebody else who sends through the same account
        if kind == "Delivery":
            await deliveries.record_provider_status(delivery.id, DeliveryStatus.DELIVERED)
        elif told.bounce and told.bounce.bounce_type == "Permanent":
            await self._suppress(delivery, told.bounce.bounced_recipients, "bounced")
            await deliveries.record_provider_status(delivery.id, DeliveryStatus.FAILED, Reason.ADDRESS_GONE)
        elif told.complaint and told.complaint.complaint_feedback_type != "not-spam":
            await self._suppress(delivery, told.complaint.complained_recipients, "complained")
            await deliveries.record_provider_status(delivery.id, DeliveryStatus.FAILED, Reason.SUPPRESSED)

    async def _suppress(self, delivery: Delivery, recipients: list[_Recipient], why: str) -> None:
        user = await self._services.users.get(delivery.mailbox)
        for address in {parseaddr(recipient.email_address)[1] for recipient in recipients} - {""}:
            if user is None:
                return
            mine = (
                user.email if user.email and _normalize_address(user.email) == _normalize_address(address) else address
            )
            try:
                await self._services.users.suppress(user.id, mine, why)
            except NotFound:  # erased meanwhile
                return
        log.info("address_suppressed", why=why, delivery=delivery.id)


def _normalize_address(address: str) -> str:
    """For comparing: SES tells the domain as it was in the envelope, in ASCII."""
    local, _, domain = address.strip().lower().rpartition("@")
    try:
        domain = idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        return address.lower()
    return f"{local}@{domain}"
