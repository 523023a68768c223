"""Everything that can be written can be read: a client that reads set-up and writes it back loses nothing.

Each input value names every field of its input type. A new field fails the test until it is written and read here."""

from datetime import UTC, datetime, timedelta
from typing import Any

from graphql import GraphQLInputObjectType, get_named_type

from hub.api.schema.root import make_schema
from tests.client import Json, Tenant

TYPES = make_schema()._schema.type_map
WRITE_ONLY = {"TemplateInput.sample"}  # renders the texts once, and is not stored
STEPS = [
    {"channels": ["IN_APP"], "after": "PT0S", "unless": "READ"},
    {"channels": ["EMAIL"], "after": "PT10M", "unless": "SEEN"},
]
CATEGORY = {
    "key": "billing",
    "name": "Billing",
    "description": "Invoices and reminders",
    "required": True,
    "defaultChannels": ["EMAIL", "WEB_PUSH"],
    "priority": "HIGH",
    "retention": "P30D",
    "steps": STEPS,
    "digest": "PT1H",
    "enrichment": {"url": "https://shop.example/enrich", "ttl": "PT1H", "timeout": "PT3S", "onFailure": "RETRY"},
}
TEMPLATE = {
    "key": "invoice",
    "locale": "de",
    "channel": "EMAIL",
    "subject": "Rechnung {{ n }}",
    "title": "Rechnung",
    "body": "**Rechnung** {{ n }}",
    "markdown": True,
    "html": "<p>{{ n }}</p>",
    "preheader": "Vorschau",
    "actionUrl": "https://app.example/{{ n }}",
    "imageUrl": "https://app.example/picture.png",
    "actions": [{"key": "pay", "label": "Bezahlen", "url": "https://app.example/pay", "primary": True}],
    "whatsappContentSid": "HX" + "0123456789abcdef" * 2,
    "whatsappVariables": ["{{ n }}"],
    "sample": {"n": 7},
    "note": "The first version.",
}
TOPIC = {"key": "releases", "name": "Releases", "description": "New versions", "visible": True}
WINDOW = {"start": "22:00", "end": "07:00", "timezone": "Europe/Berlin", "days": [1, 2, 3], "allow": "HIGH"}


RULE: Json = {
    "key": "shipped",
    "name": "Shipped",
    "enabled": False,
    "type": "shop.order.*",
    "source": "shop",
    "condition": "data.total > `10`",
    "to": {"users": "data.customer"},
    "category": "orders",
    "content": {
        "title": "Order {{ event.data.order }}",
        "body": "**Shipped**",
        "actionUrl": "https://app.example/orders",
        "imageUrl": "https://app.example/picture.png",
        "actions": [{"key": "view", "label": "View", "url": "https://app.example/view", "primary": True}],
        "markdown": True,
    },
    "data": "data.order",
    "priority": "HIGH",
    "collapseKey": "order-{{ event.data.order }}",
    "channels": ["IN_APP", "EMAIL"],
    "steps": [{"channels": ["EMAIL"], "after": "PT10M", "unless": "SEEN"}],
    "digest": {"key": "data.customer", "window": "PT1H"},
    "tags": ["order"],
    "requireAck": True,
    "after": "PT5M",
    "expiresIn": "P1D",
    "except": "data.author",
}
OTHER_RULES: list[Json] = [
    {**{name: value for name, value in RULE.items() if name != "content"}, "template": "order", "to": {"topic": "'a'"}},
    {**RULE, "to": {"everyone": True}},
    {**RULE, "to": {"where": {"attributes.plan": "pro"}}},
]


def ahead(**time: float) -> str:
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(**time)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def named_fields(input_type: str, *values: Json) -> set[str]:
    """Return the fields that the values name, and check that these are all fields of the type and its inner types."""
    type_ = TYPES[input_type]
    assert isinstance(type_, GraphQLInputObjectType)
    names = {name for value in values for name in value}
    assert names == set(type_.fields), f"{input_type}: write and read every field"
    for name, field in type_.fields.items():
        inner = get_named_type(field.type)
        if isinstance(inner, GraphQLInputObjectType):
            given = [value[name] for value in values if name in value]
            named_fields(inner.name, *[one for item in given for one in (item if isinstance(item, list) else [item])])
    return {name for name in names if f"{input_type}.{name}" not in WRITE_ONLY}


def selection(value: Any) -> str:
    """Return the selection of the fields that a value has."""
    if isinstance(value, list):
        value = value[0]
    if not isinstance(value, dict):
        return ""
    return f"{{ {' '.join(f'{name} {selection(inner)}' for name, inner in value.items())} }}"


async def write(tenant: Tenant, mutation: str, input_type: str, value: Json) -> None:
    query = f"mutation ($input: {input_type}!) {{ {mutation}(input: $input) {{ __typename }} }}"
    await tenant.execute_as_admin(query, input=value)


async def test_every_field_of_a_category_is_read_back(tenant: Tenant) -> None:
    named_fields("CategoryInput", CATEGORY)
    await write(tenant, "upsertCategory", "CategoryInput", CATEGORY)
    read = await tenant.execute_as_admin(f"{{ categories {selection(CATEGORY)} }}")
    assert read["categories"] == [CATEGORY]


async def test_every_field_of_a_template_is_read_back(tenant: Tenant) -> None:
    readable = named_fields("TemplateInput", TEMPLATE) - {"note"}
    await write(tenant, "upsertTemplate", "TemplateInput", TEMPLATE)
    expected = {name: value for name, value in TEMPLATE.items() if name in readable}
    find = 'template(key: "invoice", locale: "de", channel: EMAIL)'
    assert (await tenant.execute_as_admin(f"{{ {find} {selection(expected)} }}"))["template"] == expected
    await write(tenant, "upsertTemplate", "TemplateInput", TEMPLATE | {"body": "Another", "note": None})
    versions = (await tenant.execute_as_admin(f"{{ {find} {{ versions {{ note }} }} }}"))["template"]["versions"]
    assert versions == [{"note": TEMPLATE["note"]}]


async def test_every_field_of_a_topic_is_read_back(tenant: Tenant) -> None:
    named_fields("TopicInput", TOPIC)
    await write(tenant, "upsertTopic", "TopicInput", TOPIC)
    read = await tenant.execute_as_admin(f"{{ topics {{ nodes {selection(TOPIC)} }} }}")
    assert read["topics"]["nodes"] == [TOPIC]


async def test_every_field_of_a_rule_is_read_back(tenant: Tenant) -> None:
    rules = [RULE, *OTHER_RULES]
    named_fields("RuleInput", *rules)
    for rule in rules:
        await write(tenant, "upsertRule", "RuleInput", rule)
        where = " where" if "where" in rule["to"] else ""
        fields = selection({name: value for name, value in rule.items() if not where or name != "to"})
        query = f'{{ rule(key: "shipped") {fields[:-1]} {f"to {{{where} }}" if where else ""} }} }}'
        assert (await tenant.execute_as_admin(query))["rule"] == rule


async def test_every_field_of_a_tenant_and_of_preferences_is_read_back(tenant: Tenant) -> None:
    """The defaults of the tenant, and the preferences of a user, with one and with several windows."""
    await write(tenant, "upsertCategory", "CategoryInput", {**CATEGORY, "required": False})
    muted_until, quiet_until = ahead(days=2), ahead(days=1)
    rows = [
        {"category": "billing", "channel": "EMAIL", "enabled": False, "digest": "PT2H", "mutedUntil": muted_until},
        {"category": "billing", "channel": "WEB_PUSH", "digestAt": "08:30", "digestDays": [1, 5]},
    ]
    schedule = [WINDOW, {**WINDOW, "days": [6, 7], "start": "23:00", "allow": "CRITICAL"}]
    common = {
        "channels": [{"channel": "EMAIL", "enabled": False}],
        "categories": rows,
        "doNotDisturbUntil": quiet_until,
        "dailyLimit": 7,
    }
    one, several = {**common, "quietHours": WINDOW}, {**common, "quietSchedule": schedule}
    named_fields("PreferencesInput", one, several)
    settings = {
        "name": "Acme",
        "logoUrl": "https://acme.example/logo.png",
        "color": "#4f46e5",
        "timezone": "Europe/Berlin",
        "locale": "de",
    }
    named_fields("TenantInput", {**settings, "preferences": one}, {"preferences": several})
    window = selection(WINDOW)
    preferences = f"""preferences {{ channels {{ channel enabled }} doNotDisturbUntil dailyLimit
      quietHours {window} quietSchedule {window}
      categories {{ category {{ key }} mutedUntil channels {{ channel enabled digest digestAt digestDays }} }} }}"""
    for given, windows in ((one, [WINDOW]), (several, schedule)):
        await write(tenant, "updateTenant", "TenantInput", {**settings, "preferences": given})
        read = (await tenant.execute_as_admin(f"{{ tenant {{ {' '.join(settings)} {preferences} }} }}"))["tenant"]
        assert {name: read[name] for name in settings} == settings
        update = "mutation ($input: PreferencesInput!) { updatePreferences(input: $input) { dailyLimit } }"
        await tenant.execute(update, user="ann", input=given)
        own = (await tenant.execute(f"{{ {preferences} }}", user="ann"))["preferences"]
        for found in (read["preferences"], own):
            assert {"channel": "EMAIL", "enabled": False} in found["channels"]
            assert (found["doNotDisturbUntil"], found["dailyLimit"]) == (quiet_until, 7)
            assert (found["quietHours"], found["quietSchedule"]) == (windows[0], windows)
            [row] = found["categories"]
            cells = {cell["channel"]: cell for cell in row["channels"]}
            assert (row["category"]["key"], row["mutedUntil"]) == ("billing", muted_until)
            assert (cells["EMAIL"]["enabled"], cells["EMAIL"]["digest"]) == (False, "PT2H")
            assert (cells["WEB_PUSH"]["digestAt"], cells["WEB_PUSH"]["digestDays"]) == ("08:30", [1, 5])
