"""The `Idempotency-Key` header, for any mutation of a service.

A key belongs to tenant, role and subject. Sends carry it into their own transaction (see `publish`), so it is exact for
them. For other mutations the key is claimed before they run and their answer kept after: the same request again gets
the same answer, also where a part of it failed. Only where nothing took effect may the key be used again. A claim whose
process died without an answer can be taken over after `CLAIM_S`.

An answer that may not be kept (see `kept_answers`) is returned once: the same request again is not carried out, and
gets CONFLICT. Kept answers name the people they are about, so that erasing a person drops them.
"""

from datetime import timedelta
from hashlib import sha256

import msgspec
import orjson
from graphql import OperationType
from pymongo.errors import DuplicateKeyError

from hub.api.context import Context
from hub.api.execution.engine import Engine, GraphQLResponse, Operation, encode
from hub.api.execution.kept_answers import is_storable, root_response_keys, took_effect
from hub.clock import Clock
from hub.errors import BadUserInput, Conflict, Unavailable
from hub.inbox.store import RESPONSE_NOT_STORED
from hub.model import Principal, Role
from hub.platform.connections import Database

CLAIM_S = 60
TRANSACTIONAL = frozenset({"send", "sendMany"})
READ_ONLY = frozenset({"exportUser"})
"""It changes nothing, so it may run again."""


class IdempotentResponses:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._responses = database.idempotency
        self._users = database.users
        self._clock = clock

    async def run(self, operation: Operation, context: Context, engine: Engine) -> GraphQLResponse:
        """Run an operation, or return its first answer. Conflict if the key came with another request."""
        key = context.idempotency_key
        if key is None or operation.kind is not OperationType.MUTATION or context.caller.role is Role.USER:
            return await engine.run(operation, context)
        fields = root_response_keys(operation.document, operation.node)
        if set(fields.values()) <= TRANSACTIONAL | READ_ONLY:
            return await engine.run(operation, context)
        request = operation.request
        said = [request.query, request.operation_name, request.variables]
        try:
            hashed = sha256(msgspec.json.encode(said, order="sorted", enc_hook=str)).hexdigest()
        except RecursionError:
            raise BadUserInput("The variables are nested too deep.", "variables") from None
        name = _key_id(context.caller, key)
        now = self._clock()
        lapsed = {"_id": name, "hash": hashed, "response": None, "at": {"$lt": now - timedelta(seconds=CLAIM_S)}}
        try:
            await self._responses.update_one(lapsed, {"$set": {"at": now}}, upsert=True)
        except DuplicateKeyError:
            return await self._stored_response(name, hashed)
        answer = await engine.run(operation, context)
        if not took_effect(answer, list(fields)):
            await self._responses.delete_one({"_id": name})  # nothing to repeat: the caller may try again
        elif answer["data"] is None or is_storable(engine.schema, operation.document, operation.node):
            await self._store(name, encode(answer), context.touched_mailboxes)
        else:
            await self._responses.update_one({"_id": name}, {"$set": {"response": RESPONSE_NOT_STORED}})
        return answer

    async def _store(self, name: str, answer: bytes, people: set[str]) -> None:
        """Keep an answer that is about these people, unless one of them was erased meanwhile."""
        about = {"mailboxes": sorted(people)} if people else {}
        await self._responses.update_one({"_id": name}, {"$set": {"response": answer, **about}})
        if people and await self._users.count_documents({"_id": {"$in": sorted(people)}}) < len(people):
            await self._responses.update_one(
                {"_id": name}, {"$set": {"response": RESPONSE_NOT_STORED}, "$unset": {"mailboxes": ""}}
            )

    async def _stored_response(self, name: str, hashed: str) -> GraphQLResponse:
        known = await self._responses.find_one({"_id": name})
        if known is None or known["hash"] != hashed:
            raise Conflict("This idempotency key was used before with another request: use a fresh key.")
        if known.get("response") is None:
            raise Unavailable("The first request with this idempotency key is still running: try again shortly.")
        if known["response"] == RESPONSE_NOT_STORED:
            raise Conflict(
                "This request was carried out before under this idempotency key and is not carried out again. Its "
                "answer is not kept, because it held a secret or was about a person: query what it made, and make "
                "a new secret if the first one is lost."
            )
        answer: GraphQLResponse = orjson.loads(known["response"])
        return answer


def _key_id(caller: Principal, key: str) -> str:
    """The id of a caller's key. It is hashed, because a key or a subject may name a person."""
    parts = orjson.dumps([caller.role, caller.user, key])
    return f"{caller.tenant}/#{sha256(parts).hexdigest()}"
