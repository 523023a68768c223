"""Email addresses: every address that the API accepts can be used in an email."""

import email as email_library
import email.policy

import email_validator
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hub.email_address import PLAIN, InvalidEmailAddress, envelope_address
from hub.platform.connections import Database
from hub.send.email_message import Sender, build_email
from tests.client import GraphQLErrors, Tenant
from tests.provider_setup import message_to

SENDER = Sender("Acme", "no-reply@acme.example")
UPSERT = "mutation ($users: [UserInput!]!) { upsertUsers(users: $users) { id email } }"

VALID = [
    "alice@example.org",
    "Alice.O'Brien+tag@Example.ORG",
    "a_b-c=d%e!f#g@example.org",
    "postmaster@localhost",
    "ops@mail.local",
    "a@b.test",
    "a@xn--strae-oqa.example",
    "info@straße.example",
    "jürgen@straße.example",
    "用户@例子.广告",
    '"john doe"@example.org',
    '"a@b"@example.org',
    "a" * 64 + "@example.org",
    "a@" + "b" * 63 + ".example",
]
INVALID = [
    "",
    "alice",
    "@example.org",
    "alice@",
    "Bob<bob@example.org>",
    "Bob <bob@example.org>",
    "<bob@example.org>",
    "a@b@example.org",
    "user@example..org",
    "user@.example.org",
    "user@example.org.",
    "a..b@example.org",
    ".a@example.org",
    "a.@example.org",
    "a@example.org, b@example.org",
    "a@example.org;b@example.org",
    "a@example.org b@example.org",
    "mailto:a@example.org",
    "MAILTO:a@example.org",
    " a@example.org",
    "a@example.org ",
    "a b@example.org",
    "a@exa mple.org",
    "a@example.org\r\nBcc: b@example.org",
    "a\x00@example.org",
    "a\u200b@example.org",
    "a\u202e@example.org",
    "a@exa\u2028mple.org",
    '"a b@example.org',
    "a@[192.0.2.1]",
    "a@[IPv6:2001:db8::1]",
    "a@c_d.example",
    "a@-example.org",
    "a@example-.org",
    "a(comment)@example.org",
    "a" * 65 + "@example.org",
    "a@" + "b" * 64 + ".example",
    "a@" + "b." * 130 + "example",
    "ü" * 33 + "@example.org",
    "\ud800@example.org",
]


@pytest.mark.parametrize("address", VALID)
def test_valid_address_is_used_in_the_envelope(address: str) -> None:
    built = build_email(message_to(address), SENDER)
    local, _, domain = built.recipient.rpartition("@")
    assert local == address.rpartition("@")[0]
    assert domain.isascii()


@pytest.mark.parametrize("address", INVALID)
def test_invalid_address_is_rejected_with_a_reason_that_does_not_quote_it(address: str) -> None:
    with pytest.raises(InvalidEmailAddress) as rejected:
        envelope_address(address)
    assert str(rejected.value).endswith(".")
    assert not address or address not in str(rejected.value)


async def test_upsert_with_an_invalid_address_names_the_field_and_stores_nothing(
    tenant: Tenant, database: Database
) -> None:
    for address in INVALID[:-1]:
        with pytest.raises(GraphQLErrors) as rejected:
            await tenant.execute(
                UPSERT, users=[{"id": "bob", "email": "bob@example.org"}, {"id": "eve", "email": address}]
            )
        assert rejected.value.code == "BAD_USER_INPUT"
        assert rejected.value.errors[0]["extensions"]["field"] == "users.1.email"
    assert await database["users"].count_documents({"_id": {"$in": [f"{tenant.name}/bob", f"{tenant.name}/eve"]}}) == 0
    users = [{"id": f"u{index}", "email": address} for index, address in enumerate(VALID)]
    stored = (await tenant.execute(UPSERT, users=users))["upsertUsers"]
    assert [user["email"] for user in stored] == VALID
    cleared = await tenant.execute(UPSERT, users=[{"id": "u0", "email": None}])
    assert cleared["upsertUsers"][0]["email"] is None


async def test_stored_invalid_address_is_skipped_as_no_address(tenant: Tenant, database: Database) -> None:
    """Older versions stored such addresses."""
    await tenant.execute(UPSERT, users=[{"id": "bob", "email": "bob@example.org"}])
    await database["users"].update_one({"_id": f"{tenant.name}/bob"}, {"$set": {"email": "Bob<bob@example.org>"}})
    query = "query ($input: SendInput!) { simulate(input: $input) { decisions { channel outcome reason } } }"
    send = {
        "to": {"users": ["bob"]},
        "category": "news",
        "channels": ["EMAIL"],
        "content": {"title": "t", "body": "b"},
    }
    [simulated] = (await tenant.execute(query, input=send))["simulate"]
    decided = next(decision for decision in simulated["decisions"] if decision["channel"] == "EMAIL")
    assert decided["outcome"] == "SKIPPED"
    assert decided["reason"] in {"NO_ADDRESS", "NOT_CONFIGURED"}


@example('"a\\"b"@x.example')
@example('"a>\\\\b,c"@x.example')
@example('"=?utf-8?q?x?="@x.example')
@given(
    st.text(max_size=80)
    | st.emails()
    | st.builds("{}@{}".format, st.text(max_size=20), st.text(max_size=30))
    | st.builds('"{}"@example.org'.format, st.text(max_size=30))
    | st.builds("{}@{}.org".format, st.text("ab.+'é\u00df-_", min_size=1), st.text("ab.-_ß例", min_size=1, max_size=70))
)
def test_accepted_address_can_be_used_in_an_email(address: str) -> None:
    """In the envelope and in the To header."""
    try:
        envelope = envelope_address(address)
    except InvalidEmailAddress:
        return
    built = build_email(message_to(address), SENDER)
    assert built.recipient == envelope
    assert envelope_address(envelope) == envelope
    assert len(envelope.encode()) <= 254
    assert envelope.isprintable()
    parsed = email_library.message_from_bytes(built.data, policy=email_library.policy.SMTPUTF8)
    [recipient] = parsed["To"].addresses
    assert recipient.domain == envelope.rpartition("@")[2]
    assert "Bcc" not in parsed


@given(st.from_regex(PLAIN, fullmatch=True))
def test_plain_address_is_also_accepted_by_the_library(address: str) -> None:
    """The fast path for plain addresses follows the same rule as the library."""
    try:
        envelope = envelope_address(address)
    except InvalidEmailAddress:
        return
    checked = email_validator.validate_email(address, check_deliverability=False, globally_deliverable=False)
    assert f"{checked.local_part}@{checked.ascii_domain}" == envelope
