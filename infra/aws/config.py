"""The context values of the app. docs/operations/deploy-on-aws.md describes them."""

import json
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Protocol

HUB_SETTING = re.compile(r"HUB_[A-Z0-9_]+")


class Context(Protocol):
    """The node of an app."""

    def try_get_context(self, key: str) -> Any: ...


class ContextError(ValueError):
    """A context value is missing or not valid. The message contains its name and what to write."""


@dataclass(frozen=True, slots=True)
class Config:
    """`settings`: values of HUB_* variables. `secrets`: ARNs of secrets with values of HUB_* variables. `events`: the
    event pattern of EventBridge for each tenant. `waf_rate`: requests from one address in five minutes."""

    domain: str
    certificate_arn: str
    image: str
    secrets: Mapping[str, str]
    settings: Mapping[str, str] = field(default_factory=dict)
    events: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    alarm_email: str = ""
    own_mongo: bool = False
    backups: bool = False
    traces: bool = False
    waf_rate: int = 100_000

    def __post_init__(self) -> None:
        for name in (*self.settings, *self.secrets):
            if not HUB_SETTING.fullmatch(name):
                raise ContextError(f"{name} in `settings` or `secrets` is not a setting: write HUB_...")
        if twice := sorted(self.settings.keys() & self.secrets.keys()):
            raise ContextError(f"{', '.join(twice)}: in `settings` and in `secrets`: remove one of them")
        if "HUB_JWT_SECRET" in self.settings or "HUB_JWT_SECRET" in self.secrets:
            raise ContextError("HUB_JWT_SECRET: the stack creates and rotates this secret: remove it")
        if self.own_mongo == ("HUB_MONGO_URL" in self.secrets):
            raise ContextError(
                "`secrets` has HUB_MONGO_URL, the ARN of the secret with the URL of MongoDB, unless `own_mongo` is true"
            )

    @property
    def metrics_namespace(self) -> str:
        """The CloudWatch namespace, which is different for each hub of an account."""
        return f"NotificationHub/{self.domain}"


def read_config(node: Context) -> Config:
    """Return the context values. Raise ContextError. `cdk -c` passes text, so objects may also be JSON text."""
    values: dict[str, Any] = {}
    for one in fields(Config):
        value = node.try_get_context(one.name)
        if value is None or value == "":
            if one.default is MISSING and one.default_factory is MISSING:
                raise ContextError(f"the context value `{one.name}` is missing: see docs/operations/deploy-on-aws.md")
            continue
        values[one.name] = value if one.type is str else _parsed(one.name, value)
    return Config(**values)


def _parsed(name: str, value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        raise ContextError(f"the context value `{name}` is not JSON") from None
