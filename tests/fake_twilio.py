"""A fake of Twilio's Messages API, which checks what the real one checks and answers its documented errors."""

import base64
import json
import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from time import monotonic
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from aiohttp import web

from tests.fake_providers import FakeHTTPServer

ACCOUNT, TOKEN = f"AC{'1' * 32}", "a-twilio-auth-token-of-32-digits"
NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
FORM_FIELDS = {"To", "From", "MessagingServiceSid", "Body", "ContentSid", "ContentVariables", "StatusCallback"}


class FakeTwilio(FakeHTTPServer):
    """`messages`: the forms of the accepted messages. `opted_out`: numbers that replied STOP. `errors`: codes of errors
    by address: a number, or `whatsapp:` and a number. `received_at`: by number and text. `listed`: the messages of
    `receive`."""

    def __init__(self, senders: tuple[str, ...] = ("+15550001111",)) -> None:
        super().__init__()
        self.senders = senders
        self.messages: list[dict[str, str]] = []
        self.opted_out: set[str] = set()
        self.errors: dict[str, int] = {}
        self.listed: list[dict[str, Any]] = []

    async def respond(self, request: web.Request, body: bytes) -> web.Response:
        login = base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {login}":
            return error(401, 20003)()
        if request.path != f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json" or request.method not in ("GET", "POST"):
            return error(404, 20404)()
        if request.method == "GET":
            return self._list(request)
        if request.content_type != "application/x-www-form-urlencoded":
            return error(415, 20001)()
        form = {name: values[0] for name, values in parse_qs(body.decode(), strict_parsing=True).items()}
        assert form.keys() <= FORM_FIELDS, form.keys()
        number = form.get("To", "").removeprefix("whatsapp:")
        if code := self._fault_of(form, number):
            return error(400, code, f"The number {number} is refused")()
        self.messages.append(form)
        self.received_at[number, form.get("Body", "")].append(monotonic())
        sid = f"SM{secrets.token_hex(16)}"
        answer = {"sid": sid, "status": "queued", "error_code": None, "to": form["To"], "body": form.get("Body")}
        return web.json_response(answer, status=201)

    def _list(self, request: web.Request) -> web.Response:
        """Return a page of the listed messages that were sent since a day, newest first."""
        query = {**request.query}
        assert query.keys() <= {"To", "DateSent>", "PageSize", "Page"}
        page, size, to = int(query.pop("Page", "0")), int(query["PageSize"]), query.get("To")
        begin = datetime.strptime(query["DateSent>"], "%Y-%m-%d").replace(tzinfo=UTC)
        found = [one for one in self.listed if parsedate_to_datetime(one["date_sent"]) >= begin]
        found = [one for one in found if to is None or one["to"] == to][::-1]
        following = f"{request.path}?{urlencode(query | {'Page': str(page + 1)})}"
        part = found[page * size : (page + 1) * size]
        has_next = len(found) > (page + 1) * size
        return web.json_response({"messages": part, "next_page_uri": following if has_next else None, "page": page})

    def receive(self, number: str, text: str, to: str, at: datetime, service: str | None = None) -> str:
        """Store a message that Twilio received, which the hub does not get. Return its id. They are in order."""
        sid, date = f"SM{secrets.token_hex(16)}", format_datetime(at)
        addresses = {"from": number, "to": to, "messaging_service_sid": service}
        times = {"date_created": date, "date_sent": date}
        self.listed.append({"sid": sid, "direction": "inbound", "body": text, **addresses, **times})
        return sid

    def _fault_of(self, form: dict[str, str], number: str) -> int | None:
        if not NUMBER.fullmatch(number):
            return 21211
        sender = form.get("From", "").removeprefix("whatsapp:") or form.get("MessagingServiceSid")
        if sender is None:
            return 21603
        if sender not in self.senders or form["To"].startswith("w") != form.get("From", "").startswith("w"):
            return 21606
        if number in self.opted_out:
            return 21610
        if ("Body" in form) == ("ContentSid" in form):
            return 21602
        if len(form.get("Body", "")) > 1600:
            return 21617
        if "ContentSid" in form and not re.fullmatch("HX[0-9a-f]{32}", form["ContentSid"]):
            return 21655
        variables = json.loads(form.get("ContentVariables", "{}"))
        if not all(name.isdecimal() and isinstance(value, str) and value for name, value in variables.items()):
            return 21656
        host = urlsplit(form.get("StatusCallback", "https://hub.example")).hostname or ""
        if host in {"", "localhost", "127.0.0.1"} or "_" in host:
            return 21609
        return self.errors.get(form["To"])


def error(status: int, code: int, message: str = "Refused", **headers: str) -> Callable[[], web.Response]:
    """Return an error response of Twilio."""
    answer = {
        "code": code,
        "message": message,
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
    }
    return lambda: web.json_response(answer, status=status, headers=headers)
