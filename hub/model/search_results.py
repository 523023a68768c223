"""Results of a search for a record by any of its ids, addresses, or texts."""

from enum import StrEnum

from msgspec import Struct

from hub.model.notifications import Notification
from hub.model.outbox_jobs import Delivery
from hub.model.sends import Send
from hub.model.users import User


class RecordKind(StrEnum):
    USER = "USER"
    SEND = "SEND"
    DELIVERY = "DELIVERY"
    NOTIFICATION = "NOTIFICATION"


class FoundBy(StrEnum):
    """The value that a text matched."""

    ID = "ID"
    EMAIL = "EMAIL"
    PHONE = "PHONE"
    NAME = "NAME"
    MESSAGE_ID = "MESSAGE_ID"
    PROVIDER_ID = "PROVIDER_ID"
    IDEMPOTENCY_KEY = "IDEMPOTENCY_KEY"
    TITLE = "TITLE"


class SearchResult(Struct, frozen=True):
    """A record that a text matched. `exact`: the text is the whole value, not its beginning or words of it."""

    record: User | Send | Delivery | Notification
    found_by: FoundBy
    exact: bool = True

    @property
    def kind(self) -> RecordKind:
        return RecordKind[type(self.record).__name__.upper()]

    @property
    def id(self) -> str:
        return self.record.user_id if isinstance(self.record, User) else self.record.id

    @property
    def title(self) -> str:
        """The name of a user, the title of a send or notification, or the channel and user of a delivery."""
        match self.record:
            case User() as user:
                return user.name or user.user_id
            case Send() as send:
                return send.title or send.category
            case Delivery() as delivery:
                return f"{delivery.channel} to {delivery.user_id}"
            case Notification() as notification:
                return notification.title
