"""`hub apply`, `hub export`, and `hub rules`: the set-up of a tenant as files."""

import asyncio
import json
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import msgspec
import pytest
from graphql import GraphQLInputObjectType, GraphQLSchema, build_schema, get_named_type

from hub.cli.setup_files import Entry, SetupFileError, dump, fields_of, read_entries, read_value
from hub.cli.setup_store import KINDS
from hub.cli.template_files import TemplateEntry
from tests.cli_commands import base_url, run_command
from tests.client import Tenant
from tests.doc_pages import DOCS, ROOT
from tests.processes import SECRET, Deployment
from tests.rule_calls import run as run_rules
from tests.rule_calls import upsert_rule
from tests.test_rules import EVERY_FIELD

EXAMPLE = DOCS / "examples" / "setup"
CREATED = [
    "create category comments",
    "create category releases",
    "create topic releases",
    "create template comment-created en",
    "create template comment-created de",
    "create rule comment-created",
    "create rule releases",
]


async def run(deployment: Deployment, tenant: Tenant, *arguments: Any) -> CompletedProcess[str]:
    target = ("--url", base_url(deployment), "--tenant", tenant.name)
    return await asyncio.to_thread(run_command, *map(str, arguments), *target, jwt_secret=SECRET)


async def lines(deployment: Deployment, tenant: Tenant, *arguments: Any) -> list[str]:
    result = await run(deployment, tenant, *arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


async def test_example_is_applied_once_and_runs(deployment: Deployment, tenant: Tenant, tmp_path: Path) -> None:
    dry = await lines(deployment, tenant, "apply", EXAMPLE, "--dry-run")
    assert dry == [*CREATED, "Nothing was stored, because of --dry-run. Otherwise: 7 created, 0 changed."]
    assert await lines(deployment, tenant, "apply", EXAMPLE) == [*CREATED, "7 created, 0 changed."]
    assert await lines(deployment, tenant, "apply", EXAMPLE) == ["No differences."]
    event = json.loads((EXAMPLE / "events" / "comment-created.json").read_text())
    result = (await run_rules(tenant, event["data"], event["type"], source=event["source"]))["comment-created"]
    assert result["send"]
    assert [one["title"] for one in (await tenant.inbox("carol"))["nodes"]] == ["Bob commented on Budget 2027"]
    assert (await tenant.inbox("bob"))["nodes"] == []
    rule = tmp_path / "rule.yaml"
    text = (EXAMPLE / "rules" / "comment-created.yaml").read_text()
    rule.write_text(text.replace("!= `true`", "!= `true` && data.text != ''"))
    difference = [
        "change rule comment-created",
        "     name: Comments on a document",
        "    -condition: data.document.archived != `true`",
        "    +condition: data.document.archived != `true` && data.text != ''",
        "     template: comment-created",
    ]
    others = "Only the hub has these, and keeps them: rule releases."
    assert await lines(deployment, tenant, "rules", "apply", rule) == [*difference, "0 created, 1 changed.", others]
    assert await lines(deployment, tenant, "rules", "apply", rule) == ["No differences.", others]


async def test_export_and_dry_run_show_no_difference(deployment: Deployment, tenant: Tenant, tmp_path: Path) -> None:
    await lines(deployment, tenant, "apply", EXAMPLE)
    await upsert_rule(tenant, **EVERY_FIELD)
    for key, to in enumerate(({"topic": "'a'"}, {"everyone": True})):
        await upsert_rule(tenant, f"Rule/{key}", to=to, content={"title": " a ", "body": "b \n\n c\n\t#d: '\u2028\n"})
    await upsert_rule(tenant, "rule/0", type="other", condition="`1`")
    await tenant.define_category(
        "billing",
        "EMAIL",
        digest="PT90M",
        required=True,
        priority="CRITICAL",
        retention="P7D",
        enrichment={"url": "https://shop.example/enrich", "ttl": "PT90M", "onFailure": "FAIL"},
    )
    await tenant.define_category("steps", "IN_APP", steps=[{"channels": ["EMAIL"], "after": "PT60S"}])
    folder = tmp_path / "out"
    counts = await lines(deployment, tenant, "export", folder)
    assert counts == ["4 categories", "1 topic", "2 templates", "6 rules"]
    assert (folder / "templates" / "comment-created.en.mjml").read_text() == (
        EXAMPLE / "templates" / "comment-created.mjml"
    ).read_text()
    assert len({path.name.lower() for path in (folder / "rules").iterdir()}) == 6
    assert await lines(deployment, tenant, "apply", folder, "--dry-run") == ["No differences."]
    refused = await run(deployment, tenant, "export", folder)
    assert (refused.returncode, "is not empty" in refused.stderr) == (1, True)
    async with Tenant(f"{tenant.name}-copy", tenant.urls) as copy:
        assert (await lines(deployment, copy, "apply", folder))[-1] == "13 created, 0 changed."
        assert await lines(deployment, copy, "apply", folder, "--dry-run") == ["No differences."]


async def test_rules_are_listed_and_tested(deployment: Deployment, tenant: Tenant, tmp_path: Path) -> None:
    await upsert_rule(tenant, "a")
    await upsert_rule(tenant, "b", type="x.*", source="/x", enabled=False, content=None, template="t")
    assert await lines(deployment, tenant, "rules", "list") == [
        "a  shop.order.*  orders  content",
        "b  x.* from /x  orders  template t  disabled",
    ]
    rules = tmp_path / "rules.yaml"
    base = {"type": "shop.order.*", "to": {"users": "data.id"}, "category": "c", "content": {"title": "T", "body": ""}}
    rules.write_text(
        dump(
            [
                {"key": "fits", **base},
                {"key": "other", **base, "type": "x"},
                {"key": "none", **base, "to": {"users": "data.x"}},
            ]
        )
    )
    event = tmp_path / "event.json"
    event.write_text('{"type": "shop.order.paid", "source": "/shop", "data": {"id": "alice"}}')
    tested = await run(deployment, tenant, "rules", "test", rules, event)
    assert tested.returncode == 1  # because of "none"
    assert tested.stdout.splitlines() == [
        "fits: sends",
        "  data:",
        "    id: alice",
        "alice: IN_APP",
        "The category does not exist and would be created. The user does not exist and would be created.",
        "other: does not match: the type or the source of the event does not fit",
        "none: sends nothing: no recipients: `to` finds none",
        "  data:",
        "    id: alice",
    ]
    event.write_text("[]")
    failed = await run(deployment, tenant, "rules", "test", rules, event)
    assert (failed.returncode, failed.stderr.startswith("rule fits: BAD_USER_INPUT (event): ")) == (1, True)


async def test_error_names_the_entry(deployment: Deployment, tenant: Tenant, tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    file = tmp_path / "rules" / "a.yaml"
    file.write_text("{key: a, type: t, to: {users: 'f('}, category: c, template: t}")
    (tmp_path / "rule").mkdir()
    ignored = f"{tmp_path}/rule is ignored. To apply its files, rename it to rules.\n"
    dry = await run(deployment, tenant, "apply", tmp_path, "--dry-run")
    failed = await run(deployment, tenant, "apply", tmp_path)
    assert (dry.returncode, failed.returncode) == (1, 1)
    assert dry.stderr == failed.stderr
    assert (
        failed.stderr
        == f"{ignored}rule a: BAD_USER_INPUT (input.to.users): `to.users`: the expression is incomplete.\n"
    )
    (tmp_path / "rules" / "b.yml").write_text(file.read_text())
    (tmp_path / "rule").rmdir()
    failed = await run(deployment, tenant, "apply", tmp_path)
    assert failed.stderr == f"{tmp_path}/rules/b.yml: {file} also contains the rule a. Remove one.\n"
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "t.yaml").write_text("{key: t, title: '{{ a', body: b}")
    for other in (file, tmp_path / "rules" / "b.yml"):
        other.unlink()
    dry = await run(deployment, tenant, "apply", tmp_path, "--dry-run")
    assert (dry.returncode, dry.stderr.startswith("t en: `title`")) == (1, True), dry.stderr
    failed = await run(deployment, tenant, "apply", tmp_path / "nothing")
    assert "has no files" in failed.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("key: [", "line "),
        ("- key: a\n  typ: b", "unknown field `typ` - at `$[0]`"),
        ("key: 1", "Expected `str`, got `int` - at `$.key`"),
        ("[]", "at least one object"),
        ("", "got `null`"),
        ("{key: a, type: t, to: {users: u}, category: c, template: t, after: 5 min}", "ISO 8601"),
        ("{key: a, type: t, to: {users: u}, category: c, template: t, channels: [FAX]}", "The channels are IN_APP"),
        ("\x00", "not YAML"),
    ],
)
def test_file_that_is_not_valid_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "rule.yaml"
    path.write_text(text)
    with pytest.raises(SetupFileError) as caught:
        read_entries(path, KINDS[-1].type)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "a\n b  \nc",
        "\n",
        "trail \n",
        "\ttab\n x",
        "\u2028x\n",
        " lead\nx",
        "x\n\n\n",
        "a\r\nb",
        "\x07\nx",
        "2026-11-30",
        "no",
        "1",
    ],
)
def test_every_text_is_read_as_it_was_written(tmp_path: Path, text: str) -> None:
    path = tmp_path / "value.yaml"
    path.write_text(dump({"key": text}), newline="")
    assert read_value(path) == {"key": text}


def test_entries_have_the_fields_and_defaults_of_the_inputs() -> None:
    schema = build_schema((ROOT / "schema.graphql").read_text())
    for kind, name in zip(KINDS, ("CategoryInput", "TopicInput", "TemplateInput", "RuleInput"), strict=True):
        check_fields(schema, kind.type, name)


def check_fields(schema: GraphQLSchema, type: Any, name: str) -> None:
    """Compare an entry with an input of the schema, also in its objects."""
    fields = schema.type_map[name]
    assert isinstance(fields, GraphQLInputObjectType)
    entry_fields = {field.encode_name: field for field in msgspec.structs.fields(type)}
    assert set(entry_fields) == set(fields.fields), name
    for key, field in fields.fields.items():
        inner = get_named_type(field.type)
        found = entry_fields[key]
        if isinstance(inner, GraphQLInputObjectType) and issubclass(type, Entry):
            [inner_type] = [one for one in inner_types(found.type) if issubclass(one, Entry)]
            check_fields(schema, inner_type, inner.name)
        elif field.default_value:
            assert str(found.default) == str(field.default_value) or type is TemplateEntry, (name, key)
    assert fields_of(TemplateEntry(key="a", body="")) == {"key": "a", "body": ""}


def inner_types(annotation: Any) -> list[Any]:
    """Return the classes in a type such as `list[Step] | None`."""
    arguments = getattr(annotation, "__args__", ())
    return [one for argument in arguments for one in inner_types(argument)] if arguments else [annotation]
