"""Common operations without most of graphql-core: compiled variables, direct resolvers and projected responses.

graphql-core executes everything that this package cannot, and both ways return the same response.
`HUB_FAST_EXECUTION=false` turns the package off.
"""
