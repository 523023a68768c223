"""What recipients read, in their language: emails, the pages behind links, `because`.

A language is one file, `catalogs/<locale>.po`, and `en.po` has every message. Add a file to add a language. A file is
read when the first text in its language is needed, which takes a few milliseconds once per process.
"""

import re
from functools import lru_cache
from gettext import GNUTranslations
from io import BytesIO
from pathlib import Path
from unicodedata import bidirectional

from babel import Locale
from babel.core import get_global
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from msgspec import Struct

from hub.model import BECAUSE_KINDS, BecauseKind, Notification

CATALOGS = Path(__file__).parent / "catalogs"
DEFAULT = "en"
LOCALES = tuple(sorted(path.stem for path in CATALOGS.glob("*.po")))
CACHED_TAGS = 1024
ACCEPT_LANGUAGE_MAX_CHARS = 1000
TAG = re.compile(r"([a-z]{2,3})(?:[-_]([a-z]{4}))?(?:[-_]([a-z]{2}|[0-9]{3}))?(?:[-_.@].*)?", re.IGNORECASE)
PLACEHOLDER = re.compile(r"\{(\w+)\}")
ISOLATE, END_ISOLATE = "\u2068", "\u2069"  # the text between them keeps its own direction (Unicode, UAX 9)


def marked(message: str) -> str:
    """Mark a message that is translated elsewhere, so that the test of the catalogs finds it."""
    return message


NAMED = marked("You were named by the sender.")
BECAUSE = {
    BecauseKind.NAMED: NAMED,
    BecauseKind.TOPIC: marked("You follow the topic {topic}."),
    BecauseKind.EVERYONE: marked("It was sent to everyone."),
    BecauseKind.FILTER: marked("It was sent to a group that you belong to."),
    BecauseKind.RULE: marked("A rule of the sender applies to you."),
}


class Language(Struct, frozen=True):
    """One catalog. `tag` is its BCP 47 tag, `direction` is `ltr` or `rtl`."""

    tag: str
    direction: str
    messages: GNUTranslations

    def text(self, message: str, **values: str) -> str:
        """Return the message in this language, with each `{name}` replaced by its value."""
        return self._filled(self.messages.gettext(message), values)

    def plural(self, one: str, many: str, number: int) -> str:
        """Return the form that this language uses for `number`, which replaces `{number}`."""
        return self._filled(self.messages.ngettext(one, many, number), {"number": str(number)})

    def _filled(self, text: str, values: dict[str, str]) -> str:
        def shown(found: re.Match[str]) -> str:
            value = values.get(found[1], "")
            return f"{ISOLATE}{value}{END_ISOLATE}" if self.direction == "rtl" and value else value

        return PLACEHOLDER.sub(shown, text)


def because(n: Notification, reader: Language) -> str:
    """Return why the recipient got it. A sentence that an older version stored is returned as it is, unless it has a
    translation."""
    if n.because == NAMED or n.because.partition(":")[0] in BECAUSE_KINDS:
        return reader.text(BECAUSE[n.because_kind], topic=n.because_of or "")
    return n.because


@lru_cache(CACHED_TAGS)
def language(tag: str) -> Language:
    """Return the catalog of a locale: of the same locale, else of the same language and script, else English."""
    return _loaded(_catalog_of(tag) or DEFAULT)


def accepted_language(header: str) -> Language:
    """Return the first catalog that an Accept-Language header (RFC 9110) asks for, else English."""
    asked: list[tuple[float, str]] = []
    for part in header[:ACCEPT_LANGUAGE_MAX_CHARS].split(","):
        tag, _, parameter = part.partition(";")
        try:
            weight = float(parameter.strip().removeprefix("q=") or 1)
        except ValueError:
            weight = 0
        if weight > 0:
            asked.append((weight, tag.strip()))
    for _, tag in sorted(asked, key=lambda wanted: -wanted[0]):
        if found := _catalog_of(tag):
            return _loaded(found)
    return _loaded(DEFAULT)


def direction_of(text: str) -> str | None:
    """Return the direction of the first letter that has one, as `dir="auto"` does; None if there is none."""
    for character in text:
        found = bidirectional(character)
        if found in {"R", "AL"}:
            return "rtl"
        if found == "L":
            return "ltr"
    return None


def _catalog_of(tag: str) -> str | None:
    if not (asked := TAG.fullmatch(tag)):
        return None
    code, territory = asked[1].lower(), (asked[3] or "").upper()
    script = (asked[2] or "").title() or _script(code, territory)
    found = {
        Locale.parse(name).territory: name
        for name in LOCALES
        if (known := Locale.parse(name)).language == code
        and (known.script or _script(code, known.territory or "")) == script
    }
    return found.get(territory or None) or next(iter(found.values()), None)


def _script(code: str, territory: str) -> str:
    """The script that the language is usually written in, there."""
    likely = get_global("likely_subtags")
    full = likely.get(f"{code}_{territory}") or likely.get(code) or ""
    return next((part for part in full.split("_")[1:] if len(part) == 4), "")


@lru_cache(None)
def _loaded(name: str) -> Language:
    with (CATALOGS / f"{name}.po").open("rb") as file:
        catalog = read_po(file, locale=name)
    compiled = BytesIO()
    write_mo(compiled, catalog)
    compiled.seek(0)
    return Language(name.replace("_", "-"), Locale.parse(name).text_direction, GNUTranslations(compiled))
