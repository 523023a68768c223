"""The rules of a tenant, run for an event."""

from hub.model import Event, RuleResult


class RunRules:
    async def run_rules(self, event: Event) -> list[RuleResult]:  # noqa: ARG002 - no rules exist yet
        """Run the rules of the event's tenant. Return one result for each rule whose type pattern fits.

        The method may run several times for one event: after a failure, after the process was killed, and after a
        replay. `event.results` contains the results of the last complete run. A rule makes at most one send per event.

        Raise HubError or PyMongoError for a temporary failure, such as Unavailable: the event is then tried again. What
        is wrong with a rule is the `reason` of its result."""
        return []
