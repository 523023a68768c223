"""A random session of administrators, whose changes the audit log must have."""

import re
from random import Random
from typing import Any

import pytest

from hub.model import mailbox_of
from hub.platform.connections import Database
from tests import template_calls, webhook_data
from tests.audit_calls import execute_as
from tests.client import Json, Tenant
from tests.topics import calls as topic_calls

UPSERT_CATEGORY = "mutation ($i: CategoryInput!) { upsertCategory(input: $i) { key } }"
DELETE_CATEGORY = "mutation ($key: String!) { deleteCategory(key: $key) }"
UPDATE_TENANT = "mutation ($i: TenantInput!) { updateTenant(input: $i) { id } }"
UPSERT_USERS = "mutation ($u: [UserInput!]!) { upsertUsers(users: $u) { id } }"
DELETE_USER = "mutation ($id: ID!) { deleteUser(id: $id) }"
EXPORT_USER = "mutation ($id: ID!) { exportUser(id: $id) }"
CREATE_KEY = "mutation ($i: ServiceKeyInput!) { createServiceKey(input: $i) { secret key { id } } }"
REVOKE_KEY = "mutation ($id: ID!) { revokeServiceKey(id: $id) { id } }"
UPSERT_RULE = "mutation ($i: RuleInput!) { upsertRule(input: $i) { key } }"
DELETE_RULE = "mutation ($key: String!) { deleteRule(key: $key) }"
LIFT = "mutation ($id: ID!, $a: String!) { liftSuppression(userId: $id, address: $a) }"
PAUSE_CHANNEL = 'mutation { pauseChannel(channel: SMS, reason: "Tests.") }'
RESUME_CHANNEL = "mutation { resumeChannel(channel: SMS) }"
PAUSED_CHANNELS = "{ pausedChannels { channel } }"
REPLAY = 'mutation { replay(filter: {userId: "zoe"}, note: "The relay was down.") }'
CANCEL_DELIVERIES = "mutation { cancelDeliveries(filter: {channels: [SMS]}) }"
RELEASE_RESTORED = "mutation { releaseRestored }"
STOP_BATCH = 'mutation { stopDeliveryBatch(id: "none") }'
ADMINS = ["ann", "ben"]


class Session:
    """A random session of two administrators. `expected`: the entries that the log must have, oldest first.

    Each method is named after its mutation."""

    def __init__(self, tenant: Tenant, database: Database, random: Random) -> None:
        self.tenant = tenant
        self.database = database
        self.random = random
        self.expected: list[tuple[str, str, str | None, str]] = []
        self.secrets: list[str] = []
        self.webhooks: list[str] = []
        self.keys: list[str] = []
        self.count = 0

    async def run(self, action: str) -> None:
        self.count += 1
        await getattr(self, re.sub("([A-Z])", lambda match: f"_{match[1].lower()}", action))()

    async def call(self, action: str, target: str | None, query: str, **variables: Any) -> Any:
        """Execute a mutation that must have one entry, and return its result."""
        admin, request_id = self.random.choice(ADMINS), f"request-{self.count}"
        data = await execute_as(self.tenant, admin, query, request_id, **variables)
        [result] = data.values()
        if action in ("createWebhook", "createServiceKey"):
            target = (result.get("endpoint") or result["key"])["id"]
        self.expected.append((admin, action, target, request_id))
        return result

    async def upsert_category(self) -> None:
        url = f"https://hooks.example/secret-path-{self.count}?token=secret-query-{self.count}"
        name = f"News {self.count}"
        fields: Json = {"key": "news", "name": name, "defaultChannels": ["IN_APP"], "enrichment": {"url": url}}
        await self.call("upsertCategory", "news", UPSERT_CATEGORY, i=fields)

    async def delete_category(self) -> None:
        fields: Json = {"key": f"c{self.count}", "name": "Short", "defaultChannels": ["EMAIL"]}
        await self.call("upsertCategory", fields["key"], UPSERT_CATEGORY, i=fields)
        assert await self.call("deleteCategory", fields["key"], DELETE_CATEGORY, key=fields["key"])

    async def update_tenant(self) -> None:
        await self.call("updateTenant", self.tenant.name, UPDATE_TENANT, i={"name": f"Acme {self.count}"})

    async def upsert_template(self) -> None:
        fields: Json = {"key": "order", "title": "Order", "body": f"Text {self.count}"}
        await self.call("upsertTemplate", "order", template_calls.UPSERT, input=fields)

    async def revert_template(self) -> None:
        await self.upsert_template()
        current = (await template_calls.get(self.tenant))["version"]
        self.count += 1
        await self.upsert_template()
        await self.call("revertTemplate", "order", template_calls.REVERT, key="order", version=current)

    async def delete_template(self) -> None:
        await self.upsert_template()
        await self.call("deleteTemplate", "order", template_calls.DELETE_ALL_CHANNELS, key="order")

    async def upsert_topic(self) -> None:
        fields = {"key": "releases", "name": f"Releases {self.count}"}
        await self.call("upsertTopic", "releases", topic_calls.UPSERT, input=fields)

    async def subscribe_to_topic(self) -> None:
        await self.call("subscribeToTopic", "releases", topic_calls.SUBSCRIBE, t="releases", u=[f"u{self.count}"])

    async def unsubscribe_from_topic(self) -> None:
        await self.subscribe_to_topic()
        users = [f"u{self.count}"]
        await self.call("unsubscribeFromTopic", "releases", topic_calls.UNSUBSCRIBE, t="releases", u=users)

    async def create_webhook(self) -> None:
        url = f"https://hooks.example/secret-path-{self.count}?token=secret-query-{self.count}"
        if len(self.webhooks) > 10:
            await self.delete_webhook()
        created = await self.call("createWebhook", None, webhook_data.CREATE, input={"url": url})
        self.secrets.append(created["secret"])
        self.webhooks.append(created["endpoint"]["id"])

    async def _any_webhook(self) -> str:
        if not self.webhooks:
            await self.create_webhook()
        return self.random.choice(self.webhooks)

    async def update_webhook(self) -> None:
        id, url = await self._any_webhook(), f"https://other.example/secret-path-{self.count}"
        await self.call("updateWebhook", id, webhook_data.UPDATE, id=id, url=url)

    async def rotate_webhook_secret(self) -> None:
        id = await self._any_webhook()
        self.secrets.append((await self.call("rotateWebhookSecret", id, webhook_data.ROTATE, id=id))["secret"])

    async def rotate_enrichment_secret(self) -> None:
        query = "mutation { rotateEnrichmentSecret { secret } }"
        self.secrets.append((await self.call("rotateEnrichmentSecret", None, query))["secret"])

    async def delete_webhook(self) -> None:
        id = await self._any_webhook()
        self.webhooks.remove(id)
        await self.call("deleteWebhook", id, webhook_data.DELETE, id=id)

    async def create_service_key(self) -> None:
        created = await self.call("createServiceKey", None, CREATE_KEY, i={"name": f"Shop {self.count}"})
        self.secrets.append(created["secret"])
        self.keys.append(created["key"]["id"])

    async def revoke_service_key(self) -> None:
        await self.create_service_key()
        id = self.keys.pop()
        await self.call("revokeServiceKey", id, REVOKE_KEY, id=id)

    async def replay(self) -> None:
        await self.call("replay", "zoe", REPLAY)

    async def cancel_deliveries(self) -> None:
        await self.call("cancelDeliveries", None, CANCEL_DELIVERIES)

    async def stop_delivery_batch(self) -> None:
        await self.call("stopDeliveryBatch", "none", STOP_BATCH)

    async def release_restored(self) -> None:
        await self.call("releaseRestored", None, RELEASE_RESTORED)

    async def upsert_rule(self) -> None:
        content = {"title": "T", "body": f"Text {self.count}"}
        fields = {"key": "r", "type": "order.paid", "to": {"everyone": True}, "category": "news", "content": content}
        await self.call("upsertRule", "r", UPSERT_RULE, i=fields)

    async def delete_rule(self) -> None:
        await self.upsert_rule()
        await self.call("deleteRule", "r", DELETE_RULE, key="r")

    async def upsert_users(self) -> None:
        fields = {"id": f"p{self.count}", "email": f"private{self.count}@people.example"}
        await self.call("upsertUsers", fields["id"], UPSERT_USERS, u=[fields])

    async def export_user(self) -> None:
        await self.upsert_users()
        await self.call("exportUser", f"p{self.count}", EXPORT_USER, id=f"p{self.count}")

    async def lift_suppression(self) -> None:
        await self.upsert_users()
        id, address = f"p{self.count}", f"private{self.count}@people.example"
        suppressed = {"$set": {"suppressed": {address: "bounced"}}}
        await self.database.users.update_one({"_id": mailbox_of(self.tenant.name, id)}, suppressed)
        assert await self.call("liftSuppression", id, LIFT, id=id, a=address)

    async def pause_channel(self) -> None:
        """Pause SMS, which may be paused: then it is resumed first."""
        paused = (await execute_as(self.tenant, "ann", PAUSED_CHANNELS))["pausedChannels"]
        if paused:
            await self.call("resumeChannel", "SMS", RESUME_CHANNEL)
            self.count += 1
        assert await self.call("pauseChannel", "SMS", PAUSE_CHANNEL)

    async def resume_channel(self) -> None:
        if not (await execute_as(self.tenant, "ann", PAUSED_CHANNELS))["pausedChannels"]:
            await self.call("pauseChannel", "SMS", PAUSE_CHANNEL)
            self.count += 1
        assert await self.call("resumeChannel", "SMS", RESUME_CHANNEL)

    async def delete_user(self) -> None:
        await self.upsert_users()
        await self.call("deleteUser", f"p{self.count}", DELETE_USER, id=f"p{self.count}")


class EntryRefused(Exception):
    """A mutation failed because its entry was refused."""


class RefusedSession(Session):
    """A session in which MongoDB refuses the entries of the action `refused`."""

    refused = ""

    async def refuse(self, action: str) -> None:
        self.refused = action
        entry = {"tenant": self.tenant.name, "action": action}
        await self.database.command("collMod", "audit_log", validator={"$nor": [entry]} if action else {})

    async def call(self, action: str, target: str | None, query: str, **variables: Any) -> Any:
        """Execute a mutation. If its entry is refused, expect that nothing was changed, and raise EntryRefused."""
        if action != self.refused:
            return await super().call(action, target, query, **variables)
        before = await self._stored()
        with pytest.raises(AssertionError, match="errors"):
            await execute_as(self.tenant, "ann", query, **variables)
        assert await self._stored() == before, action
        raise EntryRefused

    async def _stored(self) -> dict[str, list[Json]]:
        """Return the documents of the tenant."""
        named = re.compile(f"^{self.tenant.name}(/|$)")
        match = {"$or": [{"_id": named}, {"tenant": self.tenant.name}, {"mailbox": named}]}
        names = set(await self.database.list_collection_names()) - {"audit_log", "audit_keys"}
        found = {name: await self.database[name].find(match).sort("_id", 1).to_list() for name in names}
        return {name: documents for name, documents in found.items() if documents}
