"""Phone numbers that opted out of the messages of a sender (STOP).

An opt-out belongs to a number and a sender, not to a user: it holds for every user and tenant, also for a user who is
added later with the number. Only a START from the number removes it.

A provider may deliver an incoming message twice, and may repeat an older one after a newer one. The ids of incoming
messages are therefore stored for `MESSAGE_DAYS`, and a repeated message changes nothing.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from pymongo import ASCENDING, IndexModel

from hub.audience.opt_out_words import STOP
from hub.model import Channel
from hub.platform.connections import Database, Document, Indexes
from hub.utc_time import Clock

COLLECTION = "opt_outs"
MESSAGES = "opt_out_messages"
MESSAGE_DAYS = 30
WHATSAPP_PREFIX = "whatsapp:"
SAME_NUMBERS = (
    (re.compile(r"\+521([0-9]{10})"), r"+52\1"),  # Mexico: +52 1 55... is +52 55...
    (re.compile(r"\+549([0-9]{10})"), r"+54\1"),  # Argentina: +54 9 11... is +54 11...
    (re.compile(r"\+55([0-9]{2})([6-9][0-9]{7})"), r"+55\g<1>9\2"),  # Brazil: +55 31 8... is +55 31 98...
)
"""Mobile numbers that have two forms, and the form under which opt-outs are stored. WhatsApp may report a form that is
not the one to which the hub sends."""


def indexes() -> Indexes:
    return {
        COLLECTION: [],  # `_id` serves all queries
        MESSAGES: [
            # removes the ids of old messages
            IndexModel(
                [("at", ASCENDING)],
                name="expiry",
                expireAfterSeconds=int(timedelta(days=MESSAGE_DAYS).total_seconds()),
            )
        ],
    }


class OptOuts:
    """`senders`: the sender of each channel that has one, such as `+15550001111`, a messaging service id, or
    `whatsapp:+15550001111`."""

    def __init__(self, database: Database, clock: Clock, senders: Mapping[Channel, str]) -> None:
        self._opt_outs = database[COLLECTION]
        self._messages = database[MESSAGES]
        self._clock = clock
        self.senders = senders

    async def record(self, sender: str, number: str, how: str) -> None:
        """Record that a number opted out of a sender. `how`: the keyword, or the error of the provider. An earlier
        opt-out is kept."""
        new = {"at": self._clock(), "how": how}
        await self._opt_outs.update_one({"_id": _key(sender, number)}, {"$setOnInsert": new}, upsert=True)

    async def remove(self, sender: str, number: str, before: datetime | None = None) -> None:
        """Remove an opt-out, because the number sent START to the sender. `before`: keep later opt-outs."""
        earlier = {"at": {"$lt": before}} if before else {}
        await self._opt_outs.delete_one({"_id": _key(sender, number), **earlier})

    async def receive(
        self, message: str, number: str, senders: Collection[str], word: str, at: datetime | None = None
    ) -> bool:
        """Record a STOP or START that a number sent to the senders. `at`: the time of a message that was not received
        then. Return False if the message with this id was handled before. A call that fails can be repeated."""
        if await self._messages.find_one({"_id": message}):
            return False
        for sender in senders:
            if word in STOP:
                await self.record(sender, number, word)
            else:
                await self.remove(sender, number, at)
        await self._messages.update_one({"_id": message}, {"$setOnInsert": {"at": self._clock()}}, upsert=True)
        return True

    async def opted_out(
        self, numbers: Collection[str], channels: Collection[Channel] | None = None
    ) -> dict[str, frozenset[Channel]]:
        """Return the channels that must not be used for each of `numbers`, in one query. Numbers without an opt-out are
        left out. `channels`: only these. Formatted numbers are accepted."""
        asked: defaultdict[str, list[tuple[str, Channel]]] = defaultdict(list)
        for channel, sender in self.senders.items():
            for number in numbers if channels is None or channel in channels else ():
                asked[_key(sender, number)].append((number, channel))
        found: dict[str, frozenset[Channel]] = {}
        if asked:
            async for doc in self._opt_outs.find({"_id": {"$in": list(asked)}}, {"_id": 1}):
                for number, channel in asked[doc["_id"]]:
                    found[number] = found.get(number, frozenset()) | {channel}
        return found

    async def list_of(self, number: str | None) -> list[Document]:
        """Return the opt-outs of a number from the hub's senders, with `sender`, `at`, and `how`."""
        senders = {_key(sender, number): sender for sender in self.senders.values()} if number else {}
        if not senders:
            return []
        docs = self._opt_outs.find({"_id": {"$in": list(senders)}})
        return [{"sender": senders[doc["_id"]], "at": doc["at"], "how": doc["how"]} async for doc in docs]


def plain_number(number: str) -> str:
    """Return a phone number as a plus sign and digits, without formatting and without the prefix of WhatsApp. The two
    forms of a mobile number (`SAME_NUMBERS`) have the same result."""
    plain = "+" + re.sub(r"\D", "", number)
    for form, other in SAME_NUMBERS:
        if match := form.fullmatch(plain):
            return match.expand(other)
    return plain


def _key(sender: str, number: str) -> str:
    return f"{sender} {plain_number(number)}"
