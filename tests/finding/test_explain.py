"""The sentences that explain statuses and reasons, `hub explain`, and `hub simulate`."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hub.decide.explanations import explain_decision, explain_delivery
from hub.model import Channel, DeliveryStatus, Reason
from tests.channel_setup import UPSERT_USERS, wait_for_deliveries
from tests.cli_commands import base_url, run_command
from tests.client import Tenant
from tests.finding.conftest import Running
from tests.inbox_data import FAR_FUTURE
from tests.preference_calls import update_preferences
from tests.processes import SECRET

REFERENCE = Path(__file__).parents[2] / "docs/reference/statuses-and-reasons.md"


def test_each_status_and_reason_has_a_sentence() -> None:
    rows = re.findall(r"^\| ([A-Z_]+) \| ([A-Z, ]+) \|", REFERENCE.read_text().partition("## Reasons")[2], re.MULTILINE)
    statuses = {Reason(reason): [DeliveryStatus(one) for one in text.split(", ")] for reason, text in rows}
    assert statuses.keys() == set(Reason)
    for channel in Channel:
        sentences = [explain_delivery(status, None, channel) for status in DeliveryStatus]
        sentences += [explain_delivery(one, reason, channel) for reason in Reason for one in statuses[reason]]
        sentences += [explain_decision(outcome, None, channel) for outcome in DeliveryStatus]
        assert not [text for text in sentences if not re.fullmatch(r"[A-Z][^{}]+\.", text)]
    held, skipped = DeliveryStatus.HELD, DeliveryStatus.SKIPPED
    for reason, both in statuses.items():
        if held in both and skipped in both:
            texts = {explain_delivery(status, reason, Channel.EMAIL) for status in (held, skipped)}
            assert len(texts) == 2, reason
    assert explain_delivery(skipped, "LATER", Channel.SMS) == "The channel was not used. The reason is LATER."


async def test_the_command_shows_what_reached_a_user_and_what_would_now(running: Running, acme: Tenant) -> None:
    await acme.execute(UPSERT_USERS, users=[{"id": "al", "name": "Al", "email": "al@people.example"}])
    for key in ("orders", "news"):
        await acme.define_category(key, "IN_APP", "EMAIL", "WEB_PUSH")
    await update_preferences(acme, "al", categories=[{"category": "news", "mutedUntil": FAR_FUTURE}])
    await acme.send("al", title="Muted\tnews")
    order = (await acme.send("al", title="Your order", category="orders"))["send"]["id"]
    [email] = await wait_for_deliveries(acme, "SENT")
    options = ["--url", base_url(running.deployment), "--tenant", acme.name]
    shown = run_command("explain", "al", *options, jwt_secret=SECRET)
    assert (shown.returncode, shown.stderr) == (0, "")
    found = json.loads(shown.stdout)
    assert found["user"]["email"] == "al@people.example"
    assert found["consoleUrl"] == f"{base_url(running.deployment)}/console/users/al"
    assert [(one["title"], one["category"]) for one in found["notifications"]] == [
        *(("Your order", "orders"), ("Muted\tnews", "news")),
    ]
    newest = found["notifications"][0]
    assert (newest["id"], newest["sendId"]) == (email["notificationId"], order)
    assert {(row["channel"], row["status"], row["reason"]) for row in newest["deliveries"]} == {
        *(("IN_APP", "DELIVERED", None), ("EMAIL", "SENT", None), ("WEB_PUSH", "SKIPPED", "NO_ADDRESS")),
    }
    assert [one["category"] for one in found["now"]] == ["orders", "news"]
    decisions = {row["channel"]: row["outcome"] for row in found["now"][0]["decisions"]}
    assert (decisions["IN_APP"], decisions["EMAIL"], decisions["WEB_PUSH"]) == ("ACCEPTED", "ACCEPTED", "SKIPPED")
    assert (await acme.inbox("al"))["unread"] == 1, "nothing was sent"

    narrowed = ["--category", "news", "--limit", "1", "--output", "table"]
    table = run_command("explain", "al", *options, *narrowed, jwt_secret=SECRET).stdout
    assert "Your order" not in table
    lines = table.splitlines()
    assert lines[0] == "al: name Al, email al@people.example, locale en, timezone UTC"
    assert "Muted news" in lines[2]
    assert lines[3].split() == ["CHANNEL", "STATUS", "REASON", "EXPLANATION"]
    assert [line.split(maxsplit=3) for line in lines[4:7]] == [
        [channel, "SKIPPED", "MUTED", "The user muted the category."] for channel in ("EMAIL", "IN_APP", "WEB_PUSH")
    ]
    assert lines[8] == "A notification in news now:"
    assert lines[-1] == f"Console: {base_url(running.deployment)}/console/users/al"
    missing = run_command("explain", "nobody", *options, jwt_secret=SECRET)
    assert (missing.returncode, json.loads(missing.stdout)["user"]) == (1, None)
    assert "'nobody' does not exist" in missing.stderr


async def test_simulate_shows_what_would_reach_a_user_now_and_at_a_time(running: Running, acme: Tenant) -> None:
    await acme.execute(UPSERT_USERS, users=[{"id": "al", "email": "al@people.example", "timezone": "UTC"}])
    for key in ("news", "orders"):
        await acme.define_category(key, "IN_APP", "EMAIL", "WEB_PUSH")
    await update_preferences(acme, "al", categories=[{"category": "news", "mutedUntil": FAR_FUTURE}])
    options = ["--url", base_url(running.deployment), "--tenant", acme.name]
    shown = run_command("simulate", "al", *options, jwt_secret=SECRET)
    assert (shown.returncode, shown.stderr) == (0, "")
    found = json.loads(shown.stdout)
    assert (found["userId"], found["at"]) == ("al", None)
    assert found["consoleUrl"] == f"{base_url(running.deployment)}/console/users/al"
    outcomes = {
        one["category"]: {row["channel"]: (row["outcome"], row["reason"]) for row in one["decisions"]}
        for one in found["simulations"]
    }
    assert outcomes["news"]["EMAIL"] == outcomes["news"]["IN_APP"] == ("SKIPPED", "MUTED")
    assert outcomes["orders"]["EMAIL"] == ("ACCEPTED", None)
    assert outcomes["orders"]["WEB_PUSH"] == ("SKIPPED", "NO_ADDRESS")

    for _ in range(2):
        await running.fakes.add_browser(acme, "al")
    await update_preferences(acme, "al", quietHours={"start": "22:00", "end": "07:00", "timezone": "UTC"})
    today = datetime.now(UTC)
    tomorrow, after = (f"{today + timedelta(days=days):%Y-%m-%d}" for days in (1, 2))
    more = ["--category", "orders", "--channel", "web_push", "--output", "table"]
    at_night = run_command("simulate", "al", *more, "--at", f"{tomorrow}T23:00:00Z", *options, jwt_secret=SECRET)
    _, heading, columns, row, *_ = at_night.stdout.splitlines()
    assert heading == f"A notification in orders at {tomorrow}T23:00:00Z:"
    assert columns.split() == ["CHANNEL", "OUTCOME", "REASON", "EXPLANATION"]
    assert re.fullmatch(rf"WEB_PUSH \(2 devices\) +HELD +QUIET_HOURS .* Next: {after}T07:0\S+Z\.", row)
    at_noon = run_command("simulate", "al", *more, "--at", f"{tomorrow}T12:00:00Z", *options, jwt_secret=SECRET)
    assert re.match(r"WEB_PUSH \(2 devices\) +HELD +SCHEDULED ", at_noon.stdout.splitlines()[3])
    urgent = ["--category", "orders", "--channel", "email", "--priority", "critical", "--at", "23:00"]
    later = json.loads(run_command("simulate", "al", *urgent, *options, jwt_secret=SECRET).stdout)
    at = datetime.fromisoformat(later["at"])
    assert (f"{at.astimezone():%H:%M:%S}", at > datetime.now(UTC)) == ("23:00:00", True)
    assert (await acme.inbox("al"))["unread"] == 0, "nothing was sent"

    unknown = run_command(
        "simulate", "nobody", "--category", "ordres", *options, "--output", "table", jwt_secret=SECRET
    )
    assert "The category does not exist and would be created." in unknown.stdout
    refused = run_command("simulate", "al", "--at", "1", *options, jwt_secret=SECRET)
    assert (refused.returncode, refused.stderr.startswith("--at 1: add a unit")) == (2, True)
