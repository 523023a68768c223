"""Rows of a broadcast are encoded once per operation, with the same bytes and in the same order as other events."""

import asyncio
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from graphql import ExecutionResult, Executor, execute_subscription_event, parse, validate
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hub.api.execution.engine import SubscriptionResults, encode
from hub.api.execution.fast_path.broadcast_encoder import compile_row_encoder
from hub.api.execution.fast_path.projection import Getter, SelectionCompiler
from hub.api.schema.inbox_stream import InboxEvent, InboxStream
from hub.api.schema.root import make_schema
from hub.api.schema.scalars import Cursor
from hub.api.transport.direct_subscription import DirectSubscription
from hub.inbox.cursors import encode_position
from hub.live import message_codec, subscription_feed
from hub.live.message_codec import Broadcast, BroadcastRow
from hub.live.publisher import common_channel, user_channel
from hub.live.subscription_feed import SharedBroadcast
from hub.live.subscriptions import SubscriptionHub
from hub.model import (
    Backlog,
    InboxEventKind,
    Mailbox,
    MailboxChange,
    Position,
)
from hub.model import (
    InboxEvent as Change,
)
from hub.platform.translations import DEFAULT, language
from hub.utc_time import HubTime
from tests.conftest import scaled
from tests.strategies import NOW, new_notification, notifications
from tests.test_selection_compiler import subscriptions

SCHEMA = make_schema()._schema
EPOCH = "e1"
MAILBOXES = [f"t/{user}" for user in ("alice", 'b"ob%s', "carol", "zoë")]
FEED = "subscription { inbox { __typename kind at: cursor cursor unread unseen notification { id userId sortKey title because } } }"
rows = st.builds(
    BroadcastRow,
    mailbox=st.text(min_size=1).map(lambda user: f"t/{user}"),
    epoch=st.text("0123456789abcdef-", max_size=40),
    id=st.text(),
    modseq=st.integers(0, 1 << 60),
    unread=st.integers(0, 1 << 31),
    unseen=st.integers(0, 1 << 31),
)


def executor(query: str, event: InboxEvent | None, mailbox: str) -> Executor[Any]:
    document = parse(query)
    english = SimpleNamespace(caller=SimpleNamespace(mailbox=mailbox), language=language(DEFAULT))
    built = Executor.build(
        SCHEMA, document, root_value=event, context_value=english, raw_variable_values={"yes": True, "no": False}
    )
    assert isinstance(built, Executor)
    return built


def compile_projection(built: Executor[Any]) -> Getter:
    fragments = {name: details.definition for name, details in built.fragments.items()}
    assert SCHEMA.subscription_type
    return SelectionCompiler(fragments, built.variable_values).compile_root(SCHEMA.subscription_type, built.operation)


@pytest.mark.timeout(scaled(300, 3600))
@settings(deadline=None, max_examples=scaled(50, 3000))
@given(subscriptions(), notifications(), st.lists(rows, min_size=1, max_size=3), st.integers(0, 1 << 40))
def test_encoded_row_equals_the_executed_event(query: str, n: Any, sent: list[BroadcastRow], at: int) -> None:
    assume(not validate(SCHEMA, parse(query)))
    broadcast = Broadcast(n, sent)
    encode_row = compile_row_encoder(compile_projection(executor(query, None, "")), n, at)
    for row in sent:
        [change] = broadcast.change_of(row).events
        position = Position(row.epoch, row.modseq, at)
        event = InboxEvent(
            kind=change.kind,
            cursor=Cursor(encode_position(position)),
            notification=change.notification,
            unread=row.unread,
            unseen=row.unseen,
        )
        executed = execute_subscription_event(executor(query, event, row.mailbox))
        assert isinstance(executed, ExecutionResult)
        if executed.errors:  # graphql-core rejects an Int that is too large
            assert max(row.modseq, row.unread, row.unseen) >= 1 << 31
        else:
            assert encode_row(row) == encode({"data": executed.data})


class FakeStore:
    async def get_mailboxes(self, _ids: Sequence[str]) -> Mapping[str, Mailbox]:
        return {}

    async def peek_backlog(self, mailbox: str, _after: Position | None) -> Backlog | None:
        return Backlog(Mailbox(id=mailbox, epoch=EPOCH), [])

    backlog = peek_backlog


class FakePubSub:
    generation = 0

    def subscribe(self, channel: str) -> None: ...

    unsubscribe = subscribe

    async def wait_subscribed(self, channel: str) -> None: ...


class FakeProtocol:
    """A socket whose write buffer is full while `writable` is not set."""

    def __init__(self) -> None:
        self.writable = asyncio.Event()
        self.writable.set()
        self.written: list[bytes] = []

    @property
    def can_write(self) -> bool:
        return self.writable.is_set()

    def write_text(self, text: bytes) -> None:
        self.written.append(text)


class QueuedSubscription(DirectSubscription):
    """A subscription whose events are always created and queued."""

    __slots__ = ()

    def write_row(self, _shared: SharedBroadcast, _row: BroadcastRow) -> bool:
        return False


class Clients:
    """For each mailbox, one subscription that writes rows directly and one that does not."""

    def __init__(self) -> None:
        pubsub: Any = FakePubSub()
        self.hub = SubscriptionHub(FakeStore(), lambda _: pubsub, "")
        self.projection = compile_projection(executor(FEED, None, ""))
        self.modseqs = dict.fromkeys(MAILBOXES, 0)
        self.sockets: dict[str, list[FakeProtocol]] = {}

    async def open(self) -> None:
        for mailbox in MAILBOXES:
            self.sockets[mailbox] = [
                await self.subscribe(mailbox, kind) for kind in (DirectSubscription, QueuedSubscription)
            ]

    async def subscribe(self, mailbox: str, kind: type[DirectSubscription]) -> FakeProtocol:
        protocol: Any = FakeProtocol()
        session: Any = SimpleNamespace(forget=lambda *_: None)
        caller: Any = SimpleNamespace(tenant="t", user="u")
        stream = InboxStream(await self.hub.subscribe(mailbox, None), self.hub, lambda: HubTime(NOW))
        results = SubscriptionResults(stream, self.projection, "r", language(DEFAULT))
        kind(session, mailbox, caller, results, stream, protocol).start()
        found: FakeProtocol = protocol
        return found

    def broadcast(self, skipped: set[str], gaps: set[str], epoch: str, traceparent: str | None) -> None:
        """Send to all mailboxes but `skipped`. The message before that for `gaps` is lost."""
        sent = []
        for number, mailbox in enumerate(MAILBOXES):
            if mailbox not in skipped:
                self.modseqs[mailbox] += 2 if mailbox in gaps else 1
                modseq = self.modseqs[mailbox]
                sent.append(BroadcastRow(mailbox, epoch, f"n{modseq}", modseq, modseq + number, number))
        message = Broadcast(new_notification("", "", hidden=False), sent, traceparent)
        self.hub.on_message(common_channel(""), message_codec.encode(message))

    def change(self, mailbox: str, kind: InboxEventKind) -> None:
        self.modseqs[mailbox] += 1
        modseq = self.modseqs[mailbox]
        n = new_notification(f"n{modseq}", mailbox, hidden=False)
        event = Change(kind=kind, modseq=modseq, unread=1, unseen=1, notification=n)
        changed = MailboxChange(mailbox=mailbox, epoch=EPOCH, first=modseq, last=modseq, events=(event,))
        self.hub.on_message(user_channel("", mailbox), message_codec.encode(changed))

    def set_writable(self, mailbox: str, writable: bool) -> None:
        for socket in self.sockets[mailbox]:
            (socket.writable.set if writable else socket.writable.clear)()


mailbox_names = st.sampled_from(MAILBOXES)
few = st.frozensets(mailbox_names, max_size=1)
traces = st.sampled_from([None, None, None, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"])
steps = st.one_of(
    st.tuples(st.just("broadcast"), few, few, st.sampled_from([EPOCH] * 9 + ["e2"]), traces),
    st.tuples(st.just("broadcast"), st.just(frozenset()), st.just(frozenset()), st.just(EPOCH), st.none()),
    st.tuples(st.just("change"), mailbox_names, st.sampled_from([InboxEventKind.UPDATED, InboxEventKind.ALL_READ])),
    st.tuples(st.just("set_writable"), mailbox_names, st.booleans()),
    st.just(("wait",)),
)


@settings(deadline=None, max_examples=scaled(40, 3000))
@given(st.lists(steps, max_size=30))
def test_sockets_receive_the_same_bytes_as_with_queued_events(session: list[Any]) -> None:
    async def run() -> None:
        clients = Clients()
        await clients.open()
        for name, *arguments in session:
            if name == "wait":
                await asyncio.sleep(0)
            else:
                getattr(clients, name)(*arguments)
        for mailbox in MAILBOXES:
            clients.set_writable(mailbox, True)
        for _ in range(5):
            await asyncio.sleep(0)
        for direct, queued in clients.sockets.values():
            assert direct.written == queued.written

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subscription_feed, "QUEUE_MAX_EVENTS", 3)  # so that clients that do not read receive RESYNC
        asyncio.run(run())


async def test_rows_are_written_without_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    clients = Clients()
    await clients.open()
    created: list[str] = []
    change_of = Broadcast.change_of

    def record(broadcast: Broadcast, row: BroadcastRow) -> MailboxChange:
        created.append(row.mailbox)
        return change_of(broadcast, row)

    monkeypatch.setattr(Broadcast, "change_of", record)
    clients.broadcast(set(), set(), EPOCH, None)
    queued = MAILBOXES
    first = MAILBOXES[0]  # the first event of an operation is projected, because one event is cheaper than an encoder
    assert sorted(created) == sorted([first, *queued])
    for mailbox in MAILBOXES:
        [text] = clients.sockets[mailbox][0].written
        message = orjson.loads(text)
        assert message["id"] == mailbox
        assert message["payload"]["data"]["inbox"]["notification"]["userId"] == mailbox.partition("/")[2]
