"""What resolvers are given: who calls, and the stages to call."""

import asyncio
from dataclasses import dataclass

import strawberry

from hub.api.rates import Rates
from hub.audience.users import Users
from hub.change import Change
from hub.clock import Clock
from hub.errors import Forbidden
from hub.inbox.store import Inboxes
from hub.live.rooms import Rooms
from hub.model import Caller, Role
from hub.publish import Publish
from hub.settings import Settings
from hub.status.receipts import Readers
from hub.status.sends import Sends


@dataclass(frozen=True, slots=True)
class Services:
    """Everything the door calls, built once."""

    settings: Settings
    clock: Clock
    publish: Publish
    change: Change
    inboxes: Inboxes
    rooms: Rooms
    sends: Sends
    users: Users
    receipts: Readers
    rates: Rates
    closing: asyncio.Event
    """Set when this process stops: streams end then, without saying that they are complete."""


@dataclass(slots=True)
class Context:
    """One operation. `idempotency_key` is the header's, or None."""

    caller: Caller
    services: Services
    request_id: str
    idempotency_key: str | None = None

    @property
    def mailbox(self) -> str:
        """The caller's own; Forbidden for tokens that name no user."""
        if not self.caller.user:
            raise Forbidden("This is a person's own: use a token whose `sub` names the user.")
        return self.caller.mailbox

    def require_service(self) -> str:
        """The tenant; Forbidden for role user."""
        if self.caller.role is Role.USER:
            raise Forbidden("This needs a token with role service or admin.")
        return self.caller.tenant


Info = strawberry.Info[Context, None]
