"""The doors of links in mails and pushes: `/unsubscribe/{token}` and `/r/{token}`. The token is the authority: no
cookie and no origin matters here.

- `/unsubscribe`: GET asks, POST acts, also at once from a mail program (RFC 8058). Off is the e-mail of that category,
  as `updatePreferences` would have it.
- `/r`: a service worker POSTs that a push was delivered or clicked; a button of a mail is a GET, which is a click too,
  and leads on to an address that the notification itself holds.
"""

import asyncio

import orjson
from msgspec import Struct
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from hub.api.context import Services
from hub.api.rate_limits import to_error
from hub.api.responses import PRIVATE_HEADERS, HtmlPage, html_errors, json_errors, read_body, render_page
from hub.audience import preferences as wishes
from hub.audience.tenants import default_category
from hub.errors import BadUserInput, NotFound
from hub.model import Category, Channel, Delivery, DeliveryStatus, Preferences, Tenant, User
from hub.outbox.states import WAITING
from hub.platform.signed_links import TRAILING_PUNCTUATION, LinkPurpose, absolute_url, http_url, item_url
from hub.platform.translations import Language, language, marked

DELIVERED, CLICKED = "delivered", "clicked"
UNDO = "undo"
LINK_INCOMPLETE = marked("It may have been cut off on its way. Open it from the message again.")
NO_LONGER_AVAILABLE = marked("What it was about is not there any more.")
TARGET_MISSING = marked("What it led to is not there any more.")
SETTLED_TRIES, SETTLED_PAUSE_S = 20, 0.1  # a browser may report before the worker has settled its call


def email_link_routes(services: Services) -> list[BaseRoute]:
    """Their routes."""
    doors = EmailLinkEndpoints(services)
    return [
        Route("/unsubscribe/{token}", html_errors(doors.confirm_unsubscribe), methods=["GET"]),
        Route("/unsubscribe/{token}", html_errors(doors.unsubscribe), methods=["POST"]),
        Route("/r/{token}", html_errors(doors.redirect), methods=["GET"]),
        Route("/r/{token}", json_errors(doors.record_receipt), methods=["POST"]),
        Route("/r/{token}", json_errors(_preflight), methods=["OPTIONS"]),
    ]


class EmailLinkEndpoints:
    def __init__(self, services: Services) -> None:
        self._services = services

    # ------------------------------------------------------------- unsubscribing

    async def confirm_unsubscribe(self, request: Request) -> Response:
        """Show the current state. Change nothing."""
        delivery = await self._delivery(request, LinkPurpose.UNSUBSCRIBE)
        user, tenant, category = await self._recipient_and_category(delivery)
        about = _CategoryPages(tenant, category, language(user.locale))
        if category.required:
            return render_page(about.required())
        if _receives_email(user.preferences, tenant, category):
            return render_page(about.confirmation())
        return render_page(about.unsubscribed(user.preferences))

    async def unsubscribe(self, request: Request) -> Response:
        """Switches off that category's e-mail, or with `?undo` on again. Harmless when repeated. The body says nothing
        that matters: `List-Unsubscribe=One-Click` where a mail program is asking."""
        delivery = await self._delivery(request, LinkPurpose.UNSUBSCRIBE)
        user, tenant, category = await self._recipient_and_category(delivery)
        about = _CategoryPages(tenant, category, language(user.locale))
        if category.required:
            return render_page(about.required(), 403)
        on = UNDO in request.query_params
        mine = user.preferences
        if (
            mine.for_category(category.key)
            .with_defaults(tenant.preferences.for_category(category.key))
            .channels.get(Channel.EMAIL, True)
            is not on
        ):
            cell = wishes.CellChange(category=category.key, channel=Channel.EMAIL, enabled=on)
            changes = wishes.Changes(categories=(cell,))
            user = await self._services.users.change(
                user.id, lambda user: replace(user, preferences=wishes.apply_changes(user.preferences, changes))
            )
        if on and _receives_email(user.preferences, tenant, category):
            return render_page(about.resubscribed())
        return render_page(about.unsubscribed(user.preferences))

    # ------------------------------------------------------------- delivered and clicked

    async def record_receipt(self, request: Request) -> Response:
        """`{"event": "delivered"}` or `{"event": "clicked"}`. 204, also for what was known already."""
        delivery = await self._delivery(request, LinkPurpose.RECEIPT)
        try:
            told = orjson.loads(await read_body(request, self._services.settings))
        except orjson.JSONDecodeError:
            told = None
        event = told.get("event") if isinstance(told, dict) else None
        if event not in (DELIVERED, CLICKED):
            raise BadUserInput('Send {"event": "delivered"} or {"event": "clicked"}.', "event")
        await self._wait_until_settled(delivery)
        if event == CLICKED:
            await self._record_click(delivery)
        else:
            await self._services.deliveries.record_provider_status(delivery.id, DeliveryStatus.DELIVERED)
        return Response(status_code=204)

    async def redirect(self, request: Request) -> Response:
        """To the notification's own address, or with `?to=N` to that of an action. Counts as a click, unless somebody
        only looks ahead."""
        delivery = await self._delivery(request, LinkPurpose.RECEIPT)
        target = await self._target(delivery, request.query_params.get("to"))
        if request.method == "GET" and not _is_prefetch(request):
            await self._record_click(delivery)
        return RedirectResponse(target, 303, PRIVATE_HEADERS)

    async def _target(self, delivery: Delivery, action_index: str | None) -> str:
        n = (await self._services.inboxes.get_notifications([delivery.notification])).get(delivery.notification)
        app_url, target = self._services.settings.app_url, None
        action_index = action_index and action_index.rstrip(TRAILING_PUNCTUATION)
        if n and action_index is None:
            target = n.action_url
        elif (
            n
            and action_index
            and action_index.isascii()
            and action_index.isdigit()
            and len(action_index) < 4
            and int(action_index) < len(n.actions)
        ):
            action = n.actions[int(action_index)]
            target = action.url or item_url(n, app_url, action.key)
        if not (address := http_url(absolute_url(target, app_url))):
            raise NotFound(TARGET_MISSING)
        return address

    async def _wait_until_settled(self, delivery: Delivery) -> None:
        """Waits a moment for a delivery whose call is under way, whether or not that is to be seen yet."""
        tries = SETTLED_TRIES
        while delivery.status in (*WAITING, DeliveryStatus.PROCESSING) and tries:
            await asyncio.sleep(SETTLED_PAUSE_S)
            delivery, tries = await self._services.deliveries.get_of_any_tenant(delivery.id) or delivery, tries - 1

    async def _record_click(self, delivery: Delivery) -> None:
        await self._services.inbox_actions.click(delivery, self._services.deliveries.record_click)

    # ------------------------------------------------------------- what a token is about

    async def _delivery(self, request: Request, kind: LinkPurpose) -> Delivery:
        """NotFound for what is no token of that kind, and where nothing is left of what it was about."""
        id = self._services.signed_links.verify(kind, request.path_params["token"])
        if id is None:
            raise NotFound(LINK_INCOMPLETE)
        if limited := to_error(self._services.rate_limits.check_link(id)):
            raise limited
        if delivery := await self._services.deliveries.get_of_any_tenant(id):
            return delivery
        raise NotFound(NO_LONGER_AVAILABLE)

    async def _recipient_and_category(self, delivery: Delivery) -> tuple[User, Tenant, Category]:
        user = await self._services.users.get(delivery.mailbox)
        if user is None:
            raise NotFound(NO_LONGER_AVAILABLE)
        tenant = await self._services.tenants.get(delivery.tenant)
        return user, tenant, tenant.category(delivery.category) or default_category(delivery.category)


async def _preflight(request: Request) -> Response:
    headers = request.headers.get("access-control-request-headers", "content-type")
    allowed = {"access-control-allow-methods": "POST", "access-control-allow-headers": headers}
    return Response(status_code=204, headers=allowed)


def _is_prefetch(request: Request) -> bool:
    """A browser that fetches what may be clicked next says so."""
    return any("prefetch" in request.headers.get(name, "").lower() for name in ("sec-purpose", "purpose", "x-moz"))


def _receives_email(mine: Preferences, tenant: Tenant, category: Category) -> bool:
    """Whether mails of it reach this person, as far as wishes go."""
    switches = tenant.preferences.channels | mine.channels
    wish = mine.for_category(category.key).with_defaults(tenant.preferences.for_category(category.key))
    return switches.get(Channel.EMAIL, True) and wish.channels.get(Channel.EMAIL, True)


class _CategoryPages(Struct, frozen=True):
    """The pages about one category, in the reader's language."""

    tenant: Tenant
    category: Category
    language: Language

    def confirmation(self) -> HtmlPage:
        text = self._text("You would get no more e-mails about {category} from {tenant}. Nothing else changes.")
        return self._page(self._text("Unsubscribe from {category}?"), text, marked("Unsubscribe"), "", second=False)

    def unsubscribed(self, mine: Preferences) -> HtmlPage:
        title = self._text("You are unsubscribed")
        text = self._text("{tenant} sends you no e-mails about {category}.")
        if (self.tenant.preferences.channels | mine.channels).get(Channel.EMAIL, True):
            return self._page(title, text, marked("Undo: subscribe again"), UNDO)
        all_off = self._text("You have switched off all of its e-mails.")
        return self._page(title, f"{text} {all_off}")

    def resubscribed(self) -> HtmlPage:
        text = self._text("{tenant} sends you e-mails about {category}.")
        return self._page(self._text("You are subscribed again"), text, marked("Unsubscribe"), "")

    def required(self) -> HtmlPage:
        text = self._text(
            "{tenant} has to send {category} to everybody it concerns, so its e-mails can't be switched off. Nothing "
            "was changed."
        )
        return self._page(self._text("{category} can't be switched off"), text)

    def _text(self, message: str) -> str:
        return self.language.text(message, category=self.category.name, tenant=self._name)

    def _page(self, title: str, text: str, button: str = "", query: str = "", *, second: bool = True) -> HtmlPage:
        action = (self._text(button), query) if button else None
        return HtmlPage(title, text, self.language, self._name, action, secondary=second)

    @property
    def _name(self) -> str:
        return self.tenant.name or self.tenant.id
