"""The intake of events from Amazon SQS."""
