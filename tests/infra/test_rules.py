"""The alert rules, their unit tests, their runbooks, and the example for Alertmanager."""

import re
import shlex
from typing import Any

import pytest
import yaml

from hub.cli.command_reference import registered
from hub.settings import Settings
from tests.doc_pages import DOCS, ROOT, text_of
from tests.infra.tools import INFRA, find_tool, run_tool

RULES_FILE = INFRA / "prometheus" / "rules.yml"
TESTS_FILE = INFRA / "prometheus" / "tests.yml"
CHART_COPY = INFRA / "helm" / "notification-hub" / "rules.yml"
RUNBOOKS = DOCS / "operations" / "runbooks"
BASE_URL = "https://docs.example.org/operations/runbooks/"
CONSOLE_URL = "https://hub.example.org/console/"
SECTIONS = ["What users notice", "What to look at", "What to do", "Verify"]
SEVERITIES = {"page": "pager", "ticket": "tickets"}


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES_FILE.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}


def page_of(alert: str) -> str:
    """Return the text of the runbook."""
    url: str = ALERTS[alert]["annotations"]["runbook_url"]
    assert url.startswith(BASE_URL), alert
    return (RUNBOOKS / f"{url.removeprefix(BASE_URL).rstrip('/')}.md").read_text()


def test_rules_pass_their_unit_tests() -> None:
    promtool = find_tool("promtool")
    done = run_tool(promtool, "check", "rules", "rules.yml", cwd=RULES_FILE.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    done = run_tool(promtool, "test", "rules", "tests.yml", cwd=RULES_FILE.parent)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_fires_and_is_silent_in_a_unit_test() -> None:
    fires: dict[str, set[bool]] = {alert: set() for alert in ALERTS}
    for group in yaml.safe_load(TESTS_FILE.read_text())["tests"]:
        for case in group.get("alert_rule_test", []):
            fires[case["alertname"]].add(bool(case["exp_alerts"]))
    assert {alert for alert, seen in fires.items() if seen != {True, False}} == set()


@pytest.mark.parametrize("alert", ALERTS)
def test_alert_has_a_severity_and_a_runbook(alert: str) -> None:
    page = page_of(alert)
    assert page.startswith(f"# {alert}\n")
    assert f"Severity: {ALERTS[alert]['labels']['severity']}." in page.partition("\n## ")[0]
    assert re.findall(r"^## (.+)$", page, re.MULTILINE) == SECTIONS
    assert ALERTS[alert]["labels"]["severity"] in SEVERITIES
    assert ALERTS[alert]["annotations"]["summary"].endswith(".")
    page = ALERTS[alert]["annotations"].get("console_url", CONSOLE_URL)
    assert page.startswith(CONSOLE_URL)
    assert page.removeprefix(CONSOLE_URL).partition("?")[0] in {"", "queue", "deliveries", "sends"}


def test_runbooks_have_an_alert_and_are_listed() -> None:
    index = (RUNBOOKS / "index.md").read_text()
    navigation = (ROOT / "zensical.toml").read_text()
    listed = re.findall(r"^\| \[(\w+)\]\((.+)\.md\) \| (\w+) \|", index, re.MULTILINE)
    assert [(name, severity) for name, _, severity in listed] == [
        (alert, rule["labels"]["severity"]) for alert, rule in ALERTS.items()
    ]
    assert {f"{file}.md" for _, file, _ in listed} | {"index.md"} == {path.name for path in RUNBOOKS.glob("*.md")}
    for _, file, _ in listed:
        assert f'"operations/runbooks/{file}.md"' in navigation, file


def test_commands_and_settings_of_runbooks_exist() -> None:
    text = text_of(*RUNBOOKS.glob("*.md"))
    commands = registered()
    lines = [line.strip() for block in re.findall(r"```text\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    lines += re.findall(r"`(hub [a-z][^`]*)`", text)
    checked = 0
    for line in lines:
        if not line.startswith("hub "):
            continue
        words = shlex.split(line)[1:]
        name = " ".join(words[:2]) if " ".join(words[:2]) in commands else words[0]
        if name in {"channels", "sends", "batches"}:  # a group, named without its command
            continue
        assert name in commands, line
        options = {option for parameter in commands[name].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, line
        checked += 1
    assert checked > 20
    named = set(re.findall(r"HUB_[A-Z_]+", text)) - {"HUB_URL", "HUB_TOKEN"}
    assert {name.removeprefix("HUB_").lower() for name in named} <= set(Settings.model_fields)


def test_chart_contains_the_same_rules() -> None:
    assert CHART_COPY.read_text() == RULES_FILE.read_text(), f"copy {RULES_FILE} to {CHART_COPY}"


def test_alertmanager_example_routes_by_severity() -> None:
    amtool, example = find_tool("amtool"), "alertmanager.example.yml"
    done = run_tool(amtool, "check-config", example)
    assert done.returncode == 0, done.stdout + done.stderr
    for severity, receiver in SEVERITIES.items():
        options = ("config", "routes", "test", f"--config.file={example}", f"--verify.receivers={receiver}")
        done = run_tool(amtool, *options, f"severity={severity}", "alertname=HubSlow")
        assert done.returncode == 0, done.stdout + done.stderr
