"""A rule, ready to be evaluated: its expressions and texts are compiled once.

The evaluation is pure. It returns what the send contains, or the reason that there is none."""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import msgspec
import orjson
from msgspec import Struct

from hub.decide.rules.expressions import Expression, ExpressionError, LimitExceeded, is_true
from hub.decide.templates.errors import RenderStopped, TemplateError
from hub.decide.templates.liquid_rendering import ParsedTemplate
from hub.decide.templates.liquid_rendering import parse as parse_liquid
from hub.decide.templates.parts import StoredTemplate, TextLimits, compiled, render
from hub.decide.templates.render_input import RenderInput, render_input
from hub.model import Channel, Content, Rule, SendAudience, TemplateTexts, Tenant
from hub.unicode_text import IDENTIFIER_MAX_CHARS, IDENTIFIER_RULE, is_identifier

RESULT_MAX_IDS = 1_000
RESULT_MAX_BYTES = 32 * 1024
EXCEPT_MAX = 100
NOT_IN_RULES = frozenset({"user", "notification", "enriched"})
"""Names of templates that differ between the recipients, or that are not known yet."""

CONDITION_FALSE = "the condition is not met"
NO_RECIPIENTS = "no recipients: `to` finds none"
ALL_EXCLUDED = "no recipients: `except` leaves none"

T = TypeVar("T")


class RuleError(ValueError):
    """A rule that is not valid, or that cannot be evaluated for an event. `field`: its path in `RuleInput`. `stopped`:
    True if the evaluation was stopped at a limit."""

    def __init__(self, field: str, reason: str, *, stopped: bool = False) -> None:
        super().__init__(f"`{field}`: {reason}")
        self.field = field
        self.stopped = stopped


class NoRecipients(Exception):
    """A rule finds no recipient. The message is the reason."""


class RuleSend(Struct, frozen=True, kw_only=True):
    """What an event contributes to the send of a rule. Either `users` or `audience` is set. `data`: JSON text."""

    users: tuple[str, ...]
    audience: SendAudience | None
    excluded: tuple[str, ...]
    data: str | None
    content: Content | None
    collapse_key: str | None
    digest_key: str | None


class NoSend(Struct, frozen=True):
    """The reason that a rule sends nothing for an event. `matched`: True if the condition is met. `data`: JSON text,
    if it was made before. `stopped`: True if the evaluation was stopped at a limit."""

    reason: str
    matched: bool
    data: str | None = None
    stopped: bool = False


class CompiledRule:
    """A rule with its compiled expressions and texts. Raise RuleError if one is not valid."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        sources = {
            "condition": rule.condition,
            "to.users": rule.to.users,
            "to.topic": rule.to.topic,
            "data": rule.data,
            "digest.key": rule.digest.key if rule.digest else None,
            "except": rule.excluded,
        }
        self._expressions = {
            field: _in_field(field, partial(Expression, source))
            for field, source in sources.items()
            if source is not None
        }
        self._content = _compile_content(rule.content) if rule.content else None
        self._collapse_key = _compile_collapse_key(rule.collapse_key) if rule.collapse_key else None

    def check_limits(self) -> None:
        """Raise RuleError if an expression breaks a limit although the event is empty."""
        for field, expression in self._expressions.items():
            try:
                expression.evaluate({})
            except LimitExceeded as error:
                raise RuleError(field, str(error)) from None
            except ExpressionError:
                continue  # a value is missing

    def evaluate(
        self, event: Mapping[str, Any], tenant: Tenant, limits: TextLimits, now: datetime
    ) -> RuleSend | NoSend:
        """Return what the rule sends for an event, a JSON object, or the reason that it sends nothing."""
        matched, data = False, None
        try:
            if "condition" in self._expressions and not is_true(self._value("condition", event)):
                return NoSend(CONDITION_FALSE, matched)
            matched = True
            value = self._data(event)
            data = None if value is None else orjson.dumps(value).decode()
            return self._send(event, value, data, tenant, limits, now)
        except NoRecipients as error:
            return NoSend(str(error), matched, data)
        except RuleError as error:
            return NoSend(str(error), matched, data, error.stopped)

    def _send(
        self,
        event: Mapping[str, Any],
        value: object,
        data: str | None,
        tenant: Tenant,
        limits: TextLimits,
        now: datetime,
    ) -> RuleSend:
        excluded = self._ids("except", event, EXCEPT_MAX) if self.rule.excluded else ()
        users, audience = self._recipients(event, excluded)
        given = _render_input(event, value, tenant, now)
        return RuleSend(
            users=users,
            audience=audience,
            excluded=excluded,
            data=data,
            content=_in_field("content", partial(self._render_content, given, limits)),
            collapse_key=self._render_collapse_key(given),
            digest_key=self._key("digest.key", event) if self.rule.digest else None,
        )

    def _value(self, field: str, event: Mapping[str, Any]) -> Any:
        return _in_field(field, partial(self._expressions[field].evaluate, event))

    def _data(self, event: Mapping[str, Any]) -> object:
        """Return what the texts read as `data`. The event's own data need not be an object."""
        if self.rule.data is None:
            value = event.get("data")
            if not isinstance(value, dict) or self.rule.template is None:
                return value
        else:
            value = self._value("data", event)
        if value is None:
            return None
        if self.rule.template and not isinstance(value, dict):
            raise RuleError("data", "the data of a template must be an object")
        try:
            size = len(orjson.dumps(value))
        except (TypeError, RecursionError) as error:  # orjson raises TypeError for what is not JSON
            raise RuleError("data", "the result is not JSON") from error
        if size > RESULT_MAX_BYTES:
            raise RuleError(
                "data", f"the data has {size:,} bytes, more than {RESULT_MAX_BYTES:,}. Choose what the texts need."
            )
        return value

    def _recipients(
        self, event: Mapping[str, Any], excluded: tuple[str, ...]
    ) -> tuple[tuple[str, ...], SendAudience | None]:
        to = self.rule.to
        if to.users is None:
            topic = None if to.topic is None else self._key("to.topic", event)
            return (), SendAudience(everyone=to.everyone, topic=topic, where=to.where)
        found = self._ids("to.users", event, RESULT_MAX_IDS)
        users = tuple(user for user in found if user not in excluded)
        if not users:
            raise NoRecipients(ALL_EXCLUDED if found else NO_RECIPIENTS)
        return users, None

    def _ids(self, field: str, event: Mapping[str, Any], most: int) -> tuple[str, ...]:
        """Return the distinct ids that an expression finds: one, or an array. Null stands for none."""
        result = self._value(field, event)
        found = result if isinstance(result, list) else [result]
        if len(found) > most:
            raise RuleError(field, f"the result has {len(found):,} ids, more than {most:,}")
        return tuple(dict.fromkeys(_identifier(field, "id", one) for one in found if one is not None))

    def _key(self, field: str, event: Mapping[str, Any]) -> str:
        result = self._value(field, event)
        if result is None:
            if field == "to.topic":
                raise NoRecipients(NO_RECIPIENTS)
            raise RuleError(field, "the result is null")
        return _identifier(field, "key", result)

    def _render_content(self, given: RenderInput, limits: TextLimits) -> Content | None:
        if self._content is None:
            return None
        rendered = render(self._content, Channel.IN_APP, given, limits)
        return Content(
            title=rendered.title or "",
            body=rendered.body,
            markdown=rendered.markdown,
            image_url=rendered.image_url,
            action_url=rendered.action_url,
            actions=rendered.actions,
        )

    def _render_collapse_key(self, given: RenderInput) -> str | None:
        if (parsed := self._collapse_key) is None:
            return None
        key = _in_field(
            "collapseKey",
            lambda: parsed.render(given.values, locale=given.locale, timezone=given.timezone, now=given.now),
        )
        return _identifier("collapseKey", "key", key.strip())


def _in_field(field: str, call: Callable[[], T]) -> T:
    """Return the result of a call. Convert an error of an expression or a text to a RuleError."""
    try:
        return call()
    except ExpressionError as error:
        raise RuleError(field, str(error), stopped=isinstance(error, LimitExceeded)) from None
    except TemplateError as error:
        part = f"{field}.{error.part}" if error.part else field
        reason = f"line {error.line}: {error.reason}" if error.line else error.reason
        raise RuleError(part, reason, stopped=isinstance(error, RenderStopped)) from None


def _identifier(field: str, noun: str, value: object) -> str:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str):
        raise RuleError(field, f"the result must be a text or an integer that is the {noun}")
    if len(text) > IDENTIFIER_MAX_CHARS or not is_identifier(text):
        raise RuleError(field, f"the {noun} must have {IDENTIFIER_RULE}, at most {IDENTIFIER_MAX_CHARS}")
    return text


def _compile_content(content: Content) -> StoredTemplate:
    texts = TemplateTexts(
        key="",
        locale="",
        title=content.title,
        body=content.body,
        markdown=content.markdown,
        image_url=content.image_url,
        action_url=content.action_url,
        actions=content.actions,
    )
    texts = _in_field("content", partial(compiled, texts))
    _check_names("content", texts.variables)
    return StoredTemplate(texts)


def _compile_collapse_key(source: str) -> ParsedTemplate:
    parsed = _in_field("collapseKey", partial(parse_liquid, source))
    _check_names("collapseKey", parsed.variables)
    return parsed


def _check_names(field: str, variables: tuple[str, ...]) -> None:
    for variable in variables:
        if (name := variable.partition(".")[0].partition("[")[0]) in NOT_IN_RULES:
            raise RuleError(
                field, f"`{name}` is not known: the texts are the same for all recipients. Use a template instead."
            )


def _render_input(event: Mapping[str, Any], data: object, tenant: Tenant, now: datetime) -> RenderInput:
    """Return the values of the texts: `event`, `data`, and `tenant`."""
    given = render_input(tenant, None, None, data, locale=tenant.locale, timezone=tenant.timezone, now=now)
    values = {name: value for name, value in given.values.items() if name not in NOT_IN_RULES}
    return msgspec.structs.replace(given, values=values | {"event": event}, stand_in=False)
