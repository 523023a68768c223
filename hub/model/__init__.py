"""Documents and values, without I/O. The same class defines the value in the code, the MongoDB document, and the live
message."""

from hub.model.audit import AuditEntry, AuditQuery
from hub.model.channels import Channel, DeviceKind, Priority
from hub.model.digests import ITEMS_SHOWN, DigestKind, DigestMode
from hub.model.events import EVENT_JOB_STATUSES, Event, EventStatus, RuleResult, RulesRun, event_status, event_values
from hub.model.inbox_events import Backlog, InboxEvent, InboxEventKind, MailboxChange, Position
from hub.model.mailboxes import InboxState, InboxView, Interruptions, Mailbox, mailbox_of, tenant_of, user_of
from hub.model.notifications import (
    BECAUSE_KINDS,
    CONTENT_FIELDS,
    MUTABLE_FIELDS,
    Action,
    BecauseKind,
    Content,
    Notification,
    live_keys,
    notification_from,
)
from hub.model.outbox_jobs import Attempt, Delivery, WebhookCall, delivery_id
from hub.model.preferences import EVERY_DAY, NO_PREFERENCES, CategoryPreference, DigestChoice, Preferences, QuietHours
from hub.model.principals import CLI_ACTOR_PREFIX, Principal, Role, is_person
from hub.model.receipts import PendingReceipt, Receipt, ReceiptKind
from hub.model.record import Record, document
from hub.model.rules import Rule, RuleDigest, RuleRecipients, rule_id
from hub.model.sends import ERASED_SEND_FIELDS, SEND_CONTENT_FIELDS, Send, SendAudience
from hub.model.service_keys import KeyRole, Scope, ServiceKey
from hub.model.statuses import DeliveryStatus, Reason, SendStatus
from hub.model.steps import Step, StepStop
from hub.model.templates import CURRENT_UNTIL, Template, TemplateTexts
from hub.model.tenants import DEFAULT_LOCALE, DEFAULT_TIMEZONE, Category, Tenant, WebhookEndpoint
from hub.model.topics import SubscriptionState, Topic, TopicSubscription, topic_id, topic_key_of
from hub.model.users import Device, User
from hub.model.window_counts import WindowCount

__all__ = (
    "BECAUSE_KINDS",
    "CLI_ACTOR_PREFIX",
    "CONTENT_FIELDS",
    "CURRENT_UNTIL",
    "DEFAULT_LOCALE",
    "DEFAULT_TIMEZONE",
    "ERASED_SEND_FIELDS",
    "EVENT_JOB_STATUSES",
    "EVERY_DAY",
    "ITEMS_SHOWN",
    "MUTABLE_FIELDS",
    "NO_PREFERENCES",
    "SEND_CONTENT_FIELDS",
    "Action",
    "Attempt",
    "AuditEntry",
    "AuditQuery",
    "Backlog",
    "BecauseKind",
    "Category",
    "CategoryPreference",
    "Channel",
    "Content",
    "Delivery",
    "DeliveryStatus",
    "Device",
    "DeviceKind",
    "DigestChoice",
    "DigestKind",
    "DigestMode",
    "Event",
    "EventStatus",
    "InboxEvent",
    "InboxEventKind",
    "InboxState",
    "InboxView",
    "Interruptions",
    "KeyRole",
    "Mailbox",
    "MailboxChange",
    "Notification",
    "PendingReceipt",
    "Position",
    "Preferences",
    "Principal",
    "Priority",
    "QuietHours",
    "Reason",
    "Receipt",
    "ReceiptKind",
    "Record",
    "Role",
    "Rule",
    "RuleDigest",
    "RuleRecipients",
    "RuleResult",
    "RulesRun",
    "Scope",
    "Send",
    "SendAudience",
    "SendStatus",
    "ServiceKey",
    "Step",
    "StepStop",
    "SubscriptionState",
    "Template",
    "TemplateTexts",
    "Tenant",
    "Topic",
    "TopicSubscription",
    "User",
    "WebhookCall",
    "WebhookEndpoint",
    "WindowCount",
    "delivery_id",
    "document",
    "event_status",
    "event_values",
    "is_person",
    "live_keys",
    "mailbox_of",
    "notification_from",
    "rule_id",
    "tenant_of",
    "topic_id",
    "topic_key_of",
    "user_of",
)
