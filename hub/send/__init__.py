"""7: dispatchers. One conductor, one file per channel in `channels`."""
