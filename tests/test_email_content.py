"""Headers, text and HTML of emails."""

from email import message_from_bytes, policy
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hub.model import Action
from hub.send.channels import email
from hub.send.email_message import Sender, build_email
from hub.send.outcome import Dead, Retry, Sent
from hub.unicode_text import CONTROL_CHARACTERS
from tests.provider_setup import ACME, PRIVATE_VALUES, SENDER, FakeServers, message_to, new_message, open_smtp

HEADERS = ["Date", "From", "To", "Subject", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"]
UNSUBSCRIBE = ["List-Unsubscribe", "List-Unsubscribe-Post"]


async def test_email_has_both_parts_and_the_required_headers(fakes: FakeServers) -> None:
    server = await fakes.mail_server()
    smtp = await open_smtp(fakes, server)
    sent = new_message(n_title="Grüße ✓ aus Köln", n_body="One.\n\nSee https://ci.example/1?a=b&c=d.\n.dot")
    assert await smtp.send(sent) == Sent("000001")
    [message] = server.emails
    assert message.keys() == [*HEADERS, *UNSUBSCRIBE]
    assert message["Message-ID"] == f"<{sent.id}@acme.example>"
    assert message["From"] == SENDER
    assert message["To"] == PRIVATE_VALUES["address"]
    assert message["Subject"] == "Grüße ✓ aus Köln"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["List-Unsubscribe"] == f"<{PRIVATE_VALUES['unsubscribe']}>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["Date"].datetime == sent.created_at
    plain, html = message.get_body(("plain",)), message.get_body(("html",))
    assert plain
    assert html
    assert (
        plain.get_content()
        .replace("\r\n", "\n")
        .startswith("Grüße ✓ aus Köln\n\nOne.\n\nSee https://ci.example/1?a=b&c=d.\n.dot\n\n")
    )
    assert PRIVATE_VALUES["unsubscribe"] in plain.get_content()
    assert '<a href="https://ci.example/1?a=b&amp;c=d"' in html.get_content()
    assert "Unsubscribe from Build results" in html.get_content()


async def test_every_attempt_sends_the_same_email(fakes: FakeServers) -> None:
    server = await fakes.mail_server()
    smtp, sent = await open_smtp(fakes, server), new_message()
    server.replies = {"DATA": "451 4.3.0 later"}
    assert isinstance(await smtp.send(sent), Retry)
    server.clear_fault()
    for _ in range(2):
        assert isinstance(await smtp.send(sent), Sent)
    assert server.envelopes[0].content == server.envelopes[1].content


async def test_non_ascii_address_is_encoded_or_sent_with_smtputf8(fakes: FakeServers) -> None:
    server = await fakes.mail_server()
    smtp = await open_smtp(fakes, server)
    assert isinstance(await smtp.send(message_to("info@straße.example")), Sent)
    assert server.envelopes[0].rcpt_tos == ["info@xn--strae-oqa.example"]
    assert server.emails[0]["To"] == "info@xn--strae-oqa.example"
    assert isinstance(await smtp.send(message_to("jürgen@straße.example")), Sent)
    assert server.envelopes[1].rcpt_tos == ["jürgen@xn--strae-oqa.example"]
    assert server.emails[1]["To"] == "jürgen@xn--strae-oqa.example"
    assert "SMTPUTF8" in server.envelopes[1].mail_options

    old = await fakes.mail_server(utf8=False)
    smtp = await open_smtp(fakes, old)
    response = await smtp.send(message_to("jürgen@people.example"))
    assert isinstance(response, Dead)
    assert "SMTPUTF8" in response.error
    assert isinstance(await smtp.send(new_message()), Sent)
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
def test_user_text_cannot_change_the_structure_of_the_email(title: str, name: str, body: str) -> None:
    title, body = (text.encode(errors="replace").decode() for text in (title, body))
    name = name.encode(errors="replace").decode()
    sent = new_message(n_title=title, n_body=body, t_name=name)
    created = build_email(sent, Sender(" ".join(CONTROL_CHARACTERS.sub(" ", name).split()), ACME.address))
    assert created.data.isascii()
    assert all(len(line) <= 998 and b"\n" not in line and b"\r" not in line for line in created.data.split(b"\r\n"))
    parsed = message_from_bytes(created.data, policy=policy.default)
    assert parsed.keys() == [*HEADERS, *UNSUBSCRIBE]
    assert parsed["Subject"] == " ".join(CONTROL_CHARACTERS.sub(" ", title).split())
    assert [part.get_content_type() for part in parsed.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    assert not parsed.defects
    [sender] = parsed["From"].addresses
    output = "".join(sender.display_name.split())  # Python's parser adds a space between encoded words of a name
    assert (output, sender.addr_spec) == ("".join(CONTROL_CHARACTERS.sub(" ", name).split()), ACME.address)


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
def test_html_contains_no_tag_or_link_from_user_text(text: str) -> None:
    displayed = email.preview(
        new_message(
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
    assert displayed.html
    seen = Tags(displayed.html)
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


def test_preview_is_what_is_sent() -> None:
    sent = new_message(n_actions=(Action(key="open", label="Open build", url="https://ci.example/1", primary=True),))
    displayed = email.preview(sent)
    parsed = message_from_bytes(build_email(sent, ACME).data, policy=policy.default)
    plain, html = parsed.get_body(("plain",)), parsed.get_body(("html",))
    assert plain
    assert html
    contents = [part.get_content().replace("\r\n", "\n") for part in (plain, html)]
    assert contents == [displayed.text, displayed.html]
    assert displayed.subject == PRIVATE_VALUES["title"]
    assert "Open build: https://ci.example/1" in displayed.text
