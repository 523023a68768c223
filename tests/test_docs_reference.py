"""Generated reference pages are current, and files that the documentation names exist."""

import json
import re
from pathlib import Path
from types import ModuleType

import pytest
from graphql import GraphQLEnumType, build_schema
from prometheus_client import REGISTRY

from hub import __version__
from hub.api.schema.reference_page import graphql_page
from hub.cli import command_reference, metrics, schema, settings
from hub.cli.settings import rows
from hub.model import Channel, DeliveryStatus, Reason
from hub.settings import Settings
from hub.webhooks.events import EVENTS

ROOT = Path(__file__).parent.parent
NAMED_FILE = re.compile(r"\b((?:hub|tests)/[\w./-]+\.(?:py|html|c|po))\b")
FRONT = ROOT / "frontend-demo"
EXAMPLES = ("hub/send/channels/pager.py", "tests/test_pager.py")  # files that add-a-channel.md creates


@pytest.mark.parametrize("command", [command_reference, metrics, settings], ids=["commands", "metrics", "settings"])
def test_reference_page_is_current(command: ModuleType) -> None:
    assert (ROOT / command.PAGE).read_text() == command.page()


def test_metrics_reference_lists_what_the_registry_exports() -> None:
    exported = {
        sample.name for family in REGISTRY.collect() for sample in family.samples if sample.name.startswith("hub_")
    }
    listed = {row.name for row in metrics.rows()}
    series = {f"{name}{suffix}" for name in listed for suffix in ("", "_bucket", "_sum", "_count")}
    assert exported <= series


def test_command_has_a_description_and_an_example() -> None:
    page = command_reference.page()
    for name in command_reference.registered():
        section = page.partition(f"## hub {name}\n")[2].partition("\n## ")[0]
        assert re.match(r"\n[A-Z][^\n]+\.\n\n.*```text\n(?:[A-Z_]+=\S+ )*hub ", section, re.DOTALL), name
        assert "| | |" not in section, f"an option of {name} has no description"


def test_graphql_reference_links_every_type_to_its_definition() -> None:
    page = (ROOT / schema.PAGE).read_text()
    assert page == graphql_page((ROOT / schema.SCHEMA_FILE).read_text())
    defined = re.findall(r"^### \w+ \{ #([\w-]+) \}$", page, re.MULTILINE)
    assert len(defined) == len(set(defined))
    assert set(re.findall(r"\]\(#([\w-]+)\)", page)) <= set(defined)
    assert {"query-send", "mutation-send", "subscription-inbox", "type-sendinput", "type-json"} <= set(defined)


def test_graphql_schema_describes_every_enum_value_and_root_field() -> None:
    built = build_schema((ROOT / schema.SCHEMA_FILE).read_text())
    roots = [built.query_type, built.mutation_type, built.subscription_type]
    for type_ in built.type_map.values():
        members = type_.values if isinstance(type_, GraphQLEnumType) else type_.fields if type_ in roots else {}
        for name, member in members.items():
            if not type_.name.startswith("__"):
                assert member.description, f"{type_.name}.{name}"


def test_setting_has_one_sentence_and_a_group() -> None:
    listed = list(rows())
    assert len(listed) == len(Settings.model_fields)
    for row in listed:
        assert row.group, row.variable
        assert re.fullmatch(r"[`A-Z0-9].*[^.]\.", row.description), row.variable
        assert ". " not in row.description, row.variable


def test_settings_command_does_not_print_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_JWT_SECRET", "s" * 32)
    monkeypatch.setenv("HUB_MONGO_URL", "mongodb://me:password@host")
    monkeypatch.setenv("HUB_PORT", "8001")
    values = {row.variable: row.value for row in rows()}
    assert values["HUB_JWT_SECRET"] == values["HUB_MONGO_URL"] == "(set)"
    assert values["HUB_PORT"] == "8001"
    assert values["HUB_HOST"] == "127.0.0.1"


def test_documentation_names_existing_files() -> None:
    missing = {
        f"{page.relative_to(ROOT)}: {path}"
        for page in (ROOT / "docs").rglob("*.md")
        if page.parent.name != "adr"  # a decision names the files of its day
        for path in NAMED_FILE.findall(page.read_text())
        if path not in EXAMPLES and not (ROOT / path).exists()
    }
    assert not missing


def test_npm_packages_have_the_version_of_the_hub_and_require_it_of_one_another() -> None:
    for path in (FRONT / "packages").glob("*/package.json"):
        package = json.loads(path.read_text())
        required = package.get("dependencies", {}).items()
        own = {version for name, version in required if name.startswith("@notification-hub/")}
        assert {package["version"], *own} == {__version__}, path


def test_changelog_begins_with_the_version_of_the_package() -> None:
    versions = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == __version__


def test_reasons_are_in_the_reference() -> None:
    page = (ROOT / "docs/reference/statuses-and-reasons.md").read_text()
    section = page.partition("\n## Reasons\n")[2].partition("\n## ")[0]
    assert sorted(re.findall(r"^\| ([A-Z_]+) \|", section, re.MULTILINE)) == sorted(Reason)


@pytest.mark.parametrize("language", ["ar", "de", "en"])
def test_reason_has_a_sentence_for_users(language: str) -> None:
    """`Why did I get this?` shows it. A code without a text would be shown in lowercase."""
    catalog = (FRONT / f"packages/inbox/src/locales/preferences/{language}.ts").read_text()
    texts = dict(re.findall(r'^ +([A-Z_]+): "(.+)",$', catalog, re.MULTILINE))
    assert [reason for reason in Reason if not texts.get(reason, "").endswith(".")] == []
    assert [status for status in DeliveryStatus if f"STATUS_{status}" not in texts] == []
    assert [channel for channel in Channel if channel not in texts] == []


def test_reason_has_a_text_for_developers() -> None:
    """The timeline and the receipts of the demo page show it."""
    labels = (FRONT / "src/demo/labels.ts").read_text().partition("const REASONS")[2].partition("};")[0]
    assert sorted(re.findall(r"^ +([A-Z_]+): ", labels, re.MULTILINE)) == sorted(Reason)


def test_console_names_every_webhook_event() -> None:
    source = (FRONT / "src/console/webhooks/events.ts").read_text()
    assert tuple(re.findall(r'"([a-z.]+)"', source)) == EVENTS


def test_console_names_every_status_and_reason() -> None:
    page = (ROOT / "docs/reference/statuses-and-reasons.md").read_text()
    source = (FRONT / "src/console/labels.ts").read_text()

    def documented(heading: str) -> list[str]:
        section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
        return sorted(re.findall(r"^\| ([A-Z_]+) \|", section, re.MULTILINE))

    def keys(name: str) -> list[str]:
        return sorted(
            re.findall(r"^  ([A-Z_]+): ", source.partition(f"const {name}:")[2].partition("\n};")[0], re.MULTILINE)
        )

    assert keys("DELIVERY_STATUSES") == documented("Delivery statuses")
    assert keys("SEND_STATUSES") == documented("Send statuses")
    assert keys("CHANNELS") == sorted(Channel)
    filters = re.findall(r'"([A-Z_]+)"', source.partition("const REASON_KEYS")[2].partition("];")[0])
    assert filters == sorted({*Reason} - {Reason.NOT_REQUESTED, Reason.SCHEDULED})
