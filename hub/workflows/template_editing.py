"""Storing and previewing templates.

Both check the texts in a thread, one template at a time, because that can take a tenth of a second and waits for the
process that compiles HTML."""

import asyncio

import orjson
import structlog

from hub.audience.templates import Templates
from hub.audience.tenants import Tenants
from hub.audience.users import Users
from hub.decide.templates import TemplateError, built_in
from hub.decide.templates.lookup import TemplateSet, locale_chain
from hub.decide.templates.parts import (
    Rendered,
    StoredTemplate,
    TextLimits,
    compiled,
    is_clipped,
    render,
    render_sample,
)
from hub.decide.templates.render_input import RenderInput, merged_data, render_input
from hub.errors import BadUserInput, NotFound
from hub.ids import new_id
from hub.model import Channel, Template, TemplateTexts, Tenant, User, mailbox_of
from hub.settings import Settings
from hub.utc_time import Clock

log = structlog.get_logger(__name__)


class TemplateEditing:
    def __init__(self, templates: Templates, tenants: Tenants, users: Users, settings: Settings, clock: Clock) -> None:
        self._templates = templates
        self._tenants = tenants
        self._users = users
        self._limits = TextLimits(settings.notification_title_max_chars, settings.notification_body_max_bytes)
        self._clock = clock
        self._one_at_a_time = asyncio.Semaphore(1)

    async def store(
        self, tenant_id: str, texts: TemplateTexts, sample: str | None, note: str | None, by: str
    ) -> Template:
        """Check and store a text, and render it with `sample`, a JSON text. Raise BadUserInput or TooLarge."""
        given = None
        if sample is None and texts.key == built_in.LAYOUT:
            sample = orjson.dumps(built_in.LAYOUT_SAMPLE).decode()
        if sample is not None:
            tenant = await self._tenants.get(tenant_id)
            given = self._input(tenant, None, sample, texts.locale)
        try:
            async with self._one_at_a_time:
                texts = await asyncio.to_thread(self._checked, texts, given)
        except TemplateError as error:
            raise _input_error(error, "input") from error
        if texts.compiled_html is not None and is_clipped(texts.compiled_html):
            log.warning("email_template_clipped", tenant=tenant_id, key=texts.key, locale=texts.locale)
        return await self._templates.upsert(tenant_id, texts, note, by)

    def _checked(self, texts: TemplateTexts, sample: RenderInput | None) -> TemplateTexts:
        texts = compiled(texts)
        if sample is not None:
            render_sample(StoredTemplate(texts), sample, self._limits)
        return texts

    async def preview(
        self,
        tenant_id: str,
        key: str,
        data: str | None,
        draft: TemplateTexts | None,
        channel: Channel,
        locale: str | None,
        user_id: str | None,
    ) -> Rendered:
        """Render a template for one channel. `draft` replaces the stored text of its locale and channel. Without
        `locale`, that of the user applies. Raise BadUserInput or NotFound."""
        tenant = await self._tenants.get(tenant_id)
        user = await self._users.get(mailbox_of(tenant_id, user_id)) if user_id else None
        if user_id and user is None:
            raise NotFound("This user does not exist.", field="user")
        chain = locale_chain(locale or (user.effective_locale(tenant) if user else tenant.locale), tenant.locale)
        version = await self._templates.current_version(tenant_id, key)
        stored = TemplateSet(0, ()) if version is None else await self._templates.at_version(tenant_id, key, version)
        given = self._input(tenant, user, data, chain[0])
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._rendered, stored, draft, chain, channel, given)

    def _rendered(
        self,
        stored: TemplateSet,
        draft: TemplateTexts | None,
        locales: tuple[str, ...],
        channel: Channel,
        given: RenderInput,
    ) -> Rendered:
        unstored = None
        try:
            if draft is not None:
                unstored = StoredTemplate(compiled(draft))
                stored = stored.replaced(unstored)
        except TemplateError as error:
            raise _input_error(error, "draft") from error
        template = stored.find(locales, channel)
        if template is None:
            raise NotFound(
                f"This template has no text for {channel.value} in {', '.join(locales)}.", field="template.key"
            )
        try:
            return render(template, channel, given, self._limits)
        except TemplateError as error:
            if template is unstored:
                raise _input_error(error, "draft") from error
            raise BadUserInput(f"{error}.", "template") from error

    def _input(self, tenant: Tenant, user: User | None, data: str | None, locale: str) -> RenderInput:
        now = self._clock()
        timezone = user.effective_timezone(tenant) if user else tenant.timezone
        notification = (new_id(now), now) if user else None
        return render_input(
            tenant, user, notification, merged_data(None, data), locale=locale, timezone=timezone, now=now
        )


def _input_error(error: TemplateError, field: str) -> BadUserInput:
    return BadUserInput(f"{error}.", f"{field}.{error.part}" if error.part else field)
