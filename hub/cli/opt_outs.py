"""`hub opt-outs sync`: the replies that Twilio received while the hub did not respond."""

import asyncio
from base64 import b64encode
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Annotated, Any

import aiohttp
import typer
from pymongo.errors import PyMongoError

from hub.audience.opt_out_words import START, STOP, word_of
from hub.audience.opt_outs import WHATSAPP_PREFIX, OptOuts, plain_number
from hub.cli.target_hub import fail, load_settings
from hub.cli.token import parse_duration
from hub.phone_number import E164
from hub.platform import connections
from hub.platform.connections import first_line
from hub.platform.hub_clock import read_clocks
from hub.settings import Settings

PAGE_SIZE = 1000  # the maximum of Twilio
CALL_TIMEOUT_S = 30.0

app = typer.Typer(
    no_args_is_help=True,
    help="""Record replies that did not reach the hub.

    Example: hub opt-outs sync --since 6h""",
)


class _TwilioError(Exception):
    """Twilio does not list the messages."""


@app.callback()
def opt_outs() -> None:
    pass


@app.command()
def sync(
    since: Annotated[str, typer.Option("--since", help="Read the messages of this time, such as PT6H or 2d.")] = "1d",
) -> None:
    """Record the opt-outs (STOP, START) in the messages that Twilio received.

    Run this after an outage, because Twilio repeats a message to the hub for only 15 seconds. Reads HUB_MONGO_URL, the
    settings of Twilio, and the senders from the environment. Of the words of one number, the newest counts. Messages
    that reached the hub change nothing, so the command can be repeated. Words of Advanced Opt-Out are not read.

    Example: hub opt-outs sync --since 6h
    """
    begin = datetime.now(UTC) - timedelta(seconds=parse_duration(since, "--since"))
    settings = load_settings()
    if not settings.senders:
        fail("Set HUB_SMS_FROM or HUB_WHATSAPP_FROM to the sender.", 2)
    try:
        changed = asyncio.run(_sync(settings, begin))
    except _TwilioError as error:
        fail(str(error))
    except connections.StoreUnavailable as error:
        fail(str(error))
    except PyMongoError as error:
        fail(f"MongoDB cannot be used (HUB_MONGO_URL): {first_line(error)}. Run this again.")
    print(f"STOP: {changed['STOP']:,} recorded. START: {changed['START']:,} recorded.")


async def _sync(settings: Settings, begin: datetime) -> Counter[str]:
    """Return how many words were recorded."""
    login = b64encode(f"{settings.twilio_account_sid}:{settings.twilio_auth_token.get_secret_value()}".encode())
    headers = {"authorization": f"Basic {login.decode()}"}
    timeout = aiohttp.ClientTimeout(total=CALL_TIMEOUT_S)
    changed: Counter[str] = Counter()
    async with (
        connections.mongo(settings) as database,
        aiohttp.ClientSession(headers=headers, timeout=timeout) as http,
    ):
        _, hub_clock = await read_clocks(database, movable=settings.mode == "development")
        opt_outs = OptOuts(database, hub_clock.now, settings.senders)
        for sender in settings.senders.values():
            newest: dict[str, dict[str, Any]] = {}
            async for message in _messages(http, settings, sender, begin):
                if _concerns(message, sender):
                    newest.setdefault(plain_number(message["from"]), message)
            for message in newest.values():
                word, senders, at = word_of(message["body"]), {sender, message["to"]}, _time_of(message)
                if await opt_outs.receive(message["sid"], message["from"], senders, word, at):
                    changed["STOP" if word in STOP else "START"] += 1
    return changed


async def _messages(
    http: aiohttp.ClientSession, settings: Settings, sender: str, begin: datetime
) -> AsyncIterator[dict[str, Any]]:
    """Yield the incoming messages to a sender, newest first. Twilio cannot select those to a messaging service.

    API: https://www.twilio.com/docs/messaging/api/message-resource#read-multiple-message-resources"""
    path: str | None = f"/2010-04-01/Accounts/{settings.twilio_account_sid}/Messages.json"
    query = {"DateSent>": f"{begin:%Y-%m-%d}", "PageSize": str(PAGE_SIZE)}
    if E164.fullmatch(sender.removeprefix(WHATSAPP_PREFIX)):
        query["To"] = sender
    while path:
        try:
            async with http.get(f"{settings.twilio_url}{path}", params=query, allow_redirects=False) as response:
                if response.status != 200:
                    raise _TwilioError(
                        f"Twilio answered HTTP {response.status}: check HUB_TWILIO_ACCOUNT_SID, "
                        "HUB_TWILIO_AUTH_TOKEN, and HUB_TWILIO_URL."
                    )
                page = await response.json()
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise _TwilioError(f"Twilio cannot be read (HUB_TWILIO_URL): {type(error).__name__}.") from None
        for message in page["messages"]:
            if _time_of(message) >= begin and message["direction"] == "inbound":
                yield message
        path, query = page["next_page_uri"], {}  # the path contains the query


def _time_of(message: dict[str, Any]) -> datetime:
    return parsedate_to_datetime(message["date_created"])


def _concerns(message: dict[str, Any], sender: str) -> bool:
    """Return True for STOP and START to the sender. If Twilio does not name the messaging service of an SMS, a STOP
    counts for the messaging service in HUB_SMS_FROM, and a START does not."""
    word, service = word_of(message["body"] or ""), message["messaging_service_sid"]
    if message["to"] == sender or (service == sender and not message["to"].startswith(WHATSAPP_PREFIX)):
        return word in STOP or word in START
    to_number = E164.fullmatch(message["to"]) and not E164.fullmatch(sender.removeprefix(WHATSAPP_PREFIX))
    return bool(to_number) and service is None and word in STOP
