"""What became of it: states, the status of the in-app channel, receipts."""
