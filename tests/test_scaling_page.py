"""The page about scaling lists every unique index, transaction, and query that would cross shards."""

import re
from pathlib import Path

from hub.runtime.indexes import indexes
from hub.settings import Settings
from tests.doc_pages import DOCS

ROOT = DOCS.parent
PAGE = (DOCS / "operations" / "scaling.md").read_text()
SHARDED_BY = {"notifications": "mailbox", "deliveries": "mailbox", "topic_subscriptions": "mailbox", "users": "user"}
"""The collections of users, and the field that contains the user, if an index can begin with it."""
TRANSACTION = re.compile(r"\bstart_transaction\(|\bwith_transaction\(|\btry_transaction\b")


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(title: str) -> set[tuple[str, str]]:
    """Return the collections and indexes of the table of a section."""
    return set(re.findall(r"^\| `(\w+)` \| `(\w+)` \|", section(title), re.MULTILINE))


def stored_indexes() -> list[tuple[str, str, list[str], bool]]:
    """Return collection, name, fields, and uniqueness of each index."""
    settings = Settings.model_validate({"jwt_secret": "s" * 32})
    return [
        (collection, str(each.document["name"]), list(each.document["key"]), bool(each.document.get("unique")))
        for group in indexes(settings)
        for collection, models in group.items()
        for each in models
    ]


def test_page_lists_every_unique_index() -> None:
    assert rows("Unique indexes") == {(owner, name) for owner, name, _, unique in stored_indexes() if unique}


def test_page_lists_every_index_of_users_that_does_not_begin_with_the_user() -> None:
    crossing = {
        (owner, name)
        for owner, name, fields, _ in stored_indexes()
        if owner in SHARDED_BY and fields[0] != SHARDED_BY[owner]
    }
    assert rows("Queries that ask every shard") == crossing


def test_page_lists_every_module_with_a_transaction() -> None:
    modules = {
        path.relative_to(ROOT).as_posix()
        for path in Path(ROOT, "hub").rglob("*.py")
        if "bench" not in path.parts and TRANSACTION.search(re.sub(r'""".*?"""', "", path.read_text(), flags=re.DOTALL))
    }
    assert set(re.findall(r"`(hub/[\w/]+\.py)`", section("Transactions"))) == modules
