"""The interface of the works that the group commit applies."""

from collections.abc import Collection, Mapping
from typing import Any, Protocol, TypeVar

from pymongo.asynchronous.client_session import AsyncClientSession

from hub.inbox.unit_of_work import UnitOfWork

T_co = TypeVar("T_co", covariant=True)


class Contended(Exception):
    """Two attempts of a work conflicted with changes of other processes. Nothing was changed."""


class Work(Protocol[T_co]):
    """One change of one or more inboxes."""

    @property
    def mailboxes(self) -> Collection[str]:
        """Every mailbox that the work may change. A missing mailbox is created if the work uses it."""

    @property
    def reads(self) -> Collection[str]:
        """The ids of the notifications that the work needs."""

    @property
    def deliveries(self) -> Collection[str]:
        """The ids of the deliveries that the work needs, as `unit.deliveries`."""

    @property
    def keys(self) -> Collection[str]:
        """The idempotency keys that the work looks up."""

    @property
    def collapse_key(self) -> str | None:
        """The collapse key whose live notifications in `mailboxes` the work needs."""

    @property
    def counts(self) -> Collection[str]:
        """The ids of the counts that the work needs (see `window_counts`)."""

    @property
    def documents(self) -> int:
        """The approximate number of notifications, deliveries, and webhook calls to write."""

    @property
    def size(self) -> int:
        """The approximate number of bytes to write."""

    @property
    def needs_recipients(self) -> bool:
        """True if the work needs its recipients in `unit.decision_data`."""

    @property
    def needs_opt_outs(self) -> bool:
        """True if the work also needs to know which phone numbers of its recipients opted out."""

    @property
    def exclusive(self) -> bool:
        """True if the work requires a separate transaction, in whose session it may read and write."""

    @property
    def low(self) -> bool:
        """True if the work has the rank LOW: it is committed in transactions of such works, after other works."""

    @property
    def is_divisible(self) -> bool:
        """True if the work fails with Contended after two conflicts, because its caller submits smaller works then.
        Other works are tried until their deadline."""

    def digest_keys(self, decision_data: Any) -> Mapping[str, Collection[str]]:
        """Return the mailboxes whose open digests the work needs, as `unit.digests`, by digest key. `decision_data` is
        that of the unit."""
        ...

    async def apply(self, unit: UnitOfWork, session: AsyncClientSession) -> T_co:
        """Apply the work to the unit. This method is called once per attempt, each time with a new unit."""
        ...


class WorkDefaults:
    """The values of most works."""

    reads: Collection[str] = ()
    deliveries: Collection[str] = ()
    keys: Collection[str] = ()
    collapse_key: str | None = None
    counts: Collection[str] = ()
    size = 0
    needs_recipients = False
    needs_opt_outs = False
    exclusive = False
    low = False
    is_divisible = False

    def digest_keys(self, decision_data: Any) -> Mapping[str, Collection[str]]:  # noqa: ARG002 - most works need none
        return {}
