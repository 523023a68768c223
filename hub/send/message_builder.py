"""The construction of messages from deliveries."""

from collections.abc import Callable

from msgspec.structs import replace

from hub.decide.templates.parts import Rendered
from hub.model import Delivery, Device, DigestKind, Mailbox, Notification, Tenant, User
from hub.platform.signed_links import LinkPurpose, SignedLinks, absolute_url, http_url
from hub.send.digest_preparation import Item
from hub.send.message import DigestItem, Message


class MessageBuilder:
    """Builds messages. `app_url` is the value of HUB_APP_URL, the base of relative URLs. `decrypted` returns a device
    with its address and keys. `sms_segments_max` is the value of HUB_SMS_SEGMENTS."""

    def __init__(
        self, links: SignedLinks, app_url: str, decrypted: Callable[[Device], Device], sms_segments_max: int
    ) -> None:
        self._links = links
        self._decrypted = decrypted
        self.app_url = app_url
        self._sms_segments_max = sms_segments_max

    def build(
        self,
        job: Delivery,
        n: Notification,
        user: User,
        tenant: Tenant,
        mailbox: Mailbox,
        rendered: Rendered | None = None,
    ) -> Message:
        """Return the message of a delivery. `rendered` are the texts of its template for its channel. Raise
        CredentialUnavailable if the device cannot be decrypted."""
        device = next((device for device in user.devices if device.id == job.device), None)
        stored = n
        if rendered:
            n = with_texts(n, rendered)
        return Message(
            id=job.id,
            notification=self._with_absolute_urls(n),
            user=user,
            tenant=replace(tenant, logo_url=absolute_url(tenant.logo_url, self.app_url)),
            device=self._decrypted(device) if device else None,
            unseen=mailbox.unseen,
            created_at=job.accepted_at,
            unsubscribe_url=self.unsubscribe_url(job, tenant),
            receipt_url=self._links.url(LinkPurpose.RECEIPT, job.id),
            app_url=self.app_url,
            sms_segments_max=self._sms_segments_max,
            subject=rendered.subject if rendered else None,
            html=rendered.html if rendered else None,
            preheader=rendered.preheader if rendered else None,
            whatsapp_content_sid=rendered.whatsapp_content_sid if rendered else None,
            whatsapp_variables=rendered.whatsapp_variables if rendered else (),
            tracked=rendered is None or _links(n) == _links(stored),
        )

    def unsubscribe_url(self, job: Delivery, tenant: Tenant) -> str:
        """Return the unsubscribe link of a delivery. Return an empty text for required categories, for briefings, which
        have several categories, and without HUB_PUBLIC_URL."""
        category = tenant.category(job.category)
        required = category is not None and category.required
        if required or job.digest_kind is DigestKind.BRIEFING:
            return ""
        return self._links.unsubscribe_url(job.mailbox, job.category, job.id)

    def digest_item(self, item: Item) -> DigestItem:
        """Return an item with a URL that records a click on it, if possible."""
        n = self._with_absolute_urls(item.notification)
        url = http_url(n.action_url)
        receipt_url = self._links.url(LinkPurpose.RECEIPT, item.delivery.id)
        return DigestItem(n, receipt_url if url and receipt_url and item.tracked else url)

    def _with_absolute_urls(self, n: Notification) -> Notification:
        """Return the notification with absolute URLs, which work outside the app."""
        if not self.app_url:
            return n
        return replace(
            n,
            image_url=absolute_url(n.image_url, self.app_url),
            action_url=absolute_url(n.action_url, self.app_url),
            actor=n.actor and replace(n.actor, avatar_url=absolute_url(n.actor.avatar_url, self.app_url)),
            actions=tuple(replace(action, url=absolute_url(action.url, self.app_url)) for action in n.actions),
        )


def with_texts(n: Notification, rendered: Rendered) -> Notification:
    """Return the notification with the texts of one channel."""
    return replace(
        n,
        title=rendered.title or "",
        body=rendered.body,
        markdown=rendered.markdown,
        image_url=rendered.image_url,
        action_url=rendered.action_url,
        actions=rendered.actions,
    )


def _links(n: Notification) -> list[str | None]:
    return [n.action_url, *(action.url or action.key for action in n.actions)]
