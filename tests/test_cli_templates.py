"""`hub templates`: new, preview, push, and list."""

import asyncio
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from typer.testing import CliRunner, Result

from hub.cli.main import build_app
from hub.cli.templates import Starter
from hub.decide.templates.digest_texts import SAMPLE_ITEMS
from hub.decide.templates.parts import EMAIL_CLIPPED_BYTES
from hub.model import Channel
from tests.cli_commands import Command, base_url, run_command
from tests.processes import SECRET, Deployment


def write(folder: Path, *entries: dict[str, Any], **files: str) -> Path:
    """Write a template file, and other files beside it. Return the template file."""
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    path = folder / "order.json"
    path.write_text(json.dumps([{"key": "order", **entry} for entry in entries]))
    return path


def run_here(*arguments: str) -> Result:
    """Run a command in this process, which is faster."""
    return CliRunner(env={"HUB_JWT_SECRET": SECRET}).invoke(build_app(["templates"]), ["templates", *arguments])


def preview(path: Path, *options: str) -> dict[str, str]:
    """Return the printed text of each channel."""
    result = run_here("preview", str(path), "--hub-data", str(path.parent), *options)
    assert result.exit_code == 0, result.output
    parts = re.split(r"^== (.*) ==$", result.stdout, flags=re.MULTILINE)[1:]
    return {
        channel: text.strip()
        for names, text in zip(parts[::2], parts[1::2], strict=True)
        for channel in names.split(", ")
    }


class Tags(HTMLParser):
    """The tags of an HTML document, with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.mark.parametrize("starter", [Starter.TRANSACTIONAL, Starter.ANNOUNCEMENT])
def test_new_template_can_be_previewed_and_follows_the_limits_of_email_clients(
    starter: Starter, tmp_path: Path
) -> None:
    created = run_here("new", "my-order", "--starter", starter, "--folder", str(tmp_path))
    assert created.stdout.split() == [str(tmp_path / f"my-order.{suffix}") for suffix in ("json", "md", "mjml")]
    texts = preview(tmp_path / "my-order.json", "--html", str(tmp_path / "email.html"))
    assert set(texts) == set(Channel)
    html = (tmp_path / "email.html").read_text()
    tags = Tags(html).found
    assert {"link", "script", "iframe", "form", "video"}.isdisjoint(tag for tag, _ in tags)
    assert "table" in {tag for tag, _ in tags}
    assert not re.search(r"display:\s*(?:inline-)?(?:flex|grid)", html)
    assert "@import" not in html
    assert ("meta", {"name": "color-scheme", "content": "light dark"}) in tags
    assert "prefers-color-scheme: dark" in html
    assert all(attributes.get("alt") is not None for tag, attributes in tags if tag == "img")
    assert len(html.encode()) < EMAIL_CLIPPED_BYTES / 2
    assert "liquid" not in html
    assert "{" + "{" not in html
    preheader = html.partition("<body")[2].partition("</div>")[0]
    assert "display:none" in preheader
    sample = json.loads((tmp_path / "my-order.json").read_text())["sample"]
    items = sample.get("features") or sample["order"]["items"]
    for name in (item.get("title") or item["name"] for item in items):
        assert html.count(name) == 1
        assert name in texts["EMAIL"]
        assert name in texts["SMS"]


def test_new_layout_is_previewed_with_an_example_message(tmp_path: Path) -> None:
    assert run_here("new", "order", "--starter", "layout", "--folder", str(tmp_path)).exit_code == 2
    assert run_here("new", "_layout", "--starter", "layout", "--folder", str(tmp_path)).exit_code == 0
    texts = preview(tmp_path / "_layout.json", "--html", str(tmp_path / "email.html"))
    assert list(texts) == ["EMAIL"]
    html = (tmp_path / "email.html").read_text()
    assert "<strong>bold text</strong>" in html
    assert "Unsubscribe" in html


def test_new_template_of_digests_is_previewed_with_items(tmp_path: Path) -> None:
    for key, *starter in (("order", "--starter", "digest"), ("_briefing", "--starter", "digest"), ("_digest",)):
        assert run_here("new", key, *starter, "--folder", str(tmp_path)).exit_code == 2
    for name in ("digest", "briefing"):
        assert run_here("new", f"_{name}", "--starter", name, "--folder", str(tmp_path)).exit_code == 0
    assert preview(tmp_path / "_briefing.json")["SMS"].startswith("title: While you were away: 3 new notifications")
    texts = preview(tmp_path / "_digest.json", "--html", str(tmp_path / "email.html"))
    assert set(texts) == set(Channel)
    html = (tmp_path / "email.html").read_text()
    for item in SAMPLE_ITEMS:
        assert len(re.findall(f"{item.title}</(?:a|span)>", html)) == 1
        assert all(item.title in text for text in texts.values())
    assert texts["WEB_PUSH"].startswith("title: Comments: 3 new notifications")
    assert 'href="https://app.example/reports/17"' in html
    assert "(12)" in html
    many = {"items": [{"title": f"Item {n}"} for n in range(30)], "count": 140}
    (tmp_path / "data.json").write_text(json.dumps(many))
    texts = preview(tmp_path / "_digest.json", "--data", str(tmp_path / "data.json"))
    assert "Item 24" in texts["EMAIL"]
    assert "and 115 more" in texts["EMAIL"]
    assert "and 135 more" in texts["SMS"]


def test_preview_of_digests_warns_of_an_email_that_gmail_cuts_with_many_items(tmp_path: Path) -> None:
    path = tmp_path / "_digest.json"
    html = "{% for item in items %}<p>{{ item.title }}" + "x" * 1100 + "</p>{% endfor %}"
    path.write_text(json.dumps({"key": "_digest", "title": "T", "body": "", "html": html}))
    result = run_here("preview", str(path), "--hub-data", str(tmp_path))
    assert re.search(r"With 100 items: The HTML has 11\d KiB", result.stderr)
    loop = "{% for item in items %}{% for n in (1..999) %}x{% endfor %}{% endfor %}"
    path.write_text(json.dumps({"key": "_digest", "title": "T", "body": loop}))
    result = run_here("preview", str(path), "--hub-data", str(tmp_path))
    assert (result.exit_code, "(with 100 items)" in result.stderr) == (1, True)
    path.write_text(json.dumps({"key": "_digest", "title": "T", "body": "", "sample": {"order": 1}}))
    result = run_here("preview", str(path), "--hub-data", str(tmp_path))
    assert result.exit_code == 1
    assert "unknown field `order`" in result.stderr


def test_new_template_overwrites_no_file(tmp_path: Path) -> None:
    (tmp_path / "order.md").write_text("mine")
    result = run_here("new", "order", "--folder", str(tmp_path))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "order.md exists already" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["order.md"]
    assert run_here("new", "../order").exit_code == 2


def test_preview_uses_the_texts_of_each_channel_and_locale(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        {"title": "Hello {{ name }}", "body": {"file": "body.md"}, "markdown": True, "sample": {"name": "Ann"}},
        {"locale": "de", "title": "Hallo {{ name }}", "body": "**Neu**", "markdown": True},
        {"channel": "SMS", "body": "sms for {{ name }}"},
        body_md="**New** for [you]({{ url | default: 'https://a.example' }})",
    )
    english = preview(path)
    assert english["IN_APP"] == "title: Hello Ann\nformat: Markdown\n\n**New** for [you](https\\:\\/\\/a\\.example)"
    assert english["WEB_PUSH"] == "title: Hello Ann\n\nNew for you"
    assert english["SMS"] == "sms for Ann"
    assert "New for you (https://a.example)" in english["EMAIL"]
    (tmp_path / "data.json").write_text('{"name": "Bob"}')
    german = preview(path, "--locale", "de-AT", "--data", str(tmp_path / "data.json"))
    assert german["WEB_PUSH"] == "title: Hallo Bob\n\nNeu"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"title": "a", "body": "{{ missing.name }}"}, "order en: `body`, line 1: missing has no value"),
        ({"title": "{% if %}", "body": "", "locale": "de", "channel": "SMS"}, "order de SMS: `title`, line 1: "),
        ({"title": "a", "body": "", "html": "<mjml><mj-include /></mjml>"}, "`html`: `mj-include` is not supported"),
        ({"title": "a", "body": {"file": "missing.md"}}, "missing.md cannot be read"),
        ({"title": "a", "body": "", "text": "b"}, "order.json: Object contains unknown field `text` - at `$[0]`"),
        ({"title": "a", "body": "", "channel": "EMIAL"}, "at `$[0].channel`. The channels are IN_APP, EMAIL, "),
        ({"title": "a"}, "order.json: Object missing required field `body` - at `$[0]`"),
    ],
)
def test_preview_names_the_fault(entry: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = write(tmp_path, entry)
    result = run_here("preview", str(path))
    assert (result.exit_code, result.stdout) == (1, "")
    assert message in result.stderr


def test_preview_refuses_an_unknown_language(tmp_path: Path) -> None:
    path = write(tmp_path, {"title": "a", "body": ""})
    result = run_here("preview", str(path), "--hub-data", str(tmp_path), "--locale", "xx_YY")
    assert (result.exit_code, "--locale xx_YY: this is not a known language" in result.stderr) == (2, True)


def test_preview_warns_of_an_email_that_gmail_cuts(tmp_path: Path) -> None:
    path = write(tmp_path, {"title": "a", "body": "", "html": "<p>" + "x" * EMAIL_CLIPPED_BYTES + "</p>"})
    result = run_here("preview", str(path), "--hub-data", str(tmp_path))
    assert "order en: The HTML has 102 KiB." in result.stderr


def test_preview_warns_of_data_that_a_send_refuses(tmp_path: Path) -> None:
    path = write(tmp_path, {"title": "a", "body": "", "sample": {"text": "x" * (33 << 10)}})
    assert "A send accepts at most 32,768" in run_here("preview", str(path), "--hub-data", str(tmp_path)).stderr


async def test_pushed_template_is_listed_and_an_unchanged_one_keeps_its_version(
    deployment: Deployment, tmp_path: Path
) -> None:
    path = write(
        tmp_path,
        {"title": "One", "body": "", "html": {"file": "order.html"}, "sample": {"a": 1}},
        {"locale": "de", "title": "Eins", "body": ""},
        order_html="<p>{{ a }}</p>",
    )
    hub = ["--url", base_url(deployment), "--tenant", f"t{uuid4().hex[:12]}"]

    async def run(*arguments: str) -> list[str]:
        result = await asyncio.to_thread(run_here, *arguments, *hub)
        assert result.exit_code == 0, result.output
        return result.stdout.splitlines()

    assert await run("push", str(path)) == ["order  en  all channels  v1", "order  de  all channels  v2"]
    assert await run("push", str(path)) == ["order  en  all channels  v1", "order  de  all channels  v2"]
    listed = [line.partition("  v")[0] for line in await run("list")]
    assert listed == ["order  de  all channels", "order  en  all channels"]
    assert await run("list", "other") == []
    for key, starter in (("_layout", "layout"), ("receipt", "transactional"), ("news", "announcement")):
        run_here("new", key, "--starter", starter, "--folder", str(tmp_path))
        assert await run("push", str(tmp_path / f"{key}.json")) == [f"{key}  en  all channels  v1"]
    long = write(tmp_path, {"title": "a", "body": "", "html": "<p>" + "x" * EMAIL_CLIPPED_BYTES + "</p>"})
    result = await asyncio.to_thread(run_here, "push", str(long), *hub)
    assert (result.exit_code, "order en: The HTML has 102 KiB." in result.stderr) == (0, True)
    looped = "<p>{% for n in many %}" + "x" * 110 + "{% endfor %}</p>"
    path = write(tmp_path, {"title": "a", "body": "", "html": looped, "sample": {"many": [0] * 999}})
    result = await asyncio.to_thread(run_here, "push", str(path), *hub)
    assert (result.exit_code, "order en: The HTML has 107 KiB." in result.stderr) == (0, True)
    for name, stored in (
        ("briefing", ["_briefing  en  all channels  v1"]),
        ("digest", ["_digest  en  all channels  v1", "_digest  en  EMAIL  v2"]),
    ):
        run_here("new", f"_{name}", "--starter", name, "--folder", str(tmp_path))
        assert await run("push", str(tmp_path / f"_{name}.json")) == stored
        assert sorted(line.partition("  2")[0] for line in await run("list", f"_{name}")) == sorted(stored)
    broken = write(tmp_path, {"title": "{{ a", "body": ""})
    result = await asyncio.to_thread(run_here, "push", str(broken), *hub)
    assert result.exit_code == 1
    assert "order en: BAD_USER_INPUT (input.title)" in result.stderr


async def test_preview_is_shown_in_the_outbox_of_hub_dev(tmp_path: Path) -> None:
    run_here("new", "order", "--folder", str(tmp_path))
    async with Command("dev", "--port", "0", "--data", str(tmp_path / ".hub"), cwd=tmp_path) as dev:
        await dev.wait_for_output(r"serves at (http://[0-9.:]+)")
        result = run_command("templates", "preview", "order.json", cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        url = result.stdout.rpartition("Email: ")[2].strip()
        async with aiohttp.ClientSession() as session:
            async with session.get(url) as response:
                assert "Your order is on its way" in await response.text()
            async with session.get(f"{url.rpartition('/')[0]}.json") as response:
                messages = (await response.json())["messages"]
        assert {message["channel"] for message in messages if message["provider"] == "preview"} == set(Channel)
