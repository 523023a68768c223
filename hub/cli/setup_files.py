"""The set-up of a tenant as files: categories, topics, and rules. `template_files` has the templates.

A file is YAML or JSON. It contains one object, or an array of objects, with the fields of the GraphQL input and their
names. Fields with their default value may be left out.
"""

from pathlib import Path
from typing import Any, ClassVar, TypeVar

import msgspec
import yaml
from msgspec import Struct
from msgspec.structs import force_setattr

from hub import iso_duration
from hub.model import Channel, EnrichmentFailure, Priority, StepStop

SUFFIXES = (".yaml", ".yml", ".json")
TIMESTAMP = "tag:yaml.org,2002:timestamp"
LINE_MAX_CHARS = 1000


class SetupFileError(ValueError):
    """A file that cannot be read, or that does not contain what it should. The message names the file."""


class Entry(Struct, kw_only=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """The base class. Fields have the names of the API."""

    def __post_init__(self) -> None:
        """Normalize values that have several spellings. Raise ValueError for a malformed duration."""
        for name in DURATIONS.intersection(self.__struct_fields__):
            if (value := getattr(self, name)) is not None:
                force_setattr(self, name, iso_duration.format(round(iso_duration.parse(value))))


DURATIONS = frozenset({"after", "window", "retention", "expires_in", "ttl", "timeout"})
"""The names of the fields that contain a duration in ISO 8601 format."""


class Step(Entry):
    channels: list[Channel]
    after: str = "PT0S"
    unless: StepStop = StepStop.READ


class Action(Entry):
    key: str
    label: str
    url: str | None = None
    primary: bool = False


class Enrichment(Entry):
    url: str
    ttl: str = "PT0S"
    timeout: str = "PT5S"
    on_failure: EnrichmentFailure = EnrichmentFailure.SEND


class Category(Entry):
    """The fields of `CategoryInput`."""

    key: str
    name: str
    default_channels: list[Channel]
    description: str | None = None
    required: bool = False
    priority: Priority = Priority.MEDIUM
    steps: list[Step] = []
    retention: str | None = None
    digest: str | None = None
    enrichment: Enrichment | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.digest is not None:
            self.digest = iso_duration.format(round(iso_duration.parse(self.digest)))


class Topic(Entry):
    """The fields of `TopicInput`."""

    key: str
    name: str | None = None
    description: str | None = None
    visible: bool = False

    def __post_init__(self) -> None:
        if self.name == self.key:
            self.name = None


class RuleRecipients(Entry):
    users: str | None = None
    topic: str | None = None
    everyone: bool = False
    where: dict[str, Any] | None = None


class RuleContent(Entry):
    title: str
    body: str
    action_url: str | None = None
    image_url: str | None = None
    actions: list[Action] = []
    markdown: bool = False

    def __post_init__(self) -> None:
        self.action_url = self.action_url or None
        self.image_url = self.image_url or None


class RuleDigest(Entry):
    key: str
    window: str


class Rule(Entry):
    """The fields of `RuleInput`."""

    key: str
    type: str
    to: RuleRecipients
    category: str
    name: str | None = None
    enabled: bool = True
    source: str | None = None
    condition: str | None = None
    template: str | None = None
    content: RuleContent | None = None
    data: str | None = None
    priority: Priority | None = None
    collapse_key: str | None = None
    channels: list[Channel] | None = None
    steps: list[Step] = []
    digest: RuleDigest | None = None
    tags: list[str] = []
    require_ack: bool = False
    after: str | None = None
    expires_in: str | None = None
    except_: str | None = msgspec.field(name="except", default=None)


T = TypeVar("T")


def read_entries(path: Path, type: type[T]) -> list[T]:
    """Return the entries of a file. Raise SetupFileError."""
    value = read_value(path)
    try:
        entries = msgspec.convert(value, list[type] | type)  # type: ignore[valid-type]
    except msgspec.ValidationError as error:
        hint = f". The channels are {', '.join(Channel)}" if ".channel" in str(error) else ""
        raise SetupFileError(f"{path}: {error}{hint}") from None
    if entries == []:
        raise SetupFileError(f"{path}: the array must contain at least one object.")
    return entries if isinstance(entries, list) else [entries]


def read_value(path: Path) -> Any:
    """Return the value of a YAML or JSON file. Raise SetupFileError."""
    text = read_text(path)
    try:
        return msgspec.json.decode(text) if path.suffix == ".json" else yaml.load(text, _Loader)  # noqa: S506
    except msgspec.DecodeError as error:
        raise SetupFileError(f"{path}: {error}") from None
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise SetupFileError(f"{path}: {line}{error.problem}") from None
    except yaml.YAMLError as error:
        raise SetupFileError(f"{path}: this is not YAML: {error}") from None


def read_text(path: Path) -> str:
    """Return the text of a file. Raise SetupFileError."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SetupFileError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise SetupFileError(f"{path} cannot be read: {error}.") from None


def fields_of(entry: object) -> Any:
    """Return an entry as a JSON value without its default values."""
    return msgspec.to_builtins(entry)


def dump(value: Any) -> str:
    """Return a JSON value as YAML. Texts of several lines are blocks."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=LINE_MAX_CHARS)
    return text


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Reads a date as a text, as JSON does."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, Any]]]] = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != TIMESTAMP]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    pass


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)
