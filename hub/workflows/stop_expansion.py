"""Stops expansions: by a cancellation, a recall, or the resolution of a collapse key.

The record of the send is changed first. Then the fencing tokens of all parts are taken. After that, no other recipient
gets the send, and what exists can be ended. If the process dies in between, the next turn of a part or the next round
of the change does the rest.
"""

from collections.abc import Collection

from msgspec.structs import replace

from hub.model import Send
from hub.status.expanding_sends import ExpandingSends
from hub.status.expansion_parts import ExpansionPart, ExpansionParts
from hub.utc_time import RealClock
from hub.workflows.send_change_rounds import LEASE


class StopExpansion:
    def __init__(self, parts: ExpansionParts, expanding: ExpandingSends, real_clock: RealClock) -> None:
        self._parts = parts
        self._expanding = expanding
        self._real_clock = real_clock

    async def end(self, send: Send) -> Send:
        """End the expansion of a send that is no longer EXPANDING. Return the send with its recipients."""
        if send.parts_left is None:
            if send.total is not None:  # an expansion: perhaps the process died before this
                await self._parts.end(send.id)
            return send
        return replace(send, recipients=await self._end(send.id), parts_left=None)

    async def complete(self, part: ExpansionPart) -> None:
        """End the expansion of a claimed part, if its send is neither EXPANDING nor PAUSED."""
        if not await self._expanding.has_more(part.send):
            await self._end(part.send)

    async def resolve(self, tenant: str, collapse_key: str, users: Collection[str] | None) -> None:
        """Make the sends with an audience and this collapse key skip these users. Without `users`, end the sends. Raise
        RateLimited if that are too many users."""
        for id in await self._expanding.list_with_key(tenant, collapse_key):
            if users is None:
                if await self._expanding.mark_resolved(id, self._real_clock() + LEASE):
                    await self._end(id)
            else:
                await self._expanding.add_resolved(id, users)
                await self._parts.refresh(id)

    async def _end(self, id: str) -> int:
        await self._parts.stop(id)
        recipients = (await self._parts.count_recipients([id]))[id]
        await self._expanding.set_recipients(id, recipients)
        await self._parts.end(id)  # last, because parts that have ended are deleted
        return recipients
