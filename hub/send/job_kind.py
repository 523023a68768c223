"""The interface between a dispatcher and one kind of job."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar

from msgspec import Struct

from hub.model import DeliveryStatus, Job
from hub.send.state_after_outcome import Transition

J_contra = TypeVar("J_contra", bound=Job, contravariant=True)


class ReadyToSend(Struct, frozen=True):
    """A message to send now, and its providers in the order in which they are called. The message counts toward the
    rate limit of `user`, and toward the others if it is `limited`. `traceparent` is the W3C trace context of the call.
    `note` is a remark for the attempt."""

    message: Any
    providers: Sequence[Any]
    user: str = ""
    traceparent: str | None = None
    note: str | None = None
    limited: bool = True


class JobHandler(Protocol[J_contra]):
    """The methods that differ between kinds of jobs."""

    async def prepare(self, jobs: Sequence[J_contra], now: datetime) -> list[ReadyToSend | Transition]:
        """Return the message of each job in order, or the next state of the job if nothing is sent. Except for
        `find_stopped`, this is the last check that the job is not obsolete."""
        ...

    async def find_stopped(self, jobs: Sequence[tuple[J_contra, ReadyToSend]]) -> dict[str, Transition]:
        """Return the next states, by id, of jobs that were stopped since they were prepared, or whose address opted
        out. This is called right before the first calls of a batch, and right before each call of a further provider.
        """
        ...

    async def on_settled(self, jobs: Sequence[tuple[J_contra, DeliveryStatus]]) -> None:
        """Handle finished jobs that were settled in one batch."""
        ...

    async def on_address_gone(self, job: J_contra, message: Any) -> None:
        """Handle a message that failed because its address no longer exists."""
        ...
