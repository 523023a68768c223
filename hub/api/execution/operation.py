"""A client's request and the operation that it selects."""

from typing import Any

from graphql import DocumentNode, FieldNode, OperationDefinitionNode, OperationType
from msgspec import Struct

from hub.errors import BadUserInput


class Request(Struct, frozen=True):
    """A GraphQL request. If `hash` (the SHA-256 or the id of a persisted query) is set, `query` may be empty."""

    query: str
    variables: dict[str, Any] | None = None
    operation_name: str | None = None
    hash: str = ""

    @property
    def cache_key(self) -> tuple[str, str | None]:
        """The cache key of everything that is compiled from the request."""
        return self.query, self.operation_name


class Operation(Struct, frozen=True):
    """A parsed and validated request. `cost` is the cost of the operation with its variables (see `query_cost`)."""

    request: Request
    document: DocumentNode
    node: OperationDefinitionNode
    cost: float

    @property
    def kind(self) -> OperationType:
        return self.node.operation

    @property
    def is_query(self) -> bool:
        return self.kind is OperationType.QUERY

    @property
    def is_subscription(self) -> bool:
        return self.kind is OperationType.SUBSCRIPTION

    @property
    def root_field(self) -> str | None:
        """The name of the only root field. None for several root fields, or for a field in a fragment."""
        selections = self.node.selection_set.selections
        root = selections[0] if len(selections) == 1 else None
        return root.name.value if isinstance(root, FieldNode) else None


def parse_request(body: Any) -> Request:
    """Return the request from a JSON value. All transports use the same format. Raise BadUserInput if it is invalid."""
    if not isinstance(body, dict):
        raise BadUserInput("A request must be a JSON object with `query`.", "body")
    query, name, variables = body.get("query"), body.get("operationName"), body.get("variables")
    extensions = body.get("extensions")
    if not isinstance(extensions, dict | None):
        raise BadUserInput("`extensions` must be a JSON object.", "extensions")
    persisted = extensions.get("persistedQuery") if extensions else None
    hash = "" if persisted is None else _persisted_hash(persisted)
    if not isinstance(query, str | None) or not (query or hash):
        raise BadUserInput("`query` must be a non-empty string.", "query")
    if not isinstance(name, str | None):
        raise BadUserInput("`operationName` must be a string.", "operationName")
    if not isinstance(variables, dict | None):
        raise BadUserInput("`variables` must be a JSON object.", "variables")
    return Request(query or "", variables, name or None, hash)


def _persisted_hash(persisted: Any) -> str:
    """Return the hash from `extensions.persistedQuery`, in the format of Apollo clients."""
    if not isinstance(persisted, dict) or persisted.get("version") != 1:
        raise BadUserInput("`persistedQuery` must be an object with `version: 1`.", "extensions.persistedQuery")
    hash = persisted.get("sha256Hash")
    if not isinstance(hash, str) or not hash:
        raise BadUserInput("`sha256Hash` must be a non-empty string.", "extensions.persistedQuery.sha256Hash")
    return hash


def root_fields(operation: Operation) -> set[str]:
    """Return the names of the root fields, or an empty set if any root field is in a fragment."""
    selections = operation.node.selection_set.selections
    names = {node.name.value for node in selections if isinstance(node, FieldNode)}
    return names if len(selections) == sum(isinstance(node, FieldNode) for node in selections) else set()
