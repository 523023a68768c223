"""The texts of deliveries whose send has a template.

They are rendered right before the call, at the version that the send recorded, so retries and late steps have the same
texts."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from hub.audience.templates import Templates
from hub.decide.templates.lookup import TemplateSet
from hub.decide.templates.parts import TextLimits
from hub.decide.templates.recipient_texts import RecipientTexts
from hub.decide.templates.render_input import merged_data, parsed_enrichment
from hub.model import Channel, Delivery, Notification, Send
from hub.send.delivery_data import DeliveryData


class SendTexts(Struct, frozen=True):
    """The texts of one send. `note`: a remark for the attempts, if the recorded version is no longer stored."""

    recipient_texts: RecipientTexts
    note: str | None = None


class TemplateTexts:
    """Loads the texts of sends with a template. Parsed templates are cached by version."""

    def __init__(self, templates: Templates, limits: TextLimits) -> None:
        self._templates = templates
        self._limits = limits

    async def load(self, jobs: Sequence[Delivery], data: DeliveryData) -> Mapping[str, SendTexts]:
        """Return the texts by send, for the sends with a template. Raise PyMongoError."""
        texts: dict[str, SendTexts] = {}
        for job in jobs:
            send, n = data.template_sends.get(job.send), data.notifications.get(job.notification)
            if send and n and job.send not in texts:
                texts[job.send] = await self._load(send, job.channel, n, data)
        return texts

    async def _load(self, send: Send, channel: Channel, n: Notification, data: DeliveryData) -> SendTexts:
        """Return the texts of a send. All its notifications have the same time, which "now" means in the texts. It is
        later than `send.created_at` if the send was scheduled."""
        assert send.template
        tenant = data.tenants[send.tenant]
        merged = merged_data(n.data, send.template_data)
        version = send.template_version or 0
        # `send` found a text for every channel
        template_set, note = await recorded_texts(self._templates, tenant.id, send.template, version, channel)
        enriched = parsed_enrichment(send.enriched)
        return SendTexts(RecipientTexts(template_set, tenant, merged, n.created_at, self._limits, enriched), note)


async def recorded_texts(
    templates: Templates, tenant: str, key: str, version: int, channel: Channel
) -> tuple[TemplateSet, str | None]:
    """Return the texts of a recorded version, which had a text for the channel. If it was deleted because of its age,
    return the current texts, and a remark for the attempt."""
    texts = await templates.at_version(tenant, key, version)
    if texts.candidates(channel):  # perhaps none in this locale
        return texts, None
    current = await templates.current_version(tenant, key)
    if current is None or current == version:
        return texts, None
    note = f"version {version} of the template was deleted; version {current} was used"
    return await templates.at_version(tenant, key, current), note
