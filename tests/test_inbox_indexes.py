"""The queries of the inbox use indexes and sort nothing."""

from datetime import timedelta
from typing import Any

from msgspec.structs import replace
from pymongo import AsyncMongoClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from hub.inbox.inbox_reader import Inboxes, InboxQuery
from hub.inbox.notification_lookup import Notifications
from hub.inbox.state import VIEWS
from hub.model import InboxView, Position, Priority, mailbox_of
from hub.platform.embedded_servers import Mongod, Redis
from hub.settings import Settings
from hub.status.sends import Sends
from hub.utc_time import now
from tests.client import Json, Tenant
from tests.clocks import hub_now
from tests.inbox_data import FAR_FUTURE, send_numbered
from tests.processes import SECRET


class Commands(CommandListener):
    """The commands that a client sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name in {"find", "aggregate"}:
            self.sent.append(dict(event.command))

    def succeeded(self, event: CommandSucceededEvent) -> None:
        pass

    def failed(self, event: CommandFailedEvent) -> None:
        raise AssertionError(event.failure)


def stage_names(plan: Any) -> set[str]:
    """Return the names of all stages of a winning plan."""
    found: set[str] = set()
    if isinstance(plan, dict):
        if isinstance(plan.get("stage"), str):
            found.add(plan["stage"])
        for name, value in plan.items():
            if name == "$sort":
                found.add("SORT")
            if name not in {"rejectedPlans", "command"}:
                found |= stage_names(value)
    elif isinstance(plan, list):
        for value in plan:
            found |= stage_names(value)
    return found


async def test_every_inbox_query_uses_an_index_and_sorts_nothing(tenant: Tenant, servers: tuple[Mongod, Redis]) -> None:
    sent = await tenant.send("alice", expiresAt=FAR_FUTURE)
    await send_numbered(tenant, "alice", 30, tags=["x"])
    key = mailbox_of(tenant.name, "alice")
    settings = Settings(jwt_secret=(SECRET,))
    commands = Commands()
    async with AsyncMongoClient[Json](servers[0].url, tz_aware=True, event_listeners=[commands]) as client:
        database = client["hub"]
        store, sends = Inboxes(database, settings, hub_now), Sends(database, Notifications(database))
        head = await store.get_mailbox(key)
        assert head
        for view in InboxView:
            for after in (None, 20):
                for expected in (
                    InboxQuery(view=view),
                    InboxQuery(view=view, categories=("news",)),
                    InboxQuery(view=view, categories=("a", "news", "z")),
                    InboxQuery(view=view, tags=("x",), priorities=(Priority.MEDIUM,)),
                    InboxQuery(view=view, pinned=True),
                    InboxQuery(view=view, pinned=True, categories=("news",), words=("number",)),
                    InboxQuery(view=view, pinned=False),
                    InboxQuery(view=view, words=("number",)),
                    InboxQuery(view=view, categories=("news",), words=("number",)),
                ):
                    await store.get_page(key, expected, 20, after)
        await store.list_ids(key, InboxQuery(), VIEWS[InboxView.UNREAD], 1000, upto=head.modseq)
        async with client.start_session() as session:
            await store.list_in_states(key, VIEWS[InboxView.ACTIVE], 1001, session)
        await store.backlog(key, Position(head.epoch, 3, 1 << 40))
        await store.backlog(key, Position(head.epoch, 3, 1 << 40, "within"))
        await store.list_due(now(), 500)
        await store.get_mailboxes([key])
        for before in (None, sent["send"]["id"]):
            await store.list_hidden(key, 20, before)
        send = await sends.get(tenant.name, sent["send"]["id"])
        assert send
        skewed = replace(send, created_at=send.created_at + timedelta(minutes=30))  # by the clock of another process
        assert await sends.find_recipients(skewed, [key, mailbox_of(tenant.name, "nobody")]) == {key}
        for at in (None, sent["send"]["id"]):
            await sends.notifications(send, 20, at)
            await sends.notifications(send, 20, at, reactions={"read": False, "acknowledged": False})
            for category in (None, "news"):
                for since in (None, now() - timedelta(days=1)):
                    await sends.page(tenant.name, category=category, since=since, until=None, first=20, after=at)
        requested = [*commands.sent]
        assert len(requested) > 60
        for command in requested:
            found = await explain_stages(database, command)
            assert found & {"IXSCAN", "IDHACK"}, command
            assert not found & {"COLLSCAN", "SORT"}, (command, found)
        commands.sent.clear()
        await sends.counts([send.id])  # it sorts only its few groups
        await sends.reactions([send.id])
        assert len(commands.sent) == 4
        for command in commands.sent:
            found = await explain_stages(database, command)
            assert "IXSCAN" in found
            assert "COLLSCAN" not in found


async def explain_stages(database: Any, command: dict[str, Any]) -> set[str]:
    """Return the stages of the plan that the server chooses for a command."""
    session = {"lsid", "readConcern", "txnNumber", "startTransaction", "autocommit"}
    bare = {name: value for name, value in command.items() if name[0] != "$" and name not in session}
    return stage_names(await database.command({"explain": bare, "verbosity": "queryPlanner"}))
