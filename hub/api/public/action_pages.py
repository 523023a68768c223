"""The pages on which the recipient of an email takes an action of the notification. Performs no I/O."""

from msgspec import Struct

from hub.api.public_responses import HtmlPage
from hub.model import Action, Notification, Tenant
from hub.platform.signed_links import TRAILING_PUNCTUATION, item_url
from hub.platform.translations import Language, marked

INDEX_MAX_DIGITS = 3


def action_at(n: Notification, index: str) -> Action | None:
    """Return the action that a link names with `?to=`, or None if the text is not the index of an action."""
    digits = index.rstrip(TRAILING_PUNCTUATION)
    if not (digits.isascii() and digits.isdigit() and len(digits) <= INDEX_MAX_DIGITS and int(digits) < len(n.actions)):
        return None
    return n.actions[int(digits)]


class ActionPages(Struct, frozen=True):
    """The pages of one action of a notification, in the recipient's language."""

    n: Notification
    action: Action
    tenant: Tenant
    language: Language
    app_url: str

    def current(self) -> HtmlPage:
        """Return the page for the state of the notification."""
        if self.n.acted_key is None:
            return self.confirmation()
        return self.done() if self.n.acted_key == self.action.key else self.taken()

    def confirmation(self) -> HtmlPage:
        text = self.language.text("Your choice is recorded when you press the button.")
        index = self.n.actions.index(self.action)
        return self._page(self.n.title or self.action.label, text, button=(self.action.label, f"to={index}"))

    def done(self) -> HtmlPage:
        title = self.language.text("Done: {action}", action=self.action.label)
        return self._page(title, self.n.title, link=self._link())

    def taken(self) -> HtmlPage:
        """Return the page for a notification of which the recipient took another action."""
        label = next((action.label for action in self.n.actions if action.key == self.n.acted_key), "")
        text = self.language.text("You already chose {action}. Nothing was changed.", action=label)
        return self._page(self.n.title or label, text, link=self._link())

    def _link(self) -> tuple[str, str] | None:
        url = item_url(self.n, self.app_url, self.n.acted_key or self.action.key)
        return (self.language.text(marked("Open")), url) if url else None

    def _page(
        self, title: str, text: str, *, button: tuple[str, str] | None = None, link: tuple[str, str] | None = None
    ) -> HtmlPage:
        return HtmlPage(title, text, self.language, self.tenant.name or self.tenant.id, button, link=link)
