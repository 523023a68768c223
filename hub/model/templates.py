"""Templates of tenants."""

from datetime import datetime

from hub.model.channels import Channel
from hub.model.notifications import Action
from hub.model.record import Record

CURRENT_UNTIL = 2**31 - 1
"""The value of `Template.until` while a text is current."""


class TemplateTexts(Record, frozen=True):
    """The texts of a template for one locale and, if `channel` is set, for one channel only. All texts are Liquid.

    - `locale`: a BCP 47 tag in its usual spelling, such as `pt-BR`.
    - `markdown`: True if `body` is Markdown.
    - `html`: HTML or MJML. `compiled_html`: the HTML with inlined CSS, made from it.
    - `actions`: their `label` and `url` are Liquid.
    - `variables`: the names that the texts read, sorted.
    """

    key: str
    locale: str
    body: str
    channel: Channel | None = None
    subject: str | None = None
    title: str | None = None
    markdown: bool = False
    html: str | None = None
    compiled_html: str | None = None
    preheader: str | None = None
    action_url: str | None = None
    image_url: str | None = None
    actions: tuple[Action, ...] = ()
    whatsapp_content_sid: str | None = None
    whatsapp_variables: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()


class Template(TemplateTexts, frozen=True, kw_only=True, rename={"id": "_id"}):
    """One version of the texts for a locale and channel.

    - `version`: the number of the change that made it. Changes are numbered per key.
    - `until`: the number of the change that replaced or deleted it, or CURRENT_UNTIL.
    - `ended_at`: the time of that change. The text is deleted HUB_TEMPLATE_DAYS later.
    - `size`: the size of its texts in bytes.
    """

    id: str
    tenant: str
    version: int
    until: int
    updated_at: datetime
    updated_by: str
    size: int
    note: str | None = None
    ended_at: datetime | None = None
