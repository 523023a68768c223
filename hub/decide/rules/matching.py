"""The rules that fit an event by its type and source."""

from collections import Counter
from collections.abc import Iterable

from hub.model import Rule

EVENT_MAX_RULES = 50
WILDCARD = ".*"
OWN_EVENTS = "hub."
"""The prefix of the types of the hub's own events."""


def is_own_event(type: str) -> bool:
    """Return True if an event, or the events of a pattern, are the hub's own."""
    return type.startswith(OWN_EVENTS)


def fits(rule: Rule, type: str, source: str) -> bool:
    """Return True if a rule is enabled and fits an event. The hub's own events fit only rules that name a source, so
    the sends of other rules cannot start them again."""
    return rule.source in (None, source) and fits_type(rule, type)


def fits_type(rule: Rule, type: str) -> bool:
    """Return True if a rule is enabled and fits events of a type, if they have the source of the rule."""
    if not rule.enabled or (is_own_event(type) and rule.source is None):
        return False
    if rule.type.endswith(WILDCARD):
        return type.startswith(rule.type.removesuffix("*"))
    return rule.type == type


def most_rules_of_an_event(rules: Iterable[Rule]) -> int:
    """Return the largest number of rules that fit one event. No event fits more than one with the type of one of the
    rules, and the source of one."""
    rules, most = list(rules), 0
    for type in {rule.type.removesuffix("*") for rule in rules}:
        by_source = Counter(rule.source for rule in rules if fits_type(rule, type))
        of_any_source = by_source.pop(None, 0)
        most = max(most, of_any_source + max(by_source.values(), default=0))
    return most
