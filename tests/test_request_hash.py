"""The hash that identifies the request of an idempotency key."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.decide.throttle import Throttle
from hub.model import Action, Actor, Channel, Content, Priority, Step, StepStop
from hub.workflows.send_request import SendRequest, TemplateReference, request_hash
from tests.client import GraphQLErrors, Tenant

AT = datetime(2026, 12, 24, 18, tzinfo=UTC)


def request(**fields: Any) -> SendRequest:
    values: dict[str, Any] = {"users": ("alice",), "category": "news", "content": Content(title="Hello", body="there")}
    return SendRequest(**(values | fields))


REQUESTS: dict[str, SendRequest] = {
    "plain": request(),
    "two users": request(users=("bob", "alice")),
    "category": request(category="builds"),
    "empty body": request(content=Content(title="Hello", body="")),
    "unicode": request(content=Content(title="Grüße 🎉", body="你好")),
    "image": request(content=Content(title="Hello", body="there", image_url="https://img.example/1.png")),
    "link": request(content=Content(title="Hello", body="there", action_url="/builds/1")),
    "action": request(content=Content(title="Hello", body="there", actions=(Action(key="ok", label="OK"),))),
    "primary action": request(
        content=Content(title="Hello", body="", actions=(Action(key="ok", label="OK", url="/ok", primary=True),))
    ),
    "data": request(data='{"build":1042,"ok":true}'),
    "nested data": request(data='{"b":[1,{"z":null,"y":2.5}],"a":{}}'),
    "data that is a text": request(data='"text"'),
    "large number": request(data='{"id":18446744073709551615}'),
    "tags": request(tags=("red", "blue")),
    "priority": request(priority=Priority.CRITICAL),
    "channels": request(channels=(Channel.IN_APP, Channel.EMAIL)),
    "expiry": request(expires_at=AT),
    "acknowledgment": request(require_ack=True),
    "collapse key": request(collapse_key="build-1042"),
    "actor": request(content=Content(title="Hello", body="there", actor=Actor(name="Carol", avatar_url="/c.png"))),
    "thread key": request(thread_key="deploy-7"),
    "throttle": request(throttle=Throttle(key="cpu", window_s=3600)),
    "throttle with a limit": request(throttle=Throttle(key="cpu", window_s=60, limit=5)),
    "steps": request(steps=(Step(channels=(Channel.EMAIL,), after_s=600, unless=StepStop.ACKNOWLEDGED),)),
    "template": request(content=None, template=TemplateReference(key="welcome")),
    "template with data": request(content=None, template=TemplateReference(key="welcome", data='{"b":1,"a":[2]}')),
    "schedule": request(send_at=AT),
    "everything": request(
        users=("a", "b", "c"),
        content=Content(title="T", body="B", image_url="/i", action_url="/a", actions=(Action(key="k", label="L"),)),
        data="[]",
        tags=("t",),
        priority=Priority.LOW,
        channels=(Channel.WEBHOOK,),
        expires_at=AT,
        require_ack=True,
        collapse_key="k",
    ),
}
HASHES: dict[str, str] = {
    "plain": "d9176ed9d7ac0a011117e324e82617d54e22abe50b73a150c0e269c837175491",
    "two users": "0ffceb2421191a531389d8dc9aa5194799e782d77e2cfdb30bae3c6718624a4b",
    "category": "952bad191b18a705fa70055a4c8f0d010f9b925932a4e31a9a8352616450c373",
    "empty body": "624035f4dfc52e76255b26f9e82ce6516acd1d0faa4a424b4a48b46f678156d5",
    "unicode": "f21543cdc1549c36780e154e1e9c5b81fd8ac581e5ad57ab2599b47ae75f4368",
    "image": "d6b866ea5ae7437e6cdf4d72301bdab8eb367b92c51d95a0472e396650bde1c1",
    "link": "b84134beed55349eb1838a7f7a0bc40a08b666e2c29aa5beaebe819bff114ae7",
    "action": "8b571c4f35de2ee1166244930eabd96912b5808f887de11bbe6975e19e931550",
    "primary action": "30b6d7bafa2c5fdff60e1c2f15a8041d05155cbb7eae36853704ed8bf75b8b2a",
    "data": "2c0293bb4d294554e133381ba287c1c3d669112f70a893a2113079cff492f6d1",
    "nested data": "8c9e10ba88d334222bc81f55f8420136837082c549c7dcd8eac15f25a7283a46",
    "data that is a text": "5672b0e0938515c1d2f41508b2749e682c0a77189c48bb62eeef356b739af8c0",
    "large number": "307c2bb9eed396c96ecf2f914adc397549145cf66768c4063c244a9dfa7e7932",
    "tags": "d8b7c5dacf88aa3dddb8f8cbe5b3cd5dbf91e63b0098c8f447548015693678f3",
    "priority": "35ea4105e0e0756fd8d6c71387c945b709be3206c27a6fb3c2a94d6bd63e07ab",
    "channels": "089ea7c01fd864059a17eeae623950e15f8016a5da71353e649577dea985b495",
    "expiry": "5007efabeb10d2836f42b5cd4ab8fa88b8834e9e7f6f6942502dcc79b47b26d7",
    "acknowledgment": "3b8376b0e865c5947d8af81638cb56d34b086115b73f6b312371a5e92c7ac03b",
    "collapse key": "997a40d0231add6a2552e0ce3b3936f7ef7036aac072b3cc9437f857b5a2e6da",
    "actor": "9a11d847d19007667381b38028aea8891821b919a93f0db8c26bb1e6222d3c25",
    "thread key": "cd39c3d6b49faec00dbfec60af82390a8e103a7fb10b0fb9e67fd8e4c82c014e",
    "throttle": "bebdd4a0cec24a9c2d27ac2ec454e5b5c58381e3470a1d2a44ceca898eb907fb",
    "throttle with a limit": "aa064438577c5e768928c39bda0957e6c273f0ebb3badae96c969444febe4d01",
    "steps": "9c11328ab641e9d0b489230f39669b958d0b5e55c2945d4fc12b7d787970df60",
    "template": "4839c74c616ad1deac8e8f392aac35bc9ac9d29bf4c0f87e04bb0849448454e4",
    "template with data": "8daba667a334adb575ab06f75f00dd6d16f11d3dcfd8db2193d23afb281812cc",
    "schedule": "9afd1412f20f842a13b4b049b06f63f9c6eb92322f927ed2fb37745921f69529",
    "everything": "3b2f92e623482dffb71bfed0542a2fb412303fc55b9ff2111ddd865bb4d0abb0",
}
"""The hashes of version 0.1.0. A later version must not change them: a retry after an upgrade would be a CONFLICT."""


@pytest.mark.parametrize("name", REQUESTS)
def test_hash_is_the_same_as_in_the_released_version(name: str) -> None:
    assert request_hash(REQUESTS[name]) == HASHES[name]


def test_different_requests_have_different_hashes() -> None:
    assert len(set(HASHES.values())) == len(REQUESTS) >= 20


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"users": ("a", "b")}, {"users": ("b", "a")}),
        ({"data": '{"a":1,"b":{"c":2,"d":3}}'}, {"data": '{"b":{"d":3,"c":2},"a":1}'}),
        ({"data": '{"x":0.1}'}, {"data": '{"x":1e-1}'}),
        ({"require_ack": False, "pinned": False, "tags": (), "collapse_key": None}, {}),
        ({"priority": Priority.MEDIUM}, {}),
        (
            {"template": TemplateReference(key="t", data='{"a":1,"b":2}')},
            {"template": TemplateReference(key="t", data='{"b":2,"a":1}')},
        ),
        (
            {
                "throttle": Throttle(key="k", window_s=60, limit=1),
                "steps": (Step(channels=(Channel.EMAIL,), after_s=0),),
            },
            {"throttle": Throttle(key="k", window_s=60), "steps": (Step(channels=(Channel.EMAIL,)),)},
        ),
    ],
)
def test_spelling_does_not_change_the_hash(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert request_hash(request(**one)) == request_hash(request(**other))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=10,
)  # fmt: skip


@given(json_values, json_values)
def test_hash_of_data_depends_on_its_value_only(one: object, other: object) -> None:
    first, second = (request_hash(request(data=orjson.dumps(value).decode())) for value in (one, other))
    assert (first == second) == (
        orjson.dumps(one, option=orjson.OPT_SORT_KEYS) == orjson.dumps(other, option=orjson.OPT_SORT_KEYS)
    )
    assert first == request_hash(request(data=orjson.dumps(one, option=orjson.OPT_INDENT_2).decode()))


async def test_same_input_in_another_spelling_is_a_duplicate(tenant: Tenant) -> None:
    plain: dict[str, Any] = {"data": {"a": 1, "b": [{"c": 2, "d": None}]}, "expiresAt": "2090-01-01T01:00:00+01:00"}
    plain |= {"throttle": {"key": "cpu", "window": "PT1M"}, "steps": [{"channels": ["EMAIL"], "after": "PT1H"}]}
    plain |= {"digest": {"key": "d", "window": "PT1H", "mode": "SLIDING"}}
    spelled_out: dict[str, Any] = {
        "data": {"b": [{"d": None, "c": 2}], "a": 1},
        "expiresAt": "2090-01-01T00:00:00.000Z",
        "requireAck": False,
        "pinned": False,
        "tags": [],
        "priority": "MEDIUM",
        "collapseKey": None,
        "throttle": {"limit": 1, "window": "PT60S", "key": "cpu"},
        "steps": [{"channels": ["EMAIL"], "after": "PT60M", "unless": "READ"}],
        "digest": {"maxItems": None, "lookback": None, "max": "P1D", "mode": "SLIDING", "window": "PT60M", "key": "d"},
        "content": {"title": "Hello", "body": "there", "actions": [], "imageUrl": None},
    }
    sent = await tenant.send("alice", "bob", idempotencyKey="k", **plain)
    again = await tenant.send("bob", "alice", "bob", idempotencyKey="k", **spelled_out)
    assert (sent["duplicate"], again["duplicate"]) == (False, True)
    assert sent["send"]["id"] == again["send"]["id"]
    with pytest.raises(GraphQLErrors) as refused:
        await tenant.send("alice", "bob", idempotencyKey="k", **(plain | {"data": {"a": 1, "b": [{"c": 3}]}}))
    assert refused.value.code == "CONFLICT"
