"""The delivery policy: a decision for every channel, with a reason if the channel is skipped. Performs no I/O."""
