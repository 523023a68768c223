"""Stage 7, dispatchers: one worker loop for all channels, and one module per channel in `channels`."""
