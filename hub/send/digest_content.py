"""The messages of digests: with the texts of the tenant's template, or with those of the hub."""

import asyncio
from collections.abc import Sequence

import orjson
from msgspec.structs import replace

from hub.audience.templates import Templates
from hub.decide.templates.digest_texts import (
    TEMPLATE_KEYS,
    DigestInput,
    built_in_texts,
    item_values,
    template_key,
    with_template_versions,
)
from hub.decide.templates.lookup import locale_chain
from hub.decide.templates.parts import Rendered, TextLimits, render
from hub.decide.templates.render_input import render_input
from hub.model import Channel, Delivery, Notification, Tenant, User
from hub.platform.signed_links import http_url
from hub.platform.translations import language
from hub.send.delivery_texts import recorded_texts
from hub.send.digest_preparation import Collected
from hub.send.email_layout import EmailLayouts, with_layout
from hub.send.message import DigestItem, Message
from hub.send.message_builder import MessageBuilder
from hub.status.digests import Digests

LISTING_CHANNELS = frozenset({Channel.EMAIL, Channel.SLACK, Channel.DISCORD, Channel.TEAMS})
"""The channels that list the items of a digest below its title."""


class DigestMessages:
    """Builds the messages of digests with several items. `layouts`: the email layouts, for EMAIL only."""

    def __init__(
        self,
        templates: Templates,
        digests: Digests,
        message_builder: MessageBuilder,
        limits: TextLimits,
        layouts: EmailLayouts | None,
    ) -> None:
        self._templates = templates
        self._digests = digests
        self._message_builder = message_builder
        self._limits = limits
        self._layouts = layouts

    async def build(self, digest: Delivery, collected: Collected) -> tuple[Message, str | None]:
        """Return the message, and a remark for the attempt. Raise TemplateError if the template cannot be rendered."""
        if digest.template_version is None:  # replayed, or closed by an earlier version of the hub
            current = await self._templates.current_sets([digest.tenant], TEMPLATE_KEYS)
            digest = with_template_versions(digest, current)
            await self._digests.record_template_versions(digest)
        data = collected.data
        user, tenant, mailbox = data.users[digest.mailbox], data.tenants[digest.tenant], data.mailboxes[digest.mailbox]
        items = [self._message_builder.digest_item(item) for item in collected.newest]
        values = _input(digest, items, collected.count, tenant)
        rendered, note = await self._render(digest, values, user, tenant)
        reader = language(user.effective_locale(tenant))
        texts = ("", "") if rendered else built_in_texts(template_key(digest), values, reader)
        n = _notification(digest, items[0].notification, collected.count, texts, self._message_builder.app_url)
        message = self._message_builder.build(digest, n, user, tenant, mailbox, rendered)
        # the body of a template lists the items
        shown = () if rendered and digest.channel in LISTING_CHANNELS else tuple(items)
        message = replace(message, items=shown, item_count=collected.count)
        if self._layouts:
            layouts = await self._layouts.load([digest], data)
            if layout := layouts.get(digest.send):
                message = with_layout(message, layout)
        return message, note

    async def _render(
        self, digest: Delivery, values: DigestInput, user: User, tenant: Tenant
    ) -> tuple[Rendered | None, str | None]:
        """Return the texts of the tenant's template, or None if it has none for the channel and the recipient."""
        if not digest.template_version:
            return None, None
        texts, note = await recorded_texts(
            self._templates, tenant.id, template_key(digest), digest.template_version, digest.channel
        )
        locale = user.effective_locale(tenant)
        template = texts.find(locale_chain(locale, tenant.locale), digest.channel)
        if template is None:
            return None, None
        given = render_input(
            tenant,
            user,
            (digest.id, digest.accepted_at),
            {},
            locale=locale,
            timezone=user.effective_timezone(tenant),
            now=digest.accepted_at,
            unsubscribe_url=self._message_builder.unsubscribe_url(digest, tenant),
            digest=values.values(),
        )
        await asyncio.sleep(0)
        rendered = render(template, digest.channel, given, self._limits)
        return replace(rendered, action_url=rendered.action_url or self._message_builder.app_url or None), note


def _input(digest: Delivery, items: Sequence[DigestItem], count: int, tenant: Tenant) -> DigestInput:
    """Return what a template reads. Links in emails record clicks."""
    values = []
    for item in items:
        n = item.notification
        category = tenant.category(n.category)
        url = item.url if digest.channel is Channel.EMAIL else http_url(n.action_url)
        values.append(item_values(n, url, http_url(n.image_url), category.name if category else n.category))
    return DigestInput(tuple(values), count)


def _notification(
    digest: Delivery, newest: Notification, count: int, texts: tuple[str, str], app_url: str
) -> Notification:
    """Return the notification of a digest. Its id is the id of the digest, so a repeated message replaces the first."""
    title, body = texts
    return replace(
        newest,
        id=digest.id,
        category=digest.category,
        title=title,
        body=body,
        markdown=False,
        data=orjson.dumps({"digest": True, "count": count}).decode(),
        image_url=None,
        action_url=app_url or None,
        actions=(),
        tags=(),
        priority=digest.priority,
        require_ack=False,
        collapse_key=None,
        live_key=None,
        expires_at=None,
        created_at=digest.accepted_at,
    )
