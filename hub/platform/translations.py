"""Translations of texts for recipients: emails, the pages that email links open, and `because`.

Each language has one file, `catalogs/<locale>.po`. `en.po` contains every message. To add a language, add a file. A
process reads the file when it first uses the language, which takes a few milliseconds.
"""

import re
from functools import cache, lru_cache
from gettext import GNUTranslations
from io import BytesIO
from pathlib import Path
from unicodedata import bidirectional

from babel import Locale
from babel.core import get_global
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from msgspec import Struct

from hub.model import BecauseKind, Notification

CATALOGS = Path(__file__).parent / "catalogs"
DEFAULT = "en"
LOCALES = tuple(sorted(path.stem for path in CATALOGS.glob("*.po")))
CACHED_TAGS = 1024
ACCEPT_LANGUAGE_MAX_CHARS = 1000
TAG = re.compile(r"([a-z]{2,3})(?:[-_]([a-z]{4}))?(?:[-_]([a-z]{2}|[0-9]{3}))?(?:[-_.@].*)?", re.IGNORECASE)
PLACEHOLDER = re.compile(r"\{(\w+)\}")
ISOLATE, END_ISOLATE = "\u2068", "\u2069"  # text between these characters keeps its own direction (Unicode, UAX 9)


def marked(message: str) -> str:
    """Return `message`, which is translated elsewhere. A test of the catalogs finds messages by this call."""
    return message


BECAUSE = {
    BecauseKind.NAMED: marked("You were named by the sender."),
    BecauseKind.TOPIC: marked("You follow the topic {topic}."),
    BecauseKind.EVERYONE: marked("It was sent to everyone."),
    BecauseKind.FILTER: marked("It was sent to a group that you belong to."),
    BecauseKind.RULE: marked("A rule of the sender applies to you."),
}


class Language(Struct, frozen=True):
    """One catalog. `tag` is its BCP 47 tag. `direction` is `ltr` or `rtl`."""

    tag: str
    direction: str
    messages: GNUTranslations

    def text(self, message: str, **values: str) -> str:
        """Return the message in this language, with each `{name}` replaced by its value."""
        return self._replace_placeholders(self.messages.gettext(message), values)

    def plural(self, one: str, many: str, number: int) -> str:
        """Return the plural form that this language uses for `number`, with `{number}` replaced."""
        return self._replace_placeholders(self.messages.ngettext(one, many, number), {"number": str(number)})

    def _replace_placeholders(self, text: str, values: dict[str, str]) -> str:
        def replacement(match: re.Match[str]) -> str:
            value = values.get(match[1], "")
            return f"{ISOLATE}{value}{END_ISOLATE}" if self.direction == "rtl" and value else value

        return PLACEHOLDER.sub(replacement, text)


def because(n: Notification, reader: Language) -> str:
    """Return the reason why the recipient received a notification."""
    return reader.text(BECAUSE[n.because_kind], topic=n.because_of or "")


@lru_cache(CACHED_TAGS)
def language(tag: str) -> Language:
    """Return the catalog for a locale, or else for its language and script, or else the English catalog."""
    return _load(_catalog_for(tag) or DEFAULT)


def accepted_language(header: str) -> Language:
    """Return the catalog that an Accept-Language header (RFC 9110, 12.5.4) prefers, or else the English catalog."""
    requested: list[tuple[float, str]] = []
    for part in header[:ACCEPT_LANGUAGE_MAX_CHARS].split(","):
        tag, _, parameter = part.partition(";")
        try:
            weight = float(parameter.strip().removeprefix("q=") or 1)
        except ValueError:
            weight = 0
        if weight > 0:
            requested.append((weight, tag.strip()))
    for _, tag in sorted(requested, key=lambda entry: -entry[0]):
        if name := _catalog_for(tag):
            return _load(name)
    return _load(DEFAULT)


def direction_of(text: str) -> str | None:
    """Return the direction of the first letter that has one, as `dir="auto"` does, or None if no letter has one."""
    for character in text:
        bidi_class = bidirectional(character)
        if bidi_class in {"R", "AL"}:
            return "rtl"
        if bidi_class == "L":
            return "ltr"
    return None


def _catalog_for(tag: str) -> str | None:
    """Return the name of the best catalog for a language tag, or None."""
    if not (match := TAG.fullmatch(tag)):
        return None
    code, territory = match[1].lower(), (match[3] or "").upper()
    script = (match[2] or "").title() or _likely_script(code, territory)
    by_territory = {
        Locale.parse(name).territory: name
        for name in LOCALES
        if (locale := Locale.parse(name)).language == code
        and (locale.script or _likely_script(code, locale.territory or "")) == script
    }
    return by_territory.get(territory or None) or next(iter(by_territory.values()), None)


def _likely_script(code: str, territory: str) -> str:
    """Return the usual script of a language in a territory (CLDR's likely subtags), or an empty string."""
    subtags = get_global("likely_subtags")
    tag = subtags.get(f"{code}_{territory}") or subtags.get(code) or ""
    return next((part for part in tag.split("_")[1:] if len(part) == 4), "")


@cache
def _load(name: str) -> Language:
    with (CATALOGS / f"{name}.po").open("rb") as file:
        catalog = read_po(file, locale=name)
    compiled = BytesIO()
    write_mo(compiled, catalog)
    compiled.seek(0)
    return Language(name.replace("_", "-"), Locale.parse(name).text_direction, GNUTranslations(compiled))
