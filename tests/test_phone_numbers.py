"""Phone numbers: what the API accepts and stores, and what becomes an address."""

from tests.client import Tenant

UPSERT = "mutation ($users: [UserInput!]!) { upsertUsers(users: $users) { phone } }"


async def test_phone_number_is_stored_in_e164_format_and_the_error_names_what_to_change(tenant: Tenant) -> None:
    for written in ("+49 (151) 1234-5678", " +49.151.12345678 ", "+4915112345678"):
        [user] = (await tenant.execute(UPSERT, users=[{"id": "alice", "phone": written}]))["upsertUsers"]
        assert user["phone"] == "+4915112345678"
    for wrong, reason in (
        ("0151 12345678", "with + and its country code"),
        ("+1234", "too few digits"),
        ("+4915112345678901", "many digits"),
        ("+999123456", "does not exist"),
        ("+4915112345678x9", "without an extension"),
        ("+nobody", "with + and its country code"),
    ):
        [found] = (await tenant.execute_raw(UPSERT, users=[{"id": "alice"}, {"id": "alice", "phone": wrong}]))["errors"]
        assert found["extensions"] == {"code": "BAD_USER_INPUT", "field": "users.1.phone"}
        assert reason in found["message"]
        assert wrong not in found["message"]
