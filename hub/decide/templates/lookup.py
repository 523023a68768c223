"""The order in which the texts of a template are looked up."""

from collections.abc import Iterable, Sequence
from functools import lru_cache

from hub.decide.templates.parts import StoredTemplate
from hub.model import DEFAULT_LOCALE, Channel

CACHED_CHAINS = 1024


def canonical_locale(tag: str) -> str:
    """Return a BCP 47 tag in its usual spelling: `pt_br` becomes `pt-BR`, and `zh-hant-tw` becomes `zh-Hant-TW`."""
    language, *rest = tag.replace("_", "-").split("-")
    return "-".join([language.lower(), *(_subtag(part) for part in rest)])


def _subtag(part: str) -> str:
    match len(part):
        case 2:
            return part.upper()
        case 4:
            return part.title()
    return part.lower()


@lru_cache(CACHED_CHAINS)
def locale_chain(locale: str, tenant_locale: str) -> tuple[str, ...]:
    """Return the locales to look up, in order: `pt-BR`, `pt`, those of the tenant, `en`."""
    chain: dict[str, None] = {}
    for tag in (locale, tenant_locale, DEFAULT_LOCALE):
        parts = canonical_locale(tag).split("-")
        chain |= {"-".join(parts[:length]): None for length in range(len(parts), 0, -1)}
    return tuple(chain)


class TemplateSet:
    """The texts of one key at one version, by locale and channel."""

    def __init__(self, version: int, templates: Iterable[StoredTemplate]) -> None:
        self.version = version
        self._templates = {(one.texts.locale, one.texts.channel): one for one in templates}

    def find(self, locales: Sequence[str], channel: Channel) -> StoredTemplate | None:
        """Return the text for the first locale that has one: for the channel, or else for all channels."""
        for locale in locales:
            for name in (channel, None):
                if found := self._templates.get((locale, name)):
                    return found
        return None

    def __bool__(self) -> bool:
        """Return True if there is a text for some locale and channel."""
        return bool(self._templates)

    def candidates(self, channel: Channel) -> list[StoredTemplate]:
        """Return the texts for a channel in all locales."""
        return [one for one in self._templates.values() if one.texts.channel in (channel, None)]

    def replaced(self, template: StoredTemplate) -> "TemplateSet":
        """Return the set with a text in the place of the one for the same locale and channel."""
        changed = TemplateSet(self.version, self._templates.values())
        changed._templates[template.texts.locale, template.texts.channel] = template
        return changed
