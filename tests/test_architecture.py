"""Rules about the code that import-linter cannot check: which module may use which collection of MongoDB."""

import ast
from collections.abc import Iterator
from pathlib import Path

import hub

CODE = Path(hub.__file__).parent
EXCLUDED = ("bench",)  # benchmarks fill and read collections directly

OWNERS = {
    "mailboxes": "inbox",
    "notifications": "inbox",
    "idempotency": "inbox/idempotency_records.py",
    "window_counts": "inbox/window_counts.py",
    "resolutions": "inbox/resolutions.py",
    "retention_sweeps": "inbox/retention_sweeps.py",
    "activity": "status/activity.py",
    "old_records": "workflows/old_records.py",
    "users": "audience/users.py",
    "opt_outs": "audience/opt_outs.py",
    "opt_out_messages": "audience/opt_outs.py",
    "tenants": "audience/tenants.py",
    "templates": "audience/templates.py",
    "service_keys": "audience/service_keys.py",
    "tenant_rules": "audience/rules.py",
    "tenant_topics": "audience/topics.py",
    "topic_subscriptions": "audience/topics.py",
    "deliveries": "status/deliveries.py",
    "delivery_batches": "status/delivery_batches.py",
    "replays": "status/delivery_batches.py",
    "sends": "status/sends.py",
    "expansion_parts": "status/expansion_parts.py",
    "receipts": "status/receipts.py",
    "workers": "status/workers.py",
    "captured_messages": "status/captured.py",
    "webhook_calls": "webhooks/webhook_calls.py",
    "events": "events/event_store.py",
    "enrichment_jobs": "enrichment/jobs.py",
    "enrichment_cache": "enrichment/cache.py",
    "intake_probes": "intake/store_gate.py",
    "audit_log": "platform/audit.py",
    "audit_keys": "platform/audit.py",
    "secrets": "platform/signed_links.py",
    "clock": "platform/hub_clock.py",
    "backups": "backup/backup_record.py",
    "migrations": "platform/stored_data_version.py",
}
"""The module or package, relative to `hub/`, that contains the name of the collection.

Other modules use the owner's functions, or its constant `COLLECTION`. `mailboxes` and `notifications` have no such
constant, because only the group commit may change them.
"""


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Yield the path relative to `hub/` and the syntax tree of each module."""
    for path in sorted(CODE.rglob("*.py")):
        name = path.relative_to(CODE).as_posix()
        if not name.startswith(EXCLUDED):
            yield name, ast.parse(path.read_text())


def is_database(node: ast.expr) -> bool:
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return name.lstrip("_") == "database"


def is_function(node: ast.expr) -> bool:
    """Return True for functions and methods, False for classes."""
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return name.lstrip("_")[:1].islower()


def named_collections(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and name of each collection that a module names literally.

    Names are attributes and keys of a database, values of constants, keys of the dictionaries that `indexes` returns,
    fields of aggregation stages, and arguments of functions in modules that use a database or a unit of work."""
    uses_database = any(
        isinstance(node, ast.ImportFrom) and any(alias.name in {"Database", "UnitOfWork"} for alias in node.names)
        for node in ast.walk(tree)
    )
    literals: list[ast.expr | None] = []
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=value, attr=name) if is_database(value):
                yield node.lineno, name
            case ast.Subscript(value=value, slice=key) if is_database(value):
                literals.append(key)
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name.isupper():
                literals.append(value)
            case ast.FunctionDef(name="indexes"):
                literals += [key for part in ast.walk(node) if isinstance(part, ast.Dict) for key in part.keys]
            case ast.Dict(keys=keys, values=values):
                stage = zip(keys, values, strict=True)
                literals += [
                    value for key, value in stage if isinstance(key, ast.Constant) and key.value in {"coll", "from"}
                ]
            case ast.Call(func=function, args=arguments) if uses_database and is_function(function):
                literals += arguments
    for literal in literals:
        if isinstance(literal, ast.Constant) and isinstance(literal.value, str):
            yield literal.lineno, literal.value


def test_each_collection_is_named_only_by_its_owner() -> None:
    wrong = [
        f"hub/{module}:{line} names `{name}`, which belongs to hub/{OWNERS[name]}"
        for module, tree in modules()
        for line, name in named_collections(tree)
        if name in OWNERS and module != OWNERS[name] and not module.startswith(f"{OWNERS[name]}/")
    ]
    assert not wrong, "\n".join(wrong)


def test_each_collection_with_indexes_has_an_owner() -> None:
    """A new collection needs an entry in OWNERS."""
    found = {
        key.value
        for _, tree in modules()
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef) and function.name == "indexes"
        for part in ast.walk(function)
        if isinstance(part, ast.Return) and isinstance(part.value, ast.Dict)
        for key in part.value.keys
        if isinstance(key, ast.Constant)
    }
    constants = {
        node.value.value
        for _, tree in modules()
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id == "COLLECTION"
    }
    assert found | constants <= OWNERS.keys()


def test_owners_name_their_collections() -> None:
    """The table has no entry for a collection or module that no longer exists."""
    named: dict[str, set[str]] = {}
    for module, tree in modules():
        for _, name in named_collections(tree):
            named.setdefault(name, set()).add(module)
    for name, owner in OWNERS.items():
        assert any(module == owner or module.startswith(f"{owner}/") for module in named.get(name, ())), name
