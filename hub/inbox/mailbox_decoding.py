"""Decodes mailbox documents. A document that cannot be decoded fails the calls that name its user, and no others."""

from collections.abc import AsyncIterable, Collection

from msgspec import ValidationError, convert

from hub.errors import HubError
from hub.model import Mailbox, user_of
from hub.platform.connections import Document
from hub.platform.tolerant_decoding import report_unreadable

REQUIRED_FIELDS = frozenset({"_id", "epoch", "modseq", "unread", "unseen"})
"""These fields are required, because a default for a missing count would be wrong."""


class UnreadableMailbox(HubError):
    """Stored mailboxes cannot be decoded. `mailboxes`: their ids."""

    def __init__(self, mailboxes: Collection[str]) -> None:
        self.mailboxes = frozenset(mailboxes)
        users = ", ".join(f'"{user_of(mailbox)}"' for mailbox in sorted(self.mailboxes))
        super().__init__(f"This version of the hub cannot read the stored inbox of {users}. Nothing was changed.")

    def __str__(self) -> str:
        return f"mailboxes that cannot be decoded: {', '.join(sorted(self.mailboxes))}"


def decode_mailbox(doc: Document) -> Mailbox:
    """Return the mailbox. If it cannot be decoded, count and log the document, and raise UnreadableMailbox."""
    try:
        if missing := REQUIRED_FIELDS - doc.keys():
            raise ValidationError(f"Missing fields: {', '.join(sorted(missing))}")
        return convert(doc, Mailbox)
    except ValidationError as error:
        report_unreadable(doc, Mailbox, error)
        raise UnreadableMailbox([doc["_id"]]) from error


async def decode_mailboxes(docs: AsyncIterable[Document]) -> tuple[dict[str, Mailbox], frozenset[str]]:
    """Return the mailboxes by id, and the ids of the mailboxes that cannot be decoded."""
    mailboxes: dict[str, Mailbox] = {}
    unreadable: set[str] = set()
    async for doc in docs:
        try:
            mailboxes[doc["_id"]] = decode_mailbox(doc)
        except UnreadableMailbox:
            unreadable.add(doc["_id"])
    return mailboxes, frozenset(unreadable)
