"""Limits the depth, fields, root fields, and repeated names of a document. The limits are checked before validation.

A fragment counts each time it is used but is measured only once, so the check is fast for any document. Validation can
be slow: a few hundred bytes of chained fragments can take seconds.
"""

from collections import Counter

from graphql import DocumentNode, FragmentDefinitionNode, GraphQLError, OperationDefinitionNode, SelectionSetNode
from graphql.language import FieldNode, FragmentSpreadNode, InlineFragmentNode
from msgspec import Struct

from hub.settings import Settings

SAME_NAME_MAX = 20  # fields with the same response key in a selection; validation compares every pair


class _Size(Struct, frozen=True):
    """The size of a selection: fields on all levels (`fields`), levels (`depth`), and fields on the first level."""

    fields: int = 0
    depth: int = 0
    first_level: int = 0


def find_limit_error(document: DocumentNode, settings: Settings) -> GraphQLError | None:
    """Return an error for the first operation that exceeds a limit, or None."""
    measure = _Measure(document, settings.query_max_fields + 1)
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode) and (
            message := _limit_message(measure, definition.selection_set, settings)
        ):
            return GraphQLError(message)
    return None


def _limit_message(measure: "_Measure", selections: SelectionSetNode, settings: Settings) -> str | None:
    size = measure.selection(selections)
    depth_max = settings.query_max_depth
    if measure.repeated_name is not None:
        return f"The query selects `{measure.repeated_name:.64}` more than {SAME_NAME_MAX} times in one selection."
    if size.first_level > settings.query_max_root_fields:
        return (
            f"The operation has more than {settings.query_max_root_fields} root fields (HUB_QUERY_MAX_ROOT_FIELDS): "
            "split it into several operations."
        )
    if measure.introspects and settings.mode == "production":
        return "Introspection is disabled in production. The schema is in schema.graphql."
    if size.depth > (2 * depth_max if measure.introspects else depth_max):
        return f"The query has more than {depth_max} levels (HUB_QUERY_MAX_DEPTH)."
    if size.fields > settings.query_max_fields:
        return f"The query has more than {settings.query_max_fields} fields (HUB_QUERY_MAX_FIELDS)."
    return None


class _Measure:
    """Measures the selections of one document. Field counts are capped at `fields_max`, so the numbers remain small."""

    def __init__(self, document: DocumentNode, fields_max: int) -> None:
        fragments = [node for node in document.definitions if isinstance(node, FragmentDefinitionNode)]
        self._fragments = {fragment.name.value: fragment for fragment in fragments}
        self._fields_max = fields_max
        self._measured: dict[str, _Size] = {}
        self._in_progress: set[str] = set()
        self.introspects = False
        self.repeated_name: str | None = None

    def selection(self, selections: SelectionSetNode | None) -> _Size:
        fields = depth = first_level = 0
        keys: Counter[str] = Counter()
        for node in selections.selections if selections else ():
            if isinstance(node, FieldNode):
                keys[node.alias.value if node.alias else node.name.value] += 1
                self.introspects = self.introspects or node.name.value in {"__schema", "__type"}
                inner = self.selection(node.selection_set)
                size = _Size(inner.fields + 1, inner.depth + 1, 1)
            elif isinstance(node, InlineFragmentNode):
                size = self.selection(node.selection_set)
            elif isinstance(node, FragmentSpreadNode):
                size = self._fragment(node.name.value)
            else:
                continue
            fields = min(fields + size.fields, self._fields_max)
            first_level = min(first_level + size.first_level, self._fields_max)
            depth = max(depth, size.depth)
        if self.repeated_name is None:
            self.repeated_name = next((key for key, times in keys.items() if times > SAME_NAME_MAX), None)
        return _Size(fields, depth, first_level)

    def _fragment(self, name: str) -> _Size:
        if name in self._measured:
            return self._measured[name]
        if name in self._in_progress or name not in self._fragments:
            return _Size()  # validation reports the error
        self._in_progress.add(name)
        self._measured[name] = self.selection(self._fragments[name].selection_set)
        return self._measured[name]
