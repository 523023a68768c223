"""The `Idempotency-Key` header, for any mutation of a service.

Sends carry the key into their own transaction (see `publish`), so it is exact for them. For other mutations the key is
claimed before they run and their answer kept after: the same request again gets the same answer. A claim whose process
died without an answer can be taken over after `CLAIM_S`.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from hashlib import sha256

import orjson
from graphql import OperationType
from pymongo.errors import DuplicateKeyError

from hub.api.context import Context
from hub.api.engine import Answer, Operation, encode, root_fields
from hub.clock import Clock
from hub.connections import Database
from hub.errors import BadUserInput, Conflict, Unavailable
from hub.model import Role

CLAIM_S = 60
EXACT = {"send", "sendMany"}
NOT_KEPT = {"exportUser"}  # a copy of somebody's data, which would outlive its erasing

Run = Callable[[Operation, Context], Awaitable[Answer]]


class Answers:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._answers = database.idempotency
        self._clock = clock

    async def run(self, operation: Operation, context: Context, run: Run) -> Answer:
        """Runs it, or answers what it answered before. Conflict if the key came with another request."""
        key = context.idempotency_key
        if (
            key is None
            or operation.kind is not OperationType.MUTATION
            or context.caller.role is Role.USER
            or (root_fields(operation) and root_fields(operation) <= EXACT | NOT_KEPT)
        ):
            return await run(operation, context)
        request = operation.request
        said = [request.query, request.operation_name, request.variables]
        try:
            hashed = sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()
        except orjson.JSONEncodeError:
            raise BadUserInput("The variables are nested too deep.", "variables") from None
        name = f"{context.caller.tenant}/{key}"
        now = self._clock()
        lapsed = {"_id": name, "hash": hashed, "answer": None, "at": {"$lt": now - timedelta(seconds=CLAIM_S)}}
        try:
            await self._answers.update_one(lapsed, {"$set": {"at": now}}, upsert=True)
        except DuplicateKeyError:
            return await self._before(name, hashed)
        answer = await run(operation, context)
        if "errors" in answer:
            await self._answers.delete_one({"_id": name})  # nothing to repeat: the caller may try again
        else:
            await self._answers.update_one({"_id": name}, {"$set": {"answer": encode(answer)}})
        return answer

    async def _before(self, name: str, hashed: str) -> Answer:
        known = await self._answers.find_one({"_id": name})
        if known is None or known["hash"] != hashed:
            raise Conflict("This idempotency key was used before with another request: use a fresh key.")
        if known.get("answer") is None:
            raise Unavailable("The first request with this idempotency key is still running: try again shortly.")
        answer: Answer = orjson.loads(known["answer"])
        return answer
