"""The buttons of a message: its actions, as links. Pure."""

from msgspec import Struct
from msgspec.structs import replace

from hub.model import Action
from hub.platform.signed_links import http_url, item_url
from hub.platform.translations import Language, language
from hub.send.message import Message


class Button(Struct, frozen=True):
    """A link. `action_index` is the index of the action, or None for the notification's URL."""

    label: str
    url: str
    primary: bool
    action_index: int | None = None


def buttons(message: Message, *, confirmable: bool = False) -> list[Button]:
    """Return the buttons of the actions, or one for the notification's URL if there are no actions.

    An action without a URL links to the item in the app. Without HUB_APP_URL and `actionUrl`, the action is omitted.
    With `confirmable`, it links to the page on which the recipient confirms it, if HUB_PUBLIC_URL is set. If no action
    is primary, the first button is the primary one."""
    notification = message.notification
    result = [
        Button(action.label, address, action.primary, index)
        for index, action in enumerate(notification.actions)
        if (address := _confirmation_url(message, action, index) if confirmable else None)
        or (address := http_url(action.url or item_url(notification, message.app_url, action.key)))
    ]
    if not result and (address := http_url(notification.action_url)):
        result = [Button(recipient_language(message).text("Open"), address, primary=True)]
    if result and not any(action.primary for action in notification.actions):
        result[0] = replace(result[0], primary=True)
    return sorted(result, key=lambda button: not button.primary)


def tracked_action_url(message: Message, index: int) -> str:
    """Return the URL that records a click on an action and redirects, or on which the recipient confirms the action."""
    return f"{message.receipt_url}?to={index}"


def _confirmation_url(message: Message, action: Action, index: int) -> str | None:
    """Return the URL of the page on which the recipient confirms an action without a URL, or None if there is none.
    Actions of a template for one channel may differ from those in the inbox, which the page would show."""
    return tracked_action_url(message, index) if message.receipt_url and message.tracked and not action.url else None


def recipient_language(message: Message) -> Language:
    """Return the language of the texts that the hub adds to a message."""
    return language(message.user.effective_locale(message.tenant))
