"""The rules of a tenant.

A change is one transaction that increments the version of the tenant, as a change of templates does. Concurrent changes
of one tenant conflict there, so the limits are exact, and the rules are cached as long as the tenant has the
same version.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from typing import TypeVar

import msgspec
from cachetools import LRUCache
from pymongo import ASCENDING, IndexModel
from pymongo.asynchronous.client_session import AsyncClientSession

from hub.audience.optimistic_update import SerializedUpdates, try_transaction
from hub.audience.tenants import COLLECTION as TENANTS
from hub.audience.tenants import Tenants
from hub.decide.rules.compiled import CompiledRule, RuleError
from hub.decide.rules.matching import EVENT_MAX_RULES, fits, most_rules_of_an_event
from hub.errors import TooLarge
from hub.model import Rule, document, rule_id
from hub.platform.audit import AuditedAction
from hub.platform.audit_changes import document_changes, set_up_changes
from hub.platform.connections import Database, Indexes
from hub.platform.shared_reads import SharedReads
from hub.platform.tolerant_decoding import decode, decode_all

COLLECTION = "tenant_rules"
TENANT_MAX_RULES = 200
CACHE_MAX_BYTES = 32 << 20
SET_OVERHEAD_BYTES = 1024

T = TypeVar("T")


def indexes() -> Indexes:
    # the rules of a tenant, in order
    return {COLLECTION: [IndexModel([("tenant", ASCENDING), ("key", ASCENDING)], name="key", unique=True)]}


class StoredRule:
    """A rule that is compiled when it is first evaluated."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule

    @cached_property
    def compiled(self) -> CompiledRule | RuleError:
        """The compiled rule, or the error if this version of the hub cannot compile it."""
        try:
            return CompiledRule(self.rule)
        except RuleError as error:
            return error


class Rules:
    def __init__(self, database: Database, tenants: Tenants, deadline_s: float) -> None:
        self._database = database
        self._rules = database[COLLECTION]
        self._tenants = tenants
        self._updates = SerializedUpdates(deadline_s)
        self._cache: LRUCache[str, tuple[int, tuple[StoredRule, ...], int]] = LRUCache(
            CACHE_MAX_BYTES, getsizeof=lambda entry: entry[2]
        )
        """The version of the tenant, its rules, and their size, by tenant."""
        self._reads = SharedReads(self._read)

    async def list_rules(self, tenant: str) -> list[Rule]:
        """Return the rules of a tenant, sorted by key."""
        docs = self._rules.find({"tenant": tenant}, hint="key").sort([("tenant", ASCENDING), ("key", ASCENDING)])
        return await decode_all(docs, Rule)

    async def get(self, tenant: str, key: str) -> Rule | None:
        doc = await self._rules.find_one({"_id": rule_id(tenant, key)})
        return decode(doc, Rule) if doc else None

    async def list_fitting(self, tenant: str, type: str, source: str) -> list[StoredRule]:
        """Return the rules whose type pattern and source fit an event, sorted by key. `upsert` limits their number."""
        stored = await self._reads.get(tenant)
        return [one for one in stored if fits(one.rule, type, source)]

    async def _read(self, tenant: str) -> tuple[StoredRule, ...]:
        version = (await self._tenants.get(tenant)).version
        cached = self._cache.get(tenant)
        if cached and cached[0] == version:
            return cached[1]
        rules = await self.list_rules(tenant)
        stored = tuple(StoredRule(rule) for rule in rules)
        size = sum(len(msgspec.json.encode(rule)) for rule in rules)
        self._cache[tenant] = version, stored, SET_OVERHEAD_BYTES + size
        return stored

    async def upsert(self, rule: Rule, audit: AuditedAction | None) -> Rule:
        """Create or replace a rule. Raise TooLarge at a limit."""

        async def apply(session: AsyncClientSession) -> Rule:
            others = self._rules.find({"tenant": rule.tenant, "_id": {"$ne": rule.id}}, hint="key", session=session)
            self._check_limits(rule, await decode_all(others, Rule))
            before = await self._rules.find_one_and_replace(
                {"_id": rule.id}, document(rule), upsert=True, session=session
            )
            if audit:
                await audit.record(set_up_changes(decode(before, Rule) if before else None, rule), session)
            return rule

        return await self._change(rule.tenant, apply, audit)

    async def delete(self, tenant: str, key: str, audit: AuditedAction | None) -> bool:
        """Delete a rule. Return True if it existed."""

        async def apply(session: AsyncClientSession) -> bool:
            before = await self._rules.find_one_and_delete({"_id": rule_id(tenant, key)}, session=session)
            if before and audit:
                await audit.record(document_changes(before, {}), session)
            return before is not None

        return await self._change(tenant, apply, audit)

    def _check_limits(self, rule: Rule, others: Sequence[Rule]) -> None:
        if len(others) >= TENANT_MAX_RULES:
            raise TooLarge(f"A tenant has at most {TENANT_MAX_RULES} rules. Delete a rule.", field="input.key")
        if most_rules_of_an_event([*others, rule]) > EVENT_MAX_RULES:
            raise TooLarge(
                f"At most {EVENT_MAX_RULES} enabled rules may fit one event. Join rules of this type, or disable one.",
                field="input.type",
            )

    async def _change(
        self, tenant: str, apply: Callable[[AsyncClientSession], Awaitable[T]], audit: AuditedAction | None
    ) -> T:
        async def apply_locked(session: AsyncClientSession) -> T:
            change = {"$inc": {"version": 1}}
            await self._database[TENANTS].update_one({"_id": tenant}, change, upsert=True, session=session)
            return await apply(session)

        return await self._updates.run(tenant, lambda: try_transaction(self._database, apply_locked, audit))
