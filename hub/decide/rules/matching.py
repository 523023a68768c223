"""The rules that fit an event by its type and source."""

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
    if not rule.enabled or rule.source not in (None, source):
        return False
    if is_own_event(type) and rule.source is None:
        return False
    if rule.type.endswith(WILDCARD):
        return type.startswith(rule.type.removesuffix("*"))
    return rule.type == type


def most_rules_of_an_event(rules: Iterable[Rule]) -> int:
    """Return the largest number of rules that fit one event. No event fits more than one with the most specific pattern
    and the source of one of the rules."""
    rules = [rule for rule in rules if rule.enabled]
    examples = {(rule.type.removesuffix("*"), rule.source or "") for rule in rules}
    return max((sum(fits(rule, *example) for rule in rules) for example in examples), default=0)
