"""Emails over SMTP and Amazon SES: replies, connections, addresses and settings."""

import asyncio
import ssl
from email.base64mime import decode as base64_decode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hub.email_address import InvalidEmailAddress, envelope_address
from hub.send.channels import email
from hub.send.email_message import build_email
from hub.send.outcome import Dead, Gone, Retry, Sent
from hub.unicode_text import CONTROL_CHARACTERS
from tests.fake_providers import CUT, HANG, FakeAmazon, create_certificate
from tests.provider_setup import (
    ACME,
    PRIVATE_VALUES,
    SENDER,
    FakeServers,
    message_to,
    new_message,
    open_smtp,
    provider_settings,
)

pytestmark = pytest.mark.usefixtures("no_secrets_in_logs")


@pytest.mark.parametrize(
    ("command", "reply", "outcome"),
    [
        ("MAIL", "450 4.7.1 wait", Retry),
        ("MAIL", "530 5.7.0 authentication required", Retry),
        ("MAIL", "550 5.1.1 <{address}> is not a sender", Dead),
        ("RCPT", "450 4.2.0 greylisted", Retry),
        ("RCPT", "452 4.2.2 mailbox full", Retry),
        ("RCPT", "421 4.7.0 closing", Retry),
        ("RCPT", "550 5.1.1 <{address}> unknown", Gone),
        ("RCPT", "550-5.1.1 The account does not exist.\r\n550 5.1.1 Learn more", Gone),
        ("RCPT", "550 5.7.1 relay denied", Dead),
        ("RCPT", "550 no", Dead),
        ("RCPT", "554 5.1.10 null MX", Dead),
        ("DATA", "452 4.3.1 disk full", Retry),
        ("DATA", "552 5.3.4 too large", Dead),
        ("DATA", "554 5.7.1 spam", Dead),
        ("MAIL", "199 no class", Retry),
        ("RCPT", "651 no class", Retry),
        ("DATA", "699 no class", Retry),
        ("DATA", "999 no class", Retry),
    ],
)
async def test_smtp_reply_determines_the_outcome(fakes: FakeServers, command: str, reply: str, outcome: type) -> None:
    server = await fakes.mail_server()
    smtp = await open_smtp(fakes, server)
    server.replies = {command: reply}
    response = await smtp.send(new_message())
    assert isinstance(response, outcome)
    assert PRIVATE_VALUES["address"] not in repr(response)
    server.clear_fault()
    assert isinstance(await smtp.send(new_message()), Sent)


async def test_one_connection_sends_many_emails(fakes: FakeServers) -> None:
    server = await fakes.mail_server()
    smtp = await open_smtp(fakes, server)
    for _ in range(30):
        assert isinstance(await smtp.send(new_message()), Sent)
    assert server.connections == 1


async def test_connections_do_not_exceed_the_setting(fakes: FakeServers) -> None:
    server = await fakes.mail_server()
    smtp = await open_smtp(fakes, server, smtp_max_connections=3)
    outcomes = await asyncio.gather(*(smtp.send(new_message()) for _ in range(60)))
    assert all(isinstance(outcome, Sent) for outcome in outcomes)
    assert len(server.emails) == 60
    assert server.connections <= 3


async def test_connection_closed_by_the_server_costs_no_attempt(fakes: FakeServers) -> None:
    server = await fakes.mail_server()
    smtp = await open_smtp(fakes, server)
    server.close_after = 4  # the server sends 421 to the next MAIL
    for _ in range(10):
        assert isinstance(await smtp.send(new_message()), Sent)
    assert server.connections == 3
    for _ in range(3):
        server.cut()  # without a reply; the client notices now or when the next email begins
        assert isinstance(await smtp.send(new_message()), Sent)
    assert len(server.emails) == 13


async def test_email_cut_off_during_data_is_retried(fakes: FakeServers) -> None:
    server = await fakes.mail_server()
    smtp = await open_smtp(fakes, server)
    await smtp.send(new_message())
    server.replies = {"DATA": CUT}  # the server may have accepted it
    assert isinstance(await smtp.send(new_message()), Retry)
    assert server.connections == 1
    server.clear_fault()
    assert isinstance(await smtp.send(new_message()), Sent)


async def test_idle_connection_is_closed(fakes: FakeServers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(email, "IDLE_S", 0.05)
    server = await fakes.mail_server()
    smtp = await open_smtp(fakes, server)
    await smtp.send(new_message())
    async with asyncio.timeout(60):
        while smtp._idle:
            await asyncio.sleep(0.01)
    assert isinstance(await smtp.send(new_message()), Sent)
    assert server.connections == 2


async def test_hanging_connection_is_not_reused(fakes: FakeServers) -> None:
    server = await fakes.mail_server()
    smtp = await open_smtp(fakes, server, provider_timeout_s=0.5)
    server.replies = {"DATA": HANG}
    assert isinstance(await smtp.send(new_message()), Retry)
    server.clear_fault()
    assert isinstance(await smtp.send(new_message()), Sent)
    assert (server.connections, len(server.emails)) == (2, 1)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "alice",
        "@people.example",
        "alice@",
        "a@b@c.example",
        "a b@c.example",
        "<a@c.example>",
        "a@c.example, b@c.example",
        "a@c.example\r\nRCPT TO:<b@c.example>",
        "a@c.example\nBcc: b@c.example",
        "a\x00@c.example",
        "a\u2028@c.example",
        '"a b@c.example',
        "a@[192.0.2.1]",
        "a@c_d.example",
        "mailto:a@c.example",
        "Alice <a@c.example>",
        "a@c..example",
        "a@-c.example",
        "a@" + "c" * 64 + ".example",
        "a" * 65 + "@c.example",
    ],
)
async def test_invalid_address_is_dead_without_a_connection(fakes: FakeServers, address: str) -> None:
    server = await fakes.mail_server()
    smtp = await open_smtp(fakes, server)
    assert isinstance(await smtp.send(message_to(address)), Dead)
    assert server.connections == 0


@given(st.text(max_size=300))
def test_random_text_is_an_address_or_rejected(text: str) -> None:
    try:
        created = envelope_address(text)
    except InvalidEmailAddress:
        return
    assert created.count("@") == 1
    assert not CONTROL_CHARACTERS.search(created)
    assert not any(c.isspace() or c in '<>,;:"' for c in created)
    assert envelope_address(created) == created


async def test_starttls_with_password_sends(
    fakes: FakeServers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certified, key = create_certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certified, key)
    server = await fakes.mail_server(starttls=context, password="a-mail-p@ss")

    untrusting = await open_smtp(fakes, server, query="?starttls=on", login="me:a-mail-p%40ss@")
    assert isinstance(await untrusting.send(new_message()), Retry)
    assert not server.emails

    monkeypatch.setenv("SSL_CERT_FILE", str(certified))
    smtp = await open_smtp(fakes, server, query="?starttls=on", login="me:a-mail-p%40ss@")
    assert isinstance(await smtp.send(new_message()), Sent)
    invalid = await open_smtp(fakes, server, query="?starttls=on", login="me:another@")
    response = await invalid.send(new_message())
    assert isinstance(response, Retry)
    assert response.error.startswith("535")

    bare = await fakes.mail_server()
    smtp = await open_smtp(fakes, bare, query="?starttls=on")
    assert isinstance(await smtp.send(new_message()), Retry)
    assert not bare.emails


async def test_smtps_sends(fakes: FakeServers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certified, key = create_certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certified, key)
    server = await fakes.mail_server(tls=context)
    assert isinstance(await (await open_smtp(fakes, server, "smtps")).send(new_message()), Retry)
    monkeypatch.setenv("SSL_CERT_FILE", str(certified))
    assert isinstance(await (await open_smtp(fakes, server, "smtps")).send(new_message()), Sent)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("smtp_url", "mail.example.org:587"),
        ("smtp_url", "http://mail.example.org"),
        ("smtp_url", "smtp://mail.example.org?tls=no"),
        ("smtp_url", "smtp://me:secret@mail.example.org?starttls=off"),
        ("smtp_url", "smtp://mail.example.org:port"),
        ("smtp_url", "smtp://me:pass/word@mail.example.org"),
        ("smtp_from", "Acme"),
        ("ses_from", "Acme <no-reply>"),
        ("vapid_private_key", "x"),
    ],
)
def test_invalid_smtp_setting_is_rejected(name: str, value: str) -> None:
    with pytest.raises(ValidationError):
        provider_settings(**{name: value})


async def test_smtp_is_tried_before_ses(fakes: FakeServers) -> None:
    await fakes.amazon()
    server = await fakes.mail_server()
    fields = provider_settings(smtp_url=f"smtp://127.0.0.1:{server.port}", smtp_from=SENDER, ses_from=SENDER)
    providers = await email.create_providers(fakes.resources(fields))
    assert [provider.name for provider in providers] == ["smtp", "ses"]
    assert await email.create_providers(fakes.resources(provider_settings())) == ()


async def test_ses_gets_the_same_email(fakes: FakeServers) -> None:
    amazon = await fakes.amazon()
    [ses] = await email.create_providers(fakes.resources(provider_settings(ses_from=SENDER)))
    await ses._client.create_email_identity(EmailIdentity=ACME.address)  # type: ignore[attr-defined]
    amazon.requests.clear()
    sent = new_message(n_title="Größe")
    outcome = await ses.send(sent)
    assert isinstance(outcome, Sent)
    assert outcome.provider_id
    [(path, requested)] = amazon.requests
    assert path == "/v2/email/outbound-emails"
    assert requested["Destination"] == {"ToAddresses": [PRIVATE_VALUES["address"]]}
    assert base64_decode(requested["Content"]["Raw"]["Data"]) == build_email(sent, ACME).data
    assert isinstance(await ses.send(message_to("jürgen@people.example")), Dead)


@pytest.mark.parametrize(
    ("status", "code", "outcome"),
    [
        (400, "MessageRejected", Dead),
        (400, "BadRequestException", Dead),
        (400, "AccountSuspendedException", Retry),
        (400, "SendingPausedException", Retry),
        (400, "LimitExceededException", Retry),
        (400, "MailFromDomainNotVerifiedException", Retry),
        (429, "TooManyRequestsException", Retry),
        (403, "SignatureDoesNotMatch", Retry),
        (403, "ExpiredTokenException", Retry),
        (500, "InternalServerErrorException", Retry),
        (502, "MessageRejected", Retry),
    ],
)
async def test_ses_error_determines_the_outcome(
    fakes: FakeServers, status: int, code: str, outcome: type[Dead | Retry]
) -> None:
    amazon = await fakes.amazon()
    [ses] = await email.create_providers(fakes.resources(provider_settings(ses_from=SENDER)))
    amazon.fault = FakeAmazon.json_error(status, code, f"about {PRIVATE_VALUES['address']}")
    response = await ses.send(new_message())
    assert isinstance(response, outcome)
    assert response.error == f"{code}: about (address)"
    assert amazon.calls == 1
