"""Executes common operations faster than graphql-core: compiled variables, direct resolvers, and projected responses.

Operations that this package cannot execute are executed by graphql-core, with the same responses.
`HUB_FAST_EXECUTION=false` disables this package.
"""
