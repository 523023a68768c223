"""GraphQL clients for tests: HTTP, WebSocket, and a client that maintains an inbox as a front end does."""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from hub.api.token_signing import sign_token
from hub.inbox.cursors import decode_position
from hub.model import Role
from tests.processes import SECRET

Json = dict[str, Any]
SUBPROTOCOL = Subprotocol("graphql-transport-ws")
SHORTEST_PAUSE_S = 0.02  # between two checks of `eventually`

NOTIFICATION = (
    "id sortKey title body category createdAt updatedAt seenAt readAt archivedAt snoozedUntil acknowledgedAt actedKey "
    "pinned"
)
PAGE = f"unread unseen position nodes {{ {NOTIFICATION} }} pageInfo {{ hasNextPage endCursor }}"
INBOX = f"query ($f: InboxFilter, $n: Int, $a: String) {{ inbox(filter: $f, first: $n, after: $a) {{ {PAGE} }} }}"
FEED = f"subscription ($after: Cursor) {{ inbox(after: $after) {{ kind cursor unread unseen notification {{ {NOTIFICATION} }} }} }}"
ALL_MARKS = {"ALL_SEEN": ["seenAt"], "ALL_READ": ["seenAt", "readAt"], "ALL_ARCHIVED": ["archivedAt"]}
SEND = "mutation ($input: SendInput!) { send(input: $input) { duplicate send { id status recipients } } }"


class GraphQLErrors(Exception):
    """The response contains errors."""

    def __init__(self, errors: list[Json]) -> None:
        super().__init__(str(errors))
        self.errors = errors

    @property
    def code(self) -> str:
        return str(self.errors[0]["extensions"]["code"])


async def eventually(
    check: Callable[[], Awaitable[Any]], within_s: float = 60.0, *, longest_pause_s: float = 0.1
) -> Any:
    """Return the first true result of `check`. Raise AssertionError with the last result if there is none in time.

    The pauses grow with the time that has passed, because checks take time from the work that they wait for. To see a
    state that lasts for a moment, choose a shorter `longest_pause_s`."""
    started_at = time.monotonic()
    while True:
        found = await check()
        if found:
            return found
        passed_s = time.monotonic() - started_at
        assert passed_s < within_s, f"not within {within_s} s: {found!r}"
        await asyncio.sleep(min(max(SHORTEST_PAUSE_S, passed_s / 10), longest_pause_s))


class Tenant:
    """A client for one tenant. Calls alternate between the API processes."""

    def __init__(self, name: str, urls: list[str], tls: ssl.SSLContext | None = None) -> None:
        self.name = name
        self.urls = urls
        self.tls = tls
        self._turn = 0
        self.http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=2, ssl=tls or True)
        )  # uvicorn closes idle connections after 5 s

    async def __aenter__(self) -> "Tenant":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.close()

    def token(self, user: str | None = None, *, role: Role | None = None, expires_in_s: float = 3600) -> str:
        chosen = role or (Role.USER if user else Role.SERVICE)
        return sign_token(SECRET, user=user, tenant=self.name, role=chosen, expires_in_s=expires_in_s)

    def next_url(self) -> str:
        self._turn += 1
        return self.urls[self._turn % len(self.urls)]

    async def execute_raw(
        self,
        query: str,
        *,
        user: str | None = None,
        url: str | None = None,
        headers: Json | None = None,
        **variables: Any,
    ) -> Json:
        """Return the whole response with its errors. Without `user`, the caller is a service."""
        sent = {"authorization": f"Bearer {self.token(user)}", **(headers or {})}
        body = {"query": query, "variables": variables}
        async with self.http.post(url or self.next_url(), json=body, headers=sent) as response:
            result: Json = await response.json()
            return result

    async def execute(self, query: str, *, user: str | None = None, url: str | None = None, **variables: Any) -> Json:
        """Return the data. Raise GraphQLErrors if there are errors."""
        response = await self.execute_raw(query, user=user, url=url, **variables)
        if "errors" in response:
            raise GraphQLErrors(response["errors"])
        data: Json = response["data"]
        return data

    async def execute_as_admin(self, query: str, **variables: Any) -> Json:
        """Return the data, requested with the role admin."""
        headers = {"authorization": f"Bearer {self.token(role=Role.ADMIN)}"}
        response = await self.execute_raw(query, headers=headers, **variables)
        if "errors" in response:
            raise GraphQLErrors(response["errors"])
        data: Json = response["data"]
        return data

    async def define_category(self, key: str, *channels: str, **more: Any) -> Json:
        """Create or change a category. Its name is its key."""
        fields = {"key": key, "name": key.title(), "defaultChannels": list(channels) or ["IN_APP"], **more}
        query = "mutation ($input: CategoryInput!) { upsertCategory(input: $input) { key } }"
        category: Json = (await self.execute_as_admin(query, input=fields))["upsertCategory"]
        return category

    async def send(
        self, *users: str, title: str = "Hello", body: str = "there", url: str | None = None, **more: Any
    ) -> Json:
        """Send in the category `news`. Return `{duplicate, send}`."""
        content = {"title": title, "body": body, **more.pop("content", {})}
        fields = {"to": {"users": list(users)}, "category": "news", "content": content, **more}
        sent: Json = (await self.execute(SEND, input=fields, url=url))["send"]
        return sent

    async def fill_inbox(self, user: str, count: int) -> None:
        """Send that many more notifications, at most 1,000."""
        query = "mutation ($inputs: [SendInput!]!) { sendMany(inputs: $inputs) { duplicate } }"
        one = {"to": {"users": [user]}, "category": "news", "content": {"title": "Hello", "body": ""}}
        assert all((await self.execute(query, inputs=[one] * count))["sendMany"])

    async def inbox(
        self, user: str, *, first: int = 20, after: str | None = None, url: str | None = None, **filter: Any
    ) -> Json:
        page: Json = (await self.execute(INBOX, user=user, f=filter or None, n=first, a=after, url=url))["inbox"]
        return page

    async def mark(self, user: str, field: str, *ids: str, until: str | None = None, url: str | None = None) -> Json:
        """Call `markRead` or a similar mutation. Return the payload."""
        more = f', until: "{until}"' if until else ""
        query = f"mutation ($ids: [ID!]!) {{ m: {field}(ids: $ids{more}) {{ changed unread unseen position notifications {{ {NOTIFICATION} }} }} }}"
        payload: Json = (await self.execute(query, user=user, ids=list(ids), url=url))["m"]
        return payload

    async def mark_all(self, user: str, field: str, *, url: str | None = None, **filter: Any) -> Json:
        query = (
            f"mutation ($f: InboxFilter) {{ m: {field}(filter: $f) {{ changed unread unseen position undoToken }} }}"
        )
        payload: Json = (await self.execute(query, user=user, f=filter or None, url=url))["m"]
        return payload

    @asynccontextmanager
    async def feed(
        self, user: str, after: str | None = None, *, url: str | None = None, query: str = FEED
    ) -> AsyncIterator["Subscription"]:
        """Open a subscription of that user."""
        async with self.socket(user, url=url) as socket:
            yield await socket.subscribe(query, after=after)

    async def stream_events(
        self, user: str | None, after: str | None = None, *, query: str = FEED, url: str | None = None, **variables: Any
    ) -> AsyncGenerator[Json]:
        """Yield the payloads of a subscription as server-sent events, until `complete`. Without `query`, the feed."""
        sent = {"authorization": f"Bearer {self.token(user)}", "accept": "text/event-stream"}
        body = {"query": query, "variables": variables or {"after": after}}
        async with self.http.post(url or self.next_url(), json=body, headers=sent) as response:
            assert response.content_type == "text/event-stream"
            kind = ""
            async for line in response.content:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name == "event":
                    kind = value
                elif name == "data" and kind == "next":
                    yield json.loads(value)
            assert kind == "complete"

    @asynccontextmanager
    async def socket(self, user: str | None = None, *, url: str | None = None) -> AsyncIterator["Socket"]:
        """Open a WebSocket and wait for its acknowledgment."""
        address = (url or self.next_url()).replace("http", "ws", 1)
        options: Any = {"max_size": None, "max_queue": None, "ssl": self.tls}
        async with connect(address, subprotocols=[SUBPROTOCOL], **options) as connection:
            socket = Socket(connection)
            await socket.write({"type": "connection_init", "payload": {"authorization": f"Bearer {self.token(user)}"}})
            assert (await socket.read())["type"] == "connection_ack"
            yield socket


class Socket:
    """A graphql-transport-ws connection with one subscription at a time."""

    read_timeout_s: float | None = 60.0
    """None for a reader in the background, which may have nothing to read for long."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def write(self, message: Json) -> None:
        await self.connection.send(json.dumps(message))

    async def read(self) -> Json:
        """Return the next message. Raise AssertionError if there is none within `read_timeout_s`."""
        try:
            async with asyncio.timeout(self.read_timeout_s):
                message: Json = json.loads(await self.connection.recv())
        except TimeoutError as error:
            raise AssertionError(f"the hub sent no message within {self.read_timeout_s} s") from error
        return message

    async def subscribe(
        self, query: str, id: str = "1", *, variables: Json | None = None, **more: Any
    ) -> "Subscription":
        """`variables`: for names that are parameters of this method."""
        variables = {**more, **(variables or {})}
        await self.write({"id": id, "type": "subscribe", "payload": {"query": query, "variables": variables}})
        return Subscription(self)


class Subscription:
    """The events of one subscription, in order. Ends with `complete` of the server."""

    def __init__(self, socket: Socket) -> None:
        self.socket = socket

    def __aiter__(self) -> "Subscription":
        return self

    async def __anext__(self) -> Json:
        message = await self.socket.read()
        while message["type"] == "ping":  # the hub's clock was moved
            await self.socket.write({"type": "pong"})
            message = await self.socket.read()
        if message["type"] == "complete":
            raise StopAsyncIteration
        if message["type"] == "error":
            raise GraphQLErrors(message["payload"])
        assert message["type"] == "next", message
        if "errors" in message["payload"]:
            raise GraphQLErrors(message["payload"]["errors"])
        [event] = message["payload"]["data"].values()
        found: Json = event
        return found

    async def take(self, count: int, within_s: float = 60.0) -> list[Json]:
        """Return the next `count` events."""
        async with asyncio.timeout(within_s):
            return [await anext(self) for _ in range(count)]


class Replica:
    """An inbox as a client maintains it: loads the pages once, then applies events.

    `items`: everything in the ALL view, by id. An event contains the whole notification, which replaces the stored one.
    `sortKey` gives the order of the inbox."""

    def __init__(self) -> None:
        self.items: dict[str, Json] = {}
        self.unread = 0
        self.unseen = 0
        self.cursor = ""

    async def load(self, tenant: Tenant, user: str, url: str | None = None) -> None:
        """Load the whole inbox. Pages are stable while items arrive. The position of the first page counts: later
        changes
        arrive as events."""
        first = page = await tenant.inbox(user, first=100, view="ALL", url=url)
        found = list(page["nodes"])
        while page["pageInfo"]["hasNextPage"]:
            page = await tenant.inbox(user, first=100, after=page["pageInfo"]["endCursor"], view="ALL", url=url)
            found += page["nodes"]
        self.items = {node["id"]: node for node in found}
        self.cursor, self.unread, self.unseen = first["position"], first["unread"], first["unseen"]

    def apply(self, event: Json) -> None:
        kind, n = event["kind"], event["notification"]
        self.cursor, self.unread, self.unseen = event["cursor"], event["unread"], event["unseen"]
        if kind in {"ADDED", "UPDATED"}:
            self.items[n["id"]] = n
        elif kind == "REMOVED":
            self.items.pop(n["id"], None)
        elif kind in {"ALL_READ", "ALL_SEEN", "ALL_ARCHIVED"}:
            for id, item in self.items.items():
                if item["archivedAt"] or item["snoozedUntil"]:
                    continue
                marks = dict.fromkeys(ALL_MARKS[kind], "then")
                self.items[id] = item | {mark: item[mark] or then for mark, then in marks.items()}
        else:
            raise AssertionError(f"{kind}: reload the inbox")

    @property
    def modseq(self) -> int:
        """The number of the last change. Only tests look inside a cursor."""
        return decode_position(self.cursor, "cursor").modseq

    @property
    def order(self) -> list[str]:
        """Newest first, as the server lists them."""
        return sorted(self.items, key=lambda existing: -self.items[existing]["sortKey"])

    @property
    def state(self) -> list[tuple[str, bool, bool, bool, bool, bool, bool, str | None]]:
        """Order and marks, comparable between replicas: id, seen, read, archived, snoozed, acknowledged, pinned,
        action."""
        marks = ("seenAt", "readAt", "archivedAt", "snoozedUntil", "acknowledgedAt", "pinned")
        items = [self.items[id] for id in self.order]
        return [(n["id"], *(bool(n[mark]) for mark in marks), n["actedKey"]) for n in items]

    @property
    def counts(self) -> tuple[int, int]:
        """Unread and unseen, as the server sent them."""
        return self.unread, self.unseen

    @property
    def recounted(self) -> tuple[int, int]:
        """Unread and unseen, counted again from the items."""
        active = [n for n in self.items.values() if not n["archivedAt"] and not n["snoozedUntil"]]
        return sum(not n["readAt"] for n in active), sum(not n["seenAt"] and not n["readAt"] for n in active)
