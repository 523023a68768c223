"""The Markdown subset on the server. `tests/browser/test_markdown.py` compares `<hub-inbox>` with it."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hub import markdown
from hub.send.channels import email, mobile_push, web_push, webhook
from tests.client import Tenant
from tests.provider_setup import new_message

CASES = json.loads((Path(__file__).parent / "markdown_cases.json").read_text())
TAGS = {"p", "ul", "ol", "li", "strong", "em", "code", "a", "br"}
PIECES = ["*", "**", "_", "`", "[a](", "](/x)", "(", ")", "[", "]", "\\", "<b>", "&lt;", "\n", "\n\n", "- ", "1. ", " "]
texts = st.lists(st.sampled_from([*PIECES, "a", "javascript:", "https://a.example/", '"', "'"]) | st.text(max_size=3))
"""Texts that consist mostly of markup."""


def html_of(text: str) -> str:
    return "".join(str(block.html(same_url)) for block in markdown.parse(text))


def same_url(url: str) -> str:
    return url


class Elements(HTMLParser):
    """The text of an HTML document, and its elements with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(decl)

    def handle_pi(self, data: str) -> None:
        raise AssertionError(data)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_each_case_has_its_html_and_its_text(case: dict[str, str]) -> None:
    assert html_of(case["markdown"]) == case["html"]
    assert markdown.plain_text(case["markdown"], same_url) == case["text"]


@given(texts.map("".join))
@example("[a](\tjavascript:alert(1))")
@example('<a href="javascript:alert(1)">')
def test_any_text_becomes_safe_html(text: str) -> None:
    elements = Elements(html_of(text))
    assert not elements.open
    for tag, attributes in elements.found:
        assert tag in TAGS
        if tag == "a":
            url = attributes.pop("href")
            assert url
            assert url.lower().startswith(("http://", "https://")) or (url[0] == "/" and url[1:2] not in ("/", "\\"))
        assert set(attributes) <= ({"start"} if tag == "ol" else set())


@given(st.text("ab*_`[]\\<>\n -+é日😀", max_size=60))
@example("- " * 30 + "a")
@example("*" * 50 + "a")
def test_no_letter_is_lost(text: str) -> None:
    """Texts without a `(` have no links, so each of their letters is displayed."""
    letters = [character for character in text if character.isalpha()]
    assert [character for character in Elements(html_of(text)).text if character.isalpha()] == letters
    assert [character for character in markdown.plain_text(text) if character.isalpha()] == letters


@given(st.text(max_size=40) | texts.map("".join))
def test_escaped_value_is_displayed_as_it_is(value: str) -> None:
    """Values in templates are escaped, so that data contains neither links nor markup."""
    value = " ".join(value.split()).replace("\0", "")
    assert Elements(html_of(f"a{markdown.escape_markdown(value)}b")).text == f"a{value}b"


@pytest.mark.parametrize(
    "unit",
    [
        "[",
        "[a](",
        "[a](/x",
        "*a ",
        "**",
        "*a _",
        "`" * 2 + " ` ",
        "\\",
        "- ",
        "- a\n",
        "1. - ",
        "<",
        "![",
        '[a](/x "',
        "a\n",
    ],
)
def test_hostile_text_of_maximum_length_is_rendered(unit: str) -> None:
    """The limit of the test is its timeout: a quadratic parser takes minutes."""
    text = (unit * markdown.MARKDOWN_MAX_CHARS)[: markdown.MARKDOWN_MAX_CHARS]
    assert len(html_of(text)) + len(markdown.plain_text(text)) > 0


BODY = "**Deployed** to [production](https://ci.example/1):\n- `api`\n- [web](/web)"
PLAIN = "Deployed to production:\n• api\n• web"


def test_push_channels_receive_plain_text() -> None:
    message = new_message(n_body=BODY, n_markdown=True)
    assert orjson.loads(web_push.payload(message))["body"] == PLAIN
    assert PLAIN.replace("\n", "\\n") in mobile_push.preview(message).text


def test_webhook_receives_the_markup() -> None:
    data = orjson.loads(webhook.body_of(new_message(n_body=BODY, n_markdown=True)))["data"]
    assert (data["body"], data["markdown"]) == (BODY, True)
    assert orjson.loads(webhook.body_of(new_message()))["data"]["markdown"] is False


def test_email_has_html_and_plain_text() -> None:
    preview = email.preview(new_message(n_body=f"<b>\n\n{BODY}", n_markdown=True, app_url="https://app.example"))
    assert (
        "<b>\n\nDeployed to production (https://ci.example/1):\n• api\n• web (https://app.example/web)" in preview.text
    )
    assert preview.html
    body = preview.html.partition('<div class="body"')[2].partition("</table>")[0]
    assert re.findall(r'href="([^"]*)"', body)[:2] == ["https://ci.example/1", "https://app.example/web"]
    assert set(re.findall(r"<(ul|li|strong|code|b)\b", body)) == {"ul", "li", "strong", "code"}
    assert "&lt;b&gt;" in body
    assert "color:#1d5fd1" in body
    without_app = email.preview(new_message(n_body=BODY, n_markdown=True)).html
    assert without_app
    assert 'href="/web"' not in without_app


async def test_clients_read_the_markup(tenant: Tenant) -> None:
    await tenant.send("alice", title="Marked up", body=BODY, content={"markdown": True})
    await tenant.send("alice", title="Plain", body=BODY)
    query = "{ inbox { nodes { title body markdown } } }"
    nodes = (await tenant.execute(query, user="alice"))["inbox"]["nodes"]
    assert nodes == [
        {"title": "Plain", "body": BODY, "markdown": False},
        {"title": "Marked up", "body": BODY, "markdown": True},
    ]
