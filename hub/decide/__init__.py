"""Delivery policy without I/O: a decision for every channel, with a reason if it is skipped."""
