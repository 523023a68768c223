"""A cache of parsed and validated queries. Clients repeat queries, and validation costs more than execution."""

from collections import Counter
from collections.abc import Sequence

from cachetools import LRUCache
from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    SelectionSetNode,
    parse,
    validate,
)
from graphql.language import FieldNode, FragmentSpreadNode, InlineFragmentNode

from hub.platform import metrics
from hub.settings import Settings

SAME_NAME_MAX = 20  # fields answering under one name in one selection: validation compares each with each
CACHE_SIZE = 250  # texts, each up to some hundred kilobytes when parsed
CACHED_TEXT_MAX = 8 << 10  # characters; a longer one is parsed each time


class QueryCache:
    def __init__(self, schema: GraphQLSchema, settings: Settings) -> None:
        self._schema = schema
        self._settings = settings
        self.introspection = settings.mode == "development"
        self._cache: LRUCache[str, DocumentNode] = LRUCache(CACHE_SIZE)
        self._pinned: dict[str, DocumentNode] = {}

    def get(self, text: str) -> DocumentNode | Sequence[GraphQLError]:
        """Return the document, or its errors."""
        if pinned := self._pinned.get(text):
            return pinned
        if cached := self._cache.get(text):
            return cached
        document = self._parse(text)
        if isinstance(document, DocumentNode) and len(text) <= CACHED_TEXT_MAX:
            self._cache[text] = document
        return document

    def pin(self, text: str) -> str | None:
        """Parse a text and keep it forever. Return an error message if it is invalid."""
        document = self._parse(text)
        if not isinstance(document, DocumentNode):
            return document[0].message
        self._pinned[text] = document
        return None

    def _parse(self, text: str) -> DocumentNode | Sequence[GraphQLError]:
        metrics.queries_parsed.inc()
        if len(text) > (longest := self._settings.query_max_chars):
            return [GraphQLError(f"The query is longer than {longest} characters (HUB_QUERY_MAX_CHARS).")]
        most = self._settings.query_max_tokens
        try:
            document = parse(text, max_tokens=most)
            if fault := find_limit_error(document, self._settings):
                return [fault]
            hidden = not self.introspection
            return validate(self._schema, document, max_errors=10, hide_suggestions=hidden) or document
        except GraphQLError as error:
            if error.message.startswith(f"Syntax Error: Document contains more than {most} tokens."):
                return [GraphQLError(f"The query has more than {most} tokens (HUB_QUERY_MAX_TOKENS).")]
            return [error]
        except RecursionError:
            return [GraphQLError("The query is nested too deep.")]


def find_limit_error(document: DocumentNode, settings: Settings) -> GraphQLError | None:
    """Check size and depth, with every fragment counted wherever it is used.

    Each fragment is measured once, so the check is fast for any query."""
    fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
    measured: dict[str, tuple[int, int, int]] = {}
    under_way: set[str] = set()
    hidden: list[str] = []
    repeated: list[str] = []
    most_fields, most_levels = settings.query_max_fields, settings.query_max_depth

    def measure(selections: SelectionSetNode | None) -> tuple[int, int, int]:
        """Fields in all, levels, and fields of the first level."""
        fields = depth = first = 0
        names: Counter[str] = Counter()
        for node in selections.selections if selections else ():
            if isinstance(node, FieldNode):
                names[node.alias.value if node.alias else node.name.value] += 1
                if node.name.value in {"__schema", "__type"}:
                    hidden.append(node.name.value)
                inner, below, _ = measure(node.selection_set)
                inner, below, beside = inner + 1, below + 1, 1
            elif isinstance(node, InlineFragmentNode):
                inner, below, beside = measure(node.selection_set)
            elif isinstance(node, FragmentSpreadNode):
                inner, below, beside = spread(node.name.value)
            else:
                continue
            fields = min(fields + inner, most_fields + 1)
            first = min(first + beside, most_fields + 1)
            depth = max(depth, below)
        repeated.extend(name for name, times in names.items() if times > SAME_NAME_MAX)
        return fields, depth, first

    def spread(name: str) -> tuple[int, int, int]:
        if name in measured:
            return measured[name]
        if name in under_way or name not in fragments:
            return 0, 0, 0  # validation says what is wrong with it
        under_way.add(name)
        measured[name] = measure(fragments[name].selection_set)
        return measured[name]

    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            fields, depth, first = measure(definition.selection_set)
            if repeated:
                return GraphQLError(f"A selection asks more than {SAME_NAME_MAX} times for `{repeated[0][:64]}`.")
            if first > settings.query_max_root_fields:
                most = f"{settings.query_max_root_fields} root fields (HUB_QUERY_MAX_ROOT_FIELDS)"
                return GraphQLError(f"An operation has at most {most}: make it several.")
            if hidden and settings.mode == "production":
                return GraphQLError("Introspection is off in production: read schema.graphql.")
            if depth > (2 * most_levels if hidden else most_levels):
                return GraphQLError(f"The query is nested deeper than {most_levels} levels (HUB_QUERY_MAX_DEPTH).")
            if fields > most_fields:
                return GraphQLError(f"The query asks for more than {most_fields} fields (HUB_QUERY_MAX_FIELDS).")
    return None
