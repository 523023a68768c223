"""Many open inboxes while Redis is away: they are compared with the store at a limited rate."""

import json
import time
from uuid import uuid4

from tests.bulk_clients import BulkClient, closing_clients, open_all, wait_for_subscriptions
from tests.client import Tenant, eventually
from tests.conftest import fresh_servers
from tests.hub_process import CONSTANTS
from tests.processes import Process
from tests.telemetry import metric_value, scrape_metrics

MAILBOXES = 120
READS_PER_S = 20
CONSTANT = "hub.live.subscriptions"


async def test_comparisons_of_many_mailboxes_have_a_limited_rate_and_lose_nothing() -> None:
    async with fresh_servers() as (mongod, redis):
        api = Process("serve", mongod.url, redis.url)
        limits = {f"{CONSTANT}.RECONCILE_READS_PER_S": READS_PER_S, f"{CONSTANT}.MAILBOXES_PER_QUERY": 10}
        api.environment[CONSTANTS] = json.dumps(limits)
        await api.start()
        try:
            async with Tenant(f"t{uuid4().hex[:12]}", [api.url]) as tenant:
                users = [f"user{number}" for number in range(MAILBOXES)]
                await tenant.send(*users, title="before")
                clients = [BulkClient(tenant.token(user)) for user in users]
                async with closing_clients(clients):
                    await open_all(clients, api.port)
                    await wait_for_subscriptions(api, MAILBOXES, tenant)
                    redis.kill()

                    async def compared(at_least: float = 0) -> float | None:
                        found = await scrape_metrics(api.url)
                        if metric_value(found, "hub_pubsub_disconnected") == 0:
                            return None
                        count = metric_value(found, "hub_mailboxes_reconciled_total")
                        return count if count > at_least else None

                    first, started = await eventually(compared, 60), time.monotonic()
                    await tenant.send(*users, title="away")
                    last = await eventually(lambda: compared(first + 2 * MAILBOXES), 120)
                    elapsed_s = time.monotonic() - started
                    assert last - first < READS_PER_S * elapsed_s + 30, "also with all mailboxes behind"

                    async def all_received() -> bool:
                        return all("away" in client.titles for client in clients)

                    await eventually(all_received, 120)
        finally:
            api.kill()
