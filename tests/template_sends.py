"""Store templates and send with them."""

from typing import Any

from tests.client import Json, Tenant

UPSERT = "mutation ($input: TemplateInput!) { upsertTemplate(input: $input) { version } }"
DELETE = "mutation ($key: String!) { deleteTemplate(key: $key) }"
SEND = (
    "mutation ($input: SendInput!) { send(input: $input) { "
    "duplicate send { id title template templateVersion content { title } } } }"
)
UPSERT_USERS = "mutation ($users: [UserInput!]!) { upsertUsers(users: $users) { id } }"
LOCALES = {"en": "Hello", "de": "Hallo", "fr": "Bonjour"}
ZONES = ("Europe/Berlin", "America/New_York", "Asia/Tokyo", "UTC")


async def store_template(tenant: Tenant, key: str, **texts: Any) -> int:
    """Store the texts of a template. Return the version."""
    fields = {"key": key, "title": "Title", "body": "", **texts}
    version: int = (await tenant.execute_as_admin(UPSERT, input=fields))["upsertTemplate"]["version"]
    return version


def template_input(*users: str, key: str = "order", template_data: Json | None = None, **more: Any) -> Json:
    """Return the input of a send. `template_data` is `template.data`."""
    template = {"key": key, "data": template_data}
    return {"to": {"users": list(users)}, "category": "news", "template": template, **more}


async def send_template(tenant: Tenant, *users: str, **more: Any) -> Json:
    """Send with a template. Return `{duplicate, send}`."""
    sent: Json = (await tenant.execute(SEND, input=template_input(*users, **more)))["send"]
    return sent


async def create_people(tenant: Tenant, count: int) -> list[Json]:
    """Create users of three locales and four time zones, in all combinations."""
    people: list[Json] = [
        {
            "id": f"u{n}",
            "name": f"Name {n}",
            "email": f"u{n}@people.example",
            "locale": list(LOCALES)[n % 3],
            "timezone": ZONES[n % 4],
        }
        for n in range(count)
    ]
    await tenant.execute(UPSERT_USERS, users=people)
    return people
