"""Mails as a mail server and as Amazon SES get them."""

import asyncio
import email as email_library
import email.policy
import ssl
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from hub.mail_address import InvalidMailAddress, envelope_address
from hub.model import Action
from hub.send.channels import email
from hub.send.mail import Sender, build_email
from hub.send.outcome import Dead, Gone, Retry, Sent
from hub.text import CONTROL_CHARACTERS
from tests.fake_providers import CUT, HANG, Amazon, MailServer, certificate
from tests.worlds import PRIVATE, SENDER, World, message, settings, to

pytestmark = pytest.mark.usefixtures("nothing_private")

ACME = Sender("Acme", "no-reply@acme.example")
HEADERS = ["Date", "From", "To", "Subject", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"]
UNSUBSCRIBE = ["List-Unsubscribe", "List-Unsubscribe-Post"]


async def opened(world: World, server: MailServer, scheme: str = "smtp", query: str = "", **more: Any) -> email.Smtp:
    login = more.pop("login", "")
    url = f"{scheme}://{login}127.0.0.1:{server.port}{query}"
    [smtp] = await email.create_providers(settings(smtp_url=url, email_from=SENDER, **more), world.egress, world.stack)
    assert isinstance(smtp, email.Smtp)
    return smtp


async def test_mail_has_both_parts_and_the_headers_that_programs_ask_for(world: World) -> None:
    server = await world.mail_server()
    smtp = await opened(world, server)
    sent = message(n_title="Grüße ✓ aus Köln", n_body="One.\n\nSee https://ci.example/1?a=b&c=d.\n.dot")
    assert await smtp.send(sent) == Sent("000001")
    [mail] = server.mails
    assert mail.keys() == [*HEADERS, *UNSUBSCRIBE]
    assert mail["Message-ID"] == f"<{sent.id}@acme.example>"
    assert mail["From"] == SENDER
    assert mail["To"] == PRIVATE["address"]
    assert mail["Subject"] == "Grüße ✓ aus Köln"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["List-Unsubscribe"] == f"<{PRIVATE['unsubscribe']}>"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail["Date"].datetime == sent.created_at
    plain, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain
    assert html
    assert (
        plain.get_content()
        .replace("\r\n", "\n")
        .startswith("Grüße ✓ aus Köln\n\nOne.\n\nSee https://ci.example/1?a=b&c=d.\n.dot\n\n")
    )
    assert PRIVATE["unsubscribe"] in plain.get_content()
    assert '<a href="https://ci.example/1?a=b&amp;c=d"' in html.get_content()
    assert "Unsubscribe from Build results" in html.get_content()


async def test_every_attempt_is_the_same_mail(world: World) -> None:
    server = await world.mail_server()
    smtp, sent = await opened(world, server), message()
    server.says = {"DATA": "451 4.3.0 later"}
    assert isinstance(await smtp.send(sent), Retry)
    server.heal()
    for _ in range(2):
        assert isinstance(await smtp.send(sent), Sent)
    assert server.envelopes[0].content == server.envelopes[1].content


@pytest.mark.parametrize(
    ("command", "reply", "outcome"),
    [
        ("MAIL", "450 4.7.1 wait", Retry),
        ("MAIL", "530 5.7.0 authentication required", Retry),
        ("MAIL", "550 5.1.1 <{address}> is no sender", Dead),
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
async def test_reply_is_told_apart(world: World, command: str, reply: str, outcome: type) -> None:
    server = await world.mail_server()
    smtp = await opened(world, server)
    server.says = {command: reply}
    answer = await smtp.send(message())
    assert isinstance(answer, outcome)
    assert PRIVATE["address"] not in repr(answer)
    server.heal()
    assert isinstance(await smtp.send(message()), Sent)


async def test_one_connection_carries_many_mails(world: World) -> None:
    server = await world.mail_server()
    smtp = await opened(world, server)
    for _ in range(30):
        assert isinstance(await smtp.send(message()), Sent)
    assert server.connections == 1


async def test_no_more_connections_than_the_setting_says(world: World) -> None:
    server = await world.mail_server()
    smtp = await opened(world, server, smtp_connections=3)
    outcomes = await asyncio.gather(*(smtp.send(message()) for _ in range(60)))
    assert all(isinstance(outcome, Sent) for outcome in outcomes)
    assert len(server.mails) == 60
    assert server.connections <= 3


async def test_connection_that_the_server_ended_costs_no_attempt(world: World) -> None:
    server = await world.mail_server()
    smtp = await opened(world, server)
    server.ends_after = 4  # and then says 421 to the next MAIL
    for _ in range(10):
        assert isinstance(await smtp.send(message()), Sent)
    assert server.connections == 3
    for _ in range(3):
        server.cut()  # without a word; it may be seen now, or only as the next mail begins
        assert isinstance(await smtp.send(message()), Sent)
    assert len(server.mails) == 13


async def test_mail_that_was_cut_off_waits_for_its_next_attempt(world: World) -> None:
    server = await world.mail_server()
    smtp = await opened(world, server)
    await smtp.send(message())
    server.says = {"DATA": CUT}  # the server may have it
    assert isinstance(await smtp.send(message()), Retry)
    assert server.connections == 1
    server.heal()
    assert isinstance(await smtp.send(message()), Sent)


async def test_idle_connection_is_closed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(email, "IDLE_S", 0.05)
    server = await world.mail_server()
    smtp = await opened(world, server)
    await smtp.send(message())
    async with asyncio.timeout(10):
        while smtp._idle:
            await asyncio.sleep(0.01)
    assert isinstance(await smtp.send(message()), Sent)
    assert server.connections == 2


async def test_hanging_connection_is_not_used_again(world: World) -> None:
    server = await world.mail_server()
    smtp = await opened(world, server, provider_timeout_s=0.5)
    server.says = {"DATA": HANG}
    assert isinstance(await smtp.send(message()), Retry)
    server.heal()
    assert isinstance(await smtp.send(message()), Sent)
    assert (server.connections, len(server.mails)) == (2, 1)


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
async def test_what_is_no_address_is_dead_and_reaches_no_server(world: World, address: str) -> None:
    server = await world.mail_server()
    smtp = await opened(world, server)
    assert isinstance(await smtp.send(to(address)), Dead)
    assert server.connections == 0


async def test_letters_beyond_ascii_in_an_address(world: World) -> None:
    server = await world.mail_server()
    smtp = await opened(world, server)
    assert isinstance(await smtp.send(to("info@straße.example")), Sent)
    assert server.envelopes[0].rcpt_tos == ["info@xn--strae-oqa.example"]
    assert server.mails[0]["To"] == "info@xn--strae-oqa.example"
    assert isinstance(await smtp.send(to("jürgen@straße.example")), Sent)
    assert server.envelopes[1].rcpt_tos == ["jürgen@xn--strae-oqa.example"]
    assert server.mails[1]["To"] == "jürgen@xn--strae-oqa.example"
    assert "SMTPUTF8" in server.envelopes[1].mail_options

    old = await world.mail_server(utf8=False)
    smtp = await opened(world, old)
    answer = await smtp.send(to("jürgen@people.example"))
    assert isinstance(answer, Dead)
    assert "SMTPUTF8" in answer.error
    assert isinstance(await smtp.send(message()), Sent)
    assert old.connections == 1


@example(title="", name=".", body="")
@example(title="", name="Acme Inc.", body="")
@given(
    title=st.text(max_size=300)
    | st.sampled_from(
        [
            "a\r\nBcc: eve@evil.example",
            "a\n\nbody",
            "=?utf-8?q?a=0D=0ABcc:_eve=40evil.example?=",
            "=?utf-8?b?YQ==?= and more",
            "a\u2028Bcc: eve@evil.example",
            "x" * 256,
            "word " * 50,
            "👩‍👩‍👧" * 80,
        ]
    ),
    name=st.text(max_size=80),
    body=st.text(max_size=2000),
)
def test_whatever_people_write_stays_where_it_belongs(title: str, name: str, body: str) -> None:
    title, body = (text.encode(errors="replace").decode() for text in (title, body))
    name = name.encode(errors="replace").decode()
    sent = message(n_title=title, n_body=body, t_name=name)
    made = build_email(sent, Sender(" ".join(CONTROL_CHARACTERS.sub(" ", name).split()), ACME.address))
    assert made.data.isascii()
    assert all(len(line) <= 998 and b"\n" not in line and b"\r" not in line for line in made.data.split(b"\r\n"))
    parsed = email_library.message_from_bytes(made.data, policy=email_library.policy.default)
    assert parsed.keys() == [*HEADERS, *UNSUBSCRIBE]
    assert parsed["Subject"] == " ".join(CONTROL_CHARACTERS.sub(" ", title).split())
    assert [part.get_content_type() for part in parsed.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    assert not parsed.defects
    [sender] = parsed["From"].addresses
    said = "".join(sender.display_name.split())  # Python's parser puts a space between encoded words of a name
    assert (said, sender.addr_spec) == ("".join(CONTROL_CHARACTERS.sub(" ", name).split()), ACME.address)


class Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.handlers: list[str] = []
        self.styles: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in {"href", "src"}]
        self.styles += [value or "" for name, value in attrs if name == "style"]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "https://ok.example/\"onclick='x'",
    "//evil.example/x",
    "https://[::1",
    "JaVaScRiPt:alert(1)//https://x.example",
    "--><script>",
    "</title><script>",
    "#4f46e5;background:url(https://evil.example/x)",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_html_holds_no_tag_and_no_link_that_people_wrote(text: str) -> None:
    shown = email.preview(
        message(
            n_title=text,
            n_body=text,
            n_because=text,
            n_action_url=text,
            n_image_url=text,
            n_actions=(Action(key="k", label=text, url=text), Action(key="l", label=text, url="https://ok.example")),
            n_category=text,
            t_name=text,
            t_logo_url=text,
            t_color=text,
        )
    )
    assert shown.html
    seen = Tags(shown.html)
    assert seen.tags <= {
        *[
            "html",
            "head",
            "meta",
            "title",
            "style",
            "body",
            "div",
            "table",
            "tbody",
            "tr",
            "td",
            "img",
            "h1",
            "p",
            "a",
            "br",
        ]
    }
    assert all(link.startswith(("https://", "http://")) for link in seen.links)
    assert not seen.handlers
    assert not any("url(" in style for style in seen.styles)


def test_shown_is_what_is_sent() -> None:
    sent = message(n_actions=(Action(key="open", label="Open build", url="https://ci.example/1", primary=True),))
    shown = email.preview(sent)
    parsed = email_library.message_from_bytes(build_email(sent, ACME).data, policy=email_library.policy.default)
    plain, html = parsed.get_body(("plain",)), parsed.get_body(("html",))
    assert plain
    assert html
    contents = [part.get_content().replace("\r\n", "\n") for part in (plain, html)]
    assert contents == [shown.text, shown.html]
    assert shown.subject == PRIVATE["title"]
    assert "Open build: https://ci.example/1" in shown.text


@given(st.text(max_size=300))
def test_mailbox_is_an_address_or_refused(text: str) -> None:
    try:
        made = envelope_address(text)
    except InvalidMailAddress:
        return
    assert made.count("@") == 1
    assert not CONTROL_CHARACTERS.search(made)
    assert not any(c.isspace() or c in '<>,;:"' for c in made)
    assert envelope_address(made) == made


async def test_starttls_and_password(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certified, key = certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certified, key)
    server = await world.mail_server(starttls=context, password="a-mail-p@ss")

    untrusting = await opened(world, server, query="?starttls=on", login="me:a-mail-p%40ss@")
    assert isinstance(await untrusting.send(message()), Retry)
    assert not server.mails

    monkeypatch.setenv("SSL_CERT_FILE", str(certified))
    smtp = await opened(world, server, query="?starttls=on", login="me:a-mail-p%40ss@")
    assert isinstance(await smtp.send(message()), Sent)
    wrong = await opened(world, server, query="?starttls=on", login="me:another@")
    answer = await wrong.send(message())
    assert isinstance(answer, Retry)
    assert answer.error.startswith("535")

    bare = await world.mail_server()
    smtp = await opened(world, bare, query="?starttls=on")
    assert isinstance(await smtp.send(message()), Retry)
    assert not bare.mails


async def test_smtps(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certified, key = certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certified, key)
    server = await world.mail_server(tls=context)
    assert isinstance(await (await opened(world, server, "smtps")).send(message()), Retry)
    monkeypatch.setenv("SSL_CERT_FILE", str(certified))
    assert isinstance(await (await opened(world, server, "smtps")).send(message()), Sent)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("smtp_url", "mail.example.org:587"),
        ("smtp_url", "http://mail.example.org"),
        ("smtp_url", "smtp://mail.example.org?tls=no"),
        ("smtp_url", "smtp://me:secret@mail.example.org?starttls=off"),
        ("smtp_url", "smtp://mail.example.org:port"),
        ("smtp_url", "smtp://me:pass/word@mail.example.org"),
        ("email_from", "Acme"),
        ("ses_from", "Acme <no-reply>"),
        ("vapid_private_key", "x"),
    ],
)
def test_setting_that_can_not_be_used_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValidationError):
        settings(**{name: value})


async def test_smtp_is_tried_before_ses(world: World) -> None:
    await world.amazon()
    server = await world.mail_server()
    given = settings(smtp_url=f"smtp://127.0.0.1:{server.port}", email_from=SENDER, ses_from=SENDER)
    providers = await email.create_providers(given, world.egress, world.stack)
    assert [provider.name for provider in providers] == ["smtp", "ses"]
    assert await email.create_providers(settings(), world.egress, world.stack) == ()


async def test_ses_gets_the_same_mail(world: World) -> None:
    amazon = await world.amazon()
    [ses] = await email.create_providers(settings(ses_from=SENDER), world.egress, world.stack)
    await ses._client.create_email_identity(EmailIdentity=ACME.address)  # type: ignore[attr-defined]
    amazon.requests.clear()
    sent = message(n_title="Größe")
    outcome = await ses.send(sent)
    assert isinstance(outcome, Sent)
    assert outcome.provider_id
    [(path, asked)] = amazon.requests
    assert path == "/v2/email/outbound-emails"
    assert asked["Destination"] == {"ToAddresses": [PRIVATE["address"]]}
    assert email_library.base64mime.decode(asked["Content"]["Raw"]["Data"]) == build_email(sent, ACME).data
    assert isinstance(await ses.send(to("jürgen@people.example")), Dead)


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
async def test_ses_error_is_told_apart(world: World, status: int, code: str, outcome: type) -> None:
    amazon = await world.amazon()
    [ses] = await email.create_providers(settings(ses_from=SENDER), world.egress, world.stack)
    amazon.fault = Amazon.json_error(status, code, f"about {PRIVATE['address']}")
    answer = await ses.send(message())
    assert isinstance(answer, outcome)
    assert answer.error == f"{code}: about (address)"
    assert amazon.calls == 1
