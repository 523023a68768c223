"""What a dispatcher works for: the desk of one kind of job."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar

from msgspec import Struct

from hub.model import DeliveryStatus
from hub.outbox.claims import Job
from hub.send.retry_policy import Transition

J_contra = TypeVar("J_contra", bound=Job, contravariant=True)


class ReadyToSend(Struct, frozen=True):
    """To be called now: providers of such messages, in their order. `person`: whose limit it counts against. `trace`:
    the `traceparent` that the call follows."""

    message: Any
    providers: Sequence[Any]
    user: str = ""
    trace: str | None = None


class JobHandler(Protocol[J_contra]):
    """What differs between one kind of job and another."""

    async def prepare(self, jobs: Sequence[J_contra], now: datetime) -> list[ReadyToSend | Transition]:
        """For each job, in order: what to call, or what became of it without a call. This is the last question: is it
        still wanted?"""
        ...

    async def on_settled(self, jobs: Sequence[tuple[J_contra, DeliveryStatus]]) -> None:
        """They were settled together, and wait no more."""
        ...

    async def on_address_gone(self, job: J_contra, message: Any) -> None:
        """The address that this message of it went to is dead."""
        ...
