"""The digests that the deliveries of a send join: its own, that of its category, or those that recipients chose."""

from collections.abc import Collection, Sequence

from hub.audience.tenants import default_category
from hub.decide.digest import CHOSEN, Digest, digest_key, effective_digest, gathered
from hub.decide.digest_choices import choices_of, chosen_ends
from hub.decide.plan import Plan
from hub.inbox.unit_of_work import UnitOfWork
from hub.inbox.window_counts import empty_count, lookback_id
from hub.model import Category, Tenant, User, WindowCount
from hub.workflows.send_request import DecisionData, SendRequest


class SendDigests:
    """The digests of one send. `mark_ids`: the ids of the marks of `lookback`, one for each mailbox, or none."""

    def __init__(self, tenant: str, request: SendRequest, mailboxes: Sequence[str]) -> None:
        self._tenant = tenant
        self._request = request
        self._mailboxes = mailboxes
        digest = request.digest
        key = digest_key(request.category, digest.key) if digest and digest.lookback_s else None
        self.mark_ids = [lookback_id(mailbox, key) for mailbox in mailboxes] if key else []

    def keys(self, data: DecisionData) -> dict[str, Collection[str]]:
        """Return the mailboxes by the keys of the digests that deliveries may join."""
        if not self._mailboxes:
            return {}
        request, tenant = self._request, data.tenants[self._tenant]
        category = tenant.category(request.category) or default_category(request.category)
        priority = request.priority or category.priority
        users = [user for mailbox in self._mailboxes if (user := data.users.get(mailbox))]  # others have no addresses
        keys: dict[str, Collection[str]] = {}
        if chosen := [user.id for user in users if choices_of(user, tenant, category, priority)]:
            keys[digest_key(category.key, CHOSEN.key)] = chosen
        if digest := effective_digest(request.digest, category):
            keys[digest_key(category.key, digest.key)] = self._mailboxes
        return keys

    def gather(
        self,
        unit: UnitOfWork,
        digest: Digest | None,
        tenant: Tenant,
        category: Category,
        users: Sequence[User],
        plans: list[Plan],
    ) -> tuple[list[Plan], list[WindowCount]]:
        """Return the plans with the deliveries that wait in a digest, and the marks of `lookback`. `digest`: the digest
        of the send or of its category."""
        now = unit.now
        ends = [chosen_ends(user, tenant, category, one.priority, now) for user, one in zip(users, plans, strict=True)]
        if not (digest or any(ends)):
            return plans, []
        ids: Sequence[str] = self.mark_ids or [""] * len(plans)
        marks = [unit.counts.get(id) or empty_count(id, now) for id in ids]
        results = [
            gathered(digest, chosen, one, mark, now) for chosen, one, mark in zip(ends, plans, marks, strict=True)
        ]
        return [one for one, _ in results], [mark for _, mark in results if self.mark_ids]
