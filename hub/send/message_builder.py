"""The construction of messages from deliveries."""

from msgspec.structs import replace

from hub.model import Delivery, Mailbox, Notification, Tenant, User
from hub.platform.signed_links import LinkPurpose, SignedLinks, absolute_url
from hub.send.message import Message


class MessageBuilder:
    """Builds messages. `app_url` is the value of HUB_APP_URL, the base of relative URLs."""

    def __init__(self, links: SignedLinks, app_url: str) -> None:
        self._links = links
        self._app_url = app_url

    def build(self, job: Delivery, n: Notification, user: User, tenant: Tenant, mailbox: Mailbox) -> Message:
        """Return the message of a delivery."""
        category = tenant.category(n.category)
        required = category is not None and category.required
        return Message(
            id=job.id,
            notification=self._with_absolute_urls(n),
            user=user,
            tenant=replace(tenant, logo_url=absolute_url(tenant.logo_url, self._app_url)),
            device=next((device for device in user.devices if device.id == job.device), None),
            unseen=mailbox.unseen,
            created_at=job.created_at,
            unsubscribe_url="" if required else self._links.url(LinkPurpose.UNSUBSCRIBE, job.id),
            receipt_url=self._links.url(LinkPurpose.RECEIPT, job.id),
            app_url=self._app_url,
        )

    def _with_absolute_urls(self, n: Notification) -> Notification:
        """Return the notification with absolute URLs, which work outside the app."""
        if not self._app_url:
            return n
        return replace(
            n,
            image_url=absolute_url(n.image_url, self._app_url),
            action_url=absolute_url(n.action_url, self._app_url),
            actions=tuple(replace(action, url=absolute_url(action.url, self._app_url)) for action in n.actions),
        )
