"""The errors of calls to a Redis that is unavailable."""

from redis.exceptions import RedisError

REDIS_ERRORS = (RedisError, OSError, TimeoutError, EOFError, RuntimeError)
"""uvloop raises RuntimeError ("the handler is closed") if a connection is closed while a command is being written."""
