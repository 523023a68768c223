"""The tenant's email layout: the template `_layout`, whose `html` replaces the built-in layout around the body.

The layout applies to emails without HTML of their own. A send with a template and a digest use the version of the
layout that they recorded. Other emails use the current version, which a process reads again after `VERSION_MAX_AGE_S`.
"""

from collections.abc import Mapping, Sequence

from cachetools import TTLCache
from msgspec.structs import replace

from hub.audience.templates import Templates
from hub.decide.templates.built_in import LAYOUT
from hub.decide.templates.lookup import TemplateSet, locale_chain
from hub.decide.templates.parts import render_html
from hub.decide.templates.render_input import render_input
from hub.model import Channel, Delivery
from hub.send import email_body
from hub.send.delivery_data import DeliveryData
from hub.send.message import Message

VERSION_MAX_AGE_S = 5.0
TENANTS_MAX = 10_000


class EmailLayouts:
    """Loads the layouts of tenants. Parsed layouts are cached by version."""

    def __init__(self, templates: Templates) -> None:
        self._templates = templates
        self._versions: TTLCache[str, int] = TTLCache(TENANTS_MAX, VERSION_MAX_AGE_S)
        """The current version by tenant. 0 if the tenant has no layout."""

    async def load(self, jobs: Sequence[Delivery], data: DeliveryData) -> Mapping[str, TemplateSet]:
        """Return the layouts by send, for tenants that have one. Raise PyMongoError."""
        layouts: dict[str, TemplateSet] = {}
        for job in jobs:
            if job.send in layouts:
                continue
            send = data.template_sends.get(job.send)
            if send:
                version = send.layout_version
            elif job.digest_key:
                version = job.layout_version
            else:
                version = await self._current_version(job.tenant)
            if version:
                layouts[job.send] = await self._templates.at_version(job.tenant, LAYOUT, version)
        return layouts

    async def _current_version(self, tenant: str) -> int:
        version = self._versions.get(tenant)
        if version is None:
            version = self._versions[tenant] = await self._templates.current_version(tenant, LAYOUT) or 0
        return version


def with_layout(message: Message, layouts: TemplateSet) -> Message:
    """Return the message with the HTML of the layout, unless it has HTML of its own. Raise TemplateError."""
    n, user, tenant = message.notification, message.user, message.tenant
    locale = user.effective_locale(tenant)
    layout = layouts.find(locale_chain(locale, tenant.locale), Channel.EMAIL)
    if message.html is not None or layout is None or "html" not in layout:
        return message
    given = render_input(
        tenant,
        user,
        (n.id, n.created_at),
        email_body.layout_values(message),
        locale=locale,
        timezone=user.effective_timezone(tenant),
        now=n.created_at,
    )
    preheader = message.preheader or message.plain_body[: email_body.PREVIEW_CHARS]
    return replace(message, html=render_html(layout, given), preheader=preheader)
