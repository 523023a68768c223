"""The GraphQL types and fields, one module per domain.

The enums are registered before any type uses them: Strawberry keeps the first definition that it sees.
"""

import hub.api.schema.enums  # noqa: F401
