"""The enrichment of sends as jobs of the outbox."""

from msgspec import Struct

from hub.model.outbox_jobs import Job


class EnrichmentJob(Job, frozen=True):
    """The preparation of a send that is PREPARING. Its id is that of the send."""


class Preparation(Struct, frozen=True):
    """The result of a job. `skipped`: the send is not PREPARING. `error`: why the send has to wait, for `wait_s` if no
    call is allowed until then, or for as long as the header `retry_after` of the answer says."""

    skipped: bool = False
    error: str | None = None
    wait_s: float | None = None
    retry_after: str | None = None
