"""Query texts, parsed and validated once each: clients repeat theirs, and validation costs more than execution."""

from collections import Counter, OrderedDict
from collections.abc import Sequence

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

TOKENS_MAX = 1000
DEPTH_MAX = 12
FIELDS_MAX = 2000  # after fragments are spread
ROOT_FIELDS_MAX = 10  # each is a request of its own
SAME_NAME_MAX = 20  # fields answering under one name in one selection: validation compares each with each
CACHED = 250  # texts, each up to some hundred kilobytes when parsed
CACHED_TEXT_MAX = 8 << 10  # characters; a longer one is parsed each time


class Documents:
    def __init__(self, schema: GraphQLSchema, *, introspection: bool) -> None:
        self._schema = schema
        self.introspection = introspection
        self._cache: OrderedDict[str, DocumentNode] = OrderedDict()

    def get(self, text: str) -> DocumentNode | Sequence[GraphQLError]:
        """The document, or what is wrong with it."""
        known = self._cache.get(text)
        if known is not None:
            self._cache.move_to_end(text)
            return known
        try:
            document = parse(text, max_tokens=TOKENS_MAX)
        except GraphQLError as error:
            return [error]
        except RecursionError:
            return [GraphQLError("The query is nested too deep.")]
        if fault := too_large(document, introspection=self.introspection):
            return [fault]
        if errors := validate(self._schema, document, max_errors=10, hide_suggestions=not self.introspection):
            return errors
        if len(text) <= CACHED_TEXT_MAX:
            self._cache[text] = document
            if len(self._cache) > CACHED:
                self._cache.popitem(last=False)
        return document


def too_large(document: DocumentNode, *, introspection: bool) -> GraphQLError | None:
    """Looks at size and depth with every fragment counted where it is spread. Each fragment is measured once, so that
    this is fast whatever the query."""
    fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
    measured: dict[str, tuple[int, int]] = {}
    under_way: set[str] = set()
    hidden: list[str] = []
    repeated: list[str] = []

    def measure(selections: SelectionSetNode | None) -> tuple[int, int]:
        fields = depth = 0
        names: Counter[str] = Counter()
        for node in selections.selections if selections else ():
            if isinstance(node, FieldNode):
                names[node.alias.value if node.alias else node.name.value] += 1
                if node.name.value in {"__schema", "__type"}:
                    hidden.append(node.name.value)
                inner, below = measure(node.selection_set)
                inner, below = inner + 1, below + 1
            elif isinstance(node, InlineFragmentNode):
                inner, below = measure(node.selection_set)
            elif isinstance(node, FragmentSpreadNode):
                inner, below = spread(node.name.value)
            else:
                continue
            fields = min(fields + inner, FIELDS_MAX + 1)
            depth = max(depth, below)
        repeated.extend(name for name, times in names.items() if times > SAME_NAME_MAX)
        return fields, depth

    def spread(name: str) -> tuple[int, int]:
        if name in measured:
            return measured[name]
        if name in under_way or name not in fragments:
            return 0, 0  # validation says what is wrong with it
        under_way.add(name)
        measured[name] = measure(fragments[name].selection_set)
        return measured[name]

    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            fields, depth = measure(definition.selection_set)
            if repeated:
                return GraphQLError(f"A selection asks more than {SAME_NAME_MAX} times for `{repeated[0][:64]}`.")
            if len(definition.selection_set.selections) > ROOT_FIELDS_MAX:
                return GraphQLError(f"An operation has at most {ROOT_FIELDS_MAX} root fields: make it several.")
            if hidden and not introspection:
                return GraphQLError("Introspection is off in production: read schema.graphql.")
            if depth > (DEPTH_MAX if not hidden else 2 * DEPTH_MAX):
                return GraphQLError(f"The query is nested deeper than {DEPTH_MAX} levels.")
            if fields > FIELDS_MAX:
                return GraphQLError(f"The query asks for more than {FIELDS_MAX} fields.")
    return None
