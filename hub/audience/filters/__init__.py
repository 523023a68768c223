"""The filter language over users, such as `{"attributes.plan": "pro"}`.

`parse` converts a filter to nodes. `matches` evaluates the nodes for one user and alone decides who matches.
`mongo_query` returns a query that finds every user who matches and may find more. `redacted` removes what identifies
users.
"""

from hub.audience.filters.evaluation import Subject, matches, subject_of
from hub.audience.filters.mongo_query import mongo_query
from hub.audience.filters.nodes import EVERYONE, And, Field, FieldName, In, Node, reads
from hub.audience.filters.parsing import FILTER_MAX_BYTES, parse
from hub.audience.filters.redaction import redacted

__all__ = [
    "EVERYONE",
    "FILTER_MAX_BYTES",
    "And",
    "Field",
    "FieldName",
    "In",
    "Node",
    "Subject",
    "matches",
    "mongo_query",
    "parse",
    "reads",
    "redacted",
    "subject_of",
]
