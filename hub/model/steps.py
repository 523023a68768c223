"""The steps of a send, and what stops a delivery that waits."""

from enum import StrEnum

from hub.model.channels import Channel
from hub.model.record import Record


class StepStop(StrEnum):
    """An action of the recipient that stops a delivery."""

    SEEN = "SEEN"
    READ = "READ"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    NEVER = "NEVER"


class Step(Record, frozen=True):
    """Deliveries on `channels` that follow the send after `after_s` seconds, unless `unless` has happened by then."""

    channels: tuple[Channel, ...]
    after_s: int = 0
    unless: StepStop = StepStop.READ
