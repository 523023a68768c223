"""The in-app texts of a send with a template. They are rendered before the send is submitted to the group commit.

- The versions of the template and of the email layout are read once, and recorded on the send. Users are read only if
  the text is not the same for all. Concurrent sends share these queries.
- The transaction decides with the users as they are then. If the locale, the time zone, or a part of the profile that
  the template reads changed in the meantime, that user's text is rendered again. Write conflicts render nothing again.
- Other tasks run between two renderings. A text that was slow before is rendered in a thread, so it delays sends with
  slow texts only.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import TypeVar

import msgspec
import pymongo
from msgspec import Struct
from msgspec.structs import replace

from hub.audience.templates import Templates
from hub.audience.tenants import Tenants, default_category
from hub.audience.users import Users, unknown_user
from hub.decide.templates.built_in import LAYOUT
from hub.decide.templates.errors import RenderStopped, TemplateError
from hub.decide.templates.lookup import TemplateSet
from hub.decide.templates.parts import Rendered, TextLimits
from hub.decide.templates.recipient_texts import RecipientTexts
from hub.decide.templates.render_input import merged_data, parsed_enrichment
from hub.errors import BadUserInput, NotFound, TooLarge
from hub.ids import id_time, new_id
from hub.model import Channel, Content, Send, Tenant, User, mailbox_of
from hub.platform.batched_reads import BatchedReads
from hub.platform.cpu_timer import CpuTimer
from hub.platform.shared_reads import SharedReads
from hub.settings import Settings
from hub.unicode_text import single_line
from hub.workflows.send_request import SendRequest
from hub.workflows.stopped_renderings import StoppedRenderings

RENDER_SLICE_S = 0.005  # processor time after which other tasks run
ERROR_MAX_CHARS = 200
RENDER_MAX_S = 2.0  # processor time of all renderings of one call

T = TypeVar("T")

_slow_templates = ThreadPoolExecutor(1, "slow-templates")  # one at a time: the sends of other templates go first


class SendIds(Struct, frozen=True):
    """The ids of a send and of its notifications, in the order of the users. They are the same in every attempt."""

    send: str
    notifications: tuple[str, ...]
    created_at: datetime

    @classmethod
    def create(cls, recipients: int, now: datetime) -> "SendIds":
        send = new_id(now)
        notifications = tuple(new_id(now) for _ in range(recipients))
        return cls(send, notifications, id_time(send))  # lists of sends are limited by ids


class SendTexts(Struct, frozen=True):
    """The texts of one send, and the versions that they come from. `title`: in the tenant's locale. `bytes`: the size
    of the texts of all recipients."""

    version: int
    layout_version: int | None
    title: str | None
    created_at: datetime
    recipient_texts: RecipientTexts
    bytes: int = 0

    def content(self, user: User, id: str, channel: Channel = Channel.IN_APP) -> Content | TemplateError:
        """Return the content of the notification `id` on a channel, or the error. A content that was rendered before
        is rendered again only if the user has changed."""
        rendered = self.recipient_texts.render(channel, user, (id, self.created_at))
        return rendered if isinstance(rendered, TemplateError) else _to_content(rendered)

    def is_slow(self, user: User, id: str, channel: Channel = Channel.IN_APP) -> bool:
        """Return True if `content` should not block the event loop."""
        return self.recipient_texts.is_slow(channel, user, (id, self.created_at))


class RenderTime:
    """The processor time of the renderings of one call for `users`. `field` is the path of the call's input. None: the
    caller stops when `is_over`, which also counts the time that other tasks take."""

    def __init__(self, users: int, field: str | None) -> None:
        self._users = users
        self._field = field
        self._spent_s = 0.0
        self._slice = CpuTimer()
        self._ends_s = time.monotonic() + RENDER_MAX_S

    @property
    def is_over(self) -> bool:
        return self._field is None and time.monotonic() >= self._ends_s

    async def run(self, render: Callable[[], T], *, slow: bool) -> T:
        """Return the result of `render`, which runs in a thread if it is slow. Let other tasks run if that takes long.
        Raise TooLarge if all renderings take too long."""

        def measured() -> tuple[T, float]:
            timer = CpuTimer()
            return render(), timer.cpu_s

        if slow:
            result, spent_s = await asyncio.get_running_loop().run_in_executor(_slow_templates, measured)
            self._spent_s += spent_s
            self._slice = CpuTimer()
        else:
            result = render()
            if self._slice.exceeds(RENDER_SLICE_S):
                self._spent_s += self._slice.cpu_s
                await asyncio.sleep(0)
                self._slice = CpuTimer()
        if self._field is not None and self._spent_s > RENDER_MAX_S:
            raise TooLarge(
                f"Rendering this template for {self._users} users takes longer than {RENDER_MAX_S:g} s. "
                "Simplify the template, or name fewer users per call.",
                field=f"{self._field}.template.key",
            )
        return result


class _CurrentTemplate(Struct, frozen=True):
    """The current texts of a template, empty if it does not exist, and what they are rendered with."""

    tenant: Tenant
    texts: TemplateSet
    layout_version: int | None


class SendTextRenderer:
    """Renders the texts of sends."""

    def __init__(self, templates: Templates, tenants: Tenants, users: Users, settings: Settings) -> None:
        self._limits = TextLimits(settings.notification_title_max_chars, settings.notification_body_max_bytes)
        self._configured = settings.configured
        self._tenants = tenants
        self._templates = templates
        self._deadline_s = settings.commit_deadline_s
        self._stopped = StoppedRenderings()

        async def read_template(id: tuple[str, str]) -> _CurrentTemplate:
            tenant, key = id
            with pymongo.timeout(self._deadline_s):
                current = await tenants.get(tenant)
                version = await templates.version_in(current, key)
                layout_version = await templates.version_in(current, LAYOUT)
                texts = TemplateSet(0, ()) if version is None else await templates.at_version(tenant, key, version)
            return _CurrentTemplate(current, texts, layout_version)

        async def read_users(ids: Collection[str]) -> Mapping[str, User]:
            with pymongo.timeout(self._deadline_s):
                return await users.get_many(ids)

        self._current = SharedReads(read_template)
        self._users = BatchedReads(read_users)

    async def render(self, tenant_id: str, request: SendRequest, ids: SendIds, field: str) -> SendTexts:
        """Return the texts of a send after rendering the in-app texts of all recipients. `field` is the path of the
        send's input.

        Raise NotFound if the template does not exist, BadUserInput if it cannot be rendered with this data, or TooLarge
        if rendering takes too long."""
        texts = await self.load(tenant_id, request, ids.created_at, field)
        return (await self._render(texts, tenant_id, request, ids, field))[0]

    async def load(self, tenant_id: str, request: SendRequest, created_at: datetime, field: str) -> SendTexts:
        """Return the texts of a send before any is rendered for a recipient. Raise NotFound or BadUserInput."""
        reference = request.template
        assert reference
        current = await self._current.get((tenant_id, reference.key))
        if not current.texts:
            similar = await self._templates.similar_key(tenant_id, reference.key)
            suggestion = f" Did you mean {similar!r}?" if similar else ""
            raise NotFound(f"The template {reference.key!r} does not exist.{suggestion}", field=f"{field}.template.key")
        data = merged_data(request.data, reference.data)
        enriched = parsed_enrichment(request.enriched)
        texts = RecipientTexts(current.texts, current.tenant, data, created_at, self._limits, enriched)
        main = self._main_channel(texts, current.tenant, request, field)
        self._stopped.check((tenant_id, reference.key, current.texts.version), f"{field}.template.key")
        try:
            title = await RenderTime(1, field).run(partial(texts.check, main), slow=texts.check_is_slow(main))
        except TemplateError as error:
            self._record(tenant_id, reference.key, current.texts.version, error)
            raise BadUserInput(
                f"This template cannot be rendered with this data: {error}.", f"{field}.template.data"
            ) from None
        return SendTexts(current.texts.version, current.layout_version, title, created_at, texts)

    async def load_recorded(self, send: Send, request: SendRequest, created_at: datetime) -> SendTexts:
        """Return the texts of an expansion in the versions that the send records, before any is rendered. If the
        version of the template is gone, its current one is used."""
        assert request.template
        tenant = await self._tenants.get(send.tenant)
        found = await self._templates.at_version(send.tenant, request.template.key, send.template_version or 0)
        if not found:
            found = (await self._current.get((send.tenant, request.template.key))).texts
        data = merged_data(request.data, request.template.data)
        enriched = parsed_enrichment(send.enriched)
        recipient_texts = RecipientTexts(found, tenant, data, created_at, self._limits, enriched)
        return SendTexts(found.version, send.layout_version, send.template_title, created_at, recipient_texts)

    async def render_first(
        self, texts: SendTexts, tenant_id: str, request: SendRequest, ids: SendIds
    ) -> tuple[SendTexts, int]:
        """Render the in-app texts of `request.users` in order, for RENDER_MAX_S, but at least one. Return the texts,
        and the number of these users."""
        return await self._render(texts, tenant_id, request, ids, None)

    def _main_channel(self, texts: RecipientTexts, tenant: Tenant, request: SendRequest, field: str) -> Channel:
        """Return the channel whose texts are checked. Raise BadUserInput if a channel has no text."""
        category = tenant.category(request.category) or default_category(request.category)
        requested = request.requested
        steps = requested.steps_in(category)
        channels = (*requested.channels_in(category), *(channel for step in steps for channel in step.channels))
        if missing := texts.missing(dict.fromkeys(channel for channel in channels if channel in self._configured)):
            raise BadUserInput(
                f"This template has no text for {', '.join(missing)} in the locale {tenant.locale!r}. Add a text "
                "without a channel, or leave out the channel.",
                f"{field}.template.key",
            )
        return channels[0] if texts.missing([Channel.IN_APP]) else Channel.IN_APP

    def _record(self, tenant: str, key: str, version: int, result: Rendered | TemplateError) -> None:
        self._stopped.record((tenant, key, version), stopped=isinstance(result, RenderStopped))

    async def _render(
        self, texts: SendTexts, tenant_id: str, request: SendRequest, ids: SendIds, field: str | None
    ) -> tuple[SendTexts, int]:
        """Render the in-app texts of the recipients: of all, unless `field` is None. Return them with their size, and
        the number of recipients."""
        mailboxes = [mailbox_of(tenant_id, user) for user in request.users]
        same_for_all = texts.recipient_texts.same_for_all(Channel.IN_APP)
        users = {} if same_for_all else await self._users.get_many(mailboxes)
        sizes: dict[int, int] = {}  # by the identity of the rendered texts
        assert request.template
        count, total_bytes, render_time = 0, 0, RenderTime(len(mailboxes), field)
        for count, (notification, mailbox) in enumerate(zip(ids.notifications, mailboxes, strict=True), 1):  # noqa: B007
            user = users.get(mailbox) or unknown_user(mailbox, ids.created_at)
            render = partial(texts.recipient_texts.render, Channel.IN_APP, user, (notification, ids.created_at))
            rendered = await render_time.run(render, slow=texts.is_slow(user, notification))
            self._record(tenant_id, request.template.key, texts.version, rendered)
            if isinstance(rendered, Rendered):
                if id(rendered) not in sizes:
                    sizes[id(rendered)] = len(msgspec.json.encode(rendered))
                total_bytes += sizes[id(rendered)]
            if same_for_all:
                return replace(texts, bytes=total_bytes * len(mailboxes)), len(mailboxes)
            if render_time.is_over:
                break
        return replace(texts, bytes=total_bytes), count


def template_error_text(error: TemplateError) -> str:
    """Return the text of an error for an attempt."""
    return single_line(str(error))[:ERROR_MAX_CHARS]


def _to_content(rendered: Rendered) -> Content:
    return Content(
        title=rendered.title or "",
        body=rendered.body,
        markdown=rendered.markdown,
        image_url=rendered.image_url,
        action_url=rendered.action_url,
        actions=rendered.actions,
    )
