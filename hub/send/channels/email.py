"""The EMAIL channel, over SMTP or through Amazon SES.

Emails are sent over a pool of SMTP connections. Each connection sends one email at a time. A connection is reused until
it is idle for IDLE_S, the server closes it, or its state is unknown. Before an email is sent, a connection that the
server has closed is detected and replaced. If a connection breaks later, the email may have arrived; it is sent again
with the same Message-ID.
"""

import asyncio
import re
import socket
import ssl
from contextlib import suppress
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from aiosmtplib import (
    SMTP,
    SMTPDataError,
    SMTPException,
    SMTPRecipientRefused,
    SMTPResponseException,
    SMTPSenderRefused,
    SMTPServerDisconnected,
)

from hub.model import Channel
from hub.send import aws, email_body
from hub.send.channel import ChannelResources
from hub.send.email_message import Email, InvalidAddress, Sender, build_email, parse_sender
from hub.send.message import Message, Preview, Provider
from hub.send.outcome import Dead, Gone, Outcome, Retry, Sent, sanitize_error
from hub.settings import Settings

CHANNEL = Channel.EMAIL

IDLE_S = 30.0  # servers close idle connections after 10 s to 5 min
QUIT_S = 1.0
CLOSING = 421  # RFC 5321: the server closes the connection, whatever the command was
AUTH_ERRORS = {530, 534, 535, 538}  # RFC 4954: concerns the credentials of the hub, not the message
NO_SUCH_MAILBOX = re.compile(r"5\.1\.1\b")  # RFC 3463; a 550 without this code may also be caused by a policy
QUEUED_AS = re.compile(r"queued as <?([\w.-]+)", re.IGNORECASE)

SES_DEAD = {"MessageRejected", "BadRequestException"}


async def create_providers(resources: ChannelResources) -> tuple[Provider, ...]:
    """Return the configured providers: SMTP first, then SES."""
    settings, stack = resources.settings, resources.stack
    providers: list[Provider] = []
    if settings.smtp_url and settings.smtp_from:
        smtp = Smtp(settings, await asyncio.to_thread(socket.getfqdn))
        stack.push_async_callback(smtp.aclose)
        providers.append(smtp)
    if settings.ses_from:
        client = await aws.open_client("sesv2", settings, stack)
        providers.append(Ses(client, parse_sender(settings.ses_from), settings.provider_timeout_s))
    return tuple(providers)


def preview(message: Message) -> Preview:
    """Return the email that would be sent."""
    return Preview(message.notification.title, email_body.text(message), email_body.html(message))


class Smtp:
    """A mail server. `smtp://` requires STARTTLS unless the host is this machine; `?starttls=on` or `?starttls=off`
    overrides this. `smtps://` uses TLS from the start. Certificates are verified."""

    name = "smtp"

    def __init__(self, settings: Settings, helo: str) -> None:
        url = urlsplit(settings.smtp_url)
        self.timeout_s = settings.provider_timeout_s
        self._sender = parse_sender(settings.smtp_from)
        tls = url.scheme == "smtps"
        option = parse_qs(url.query).get("starttls", [""])[0]
        start_tls = not tls and (option == "on" or (option != "off" and not _is_loopback(url.hostname or "")))
        self._options: dict[str, Any] = {
            "hostname": url.hostname,
            "port": url.port or (465 if tls else 587 if start_tls else 25),
            "username": unquote(url.username) if url.username else None,
            "password": unquote(url.password) if url.password else None,
            "use_tls": tls,
            "start_tls": start_tls,
            "tls_context": ssl.create_default_context() if tls or start_tls else None,
            "local_hostname": helo,
            "timeout": self.timeout_s,
        }
        self._slots = asyncio.Semaphore(settings.smtp_max_connections)
        self._idle: dict[SMTP, asyncio.TimerHandle] = {}

    def breakers(self, message: Message) -> tuple[str, ...]:  # noqa: ARG002 - all mails go to the same server
        return (self.name,)

    async def send(self, message: Message) -> Outcome:
        try:
            email = build_email(message, self._sender)
        except InvalidAddress as error:
            return Dead(str(error))
        try:
            async with asyncio.timeout(self.timeout_s), self._slots:
                return await self._deliver(email)
        except TimeoutError:  # SMTPTimeoutError is a subclass
            return Retry("no response in time")
        except SMTPResponseException as error:  # an error before the message: greeting, EHLO, STARTTLS, or AUTH
            return Retry(sanitize_error(f"{error.code} {error.message}"))
        except SMTPException as error:
            return Retry(sanitize_error(error.message))
        except OSError as error:
            return Retry(sanitize_error(error.strerror or type(error).__name__))

    async def aclose(self) -> None:
        """Close all idle connections with QUIT."""
        idle = [*self._idle]
        for smtp in idle:
            self._take_idle(smtp)
        await asyncio.gather(*(_quit(smtp) for smtp in idle))

    async def _deliver(self, mail: Email) -> Outcome:
        while self._idle:  # reuse the newest: unused connections expire
            smtp = next(reversed(self._idle))
            self._take_idle(smtp)
            if outcome := await self._send_over(smtp, mail, used=True):
                return outcome
        smtp = SMTP(**self._options)
        await smtp.connect()
        outcome = await self._send_over(smtp, mail, used=False)
        assert outcome
        return outcome

    async def _send_over(self, smtp: SMTP, mail: Email, *, used: bool) -> Outcome | None:
        """Send one email over one connection, and keep the connection if no error occurs. Return None if the connection
        is `used` and the server closed it before the email was sent."""
        begun, keep = False, False
        try:
            if mail.utf8 and not smtp.supports_extension("smtputf8"):
                keep = True
                return Dead("the mail server takes no address with letters beyond ASCII before its @ (SMTPUTF8)")
            options = ["SMTPUTF8"] if mail.utf8 else []
            encoding = "utf-8" if mail.utf8 else "ascii"
            await smtp.mail(mail.sender, options=options, encoding=encoding)
            begun = True
            await smtp.rcpt(mail.recipient, encoding=encoding)
            response = await smtp.data(mail.data)
            keep = True
            queued = QUEUED_AS.search(response.message)
            return Sent(queued[1] if queued else None)
        except SMTPServerDisconnected:
            if used and not begun:
                return None
            raise
        except (SMTPSenderRefused, SMTPRecipientRefused, SMTPDataError) as error:
            if error.code == CLOSING:
                return None if used and not begun else Retry(sanitize_error(f"{error.code} {error.message}"))
            with suppress(SMTPException):
                await smtp.rset()
                keep = True
            return _outcome_of_reply(error)
        finally:
            if keep and smtp.is_connected:
                self._idle[smtp] = asyncio.get_running_loop().call_later(IDLE_S, self._close_idle, smtp)
            else:
                smtp.close()

    def _take_idle(self, smtp: SMTP) -> None:
        self._idle.pop(smtp).cancel()

    def _close_idle(self, smtp: SMTP) -> None:
        del self._idle[smtp]
        smtp.close()


class Ses:
    """Amazon SES with API version 2. SES replaces the Message-ID."""

    name = "ses"

    def __init__(self, client: Any, sender: Sender, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._client, self._sender = client, sender

    def breakers(self, message: Message) -> tuple[str, ...]:  # noqa: ARG002 - all mails go to the same service
        return (self.name,)

    async def send(self, message: Message) -> Outcome:
        try:
            email = build_email(message, self._sender)
        except InvalidAddress as error:
            return Dead(str(error))
        if email.utf8:
            return Dead("Amazon SES takes no address with letters beyond ASCII before its @")
        try:
            async with asyncio.timeout(self.timeout_s):
                response = await self._client.send_email(
                    Destination={"ToAddresses": [email.recipient]}, Content={"Raw": {"Data": email.data}}
                )
        except aws.AWS_ERRORS as error:
            return aws.outcome_of_error(error, dead_codes=SES_DEAD)
        return Sent(response["MessageId"])


def _outcome_of_reply(error: SMTPResponseException) -> Retry | Dead | Gone:
    """Return the outcome of an error reply. Only `no such mailbox` means that the address no longer exists. A temporary
    error for one recipient, such as greylisting or a full mailbox, is not a failure of the server."""
    text = sanitize_error(f"{error.code} {error.message}")
    if not 500 <= error.code < 600 or error.code in AUTH_ERRORS:  # an unknown class is not a permanent error
        of_recipient = isinstance(error, SMTPRecipientRefused) and error.code not in AUTH_ERRORS
        return Retry(text, shared=False if of_recipient else None)
    if not isinstance(error, SMTPSenderRefused) and NO_SUCH_MAILBOX.match(error.message):
        return Gone(text)
    return Dead(text)


async def _quit(smtp: SMTP) -> None:
    with suppress(SMTPException, OSError, TimeoutError):
        await smtp.quit(timeout=QUIT_S)
    smtp.close()


def _is_loopback(host: str) -> bool:
    """Return True if the host is this machine."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
