"""Values are returned exactly as sent, or rejected: numbers, ids, scalars and search words."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.api import exact_json
from hub.unicode_text import folded, is_blank, is_identifier
from tests.client import SEND, GraphQLErrors, Json, Tenant

HUGE = 2**64 + 1


async def post(tenant: Tenant, query: str, variables: str = "{}") -> Any:
    """Return the response to variables that are sent as exactly this text."""
    body = f'{{"query": {json.dumps(query)}, "variables": {variables}}}'
    sent = {"authorization": f"Bearer {tenant.token()}", "content-type": "application/json"}
    async with tenant.http.post(tenant.next_url(), data=body, headers=sent) as response:
        return json.loads(await response.text(), parse_float=Decimal)


def send(data: str, user: str = '"alice"') -> str:
    content = '{"title": "T", "body": "B"}'
    return f'{{"input": {{"to": {{"users": [{user}]}}, "category": "c", "content": {content}, "data": {data}}}}}'


async def test_id_as_a_number_of_more_than_64_bits_reaches_exactly_that_user(tenant: Tenant) -> None:
    """Adjacent numbers are different users."""
    assert "errors" not in await post(tenant, SEND, send("{}", str(HUGE)))
    for user, count in ((str(HUGE), 1), (str(HUGE - 1), 0)):
        found = await tenant.execute_raw("{ inbox { unread } }", user=user)
        assert found["data"]["inbox"]["unread"] == count


@pytest.mark.parametrize("number", [str(HUGE), "1e400", "1e-400", "0." + "1" * 100, "9" * 100])
async def test_number_that_loses_precision_is_rejected_with_its_field(tenant: Tenant, number: str) -> None:
    """As a variable and as a literal."""
    literal = f'mutation {{ send(input: {{ to: {{ users: ["a"] }}, category: "c", content: {{ title: "T", body: "B" }}, data: {{ n: [{number}] }} }}) {{ duplicate }} }}'
    for response in (await post(tenant, SEND, send(f'{{"n": [{number}]}}')), await post(tenant, literal)):
        extensions = response["errors"][0]["extensions"]
        assert extensions["code"] == "BAD_USER_INPUT"
        assert extensions["field"] in (
            "input.data",
            "body",
        )  # a variable out of the range of floats makes the whole body invalid


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+12:00", "9999-12-31T23:59:59-12:00", "x"])
async def test_instant_out_of_range_is_rejected_as_literal_variable_and_default(tenant: Tenant, text: str) -> None:
    """No input is an internal error."""
    for query, variables in (
        (f'{{ sends(since: "{text}") {{ nodes {{ id }} }} }}', "{}"),
        ("query ($a: DateTime) { sends(since: $a) { nodes { id } } }", json.dumps({"a": text})),
        (f'query ($a: DateTime = "{text}") {{ sends(since: $a) {{ nodes {{ id }} }} }}', "{}"),
    ):
        response = await post(tenant, query, variables)
        assert [error["extensions"]["code"] for error in response["errors"]] == ["BAD_USER_INPUT"]


@pytest.mark.parametrize("number", ["9" * 5000, "-" + "9" * 5000, "1e" + "9" * 400])
async def test_number_literal_of_thousands_of_digits_is_rejected(tenant: Tenant, number: str) -> None:
    """Python itself refuses to parse so many digits. That is not an internal error."""
    for query in (
        f"{{ sends(first: {number}) {{ nodes {{ id }} }} }}",
        f"query ($n: Int = {number}) {{ sends(first: $n) {{ nodes {{ id }} }} }}",
        f"query ($n: Float = {number}) {{ __typename }}",
    ):
        response = await post(tenant, query)
        assert {error["extensions"]["code"] for error in response["errors"]} == {"BAD_USER_INPUT"}


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_float_in_its_shortest_form_is_returned_unchanged(number: float) -> None:
    """The form that JSON libraries write."""
    assert json.loads(exact_json.dumps(exact_json.loads(repr(number), "f"), "f")) == number


@pytest.mark.parametrize("text", ["", " a", "a ", "a\u200b", "\u202ea", "a\u00a0b", "e\u0301", "a\ufe0f", "x" * 257])
def test_lookalike_identifier_is_rejected(text: str) -> None:
    """The same rule applies to tokens and inputs."""
    assert not is_identifier(text)


async def test_search_folds_sharp_s_and_dotted_i(tenant: Tenant) -> None:
    """In title and body, in every spelling."""
    await tenant.send("alice", title="Straße", body="nach İstanbul, ﬁnal")
    for search in ("STRASSE", "straße", "istanbul", "İSTANBUL", "FINAL"):
        assert len((await tenant.inbox("alice", search=search))["nodes"]) == 1


async def test_invisible_characters_in_key_and_title_are_rejected(tenant: Tenant) -> None:
    """The error names the field."""
    for field, invalid in (("input.category", {"category": " c "}), ("input.content.title", {"title": "\u200b\u3164"})):
        with pytest.raises(GraphQLErrors) as refused:
            await tenant.send("alice", **invalid)
        assert refused.value.errors[0]["extensions"] == {"code": "BAD_USER_INPUT", "field": field}


def test_search_words_are_case_folded() -> None:
    """Independent of case, width and spelling."""
    assert folded("Straße") == folded("STRASSE")
    assert folded("İstanbul") == folded("istanbul") == folded("ISTANBUL")
    assert is_blank("\u200b\u3164 ")


@pytest.mark.parametrize(
    ("query", "variables", "field"),
    [
        (
            "query ($i: SendInput!) { simulate(input: $i) { userId } }",
            {"i": {"to": {"users": ["a"]}, "category": "c", "digest": {"key": "k", "window": "10m"}}},
            "input.digest.window",
        ),
        (
            (
                'mutation ($w: Duration) { upsertCategory(input: {key: "c", name: "C", defaultChannels: [EMAIL], '
                "retention: $w}) { key } }"
            ),
            {"w": "P1M"},
            "input.retention",
        ),
    ],
)
async def test_invalid_duration_in_a_variable_is_rejected_with_its_field(
    tenant: Tenant, query: str, variables: Json, field: str
) -> None:
    [error] = (await post(tenant, query, json.dumps(variables)))["errors"]
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "field": field}
    assert "Years and months are not allowed" in error["message"]


async def test_invalid_duration_in_a_query_is_rejected_with_its_location(tenant: Tenant) -> None:
    category = '{key: "c", name: "C", defaultChannels: [EMAIL], retention: "30 days"}'
    [error] = (await post(tenant, f"mutation {{ upsertCategory(input: {category}) {{ key }} }}"))["errors"]
    assert error["message"].startswith("Duration must have the format of ISO 8601")
    assert error["locations"] == [{"line": 1, "column": 93}]
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "field": "input.retention"}


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ('input: {to: {everyone: "yes"}, category: "c"}', "input.to.everyone"),
        ('input: {to: {users: ["a"], topic: "t"}, category: "c"}', "input.to"),
        ('input: {to: {users: ["a"]}, category: "c", channels: [EMAIL, PIGEON]}', "input.channels.1"),
        ('input: {to: {users: ["a"]}, category: "c", color: "red"}', "input.color"),
        ('input: {to: {users: ["a"]}}', "input"),
        ('input: {to: {users: ["a"]}, category: "c"}, dryRun: true', "dryRun"),
    ],
)
async def test_invalid_value_in_a_query_is_rejected_with_its_field(tenant: Tenant, arguments: str, field: str) -> None:
    [error] = (await post(tenant, f"mutation {{ send({arguments}) {{ duplicate }} }}"))["errors"]
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "field": field}
