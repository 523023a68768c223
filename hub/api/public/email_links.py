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
from hub.api.rate_limits import refusal
from hub.api.responses import DISCREET, Page, body_of, for_people, for_programs, shown
from hub.audience import preferences as wishes
from hub.audience.tenants import default_category
from hub.errors import BadUserInput, NotFound
from hub.model import Category, Channel, Delivery, DeliveryStatus, Preferences, Tenant, User
from hub.outbox.states import WAITING
from hub.platform.signed_links import TRAILING_PUNCTUATION, LinkPurpose, absolute_url, http_url, item_url
from hub.platform.translations import Language, language, marked

DELIVERED, CLICKED = "delivered", "clicked"
UNDO = "undo"
CUT_OFF = marked("It may have been cut off on its way. Open it from the message again.")
GONE = marked("What it was about is not there any more.")
LED_TO_NOTHING = marked("What it led to is not there any more.")
SETTLED_TRIES, SETTLED_PAUSE_S = 20, 0.1  # a browser may report before the worker has settled its call


def links(services: Services) -> list[BaseRoute]:
    """Their routes."""
    doors = _Doors(services)
    return [
        Route("/unsubscribe/{token}", for_people(doors.ask), methods=["GET"]),
        Route("/unsubscribe/{token}", for_people(doors.unsubscribe), methods=["POST"]),
        Route("/r/{token}", for_people(doors.lead_on), methods=["GET"]),
        Route("/r/{token}", for_programs(doors.report), methods=["POST"]),
        Route("/r/{token}", for_programs(_preflight), methods=["OPTIONS"]),
    ]


class _Doors:
    def __init__(self, services: Services) -> None:
        self._services = services

    # ------------------------------------------------------------- unsubscribing

    async def ask(self, request: Request) -> Response:
        """Says how it is, and changes nothing."""
        delivery = await self._delivery(request, LinkPurpose.UNSUBSCRIBE)
        user, tenant, category = await self._about(delivery)
        about = _About(tenant, category, language(user.locale))
        if category.required:
            return shown(about.required())
        if _wanted(user.preferences, tenant, category):
            return shown(about.asking())
        return shown(about.done(user.preferences))

    async def unsubscribe(self, request: Request) -> Response:
        """Switches off that category's e-mail, or with `?undo` on again. Harmless when repeated. The body says nothing
        that matters: `List-Unsubscribe=One-Click` where a mail program is asking."""
        delivery = await self._delivery(request, LinkPurpose.UNSUBSCRIBE)
        user, tenant, category = await self._about(delivery)
        about = _About(tenant, category, language(user.locale))
        if category.required:
            return shown(about.required(), 403)
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
        if on and _wanted(user.preferences, tenant, category):
            return shown(about.back())
        return shown(about.done(user.preferences))

    # ------------------------------------------------------------- delivered and clicked

    async def report(self, request: Request) -> Response:
        """`{"event": "delivered"}` or `{"event": "clicked"}`. 204, also for what was known already."""
        delivery = await self._delivery(request, LinkPurpose.RECEIPT)
        try:
            told = orjson.loads(await body_of(request, self._services.settings))
        except orjson.JSONDecodeError:
            told = None
        event = told.get("event") if isinstance(told, dict) else None
        if event not in (DELIVERED, CLICKED):
            raise BadUserInput('Send {"event": "delivered"} or {"event": "clicked"}.', "event")
        await self._settled(delivery)
        if event == CLICKED:
            await self._clicked(delivery)
        else:
            await self._services.deliveries.record_provider_status(delivery.id, DeliveryStatus.DELIVERED)
        return Response(status_code=204)

    async def lead_on(self, request: Request) -> Response:
        """To the notification's own address, or with `?to=N` to that of an action. Counts as a click, unless somebody
        only looks ahead."""
        delivery = await self._delivery(request, LinkPurpose.RECEIPT)
        target = await self._target(delivery, request.query_params.get("to"))
        if request.method == "GET" and not _looks_ahead(request):
            await self._clicked(delivery)
        return RedirectResponse(target, 303, DISCREET)

    async def _target(self, delivery: Delivery, place: str | None) -> str:
        n = (await self._services.inboxes.get_notifications([delivery.notification])).get(delivery.notification)
        app_url, target = self._services.settings.app_url, None
        place = place and place.rstrip(TRAILING_PUNCTUATION)
        if n and place is None:
            target = n.action_url
        elif n and place and place.isascii() and place.isdigit() and len(place) < 4 and int(place) < len(n.actions):
            action = n.actions[int(place)]
            target = action.url or item_url(n, app_url, action.key)
        if not (address := http_url(absolute_url(target, app_url))):
            raise NotFound(LED_TO_NOTHING)
        return address

    async def _settled(self, delivery: Delivery) -> None:
        """Waits a moment for a delivery whose call is under way, whether or not that is to be seen yet."""
        tries = SETTLED_TRIES
        while delivery.status in (*WAITING, DeliveryStatus.PROCESSING) and tries:
            await asyncio.sleep(SETTLED_PAUSE_S)
            delivery, tries = await self._services.deliveries.get_of_any_tenant(delivery.id) or delivery, tries - 1

    async def _clicked(self, delivery: Delivery) -> None:
        await self._services.change.click(delivery, self._services.deliveries.record_click)

    # ------------------------------------------------------------- what a token is about

    async def _delivery(self, request: Request, kind: LinkPurpose) -> Delivery:
        """NotFound for what is no token of that kind, and where nothing is left of what it was about."""
        id = self._services.links.verify(kind, request.path_params["token"])
        if id is None:
            raise NotFound(CUT_OFF)
        if limited := refusal(self._services.rates.follow(id)):
            raise limited
        if delivery := await self._services.deliveries.get_of_any_tenant(id):
            return delivery
        raise NotFound(GONE)

    async def _about(self, delivery: Delivery) -> tuple[User, Tenant, Category]:
        user = await self._services.users.get(delivery.mailbox)
        if user is None:
            raise NotFound(GONE)
        tenant = await self._services.tenants.get(delivery.tenant)
        return user, tenant, tenant.category(delivery.category) or default_category(delivery.category)


async def _preflight(request: Request) -> Response:
    headers = request.headers.get("access-control-request-headers", "content-type")
    allowed = {"access-control-allow-methods": "POST", "access-control-allow-headers": headers}
    return Response(status_code=204, headers=allowed)


def _looks_ahead(request: Request) -> bool:
    """A browser that fetches what may be clicked next says so."""
    return any("prefetch" in request.headers.get(name, "").lower() for name in ("sec-purpose", "purpose", "x-moz"))


def _wanted(mine: Preferences, tenant: Tenant, category: Category) -> bool:
    """Whether mails of it reach this person, as far as wishes go."""
    switches = tenant.preferences.channels | mine.channels
    wish = mine.for_category(category.key).with_defaults(tenant.preferences.for_category(category.key))
    return switches.get(Channel.EMAIL, True) and wish.channels.get(Channel.EMAIL, True)


class _About(Struct, frozen=True):
    """The pages about one category, in the reader's language."""

    tenant: Tenant
    category: Category
    reader: Language

    def asking(self) -> Page:
        text = self._text("You would get no more e-mails about {category} from {tenant}. Nothing else changes.")
        return self._page(self._text("Unsubscribe from {category}?"), text, marked("Unsubscribe"), "", second=False)

    def done(self, mine: Preferences) -> Page:
        title = self._text("You are unsubscribed")
        text = self._text("{tenant} sends you no e-mails about {category}.")
        if (self.tenant.preferences.channels | mine.channels).get(Channel.EMAIL, True):
            return self._page(title, text, marked("Undo: subscribe again"), UNDO)
        all_off = self._text("You have switched off all of its e-mails.")
        return self._page(title, f"{text} {all_off}")

    def back(self) -> Page:
        text = self._text("{tenant} sends you e-mails about {category}.")
        return self._page(self._text("You are subscribed again"), text, marked("Unsubscribe"), "")

    def required(self) -> Page:
        text = self._text(
            "{tenant} has to send {category} to everybody it concerns, so its e-mails can't be switched off. Nothing "
            "was changed."
        )
        return self._page(self._text("{category} can't be switched off"), text)

    def _text(self, message: str) -> str:
        return self.reader.text(message, category=self.category.name, tenant=self._name)

    def _page(self, title: str, text: str, button: str = "", query: str = "", *, second: bool = True) -> Page:
        action = (self._text(button), query) if button else None
        return Page(title, text, self.reader, self._name, action, second=second)

    @property
    def _name(self) -> str:
        return self.tenant.name or self.tenant.id
