"""Inboxes: notifications, mailboxes, and the change feed, stored in MongoDB."""
