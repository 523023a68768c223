"""Inboxes: notifications, mailboxes and the change feed, in MongoDB."""
