"""Storing and previewing templates.

Texts are compiled in a thread of their own, one template at a time, because that waits up to 15 s for the process that
compiles HTML. A call that is canceled frees the thread only when its template is compiled. Previews are rendered in
another thread, so those of stored templates do not wait for a compilation."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import orjson
import structlog

from hub.audience.templates import Templates
from hub.audience.tenants import Tenants
from hub.audience.users import Users
from hub.decide.templates import TemplateError, built_in
from hub.decide.templates.digest_texts import DigestInput, built_in_texts, sample_input
from hub.decide.templates.errors import MissingValue, RenderStopped
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
from hub.model import ITEMS_SHOWN, Channel, Template, TemplateTexts, Tenant, User, mailbox_of
from hub.platform.audit import AuditedAction
from hub.platform.translations import language
from hub.settings import Settings
from hub.utc_time import Clock
from hub.workflows.stopped_renderings import StoppedRenderings

log = structlog.get_logger(__name__)

_compiler = ThreadPoolExecutor(1, "compile-templates")
_previews = ThreadPoolExecutor(1, "preview-templates")


class TemplateEditing:
    def __init__(self, templates: Templates, tenants: Tenants, users: Users, settings: Settings, clock: Clock) -> None:
        self._templates = templates
        self._tenants = tenants
        self._users = users
        self._limits = TextLimits(settings.notification_title_max_chars, settings.notification_body_max_bytes)
        self._clock = clock
        self._stopped = StoppedRenderings()

    async def store(
        self,
        tenant_id: str,
        texts: TemplateTexts,
        sample: str | None,
        note: str | None,
        by: str,
        audit: AuditedAction,
    ) -> Template:
        """Check and store a text, and render it with `sample`, a JSON text. Raise BadUserInput or TooLarge.

        A template of digests is rendered with as many items as a digest can have."""
        given = None
        if sample is None and texts.key == built_in.LAYOUT:
            sample = orjson.dumps(built_in.LAYOUT_SAMPLE).decode()
        if sample is not None or texts.key in built_in.WITH_ITEMS:
            tenant, digest = await self._tenants.get(tenant_id), self._digest(texts.key, sample, "input.sample")
            given = self._input(tenant, None, sample, texts.locale, digest.filled() if digest else None)
        try:
            loop = asyncio.get_running_loop()
            texts, clipped = await loop.run_in_executor(_compiler, self._checked, texts, given)
        except TemplateError as error:
            raise _input_error(error, "input") from error
        if clipped:
            log.warning("email_template_clipped", tenant=tenant_id, key=texts.key, locale=texts.locale)
        return await self._templates.upsert(tenant_id, texts, note, by, audit)

    def _checked(self, texts: TemplateTexts, sample: RenderInput | None) -> tuple[TemplateTexts, bool]:
        """Return the compiled texts, and True if Gmail hides the end of the email."""
        texts = compiled(texts)
        html = texts.compiled_html
        if sample is not None:
            try:
                html = render_sample(StoredTemplate(texts), sample, self._limits) or html
            except MissingValue:
                raise
            except TemplateError as error:
                if texts.key not in built_in.WITH_ITEMS:
                    raise
                raise TemplateError(f"{error.reason} (with {ITEMS_SHOWN} items)", error.line, error.part) from error
        return texts, html is not None and is_clipped(html)

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
        digest = self._digest(key, data, "template.data")
        given = self._input(tenant, user, data, chain[0], digest)
        loop = asyncio.get_running_loop()
        unstored = None
        if draft is not None:
            try:
                unstored = StoredTemplate(await loop.run_in_executor(_compiler, compiled, draft))
            except TemplateError as error:
                raise _input_error(error, "draft") from error
        self._stopped.check((tenant_id,), "template" if draft is None else "draft")
        try:
            rendered = await loop.run_in_executor(_previews, self._rendered, stored, unstored, chain, channel, given)
        except BadUserInput as error:
            self._stopped.record((tenant_id,), stopped=isinstance(error.__cause__, RenderStopped))
            raise
        self._stopped.record((tenant_id,), stopped=False)
        if rendered is None and digest:
            title, body = built_in_texts(key, digest, language(chain[0]))
            rendered = Rendered(title=title, subject=title if channel is Channel.EMAIL else None, body=body)
        if rendered is None:
            raise NotFound(
                f"This template has no text for {channel.value} in {', '.join(chain)}.", field="template.key"
            )
        return rendered

    def _rendered(
        self,
        stored: TemplateSet,
        unstored: StoredTemplate | None,
        locales: tuple[str, ...],
        channel: Channel,
        given: RenderInput,
    ) -> Rendered | None:
        """Return the texts, or None if there are none for the channel."""
        if unstored is not None:
            stored = stored.replaced(unstored)
        template = stored.find(locales, channel)
        if template is None:
            return None
        try:
            return render(template, channel, given, self._limits)
        except TemplateError as error:
            if template is unstored:
                raise _input_error(error, "draft") from error
            raise BadUserInput(f"{error}.", "template") from error

    def _digest(self, key: str, data: str | None, field: str) -> DigestInput | None:
        """Return the items for a template that reads them."""
        if key not in built_in.WITH_ITEMS:
            return None
        try:
            return sample_input(orjson.loads(data) if data else None, self._clock())
        except TemplateError as error:
            raise BadUserInput(f"{error}.", field) from error

    def _input(
        self, tenant: Tenant, user: User | None, data: str | None, locale: str, digest: DigestInput | None
    ) -> RenderInput:
        now = self._clock()
        return render_input(
            tenant,
            user,
            (new_id(now), now) if user else None,
            {} if digest else merged_data(None, data),
            locale=locale,
            timezone=user.effective_timezone(tenant) if user else tenant.timezone,
            now=now,
            digest=digest.values() if digest else None,
        )


def _input_error(error: TemplateError, field: str) -> BadUserInput:
    return BadUserInput(f"{error}.", f"{field}.{error.part}" if error.part else field)
