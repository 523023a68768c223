"""The GraphQL types and fields, in one module per domain.

The enums must be registered before any type uses them, because Strawberry keeps the first definition.
"""

import hub.api.schema.enums  # noqa: F401
