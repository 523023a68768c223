"""The layout of an email: links, text direction, buttons and headers."""

# ruff: noqa: RUF001 - some tests need full-width punctuation

import itertools
import re
from email import message_from_bytes, policy
from email.header import decode_header
from html import unescape
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hub.model import Action, User
from hub.send.channels import email
from hub.send.email_message import Sender, build_email
from hub.send.url_finder import find_addresses
from tests.provider_setup import NOW, FakeServers, message_to, new_message, provider_settings


def reader(locale: str) -> User:
    return User(id="acme/alice", created_at=NOW, updated_at=NOW, email="alice@people.example", locale=locale)


def html_of(**fields: object) -> str:
    html = email.preview(new_message(**fields)).html
    assert html
    return html


class Elements(HTMLParser):
    """Yields tag and attributes of the elements that have a class."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if "class" in attributes:
            self.found.append((tag, attributes))


def elements(html: str, class_: str) -> list[dict[str, str]]:
    return [attributes for _, attributes in Elements(html).found if attributes["class"] == class_]


@pytest.mark.parametrize(
    ("text", "links"),
    [
        ("see https://en.wikipedia.org/wiki/Foo_(bar).", ["https://en.wikipedia.org/wiki/Foo_(bar)"]),
        ("(https://en.wikipedia.org/wiki/Foo_(bar))", ["https://en.wikipedia.org/wiki/Foo_(bar)"]),
        ("(see https://example.org/a)", ["https://example.org/a"]),
        ("[a](https://example.org/b)", ["https://example.org/b"]),
        ("https://example.org/?a[]=1&b={2}!", ["https://example.org/?a[]=1&b={2}"]),
        ("https://example.org/a_ and", ["https://example.org/a_"]),
        ("https://example.org/a-/", ["https://example.org/a-/"]),
        ("詳細はhttps://example.org/a。よろしく", ["https://example.org/a"]),
        ("「https://example.org/a」と『https://example.org/b』", ["https://example.org/a", "https://example.org/b"]),
        ("请看https://example.org/a，谢谢", ["https://example.org/a"]),
        ("（https://example.org/a）", ["https://example.org/a"]),
        ("https://ja.wikipedia.org/wiki/カール・マルクス", ["https://ja.wikipedia.org/wiki/カール・マルクス"]),
        ("“https://example.org/q”", ["https://example.org/q"]),
        ("„https://example.org/q“", ["https://example.org/q"]),
        ("«https://example.org/q»", ["https://example.org/q"]),
        ("'https://example.org/q'", ["https://example.org/q"]),
        ('"https://example.org/q"', ["https://example.org/q"]),
        ("<https://example.org/q>", ["https://example.org/q"]),
        ("https://example.org/O'Brien's", ["https://example.org/O'Brien's"]),
        ("HTTPS://EXAMPLE.ORG/Up and HtTp://example.org", ["HTTPS://EXAMPLE.ORG/Up", "HtTp://example.org"]),
        ("زوروا https://example.org/a؟ و https://example.org/b،", ["https://example.org/a", "https://example.org/b"]),
        ("https://example.org/a… https://example.org/b...", ["https://example.org/a", "https://example.org/b"]),
        ("https://пример.рф/ё, http://localhost:8000/x", ["https://пример.рф/ё", "http://localhost:8000/x"]),
        ("http://[::1]:80/x", ["http://[::1]:80/x"]),
        ("**https://example.org/a**", ["https://example.org/a"]),
        ("https:// and https://) and xhttps://a.org and https://[::1 and ftp://a.org", []),
    ],
)
def test_link_ends_where_the_sentence_goes_on(text: str, links: list[str]) -> None:
    html = html_of(n_body=text)
    body = html.partition('<p class="body"')[2].partition("</p>")[0]
    assert [unescape(link) for link in re.findall(r'<a href="([^"]*)"', body)] == links
    plain = unescape(re.sub(r"<[^>]*>", "", body.partition(">")[2]))
    assert plain == text


@given(st.text("https:/.()[]{}<>\"'*_aé。「」”، \u200f\n", max_size=120))
def test_text_with_links_is_the_same_text(text: str) -> None:
    found = find_addresses(text)
    assert all(text[start:end].lower().startswith(("http://", "https://")) for start, end in found)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(found))


def test_each_block_says_its_direction_and_side() -> None:
    """Webmail removes <html> and <body> with their attributes, and style sheets."""
    html = html_of(
        n_title="طلب موافقة 4.2", n_body="يرجى المراجعة.\n\nIn English.", user=reader("ar"), n_because="NAMED"
    )
    for class_ in ("title", "body", "text", "name"):
        assert elements(html, class_), class_
    for class_ in ("title", "body", "text", "actions", "action", "name"):
        for block in elements(html, class_):
            assert (block["dir"], block["align"]) in {("rtl", "right"), ("ltr", "left")}, block
    [title] = elements(html, "title")
    assert (title["dir"], title["align"]) == ("rtl", "right")
    assert "direction:rtl;text-align:right" in title["style"]
    sides = [(block["dir"], block["align"]) for block in elements(html, "body")]
    assert sides == [("rtl", "right"), ("ltr", "left")]
    [foot] = elements(html, "foot")
    assert (foot["dir"], foot["lang"]) == ("rtl", "ar")
    latin = html_of(n_title="Hello", n_body="مرحبا", user=reader("en"))
    [title] = elements(latin, "title")
    assert (title["dir"], title["align"]) == ("ltr", "left")
    assert [block["dir"] for block in elements(latin, "body")] == ["rtl"]
    [title] = elements(html_of(n_title="4.2", n_body="1", user=reader("ar")), "title")
    assert (title["dir"], title["align"]) == ("rtl", "right")


APPROVE = Action(key="ok now", label="Approve", primary=True)
DECLINE = Action(key="no", label="Decline", url="https://x.example/no")


@pytest.mark.parametrize(
    ("app_url", "action_url", "expected_url"),
    [
        ("https://app.example", None, "https://app.example/?notification={id}&action=ok+now"),
        ("https://app.example", "https://ci.example/1", "https://ci.example/1"),
        ("", "https://ci.example/1", "https://ci.example/1"),
        ("", None, None),
        ("https://app.example", "javascript:alert(1)", "https://app.example/?notification={id}&action=ok+now"),
    ],
)
def test_action_without_address_leads_to_the_item(
    app_url: str, action_url: str | None, expected_url: str | None
) -> None:
    """Without HUB_APP_URL and `actionUrl` the target is missing. The action is omitted, and no other becomes primary."""
    sent = new_message(n_actions=(APPROVE, DECLINE), n_action_url=action_url, app_url=app_url)
    created = email.preview(sent)
    assert created.html
    links = {
        attributes["class"]: attributes["href"]
        for tag, attributes in Elements(created.html).found
        if tag == "a" and attributes["class"].startswith("button")
    }
    assert links["button second"] == "https://x.example/no"
    if expected_url is None:
        assert list(links) == ["button second"]
        assert "Approve" not in created.text
        return
    assert links["button"] == expected_url.format(id=sent.notification.id)
    assert f"Approve: {expected_url.format(id=sent.notification.id)}\nDecline: " in created.text


@example("x" * 256, "ünï " * 30)
@example("é" * 256, "👩‍👩‍👧" * 20)
@example("a" + "漢" * 100, "Ä")
@given(st.text(max_size=300), st.text(max_size=100))
def test_encoded_word_has_at_most_75_characters(title: str, name: str) -> None:
    """A line with an encoded word has at most 76 characters (RFC 2047, 2), in every header."""
    title, name = (" ".join(text.encode(errors="replace").decode().split()) for text in (title, name))
    created = build_email(new_message(n_title=title), Sender(name, "no-reply@" + "a" * 60 + ".example")).data
    head = created.partition(b"\r\n\r\n")[0].decode()
    for line in head.split("\r\n"):
        words = re.findall(r"=\?[^ ?]*\?[bqBQ]\?[^ ?]*\?=", line)
        assert all(len(word) <= 75 for word in words)
        assert not words or len(line) <= 76
        for word in words:
            decode_header(word)[0][0].decode()  # no character is split
    assert message_from_bytes(created, policy=policy.default)["Subject"] is not None


async def test_quoted_local_part_reaches_the_server(fakes: FakeServers) -> None:
    server = await fakes.mail_server()
    url = f"smtp://127.0.0.1:{server.port}"
    [smtp] = await email.create_providers(
        fakes.resources(provider_settings(smtp_url=url, smtp_from="hub@acme.example"))
    )
    for address in ('"john doe"@people.example', '"a@b"@people.example', "o'brien+x@people.example"):
        assert type(await smtp.send(message_to(address))).__name__ == "Sent", address
        assert server.envelopes[-1].rcpt_tos == [address]
        assert server.emails[-1]["To"] == address
