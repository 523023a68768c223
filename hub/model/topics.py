"""Topics and the subscriptions of users to them."""

from datetime import datetime
from enum import StrEnum

from hub.model.record import Record


class SubscriptionState(StrEnum):
    ACTIVE = "active"
    LEFT = "left"  # by the user, who can come back
    REMOVED = "removed"  # by the tenant after the user had left; kept so the tenant does not bring the user back


class Topic(Record, frozen=True, rename={"id": "_id"}):
    """A topic of a tenant. Users see `visible` topics only. `search_text` is what a search compares, in folded form."""

    id: str
    name: str
    created_at: datetime
    search_text: str
    description: str | None = None
    visible: bool = False

    @property
    def key(self) -> str:
        return topic_key_of(self.id)


class TopicSubscription(Record, frozen=True):
    """The subscription of a user to a topic. `topic` is the id of the topic. `left_at`: when the user left."""

    mailbox: str
    topic: str
    state: SubscriptionState
    created_at: datetime
    left_at: datetime | None = None


def topic_id(tenant: str, key: str) -> str:
    """Return the id of a topic. Tenant names contain no slash."""
    return f"{tenant}/{key}"


def topic_key_of(id: str) -> str:
    return id.partition("/")[2]
