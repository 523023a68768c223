"""A paused send to everyone reaches no other recipient until it is resumed."""

from collections import Counter

from tests.broadcasts import broadcast, count_recipients, create_users, expanded
from tests.client import Tenant
from tests.conftest import scaled
from tests.pause.sends import Running, change

USERS = [f"user-{number}" for number in range(scaled(600, 5000))]


async def test_paused_expansion_stops_and_reaches_everyone_once_after_it_is_resumed(
    running: Running, acme: Tenant
) -> None:
    """Another expansion, which begins later, is completed in between."""
    await create_users(acme, USERS)
    notifications = running.database.notifications
    id = (await broadcast(acme, channels=["IN_APP"]))["id"]
    assert (await change(acme, "pauseSend", id))["status"] == "PAUSED"
    reached = await notifications.count_documents({"send": id})
    assert reached < len(USERS)
    other = (await broadcast(acme, channels=["IN_APP"]))["id"]
    assert (await expanded(acme, other, within_s=60))["recipients"] == len(USERS)
    assert await notifications.count_documents({"send": id}) == reached
    assert (await change(acme, "resumeSend", id))["status"] == "EXPANDING"
    assert (await expanded(acme, id, within_s=60))["status"] == "ACCEPTED"
    assert await count_recipients(acme, id) == Counter(USERS)
