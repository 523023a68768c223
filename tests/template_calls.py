"""Calls of the mutations and queries of templates."""

from typing import Any

import pytest

from tests.client import GraphQLErrors, Json, Tenant

FIELDS = "key locale channel title body version updatedBy variables"
UPSERT = f"mutation ($input: TemplateInput!) {{ upsertTemplate(input: $input) {{ {FIELDS} }} }}"
GET = f"""query ($key: String!, $locale: String, $channel: Channel, $version: Int) {{
  template(key: $key, locale: $locale, channel: $channel, version: $version) {{
    {FIELDS} versions {{ version updatedAt updatedBy note }} }} }}"""
LIST = "query ($key: String) { templates(key: $key) { key locale channel version } }"
REVERT = f"""mutation ($key: String!, $version: Int!, $locale: String, $channel: Channel) {{
  revertTemplate(key: $key, version: $version, locale: $locale, channel: $channel) {{ {FIELDS} }} }}"""
DELETE = """mutation ($key: String!, $locale: String, $channel: Channel) {
  deleteTemplate(key: $key, locale: $locale, channel: $channel) }"""
DELETE_ALL_CHANNELS = "mutation ($key: String!, $locale: String) { deleteTemplate(key: $key, locale: $locale) }"
RENDER = """query ($t: TemplateRefInput!, $draft: TemplateInput, $channel: Channel!, $locale: String, $reader: ID) {
  renderTemplate(template: $t, draft: $draft, channel: $channel, locale: $locale, user: $reader) {
    subject title body markdown html preheader actionUrl imageUrl actions { key label url primary } } }"""


async def upsert(tenant: Tenant, key: str = "order", **more: Any) -> Json:
    fields = {"key": key, "title": "Order", "body": "Hello", **more}
    stored: Json = (await tenant.execute_as_admin(UPSERT, input=fields))["upsertTemplate"]
    return stored


async def get(tenant: Tenant, key: str = "order", **more: Any) -> Any:
    return (await tenant.execute(GET, key=key, **{"locale": "en", **more}))["template"]


async def render(tenant: Tenant, key: str = "order", data: Any = None, channel: str = "IN_APP", **more: Any) -> Json:
    variables = {"t": {"key": key, "data": data}, "channel": channel, "locale": "en", **more}
    rendered: Json = (await tenant.execute(RENDER, **variables))["renderTemplate"]
    return rendered


async def error(call: Any) -> tuple[str, str, str]:
    """Return code, field and message of the error that a call raises."""
    with pytest.raises(GraphQLErrors) as caught:
        await call
    [one] = caught.value.errors
    return one["extensions"]["code"], one["extensions"].get("field", ""), one["message"]
