"""The files of templates: YAML or JSON with the fields of `TemplateInput`, and files with long texts.

A file contains one object, or an array with one object per locale and channel, all with the same key. `body` and `html`
may be an object such as `{"file": "order.mjml"}`, which names a file in the same folder.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from hub.cli import setup_files
from hub.cli.setup_files import SetupFileError
from hub.decide.templates.errors import TemplateError
from hub.decide.templates.lookup import canonical_locale
from hub.decide.templates.parts import compiled
from hub.model import Action, Channel, TemplateTexts

STARTERS = Path(__file__).parent / "starters"


class FileReference(Struct, frozen=True, forbid_unknown_fields=True):
    file: str


class TemplateEntry(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """The fields of `TemplateInput`, with the names of the API."""

    key: str
    body: str | FileReference
    locale: str = "en"
    channel: Channel | None = None
    subject: str | None = None
    title: str | None = None
    markdown: bool = False
    html: str | FileReference | None = None
    preheader: str | None = None
    action_url: str | None = None
    image_url: str | None = None
    actions: list[Action] = []
    whatsapp_content_sid: str | None = None
    whatsapp_variables: list[str] = []
    sample: dict[str, Any] | UnsetType = UNSET
    note: str | None = None

    def texts(self) -> TemplateTexts:
        """Return the texts, ready to render. Raise SetupFileError if a text is not valid."""
        assert isinstance(self.body, str)
        assert not isinstance(self.html, FileReference)
        texts = TemplateTexts(
            key=self.key,
            locale=canonical_locale(self.locale),
            channel=self.channel,
            subject=self.subject,
            title=self.title,
            body=self.body,
            markdown=self.markdown,
            html=self.html,
            preheader=self.preheader,
            action_url=self.action_url,
            image_url=self.image_url,
            actions=tuple(self.actions),
            whatsapp_content_sid=self.whatsapp_content_sid,
            whatsapp_variables=tuple(self.whatsapp_variables),
        )
        with named_errors(texts):
            return compiled(texts)


def label(texts: TemplateTexts | TemplateEntry) -> str:
    """Return the key, locale, and channel of a text, which distinguish it in its file."""
    return " ".join(filter(None, (texts.key, texts.locale, texts.channel)))


@contextmanager
def named_errors(texts: TemplateTexts) -> Iterator[None]:
    """Convert a TemplateError to a SetupFileError that names the text."""
    try:
        yield
    except TemplateError as error:
        raise SetupFileError(f"{label(texts)}: {error}.") from error


def read_entries(path: Path) -> list[TemplateEntry]:
    """Return the entries of a template file, with the texts of other files inserted. Raise SetupFileError."""
    entries = setup_files.read_entries(path, TemplateEntry)
    if len({entry.key for entry in entries}) > 1:
        raise SetupFileError(f"{path}: all entries must have the same `key`. Write one file per key.")
    return [
        msgspec.structs.replace(entry, body=_text(path, entry.body), html=_text(path, entry.html)) for entry in entries
    ]


def read_data(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file. Raise SetupFileError."""
    try:
        return msgspec.json.decode(setup_files.read_text(path), type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise SetupFileError(f"{path}: {error}") from None


def copy_starter(starter: str, key: str, folder: Path) -> list[Path]:
    """Copy a starter template under another key. Return the new files. Raise SetupFileError if one exists."""
    sources = sorted(STARTERS.glob(f"{starter}.*"))
    created = [folder / f"{key}{source.suffix}" for source in sources]
    if existing := [path for path in created if path.exists()]:
        raise SetupFileError(f"{existing[0]} exists already. Choose another key, or remove the file.")
    for source, path in zip(sources, created, strict=True):
        text = source.read_text(encoding="utf-8")
        path.write_text(text.replace(f'"{starter}', f'"{key}') if source.suffix == ".json" else text, encoding="utf-8")
    return created


def _text(path: Path, value: str | FileReference | None) -> Any:
    return setup_files.read_text(path.parent / value.file) if isinstance(value, FileReference) else value
