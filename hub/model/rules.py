"""Rules, which turn events into sends."""

from datetime import datetime

from hub.model.channels import Channel, Priority
from hub.model.notifications import Content
from hub.model.record import Record
from hub.model.steps import Step


class RuleRecipients(Record, frozen=True):
    """The recipients of a rule. Exactly one field is set. `users` and `topic` are expressions. `where`: the JSON text
    of a filter."""

    users: str | None = None
    topic: str | None = None
    everyone: bool = False
    where: str | None = None


class RuleDigest(Record, frozen=True):
    """The digest of the sends of a rule. `key` is an expression."""

    key: str
    window_s: int


class Rule(Record, frozen=True, rename={"id": "_id"}):
    """A rule. `condition`, `data`, and `excluded` are expressions. `collapse_key` and the texts of `content` are
    Liquid. `type`: the type of the events, or a prefix that ends in `.*`. Either `template` or `content` is set."""

    id: str
    tenant: str
    key: str
    type: str
    to: RuleRecipients
    category: str
    updated_at: datetime
    name: str | None = None
    enabled: bool = True
    source: str | None = None
    condition: str | None = None
    template: str | None = None
    content: Content | None = None
    data: str | None = None
    priority: Priority | None = None
    collapse_key: str | None = None
    channels: tuple[Channel, ...] | None = None
    steps: tuple[Step, ...] = ()
    digest: RuleDigest | None = None
    tags: tuple[str, ...] = ()
    require_ack: bool = False
    after_s: int | None = None
    expires_in_s: int | None = None
    excluded: str | None = None


def rule_id(tenant: str, key: str) -> str:
    """Return the id of a rule. A tenant contains no slash."""
    return f"{tenant}/{key}"
