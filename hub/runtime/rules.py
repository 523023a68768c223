"""Builds the components of rules."""

from hub.api.context import Services
from hub.audience.rules import Rules
from hub.audience.tenants import Tenants
from hub.runtime.stores import Stores
from hub.settings import Settings
from hub.workflows.rule_requests import RuleRequests
from hub.workflows.run_rules import RunRules


def build_rules(settings: Settings, stores: Stores, tenants: Tenants) -> tuple[Rules, RuleRequests]:
    """Return the store of rules, and the component that evaluates them."""
    return Rules(stores.database, tenants, settings.commit_deadline_s), RuleRequests(settings)


def build_run_rules(settings: Settings, services: Services) -> RunRules:
    """Return the component that runs the rules of events."""
    return RunRules(
        services.rules,
        services.tenants,
        services.rule_requests,
        services.publish,
        services.sends,
        settings,
        services.clock,
    )
