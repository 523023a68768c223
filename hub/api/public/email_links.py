"""Endpoints for the links in emails and push messages: `/unsubscribe/{token}` and `/r/{token}`.

The token is the only credential. Cookies and origins are ignored. After a delivery was deleted, the button of an email
still redirects as long as the notification is stored.

- `/unsubscribe`: A GET request returns a confirmation page. A POST request turns off email for one category, like
  `updatePreferences`. Email clients send the POST request directly (one-click, RFC 8058).
- `/r`: A service worker sends a POST request when a push message is delivered or clicked, or an action is taken. A
  button in an email sends a GET request, which is recorded as a click and redirects to a URL of the notification.
- `/r?to=N`, the button of an action without a URL: A GET request returns a confirmation page and changes nothing,
  because programs that scan emails follow links. A POST request takes the action.
"""

import asyncio

import orjson
from msgspec import Struct
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from hub.api.context import Services
from hub.api.public.action_pages import ActionPages, action_at
from hub.api.public_responses import PRIVATE_HEADERS, HtmlPage, html_errors, json_errors, read_body, render_page
from hub.api.rate_limits import to_error
from hub.audience.preference_matrix import CellChange, Changes, apply_changes
from hub.audience.tenants import default_category
from hub.decide.effective_preferences import EffectivePreferences
from hub.errors import BadUserInput, Conflict, NotFound
from hub.ids import ID_CHARS
from hub.model import Action, Category, Channel, Delivery, DeliveryStatus, Notification, Tenant, User, tenant_of
from hub.outbox.states import WAITING
from hub.platform.signed_links import LinkPurpose, absolute_url, http_url
from hub.platform.translations import Language, language, marked
from hub.status.virtual_deliveries import deleted_email

DELIVERED, CLICKED = "delivered", "clicked"
UNDO = "undo"
ACTION = "to"
LINK_INCOMPLETE = marked("The link may be incomplete. Open it again from the message.")
NO_LONGER_AVAILABLE = marked("The notification it belongs to no longer exists.")
TARGET_MISSING = marked("The page it leads to no longer exists.")
SETTLED_TRIES, SETTLED_PAUSE_S = 20, 0.1  # a browser may report before the worker has stored the result


def email_link_routes(services: Services) -> list[BaseRoute]:
    endpoints = EmailLinkEndpoints(services)
    return [
        Route("/unsubscribe/{token}", html_errors(endpoints.confirm_unsubscribe), methods=["GET"]),
        Route("/unsubscribe/{token}", html_errors(endpoints.unsubscribe), methods=["POST"]),
        Route("/r/{token}", html_errors(endpoints.redirect), methods=["GET"]),
        Route("/r/{token}", endpoints.post, methods=["POST"]),
        Route("/r/{token}", json_errors(_preflight), methods=["OPTIONS"]),
    ]


class EmailLinkEndpoints:
    """The request handlers. Raise NotFound for an invalid token, RateLimited for a token that is used too often."""

    def __init__(self, services: Services) -> None:
        self._services = services

    # ------------------------------------------------------------- unsubscribe

    async def confirm_unsubscribe(self, request: Request) -> Response:
        """Show the current state without changing the preferences."""
        user, tenant, category = await self._recipient_and_category(request)
        pages = _CategoryPages(tenant, category, language(user.effective_locale(tenant)))
        if category.required:
            return render_page(pages.required())
        preferences = EffectivePreferences(user.preferences, tenant.preferences)
        if _receives_email(preferences, category):
            return render_page(pages.confirmation())
        return render_page(pages.unsubscribed(preferences))

    async def unsubscribe(self, request: Request) -> Response:
        """Turn off email for the category, or turn it on again with `?undo`. Idempotent.

        The body, in which email clients send `List-Unsubscribe=One-Click`, is ignored."""
        user, tenant, category = await self._recipient_and_category(request)
        pages = _CategoryPages(tenant, category, language(user.effective_locale(tenant)))
        if category.required:
            return render_page(pages.required(), 403)
        enable = UNDO in request.query_params
        preferences = EffectivePreferences(user.preferences, tenant.preferences)
        if _is_category_on(preferences, category) is not enable:
            cell = CellChange(category=category.key, channel=Channel.EMAIL, enabled=enable)
            changes = Changes(categories=(cell,))
            user = await self._services.users.change(
                user.id, lambda user: replace(user, preferences=apply_changes(user.preferences, changes))
            )
            preferences = EffectivePreferences(user.preferences, tenant.preferences)
        if enable and _receives_email(preferences, category):
            return render_page(pages.resubscribed())
        return render_page(pages.unsubscribed(preferences))

    # ------------------------------------------------------------- receipts and redirects

    async def post(self, request: Request) -> Response:
        """Take the action of a confirmation page, or record the event that a service worker reports."""
        is_confirmed = ACTION in request.query_params
        handler = html_errors(self.take_action) if is_confirmed else json_errors(self.record_receipt)
        return await handler(request)

    async def record_receipt(self, request: Request) -> Response:
        """Record `{"event": "delivered"}` or `{"event": "clicked"}`. Idempotent: a repeated event also returns 204.

        With `"action": key`, a click also takes an action, like the mutation `act`. If that fails, nothing changes."""
        delivery = await self._delivery(request, LinkPurpose.RECEIPT)
        try:
            body = orjson.loads(await read_body(request, self._services.settings))
        except orjson.JSONDecodeError:
            body = None
        event = body.get("event") if isinstance(body, dict) else None
        if event not in (DELIVERED, CLICKED):
            raise BadUserInput('Send {"event": "delivered"} or {"event": "clicked"}.', "event")
        action = body.get("action") if event == CLICKED else None
        if not isinstance(action, str | None):
            raise BadUserInput("`action` must be the key of an action.", "action")
        await self._wait_until_settled(delivery)
        if event == CLICKED:
            await self._record_click(delivery, action)
        else:
            await self._services.deliveries.record_provider_status(delivery.id, DeliveryStatus.DELIVERED)
        return Response(status_code=204)

    async def redirect(self, request: Request) -> Response:
        """Redirect to the URL of the notification, or to the URL of action N with `?to=N`. Without a URL, return the
        confirmation page of the action.

        Record a click unless the browser only prefetches the page. A confirmation page records nothing."""
        id = self._delivery_id(request, LinkPurpose.RECEIPT)
        delivery = await self._find_delivery(id)
        if delivery is None:
            return self._redirect_deleted(id)
        index = request.query_params.get(ACTION)
        n = await self._notification(delivery)
        action = action_at(n, index) if n and index else None
        if n and action and not action.url:
            return render_page((await self._action_pages(n, action)).current())
        target = self._target(delivery, action.url if action else n.action_url if n and index is None else None)
        if request.method == "GET" and not _is_prefetch(request):
            await self._record_click(delivery)
        return RedirectResponse(target, 303, PRIVATE_HEADERS)

    async def take_action(self, request: Request) -> Response:
        """Take the action of a confirmation page. Idempotent. Return 409 if the recipient took another one."""
        delivery = await self._delivery(request, LinkPurpose.RECEIPT)
        n = await self._notification(delivery)
        action = action_at(n, request.query_params[ACTION]) if n else None
        if n is None or action is None or action.url:
            raise NotFound(TARGET_MISSING)
        pages = await self._action_pages(n, action)
        try:
            await self._record_click(delivery, action.key)
        except Conflict:
            return render_page(replace(pages, n=await self._notification(delivery) or n).taken(), Conflict.status)
        except NotFound:
            raise NotFound(NO_LONGER_AVAILABLE) from None
        return render_page(replace(pages, n=replace(n, acted_key=action.key)).done())

    async def _notification(self, delivery: Delivery) -> Notification | None:
        """Return the notification of a delivery, or None for a digest, which has several."""
        if delivery.digest_key:
            return None
        return (await self._services.inboxes.get_notifications([delivery.notification])).get(delivery.notification)

    async def _action_pages(self, n: Notification, action: Action) -> ActionPages:
        """Return the pages of an action. Raise NotFound if the notification was removed, or its user was erased."""
        user = None if n.removed_at else await self._services.users.get(n.mailbox)
        if user is None:
            raise NotFound(NO_LONGER_AVAILABLE)
        tenant = await self._services.tenants.get(n.tenant)
        return ActionPages(n, action, tenant, language(user.effective_locale(tenant)), self._services.settings.app_url)

    def _redirect_deleted(self, id: str) -> Response:
        """Redirect from a digest that was deleted to the URL of the app. Raise NotFound for other deliveries."""
        app_url = http_url(self._services.settings.app_url)
        if app_url and len(id) == ID_CHARS:
            return RedirectResponse(app_url, 303, PRIVATE_HEADERS)
        raise NotFound(NO_LONGER_AVAILABLE)

    def _target(self, delivery: Delivery, url: str | None) -> str:
        """Return the absolute URL to redirect to. For a digest, it is the URL of the app. Raise NotFound if there is
        none."""
        app_url = self._services.settings.app_url
        if delivery.digest_key and (address := http_url(app_url)):
            return address
        if not (address := http_url(absolute_url(url, app_url))):
            raise NotFound(TARGET_MISSING)
        return address

    async def _wait_until_settled(self, delivery: Delivery) -> None:
        """Wait up to two seconds until the worker has stored the result of sending the delivery."""
        tries = SETTLED_TRIES
        while delivery.status in (*WAITING, DeliveryStatus.PROCESSING) and tries:
            await asyncio.sleep(SETTLED_PAUSE_S)
            delivery, tries = await self._services.deliveries.get_of_any_tenant(delivery.id) or delivery, tries - 1

    async def _record_click(self, delivery: Delivery, action: str | None = None) -> None:
        """Record a click, which may take an action. A click on a digest as a whole does not read its items."""
        if delivery.digest_key:
            await self._services.deliveries.record_click(delivery.id, self._services.clock())
        else:
            await self._services.inbox_actions.click(delivery, action)

    # ------------------------------------------------------------- tokens

    async def _delivery(self, request: Request, kind: LinkPurpose) -> Delivery:
        """Return the delivery of the token in the path. Raise NotFound if either does not exist."""
        if delivery := await self._find_delivery(self._delivery_id(request, kind)):
            return delivery
        raise NotFound(NO_LONGER_AVAILABLE)

    def _delivery_id(self, request: Request, kind: LinkPurpose) -> str:
        """Return the delivery id of the token in the path. Raise NotFound if the token is invalid."""
        id = self._services.signed_links.verify(kind, request.path_params["token"])
        if id is None:
            raise NotFound(LINK_INCOMPLETE)
        self._check_rate(id)
        return id

    async def _find_delivery(self, id: str) -> Delivery | None:
        """Return a delivery. If it was deleted, return an email as it was sent while its notification is stored."""
        if delivery := await self._services.deliveries.get_of_any_tenant(id):
            return delivery
        notification = id[:ID_CHARS]  # a delivery id begins with the notification id
        n = (await self._services.inboxes.get_notifications([notification])).get(notification)
        return deleted_email(n, id) if n else None

    async def _recipient_and_category(self, request: Request) -> tuple[User, Tenant, Category]:
        """Return whom the token in the path unsubscribes from what. Raise NotFound if the token or the user does not
        exist."""
        if names := self._services.signed_links.read_unsubscribe(request.path_params["token"]):
            mailbox, key = names
            self._check_rate(f"{mailbox}/{key}")
        else:
            delivery = await self._delivery(request, LinkPurpose.UNSUBSCRIBE)
            mailbox, key = delivery.mailbox, delivery.category
        user = await self._services.users.get(mailbox)
        if user is None:
            raise NotFound(NO_LONGER_AVAILABLE)
        tenant = await self._services.tenants.get(tenant_of(mailbox))
        return user, tenant, tenant.category(key) or default_category(key)

    def _check_rate(self, link: str) -> None:
        if limited := to_error(self._services.rate_limits.check_link(link)):
            raise limited


async def _preflight(request: Request) -> Response:
    headers = request.headers.get("access-control-request-headers", "content-type")
    allowed = {"access-control-allow-methods": "POST", "access-control-allow-headers": headers}
    return Response(status_code=204, headers=allowed)


def _is_prefetch(request: Request) -> bool:
    """Return True if the browser prefetches the page without a click."""
    return any("prefetch" in request.headers.get(name, "").lower() for name in ("sec-purpose", "purpose", "x-moz"))


def _receives_email(preferences: EffectivePreferences, category: Category) -> bool:
    """Return True if the preferences allow emails in the category."""
    return preferences.is_channel_on(Channel.EMAIL) and _is_category_on(preferences, category)


def _is_category_on(preferences: EffectivePreferences, category: Category) -> bool:
    """Return True if email is enabled for the category."""
    return preferences.for_category(category.key).channels.get(Channel.EMAIL, True)


class _CategoryPages(Struct, frozen=True):
    """The unsubscribe pages of one category, in the user's language."""

    tenant: Tenant
    category: Category
    language: Language

    def confirmation(self) -> HtmlPage:
        text = self._text("You will no longer receive emails about {category} from {tenant}. Nothing else changes.")
        return self._page(self._text("Unsubscribe from {category}?"), text, marked("Unsubscribe"), "", second=False)

    def unsubscribed(self, preferences: EffectivePreferences) -> HtmlPage:
        title = self._text("You are unsubscribed")
        text = self._text("You will not receive emails about {category} from {tenant}.")
        if preferences.is_channel_on(Channel.EMAIL):
            return self._page(title, text, marked("Undo: subscribe again"), UNDO)
        all_off = self._text("You have turned off all emails from this sender.")
        return self._page(title, f"{text} {all_off}")

    def resubscribed(self) -> HtmlPage:
        text = self._text("You will receive emails about {category} from {tenant}.")
        return self._page(self._text("You are subscribed again"), text, marked("Unsubscribe"), "")

    def required(self) -> HtmlPage:
        text = self._text(
            "{tenant} must send emails about {category} to everyone concerned, so you can't turn them off. Nothing was "
            "changed."
        )
        return self._page(self._text("{category} can't be turned off"), text)

    def _text(self, message: str) -> str:
        return self.language.text(message, category=self.category.name, tenant=self._name)

    def _page(self, title: str, text: str, button: str = "", query: str = "", *, second: bool = True) -> HtmlPage:
        action = (self._text(button), query) if button else None
        return HtmlPage(title, text, self.language, self._name, action, secondary=second)

    @property
    def _name(self) -> str:
        return self.tenant.name or self.tenant.id
