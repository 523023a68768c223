"""A cache of parsed and validated queries. Clients repeat queries, and validation costs more than execution."""

from collections.abc import Sequence

from cachetools import LRUCache
from graphql import DocumentNode, GraphQLError, GraphQLSchema, parse, validate

from hub.api.execution.input_errors import with_literal_fields
from hub.api.execution.query_limits import find_limit_error
from hub.platform import metrics
from hub.settings import Settings

CACHE_SIZE = 250  # texts; a parsed text uses up to several hundred kilobytes of memory
CACHED_TEXT_MAX = 8 << 10  # characters; a longer text is parsed each time


class QueryCache:
    def __init__(self, schema: GraphQLSchema, settings: Settings) -> None:
        self._schema = schema
        self._settings = settings
        self.introspection = settings.mode == "development"
        self._cache: LRUCache[str, DocumentNode] = LRUCache(CACHE_SIZE)
        self._pinned: dict[str, DocumentNode] = {}

    def get(self, text: str) -> DocumentNode | Sequence[GraphQLError]:
        """Return the parsed document, or the errors of the text."""
        if pinned := self._pinned.get(text):
            return pinned
        if cached := self._cache.get(text):
            return cached
        document = self._parse(text)
        if isinstance(document, DocumentNode) and len(text) <= CACHED_TEXT_MAX:
            self._cache[text] = document
        return document

    def pin(self, text: str) -> str | None:
        """Parse a text and cache it permanently. Return an error message if the text is invalid."""
        document = self._parse(text)
        if not isinstance(document, DocumentNode):
            return document[0].message
        self._pinned[text] = document
        return None

    def _parse(self, text: str) -> DocumentNode | Sequence[GraphQLError]:
        metrics.queries_parsed.inc()
        chars_max, tokens_max = self._settings.query_max_chars, self._settings.query_max_tokens
        if len(text) > chars_max:
            return [GraphQLError(f"The query has more than {chars_max} characters (HUB_QUERY_MAX_CHARS).")]
        try:
            document = parse(text, max_tokens=tokens_max)
            if error := find_limit_error(document, self._settings):
                return [error]
            hide_suggestions = not self.introspection
            errors = validate(self._schema, document, max_errors=10, hide_suggestions=hide_suggestions)
            return with_literal_fields(errors, document) or document
        except GraphQLError as error:
            if error.message.startswith(f"Syntax Error: Document contains more than {tokens_max} tokens."):
                return [GraphQLError(f"The query has more than {tokens_max} tokens (HUB_QUERY_MAX_TOKENS).")]
            return [error]
        except RecursionError:
            return [GraphQLError("The query is nested too deeply.")]
