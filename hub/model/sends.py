"""Sends."""

from datetime import datetime

from hub.model.channels import Channel, Priority
from hub.model.notifications import BecauseKind, Content
from hub.model.record import Record
from hub.model.statuses import SendStatus
from hub.model.steps import Step


class SendAudience(Record, frozen=True):
    """The recipients of a send that names no users. Workers list them while the send is EXPANDING. `topic`: the key of
    the topic that they are subscribed to. `where`: the JSON text of the filter that they match. In the record of a
    send, it identifies no user."""

    everyone: bool = False
    topic: str | None = None
    where: str | None = None

    @property
    def because(self) -> str:
        """`Notification.because` of the recipients."""
        if self.topic is not None:
            return f"{BecauseKind.TOPIC.value}:{self.topic}"
        return BecauseKind.EVERYONE.value if self.where is None else BecauseKind.FILTER.value


class DeletedRecords(Record, frozen=True):
    """The documents of a send that were deleted because of their age.

    - `notifications`: the number of notifications.
    - `counts`: the number of deliveries by channel, status, and, if there is one, reason, separated by spaces.
    - `reactions`: the number of notifications that were seen, read, acknowledged, or acted on.
    """

    notifications: int = 0
    counts: dict[str, int] = {}
    reactions: dict[str, int] = {}


class Send(Record, frozen=True, rename={"id": "_id"}):
    """One accepted `send`. `recipients`: the number of users.

    - `audience`: the recipients, unless the send names them. `excluded`: the users who do not get it.
    - `total`: the expected number of recipients of an expansion. `parts_left`: the number of its parts that are not
      complete. It is set until `recipients` is; until then, the parts have the number of recipients.
    - `canary_below`: set while a guarded send is being expanded. See `hub.decide.failure_guard`. `guarded`: True until
      the guard has decided. `guard_due_at`: the real time when the guard looks at the canary, or, if it has decided,
      when the other parts begin. `guard_until`: the real time until which it waits for calls.
    - `tags`, `channels`, `expires_at`: as the send was given. `priority`: also that of the category.
    - `created_by`: the user or key of the token that created it.
    - `content`: of a send without a template.
    - `template`: the key of the template. Its texts and those of the email layout have the recorded versions.
    - `template_title`: the title in the tenant's locale. `template_data`: JSON text that only the template reads.
      `enriched`: JSON text of the enrichment, which the template reads, too.
    - `send_at`: the time for which the send was scheduled. `reason`: why it is FAILED or CANCELLED. `failing`: True if
      its expansion fails repeatedly, and is tried again. `enrichment_error`: why the last call of a send that is
      PREPARING failed.
    - `recipient_ids`: the recipients of a small send that may have no notification when they are erased.
    - `paused_reason`: why it is PAUSED. `paused_by_guard`: True if the failure guard paused it. `paused_from`: the
      status that it had before. `resumed_at`: the real time of the last resumption.
    - `claim`: the token of the process that cancels, recalls, or resumes the send. `leased_until`: the real time when
      the lease of the claim ends, or when the next round begins. Both are None when the change is complete.
    - `remaining`: the number of documents that this change still concerns. `remaining_is_estimate`: True if they were
      not counted yet. `recalled_to`: the last notification that a recall has removed so far.
    - `from_own_event`: True if a rule made it for one of the hub's own events.

    The content, title, and data are None after a recall, and after the last recipient of a small send was erased.
    Then the collapse key is also None, and there are no tags.
    """

    id: str
    tenant: str
    category: str
    status: SendStatus
    created_at: datetime
    recipients: int
    created_by: str | None = None
    tags: tuple[str, ...] = ()
    priority: Priority | None = None
    channels: tuple[Channel, ...] | None = None
    expires_at: datetime | None = None
    audience: SendAudience | None = None
    excluded: tuple[str, ...] = ()
    total: int | None = None
    parts_left: int | None = None
    canary_below: int | None = None
    guarded: bool = False
    guard_due_at: datetime | None = None
    guard_until: datetime | None = None
    collapse_key: str | None = None
    steps: tuple[Step, ...] = ()
    send_at: datetime | None = None
    reason: str | None = None
    failing: bool = False
    enrichment_error: str | None = None
    content: Content | None = None
    template: str | None = None
    template_version: int | None = None
    layout_version: int | None = None
    template_title: str | None = None
    template_data: str | None = None
    enriched: str | None = None
    recipient_ids: tuple[str, ...] | None = None
    paused_reason: str | None = None
    paused_by_guard: bool = False
    paused_from: SendStatus | None = None
    resumed_at: datetime | None = None
    claim: str | None = None
    leased_until: datetime | None = None
    remaining: int | None = None
    remaining_is_estimate: bool = False
    recalled_to: str = ""
    from_own_event: bool = False
    deleted: DeletedRecords | None = None

    @property
    def deleted_notifications(self) -> int:
        """The number of notifications that were deleted because of their age."""
        return self.deleted.notifications if self.deleted else 0

    @property
    def expected_recipients(self) -> int:
        """The number of recipients, an estimate while the send is being expanded."""
        return max(self.recipients, self.total or 0) if self.parts_left is not None else self.recipients

    @property
    def title(self) -> str | None:
        """The title as it was sent."""
        return self.content.title if self.content else self.template_title


SEND_CONTENT_FIELDS = ("content", "template_title", "template_data", "enriched")
"""The fields that a recall deletes."""

ERASED_SEND_FIELDS = (*SEND_CONTENT_FIELDS, "collapse_key", "tags")
"""The fields that are deleted when the last recipient is erased."""
