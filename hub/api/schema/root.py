"""The GraphQL schema. The root fields are defined in one module per domain.

Each root field has an access rule (`access.py`), converts the input, and calls one workflow or reader.
"""

import strawberry
from graphql import GraphQLInputObjectType

from hub.api.schema.access import check_rules
from hub.api.schema.activity import ActivityQuery
from hub.api.schema.audience import AudienceQuery
from hub.api.schema.audit import AuditQuery
from hub.api.schema.channels import ChannelMutation, ChannelQuery
from hub.api.schema.deliveries import DeliveryQuery
from hub.api.schema.delivery_batches import DeliveryBatchMutation, DeliveryBatchQuery
from hub.api.schema.delivery_groups import DeliveryGroupQuery
from hub.api.schema.devices import DeviceMutation, DeviceQuery
from hub.api.schema.enrichment import EnrichmentMutation
from hub.api.schema.events import EventMutation, EventQuery
from hub.api.schema.find import FindQuery
from hub.api.schema.health import HealthQuery
from hub.api.schema.inbox import InboxMutation, InboxQuery
from hub.api.schema.inbox_stream import InboxSubscription
from hub.api.schema.personal_data import check_names
from hub.api.schema.preferences import PreferencesMutation, PreferencesQuery
from hub.api.schema.receipts import ReceiptSubscription
from hub.api.schema.rules import RuleMutation, RuleQuery
from hub.api.schema.scalars import CONFIG
from hub.api.schema.send_subscription import SendSubscription
from hub.api.schema.sends import SendMutation, SendQuery
from hub.api.schema.service_keys import ServiceKeyMutation, ServiceKeyQuery
from hub.api.schema.simulation import SimulationQuery
from hub.api.schema.suppressions import SuppressionMutation, SuppressionQuery
from hub.api.schema.templates import TemplateMutation, TemplateQuery
from hub.api.schema.tenants import TenantMutation, TenantQuery
from hub.api.schema.topics import TopicMutation, TopicQuery
from hub.api.schema.user_data import UserDataMutation
from hub.api.schema.users import UserMutation, UserQuery
from hub.api.schema.webhooks import WebhookMutation, WebhookQuery


@strawberry.type(description="Operations that read data.")
class Query(
    UserQuery,
    InboxQuery,
    PreferencesQuery,
    DeviceQuery,
    SendQuery,
    DeliveryQuery,
    DeliveryBatchQuery,
    DeliveryGroupQuery,
    FindQuery,
    ActivityQuery,
    SimulationQuery,
    AudienceQuery,
    TenantQuery,
    TemplateQuery,
    TopicQuery,
    WebhookQuery,
    EventQuery,
    RuleQuery,
    SuppressionQuery,
    HealthQuery,
    ChannelQuery,
    ServiceKeyQuery,
    AuditQuery,
):
    pass


@strawberry.type(description="Operations that change data. The fields of an operation are executed in sequence.")
class Mutation(
    InboxMutation,
    PreferencesMutation,
    DeviceMutation,
    SendMutation,
    DeliveryBatchMutation,
    UserMutation,
    UserDataMutation,
    TenantMutation,
    TemplateMutation,
    TopicMutation,
    EnrichmentMutation,
    WebhookMutation,
    EventMutation,
    RuleMutation,
    SuppressionMutation,
    ChannelMutation,
    ServiceKeyMutation,
):
    pass


@strawberry.type(description="Operations that return events as they happen, over WebSocket or server-sent events.")
class Subscription(InboxSubscription, ReceiptSubscription, SendSubscription):
    pass


def make_schema() -> strawberry.Schema:
    """Return the schema. Raise TypeError if a root field has no access rule, or if a table names an unknown field."""
    schema = strawberry.Schema(Query, Mutation, Subscription, config=CONFIG)
    check_rules(schema._schema)
    check_names(schema._schema)
    for name in ("RecipientsInput", "RuleRecipientsInput"):
        recipients = schema._schema.type_map[name]
        assert isinstance(recipients, GraphQLInputObjectType)
        del recipients.out_type  # Strawberry's check, whose error has no field
    return schema
