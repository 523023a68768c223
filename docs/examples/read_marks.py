"""The test of docs/contributing/testing.md. `tests/test_docs_examples.py` runs it."""

from tests.client import Tenant


# [start:test]
async def test_read_notification_is_not_unread(tenant: Tenant) -> None:
    await tenant.send("alice", title="Hello")
    await tenant.mark_all("alice", "markAllRead")
    assert (await tenant.inbox("alice"))["unread"] == 0


# [end:test]
