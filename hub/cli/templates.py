"""`hub templates`: create, preview, store, and list templates."""

import asyncio
import re
import sys
import webbrowser
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from hub import utc_time
from hub.cli.api_client import execute, run_or_exit
from hub.cli.data_dir import DataDirectory, RunningHub
from hub.cli.target_hub import DEFAULT_DATA, Data, Tenant, Token, Url, fail, resolve_hub
from hub.errors import Unavailable
from hub.ids import new_id

if TYPE_CHECKING:  # the libraries for templates are slow to load, and other commands do not need them
    from hub.cli.template_files import TemplateEntry
    from hub.cli.template_preview import ChannelPreview

LIST = "query ($key: String) { templates(key: $key) { key locale channel version updatedAt updatedBy } }"
RESERVED_PREFIX = "_"
KEY = re.compile(r"\w[\w.-]*")


class Starter(StrEnum):
    """The templates that `hub templates new` can copy."""

    TRANSACTIONAL = "transactional"
    ANNOUNCEMENT = "announcement"
    LAYOUT = "layout"
    DIGEST = "digest"
    BRIEFING = "briefing"


STARTER_KEYS = {Starter.LAYOUT: "_layout", Starter.DIGEST: "_digest", Starter.BRIEFING: "_briefing"}
"""The keys of starters that replace a template of the hub."""

app = typer.Typer(
    no_args_is_help=True,
    help="""Create, preview, store, and list templates.

    Example: hub templates preview order-shipped.json --locale de""",
)
File = Annotated[Path, typer.Argument(help="The YAML or JSON file of the template.", show_default=False)]


@app.command()
def new(
    key: Annotated[str, typer.Argument(help="The key of the template and the name of its files.", show_default=False)],
    starter: Annotated[Starter, typer.Option("--starter", help="The template to copy.")] = Starter.TRANSACTIONAL,
    folder: Annotated[Path, typer.Option("--folder", help="The folder of the new files.")] = Path(),
) -> None:
    """Create the files of a template with an email layout: JSON, Markdown, and MJML.

    Example: hub templates new order-shipped --starter transactional
    """
    from hub.cli.setup_files import SetupFileError
    from hub.cli.template_files import copy_starter

    if key != STARTER_KEYS.get(starter, key):
        fail(f"The key of the starter {starter} must be {STARTER_KEYS[starter]}.", 2)
    if starter not in STARTER_KEYS and key.startswith(RESERVED_PREFIX):
        fail(f"The starter {starter} cannot have a key that begins with {RESERVED_PREFIX}.", 2)
    if not KEY.fullmatch(key):
        fail("A key for files must have letters, digits, underscores, dots, and dashes.", 2)
    try:
        created = copy_starter(starter, key, folder)
    except (SetupFileError, OSError) as error:
        fail(str(error))
    print("\n".join(map(str, created)))


@app.command()
def preview(
    file: File,
    data_file: Annotated[
        Path | None, typer.Option("--data", help="A JSON file with the data. Defaults to `sample` in FILE.")
    ] = None,
    locale: Annotated[
        str | None, typer.Option("--locale", help="The recipient's locale. Defaults to the first locale in FILE.")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write the HTML of the email to this file.")] = None,
    browser: Annotated[bool, typer.Option("--open", help="Open the email in the browser.")] = False,
    hub_data: Annotated[
        Path, typer.Option("--hub-data", help="The data folder of the `hub dev` process that displays the messages.")
    ] = DEFAULT_DATA,
) -> None:
    """Print the rendering of a template file on every channel, for an example user.

    No hub is required. If a `hub dev` process runs, its page `/dev/outbox` also displays the messages.

    Example: hub templates preview order-shipped.json --data order.json --locale de
    """
    previews = _render(file, data_file, locale)
    for channels, text in _grouped(previews):
        print(f"== {channels} ==\n{text}\n")
    for warning in (one.warning for one in previews if one.warning):
        print(warning, file=sys.stderr)
    links = []
    if html and (content := next((one.html for one in previews if one.html), None)):
        html.write_text(content, encoding="utf-8")
        links.append(html.resolve().as_uri())
    if DataDirectory(hub_data).is_locked() and (running := DataDirectory(hub_data).running):
        links.append(asyncio.run(_show_in_outbox(running, previews)))
    for link in links:
        print(f"Email: {link}")
    if browser:
        if not links:
            fail("Nothing can be opened: pass --html FILE, or start hub dev.")
        webbrowser.open(links[-1])


@app.command()
def push(file: File, url: Url = "", token: Token = "", tenant: Tenant = "default", data: Data = DEFAULT_DATA) -> None:
    """Store the texts of a template file in a hub. Unchanged texts keep their version.

    The command warns if Gmail would cut an email with the `sample` in FILE.

    Example: hub templates push order-shipped.json
    """
    from hub.cli.setup_store import TEMPLATE, Calls, Change

    calls = Calls.of(resolve_hub(url, token, data), tenant)
    for entry in _read(file):
        change = Change(TEMPLATE, entry)
        print(_row(run_or_exit(change.apply(calls), calls.hub, TEMPLATE.name(entry))))
        if warning := _clipping_warning(entry):
            print(warning, file=sys.stderr)


@app.command("list")
def list_templates(
    key: Annotated[str | None, typer.Argument(help="List only the texts of this key.")] = None,
    url: Url = "",
    token: Token = "",
    tenant: Tenant = "default",
    data: Data = DEFAULT_DATA,
) -> None:
    """List the templates that a hub stores.

    Example: hub templates list
    """
    hub = resolve_hub(url, token, data)
    access_token = hub.service_token(tenant)
    for template in run_or_exit(execute(hub.url, access_token, LIST, key=key), hub)["templates"]:
        print(f"{_row(template)}  {template['updatedAt']}  {template['updatedBy']}")


def _row(template: dict[str, Any]) -> str:
    return f"{template['key']}  {template['locale']}  {template['channel'] or 'all channels'}  v{template['version']}"


def _read(file: Path) -> "list[TemplateEntry]":
    from hub.cli.setup_files import SetupFileError
    from hub.cli.template_files import read_entries

    try:
        return read_entries(file)
    except SetupFileError as error:
        fail(str(error))


def _clipping_warning(entry: "TemplateEntry") -> str | None:
    """Return a warning if Gmail would cut the email of an entry that the hub has accepted."""
    from hub.cli.setup_files import SetupFileError
    from hub.cli.template_files import label
    from hub.cli.template_preview import clipping_warning, render_channels

    if entry.html is None:
        return None
    try:
        previews = list(render_channels([entry.texts()], entry.sample or {}, entry.locale, utc_time.now()))
    except (SetupFileError, Unavailable):  # it has no sample, or the hub has another version
        warning = clipping_warning(str(entry.html))
        return warning and f"{label(entry)}: {warning}"
    return next((one.warning for one in previews if one.warning), None)


def _render(file: Path, data_file: Path | None, locale: str | None) -> "list[ChannelPreview]":
    from babel import localedata

    from hub.cli.setup_files import SetupFileError
    from hub.cli.template_files import read_data
    from hub.cli.template_preview import render_channels
    from hub.decide.templates.lookup import canonical_locale

    entries = _read(file)
    if locale and not localedata.exists(canonical_locale(locale).partition("-")[0]):
        fail(f"--locale {locale}: this is not a known language. Use a BCP 47 tag such as de or pt-BR.", 2)
    locale = locale or entries[0].locale
    try:
        data = read_data(data_file) if data_file else next((entry.sample for entry in entries if entry.sample), {})
        _warn_of_size(data)
        previews = list(render_channels([entry.texts() for entry in entries], data, locale, utc_time.now()))
    except (SetupFileError, Unavailable) as error:
        fail(str(error))
    return previews or fail(f"{file} has no texts for {locale}.")


def _warn_of_size(data: dict[str, Any]) -> None:
    """Warn if a hub with the default settings would refuse a send with this data."""
    from hub.settings import Settings

    size, limit = len(msgspec.json.encode(data)), Settings.model_fields["notification_data_max_bytes"].default
    if size > limit:
        print(
            f"The data has {size:,} bytes as JSON. A send accepts at most {limit:,} (HUB_NOTIFICATION_DATA_MAX_BYTES).",
            file=sys.stderr,
        )


def _grouped(previews: "Sequence[ChannelPreview]") -> Iterator[tuple[str, str]]:
    """Yield each text with the names of the channels that display it."""
    channels: dict[str, list[str]] = {}
    for one in previews:
        channels.setdefault(one.text, []).append(one.channel)
    for text, names in channels.items():
        yield ", ".join(names), text


async def _show_in_outbox(running: RunningHub, previews: "Sequence[ChannelPreview]") -> str:
    """Store the messages for the page `/dev/outbox`. Return the URL of the email, or of the page without an email."""
    from hub.cli.template_preview import TENANT
    from hub.platform import connections
    from hub.settings import Settings
    from hub.status.captured import CapturedMessage, CapturedMessages

    settings = Settings(
        mode="development", mongo_url=running.mongo_url, redis_url=running.redis_url, jwt_secret=(running.secret,)
    )
    page = f"{running.url}/dev/outbox"
    async with connections.mongo(settings) as database:
        for one in reversed(previews):
            now = utc_time.now()
            message = CapturedMessage(
                id=new_id(now),
                at=now,
                delivery="preview",
                tenant=TENANT.id,
                user="alice",
                channel=one.channel,
                to="",
                subject=one.subject,
                text=one.text,
                html=one.html,
                provider="preview",
                outcome="Not sent",
            )
            await CapturedMessages(database).add(message)
            page = f"{running.url}/dev/outbox/{message.id}" if one.html else page
    return page
