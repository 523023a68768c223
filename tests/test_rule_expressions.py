"""The expressions and texts of rules, within their limits."""

import tracemalloc
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hub.decide.digest import Digest
from hub.decide.rules import expressions
from hub.decide.rules.compiled import CompiledRule, NoSend, RuleError, RuleSend
from hub.decide.rules.expressions import Expression, ExpressionError, LimitExceeded
from hub.decide.rules.matching import EVENT_MAX_RULES, fits, most_rules_of_an_event
from hub.decide.templates.parts import TextLimits
from hub.model import Channel, Content, Priority, Rule, RuleDigest, RuleRecipients, Step, Tenant
from hub.workflows.rule_requests import to_request
from hub.workflows.send_request import SendRequest, TemplateReference
from tests.conftest import scaled

NOW = datetime(2026, 11, 30, tzinfo=UTC)
EVENT: dict[str, Any] = {
    "id": "1",
    "type": "shop.order.shipped",
    "source": "/shop",
    "data": {
        "order": {"id": 7, "customer": "alice", "total": 12.5},
        "people": [{"id": f"user-{n}", "team": "a" if n % 2 else "b", "n": n} for n in range(100)],
        "long": "x" * 100_000,
        "numbers": list(range(1000)),
    },
}

VALID = {
    "data.order.customer": "alice",
    "data.order.total > `10`": True,
    "data.order.total > `10` && type == 'shop.order.shipped'": True,
    "data.people[?team == 'a'] | length(@)": 50,
    "data.people[?n < `2`].id": ["user-0", "user-1"],
    "data.people[*].{id: id} | [0]": {"id": "user-0"},
    "sort_by(data.people, &n)[-1].id": "user-99",
    "[data.order.customer, data.people[0].id]": ["alice", "user-0"],
    "{order: data.order.id, who: data.order.customer}": {"order": 7, "who": "alice"},
    "join('-', ['a', data.order.customer])": "a-alice",
    "data.nothing.here": None,
    "not_null(data.nothing, data.order.customer)": "alice",
    "contains(['shop.order.shipped'], type)": True,
    "sum(data.numbers)": 499_500,
    "data.people[0:2].id": ["user-0", "user-1"],
    "map(&id, data.people) | length(@)": 100,
    "max_by(data.people, &n).id": "user-99",
    "'constant'": "constant",
}
INVALID = {
    "": "empty",
    "data.": "not a JMESPath expression",
    "data order": "character 6",
    "data.people[": "incomplete",
    "'open": "not a JMESPath expression",
    "`text`": "must be JSON",
    "unknown(data)": "unknown() does not exist",
    "join(data)": "requires 2 arguments",
    "[" * 400: "nested too deeply",
    "a || " * 150 + "a": "at most 100 nodes",
    "a" * 1001: "at most 1,000 characters",
    "data.a[*].b[*].[c, d]": "two projections",
    "data.a[*].b[?c].{d: d}": "two projections",
    "map(&[@, @], data.people)[].[@, @][].[@, @][]": "two projections",
}
FAILING = {
    "contains(data.nothing, 'a')": "contains() requires array or string, not null",
    "join(',', data.numbers)": "join() requires array-string, not number",
    "data.numbers[::0]": "ValueError",
    "ceil(to_number('1e999'))": "OverflowError",
    "sort_by(data.people, &nothing)": "sort_by() requires string or number, not null",
}
HEAVY = {
    "|".join(["[@, @]"] * 24): "400,000",
    "to_string(" + "|".join(["[@, @]"] * 20) + ")": "400,000",
    "|".join(["[@, @]"] * 20) + " | @ == [@, @]": "400,000",
    "join(data.long, map(&to_string(n), data.people))": "400,000",
    "map(&join('', [@, @, @]), [data.long, data.long])": "400,000",
    "[data.long, data.long, data.long, data.long, data.long]": "400,000",
    "map(&map(&map(&@, [`1`, `2`, `3`]), [`1`, `2`, `3`, `4`]), [data.numbers, data.numbers, data.numbers][])": "",
    "[data.numbers, data.numbers][] | map(&map(&map(&@, @), [[@, @, @, @], [@, @, @, @], [@, @, @, @]]), @)": "",
    "[data.numbers" + ", data.numbers" * 20 + "][] | map(&[@, @, @, @, @, @], @)[] | map(&[@, @, @, @], @)[]": "",
}


def test_there_are_enough_expressions() -> None:
    assert len(VALID) + len(INVALID) + len(FAILING) + len(HEAVY) >= 30


@pytest.mark.parametrize(("source", "result"), VALID.items())
def test_valid_expression_has_its_result(source: str, result: object) -> None:
    assert Expression(source).evaluate(EVENT) == result


@pytest.mark.parametrize(("source", "reason"), INVALID.items(), ids=range(len(INVALID)))
def test_invalid_expression_is_refused_with_the_reason(source: str, reason: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        Expression(source)
    assert reason in str(caught.value)


@pytest.mark.parametrize(("source", "reason"), FAILING.items(), ids=range(len(FAILING)))
def test_failing_expression_has_a_reason_without_values_of_the_event(source: str, reason: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        Expression(source).evaluate(EVENT)
    assert reason in str(caught.value)
    assert not isinstance(caught.value, LimitExceeded)
    assert "user-" not in str(caught.value)


@pytest.mark.parametrize(("source", "limit"), HEAVY.items(), ids=range(len(HEAVY)))
def test_heavy_expression_is_stopped_with_bounded_memory(source: str, limit: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(expressions, "EVALUATION_MAX_S", 60.0)  # the counters alone stop it
    monkeypatch.setattr(expressions, "VISITS_MAX", scaled(10_000, expressions.VISITS_MAX))  # measuring memory is slow
    expression = Expression(source)
    tracemalloc.start()
    try:
        with pytest.raises(LimitExceeded) as caught:
            expression.evaluate(EVENT)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
    assert limit in str(caught.value)


def test_slow_expression_is_stopped_at_the_deadline(monkeypatch: Any) -> None:
    monkeypatch.setattr(expressions, "EVALUATION_MAX_S", 0.0)
    with pytest.raises(LimitExceeded, match="takes longer"):
        Expression("data.people[*].id").evaluate(EVENT)


def test_deep_value_is_stopped() -> None:
    value: Any = "deep"
    for _ in range(5000):
        value = [value]
    with pytest.raises(LimitExceeded, match="nested too deeply"):
        Expression("[@]").evaluate(value)


def rule(**changes: Any) -> Rule:
    fields: dict[str, Any] = {
        "id": "t/r",
        "tenant": "t",
        "key": "r",
        "type": "shop.order.*",
        "to": RuleRecipients(users="data.order.customer"),
        "category": "orders",
        "content": Content(title="Order {{ event.data.order.id }}", body="{{ data.order.total }}"),
        "updated_at": NOW,
        **changes,
    }
    return Rule(**fields)


def evaluate(event: Any = EVENT, **changes: Any) -> RuleSend | NoSend:
    return CompiledRule(rule(**changes)).evaluate(event, Tenant(id="t"), TextLimits(256, 16_384), NOW)


def reason_of(event: Any = EVENT, **changes: Any) -> str:
    result = evaluate(event, **changes)
    assert isinstance(result, NoSend)
    return result.reason


def test_rule_makes_recipients_content_and_keys_from_the_event() -> None:
    result = evaluate(
        to=RuleRecipients(users="[data.order.customer, data.people[0].id, data.order.id, data.nothing]"),
        excluded="data.people[0].id",
        collapse_key="order-{{ event.data.order.id }}",
        digest=RuleDigest(key="data.order.id", window_s=60),
    )
    assert isinstance(result, RuleSend)
    assert result.users == ("alice", "7")
    assert result.excluded == ("user-0",)
    assert result.content == Content(title="Order 7", body="12.5")
    assert (result.collapse_key, result.digest_key) == ("order-7", "7")


def test_request_of_a_rule_has_what_the_rule_says() -> None:
    options: dict[str, Any] = {
        "priority": Priority.HIGH,
        "channels": (Channel.EMAIL,),
        "steps": (Step((Channel.SMS,), 60),),
        "tags": ("orders",),
        "require_ack": True,
    }
    gathered = rule(
        template="t", content=None, digest=RuleDigest("data.id", 90), after_s=60, expires_in_s=30, **options
    )
    made = RuleSend(
        users=("alice",),
        audience=None,
        excluded=("bob",),
        data="{}",
        content=None,
        collapse_key="c",
        digest_key="d",
    )
    hour = timedelta(hours=1)
    assert to_request(gathered, made, "hub.a", NOW - hour, NOW) == SendRequest(
        users=("alice",),
        category="orders",
        excluded=("bob",),
        template=TemplateReference("t", "{}"),
        send_at=NOW - hour + timedelta(seconds=60),
        expires_at=NOW + timedelta(seconds=30),
        collapse_key="c",
        digest=Digest(key="d", window_s=90),
        from_own_event=True,
        **options,
    )
    later = to_request(gathered, made, "a", NOW, NOW)
    assert later.expires_at == NOW + timedelta(seconds=90)


TOO_LONG = {"data": {"ids": [f"u{n}" for n in range(1001)], "text": "x" * 40_000, "order": {"id": 1, "customer": "a"}}}


@pytest.mark.parametrize(
    ("event", "changes", "reason"),
    [
        (EVENT, {"condition": "data.order.total > `100`"}, "the condition is not met"),
        (EVENT, {"condition": "contains(data.nothing, 'a')"}, "`condition`: contains() requires array"),
        (EVENT, {"to": RuleRecipients(users="data.nothing")}, "no recipients"),
        (EVENT, {"to": RuleRecipients(users="`[]`")}, "no recipients"),
        (EVENT, {"to": RuleRecipients(topic="data.nothing")}, "no recipients"),
        (EVENT, {"excluded": "data.order.customer"}, "`except` leaves none"),
        (EVENT, {"to": RuleRecipients(users="data.order")}, "`to.users`: the result must be a text or an integer"),
        (EVENT, {"to": RuleRecipients(users="data.order.total")}, "`to.users`: the result must be a text"),
        (EVENT, {"to": RuleRecipients(users="' padded'")}, "`to.users`: the id must have"),
        (TOO_LONG, {"to": RuleRecipients(users="data.ids")}, "1,001 ids, more than 1,000"),
        (TOO_LONG, {"excluded": "data.ids"}, "1,001 ids, more than 100"),
        (TOO_LONG, {"data": "{text: data.text}"}, "`data`: the data has 40,011 bytes, more than 32,768"),
        (EVENT, {"data": "&order"}, "`data`: the result is not JSON"),
        (EVENT, {"data": "data.numbers", "template": "t", "content": None}, "must be an object"),
        (EVENT, {"digest": RuleDigest(key="data.nothing", window_s=60)}, "`digest.key`: the result is null"),
        (EVENT, {"content": Content(title="{{ event.data.nothing }}", body="")}, "`content.title`: line 1: event.data"),
        (EVENT, {"content": Content(title="{% if event.data.nothing %}x{% endif %}", body="")}, "no visible character"),
        (
            EVENT,
            {"content": Content(title="a", body="", action_url="{{ event.type | prepend: 'javascript:' }}")},
            "`content.actionUrl`: the rendered link must be",
        ),
    ],
)
def test_rule_that_sends_nothing_has_a_reason(event: Any, changes: dict[str, Any], reason: str) -> None:
    assert reason in reason_of(event, **changes)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"condition": "a ||"}, "condition"),
        ({"to": RuleRecipients(users="[")}, "to.users"),
        ({"excluded": "nope(a)"}, "except"),
        ({"digest": RuleDigest(key="", window_s=60)}, "digest.key"),
        ({"content": Content(title="{{ a", body="")}, "content.title"),
        ({"content": Content(title="{{ user.name }}", body="")}, "content"),
        ({"collapse_key": "{{ notification.id }}"}, "collapseKey"),
    ],
)
def test_rule_that_is_not_valid_names_the_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(RuleError) as caught:
        CompiledRule(rule(**changes))
    assert caught.value.field == field


def test_rule_that_breaks_a_limit_on_an_empty_event_is_refused() -> None:
    CompiledRule(rule(condition="contains(data.nothing, 'a')")).check_limits()  # a value is missing
    heavy = "[`{}`]|" + "|".join(["[@, @]"] * 20)
    with pytest.raises(RuleError, match="`condition`: a value has more than"):
        CompiledRule(rule(condition=heavy)).check_limits()


@pytest.mark.parametrize(
    ("pattern", "source", "type", "matches"),
    [
        ("shop.order.*", None, "shop.order.shipped", True),
        ("shop.order.*", None, "shop.order.line.added", True),
        ("shop.order.*", None, "shop.order", False),
        ("shop.order.*", None, "shop.orders.shipped", False),
        ("shop.order", None, "shop.order", True),
        ("shop.order", None, "shop.order.shipped", False),
        ("shop.order", "/shop", "shop.order", True),
        ("shop.order", "/other", "shop.order", False),
        ("hub.*", None, "hub.delivery.failed", False),
        ("hub.*", "/shop", "hub.delivery.failed", True),
        ("hub.*", "/other", "hub.delivery.failed", False),
    ],
)
def test_type_and_source_choose_the_rules(pattern: str, source: str | None, type: str, matches: bool) -> None:
    assert fits(rule(type=pattern, source=source), type, "/shop") is matches
    assert not fits(rule(type=pattern, source=source, enabled=False), type, "/shop")


def test_most_rules_of_an_event_counts_patterns_that_overlap() -> None:
    def rules(*patterns: tuple[str, str | None]) -> list[Rule]:
        return [rule(type=pattern, source=source) for pattern, source in patterns]

    assert most_rules_of_an_event([]) == 0
    assert most_rules_of_an_event(rules(("a.*", None), ("a.b.*", None), ("a.b.c", None), ("a.x", None))) == 3
    assert most_rules_of_an_event(rules(("a", "/1"), ("a", "/2"), ("a", None))) == 2
    assert most_rules_of_an_event(rules(("a.b", None), ("a.*", "/1"), ("a.c", "/2"))) == 2
    assert most_rules_of_an_event(rules(("hub.a", "/1"), ("hub.*", "/1"), ("hub.*", "/2"))) == 2
    assert most_rules_of_an_event(rules(*[("a", f"/{n}") for n in range(EVENT_MAX_RULES + 1)])) == 1
