"""What people see: notifications, mailboxes and the change feed, kept in MongoDB."""
