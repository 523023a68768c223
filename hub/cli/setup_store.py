"""The set-up of a tenant in a hub: what it has, and what a file changes."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from difflib import unified_diff
from typing import Any

import msgspec
from msgspec import Struct

from hub.cli.api_client import execute_with_retries
from hub.cli.setup_files import Category, Rule, Topic, dump, fields_of
from hub.cli.target_hub import TargetHub
from hub.cli.template_files import TemplateEntry, label
from hub.decide.templates.lookup import canonical_locale
from hub.model import Role
from hub.unicode_text import is_blank

STEPS = "steps { channels after unless }"
ACTIONS = "actions { key label url primary }"
CATEGORIES = f"""query {{ found: categories {{
  key name defaultChannels description required priority {STEPS} retention digest
  enrichment {{ url ttl timeout onFailure }} }} }}"""
TOPICS = """query ($after: String) { found: topics(first: 100, after: $after) {
  nodes { key name description visible } pageInfo { hasNextPage endCursor } } }"""
TEMPLATE_LABELS = "query { found: templates { key locale channel } }"
TEMPLATE_TEXTS = f"""query ($key: String!, $locale: String, $channel: Channel) {{
  found: template(key: $key, locale: $locale, channel: $channel) {{
    key locale channel subject title body markdown html preheader actionUrl imageUrl {ACTIONS} whatsappContentSid
    whatsappVariables }} }}"""
RULES = f"""query {{ found: rules {{
  key name enabled type source condition to {{ users topic everyone where }} category template
  content {{ title body actionUrl imageUrl {ACTIONS} markdown }} data priority collapseKey channels {STEPS}
  digest {{ key window }} tags requireAck after expiresIn except }} }}"""
TEST_RULE = "query ($input: RuleInput!, $event: JSON!) { testRule(input: $input, event: $event) { matched } }"
NO_EVENT = {"specversion": "1.0", "type": "hub.dry-run", "source": "/hub/apply", "id": "dry-run"}
JSON_FIELDS = ("where",)
"""The fields whose value may contain null."""
OPTIONAL_TEXTS = ("subject", "title", "html", "preheader", "action_url", "image_url")
"""The texts of a template that a hub does not store if they are blank."""


class Calls(Struct, frozen=True):
    """The API calls of one command, as an admin."""

    hub: TargetHub
    token: str

    @classmethod
    def of(cls, hub: TargetHub, tenant: str) -> "Calls":
        return cls(hub, hub.token(user=None, role=Role.ADMIN, tenant=tenant))

    async def execute(self, query: str, **variables: Any) -> Any:
        return await execute_with_retries(self.hub.url, self.token, query, **variables)


async def _list(calls: Calls, query: str) -> list[Any]:
    found: list[Any] = (await calls.execute(query))["found"]
    return found


async def _list_topics(calls: Calls) -> list[Any]:
    topics: list[Any] = []
    after = None
    while True:
        page = (await calls.execute(TOPICS, after=after))["found"]
        topics += page["nodes"]
        if not page["pageInfo"]["hasNextPage"]:
            return topics
        after = page["pageInfo"]["endCursor"]


async def _list_templates(calls: Calls) -> list[Any]:
    found = await _list(calls, TEMPLATE_LABELS)
    texts = [(await calls.execute(TEMPLATE_TEXTS, **one))["found"] for one in found]
    return [text for text in texts if text]  # one may be deleted in the meantime


class Kind(Struct, frozen=True):
    """A kind of set-up. `folder`: the folder of its files. `names`: distinguishes its entries in messages."""

    noun: str
    folder: str
    type: Any
    list: Callable[[Calls], Awaitable[list[Any]]]
    upsert: str

    def name(self, entry: Any) -> str:
        return label(normal(entry)) if isinstance(entry, TemplateEntry) else str(entry.key)

    async def stored(self, calls: Calls) -> dict[str, Any]:
        """Return the entries that a hub has, by name."""
        entries = [_from_response(found, self.type) for found in await self.list(calls)]
        return {self.name(entry): entry for entry in entries}


KINDS = (
    Kind(
        "category",
        "categories",
        Category,
        lambda calls: _list(calls, CATEGORIES),
        "mutation ($input: CategoryInput!) { upsertCategory(input: $input) { key } }",
    ),
    Kind(
        "topic",
        "topics",
        Topic,
        _list_topics,
        "mutation ($input: TopicInput!) { upsertTopic(input: $input) { key } }",
    ),
    Kind(
        "template",
        "templates",
        TemplateEntry,
        _list_templates,
        "mutation ($input: TemplateInput!) { upsertTemplate(input: $input) { key locale channel version } }",
    ),
    Kind(
        "rule",
        "rules",
        Rule,
        lambda calls: _list(calls, RULES),
        "mutation ($input: RuleInput!) { upsertRule(input: $input) { key } }",
    ),
)
"""In the order in which they are stored."""
RULE = KINDS[-1]
TEMPLATE = KINDS[-2]


def _from_response(found: Any, type: Any) -> Any:
    """Return the entry for a GraphQL object: null stands for a default."""
    return msgspec.convert(_without_null(found), type)


def _without_null(value: Any) -> Any:
    if isinstance(value, dict):
        filled = {name: inner for name, inner in value.items() if inner is not None}
        return {name: inner if name in JSON_FIELDS else _without_null(inner) for name, inner in filled.items()}
    return [_without_null(inner) for inner in value] if isinstance(value, list) else value


def normal(entry: Any) -> Any:
    """Return an entry as a hub would return it: without the fields of templates that it does not store."""
    if not isinstance(entry, TemplateEntry):
        return entry
    texts = {name: None for name in OPTIONAL_TEXTS if is_blank(getattr(entry, name) or "")}
    locale = canonical_locale(entry.locale)
    return msgspec.structs.replace(entry, **texts, locale=locale, sample=msgspec.UNSET, note=None)


class Change(Struct, frozen=True):
    """An entry of a file, and the one that a hub has before."""

    kind: Kind
    entry: Any
    before: Any = None

    @property
    def is_needed(self) -> bool:
        return self.before is None or self._after != fields_of(self.before)

    @property
    def _after(self) -> Any:
        return fields_of(normal(self.entry))

    @property
    def title(self) -> str:
        return f"{self.kind.noun} {self.kind.name(self.entry)}"

    def lines(self) -> list[str]:
        """Return the difference as it is printed."""
        if self.before is None:
            return [f"create {self.title}"]
        old, new = dump(fields_of(self.before)).splitlines(), dump(self._after).splitlines()
        diff = [line for line in unified_diff(old, new, n=1, lineterm="") if not line.startswith(("---", "+++", "@@"))]
        return [f"change {self.title}", *(f"    {line}" for line in diff)]

    async def check(self, calls: Calls) -> None:
        """Check the expressions of a rule and the texts of a template, which nothing else checks before they are
        stored. Raise an error of the API, or SetupFileError."""
        if self.kind is RULE:
            await calls.execute(TEST_RULE, input=fields_of(self.entry), event=NO_EVENT)
        elif self.kind is TEMPLATE:
            self.entry.texts()

    async def apply(self, calls: Calls) -> Any:
        """Store the entry. Return the fields that the mutation selects."""
        [stored] = (await calls.execute(self.kind.upsert, input=fields_of(self.entry))).values()
        return stored


async def changes_of(calls: Calls, kind: Kind, entries: Iterable[Any]) -> tuple[list[Change], Sequence[str]]:
    """Return one change per entry, also for those that a hub has already, and the names that only the hub has."""
    stored: Mapping[str, Any] = await kind.stored(calls)
    changes = [Change(kind, entry, stored.get(kind.name(entry))) for entry in entries]
    names = {kind.name(change.entry) for change in changes}
    return changes, [name for name in stored if name not in names]
