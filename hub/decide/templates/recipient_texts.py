"""The texts of one send with a template, per recipient and channel.

Recipients share a rendering if everything that the template can read is equal for them: the data always is, and the
locale or the time zone is part of the key if the result depends on it. A template that reads `user` or `notification`
is rendered for each recipient.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from msgspec.structs import replace

from hub.decide.templates.errors import MissingValue, TemplateError
from hub.decide.templates.lookup import TemplateSet, locale_chain
from hub.decide.templates.parts import Rendered, StoredTemplate, TextLimits, check_values, render, sharing_key
from hub.decide.templates.render_input import NOT_ENRICHED, NOT_YET_ENRICHED, RenderInput, render_input
from hub.model import Channel, Tenant, User


class RecipientTexts:
    """Renders the texts of one send, each once. `data` is the result of `merged_data`, and `enriched` that of
    `parsed_enrichment`.

    `now` is the time of the send, which "now" in a template means, so retries and late steps have the same texts."""

    def __init__(
        self,
        templates: TemplateSet,
        tenant: Tenant,
        data: object,
        now: datetime,
        limits: TextLimits,
        enriched: Mapping[str, object] | None = None,
    ) -> None:
        self._templates = templates
        self._tenant = tenant
        self._data = data
        self._now = now
        self._limits = limits
        self._enriched = enriched
        self._found: dict[tuple[Channel, str, str], tuple[StoredTemplate, tuple[str, str] | None]] = {}
        self._rendered: dict[tuple[object, ...], Rendered | TemplateError] = {}

    @property
    def _known(self) -> object:
        return self._enriched or NOT_ENRICHED

    def missing(self, channels: Iterable[Channel]) -> list[Channel]:
        """Return the channels for which the template has no text in the tenant's locale."""
        locales = locale_chain(self._tenant.locale, self._tenant.locale)
        return [channel for channel in channels if self._templates.find(locales, channel) is None]

    def same_for_all(self, channel: Channel) -> bool:
        """Return True if all users get the same text on a channel, whatever their profile is."""
        candidates = self._templates.candidates(channel)
        locales = {template.texts.locale for template in candidates}
        return len(locales) == 1 and all(sharing_key(one, channel, "l", "z") == ("", "") for one in candidates)

    def check(self, channel: Channel) -> str | None:
        """Render the title and the body in the tenant's locale, without a recipient. Return the title.

        Raise TemplateError if a value is missing, or if no recipient's title or body can be rendered."""
        tenant = self._tenant
        template, key = self._find(channel, tenant.locale, tenant.timezone)
        given = render_input(
            tenant,
            None,
            None,
            self._data,
            locale=tenant.locale,
            timezone=tenant.timezone,
            now=self._now,
            enriched=self._enriched,
        )
        if key is not None:  # not personal: recipients with the tenant's locale get the same text
            known = NOT_YET_ENRICHED if self._enriched is None else self._known
            shared = replace(given, values={**given.values, "enriched": known}, stand_in=False)
            result = self._render_once((template, channel, *key), template, channel, lambda: shared)
            if isinstance(result, Rendered):
                return result.title
            if not isinstance(result, MissingValue) and result.part in (template.heading, "body"):
                raise result
            if self._enriched is None:
                del self._rendered[template, channel, *key]  # it may be rendered without an answer
        return check_values(template, channel, given, self._limits)

    def check_is_slow(self, channel: Channel) -> bool:
        """Return True if `check` should not block the event loop, because rendering took long before."""
        return self._took_long(channel, self._tenant.locale)

    def is_slow(self, channel: Channel, user: User, notification: tuple[str, datetime]) -> bool:
        """Return True if `render` should not block the event loop: it has to render, and that took long before."""
        if not self._took_long(channel, user.effective_locale(self._tenant)):
            return False
        try:
            return self._find_for(channel, user, notification, "")[1] not in self._rendered
        except TemplateError:
            return False

    def _took_long(self, channel: Channel, locale: str) -> bool:
        template = self._templates.find(locale_chain(locale, self._tenant.locale), channel)
        return template is not None and template.is_slow(channel)

    def render(
        self, channel: Channel, user: User, notification: tuple[str, datetime], unsubscribe_url: str = ""
    ) -> Rendered | TemplateError:
        """Return the texts for one recipient, or the error. `notification` is its id and its time of creation."""
        tenant = self._tenant
        try:
            template, key = self._find_for(channel, user, notification, unsubscribe_url)
        except TemplateError as error:
            return error

        def given() -> RenderInput:
            return render_input(
                tenant,
                user,
                notification,
                self._data,
                locale=user.effective_locale(tenant),
                timezone=user.effective_timezone(tenant),
                now=self._now,
                enriched=self._known,
                unsubscribe_url=unsubscribe_url,
            )

        return self._render_once(key, template, channel, given)

    def _find_for(
        self, channel: Channel, user: User, notification: tuple[str, datetime], unsubscribe_url: str
    ) -> tuple[StoredTemplate, tuple[object, ...]]:
        """Return the template of a recipient, and the key of their result. Raise TemplateError."""
        locale, timezone = user.effective_locale(self._tenant), user.effective_timezone(self._tenant)
        template, shared = self._find(channel, locale, timezone)
        if shared is not None:
            return template, (template, channel, *shared)
        own = (*notification, unsubscribe_url, locale, timezone, user.name, user.email, user.attributes_text)
        return template, (template, channel, *own)

    def _find(self, channel: Channel, locale: str, timezone: str) -> tuple[StoredTemplate, tuple[str, str] | None]:
        """Return the template of a recipient, and the key under which its rendering is shared. None: it is not."""
        found = self._found.get((channel, locale, timezone))
        if found is None:
            locales = locale_chain(locale, self._tenant.locale)
            template = self._templates.find(locales, channel)
            if template is None:
                raise TemplateError(f"the template has no text for {channel} in {', '.join(locales)}")
            found = template, sharing_key(template, channel, locale, timezone)
            self._found[channel, locale, timezone] = found
        return found

    def _render_once(
        self,
        key: tuple[object, ...],
        template: StoredTemplate,
        channel: Channel,
        given: Callable[[], RenderInput],
    ) -> Rendered | TemplateError:
        """Return the result that was rendered earlier with this key, or render it."""
        result = self._rendered.get(key)
        if result is None:
            try:
                result = render(template, channel, given(), self._limits)
            except TemplateError as error:
                result = error.with_traceback(None)  # kept: its frames would be kept with it
            self._rendered[key] = result
        return result
