"""Channels, device kinds, and priorities."""

from enum import StrEnum


class Channel(StrEnum):
    IN_APP = "IN_APP"
    EMAIL = "EMAIL"
    WEB_PUSH = "WEB_PUSH"
    MOBILE_PUSH = "MOBILE_PUSH"
    SMS = "SMS"
    WHATSAPP = "WHATSAPP"
    WEBHOOK = "WEBHOOK"
    SLACK = "SLACK"
    DISCORD = "DISCORD"
    TEAMS = "TEAMS"


class DeviceKind(StrEnum):
    WEB_PUSH = "WEB_PUSH"
    MOBILE_PUSH = "MOBILE_PUSH"
    SLACK = "SLACK"
    DISCORD = "DISCORD"
    TEAMS = "TEAMS"
    WEBHOOK = "WEBHOOK"


class Reach(StrEnum):
    """Says if a category can arrive on a channel, and if not, why."""

    OK = "OK"
    NO_ADDRESS = "NO_ADDRESS"
    NOT_CONFIGURED = "NOT_CONFIGURED"
    NOT_USED = "NOT_USED"


class Priority(StrEnum):
    CRITICAL = "CRITICAL"
    HIGH = "HIGH"
    MEDIUM = "MEDIUM"
    LOW = "LOW"
