"""The `Idempotency-Key` header, for any mutation of a service.

- A key belongs to a tenant, role, and subject, and to the scopes of a service key: a stored response is not returned to
  a caller that must not have it.
- A send stores the key in its own transaction (see `publish`), so a send is never repeated.
- For other mutations, the key is claimed before execution, and the response is stored afterward. A repeated request
  receives the stored response, even if a part of the mutation failed.
- A key can be used again if the request had no effect.
- A claim of a process that died can be taken over after `CLAIM_S`.
- A response that must not be stored (see `storable_responses`) is returned once. A repeated request is not executed
  and fails with CONFLICT.
- A stored response contains the ids of the mailboxes that it concerns. Erasing a user removes the response.
"""

from datetime import timedelta
from hashlib import sha256

import msgspec
import orjson
from graphql import OperationType
from pymongo.errors import DuplicateKeyError

from hub.api.context import Context
from hub.api.execution.engine import Engine, GraphQLResponse, encode
from hub.api.execution.operation import Operation
from hub.api.execution.storable_responses import is_storable, root_response_keys, took_effect
from hub.audience import users
from hub.errors import BadUserInput, Conflict, Unavailable
from hub.inbox import idempotency_records
from hub.inbox.idempotency_records import RESPONSE_NOT_STORED
from hub.model import Principal, Role
from hub.platform.connections import Database
from hub.utc_time import RealClock

CLAIM_S = 60
TRANSACTIONAL = frozenset({"send", "sendMany"})
READ_ONLY = frozenset({"exportUser"})
"""Mutations that may be executed again because they change nothing."""


class IdempotentResponses:
    def __init__(self, database: Database, real_clock: RealClock) -> None:
        self._responses = database[idempotency_records.COLLECTION]
        self._users = database[users.COLLECTION]
        self._real_clock = real_clock

    async def run(self, operation: Operation, context: Context, engine: Engine) -> GraphQLResponse:
        """Run an operation, or return its stored response. Raise Conflict if the key was used for another request."""
        key = context.idempotency_key
        if key is None or operation.kind is not OperationType.MUTATION or context.caller.role is Role.USER:
            return await engine.run(operation, context)
        fields = root_response_keys(operation.document, operation.node)
        if set(fields.values()) <= TRANSACTIONAL | READ_ONLY:
            return await engine.run(operation, context)
        request = operation.request
        request_parts = [request.query, request.operation_name, request.variables]
        try:
            request_hash = sha256(msgspec.json.encode(request_parts, order="sorted", enc_hook=str)).hexdigest()
        except RecursionError:
            raise BadUserInput("The variables are nested too deeply.", "variables") from None
        id = _key_id(context.caller, key)
        now = self._real_clock()
        expired_at = now - timedelta(seconds=CLAIM_S)
        expired_claim = {"_id": id, "hash": request_hash, "response": None, "at": {"$lt": expired_at}}
        try:
            await self._responses.update_one(expired_claim, {"$set": {"at": now}}, upsert=True)
        except DuplicateKeyError:
            return await self._stored_response(id, request_hash)
        response = await engine.run(operation, context)
        if not took_effect(response, list(fields)):
            await self._responses.delete_one({"_id": id})  # the caller may use the key again
        elif response["data"] is None or is_storable(engine.schema, operation.document, operation.node):
            await self._store(id, encode(response), context.touched_mailboxes)
        else:
            await self._responses.update_one({"_id": id}, {"$set": {"response": RESPONSE_NOT_STORED}})
        return response

    async def _store(self, id: str, response: bytes, mailboxes: set[str]) -> None:
        """Store a response that concerns these mailboxes, unless one of the mailboxes was erased in the meantime."""
        about = {"mailboxes": sorted(mailboxes)} if mailboxes else {}
        await self._responses.update_one({"_id": id}, {"$set": {"response": response, **about}})
        if mailboxes and await self._users.count_documents({"_id": {"$in": sorted(mailboxes)}}) < len(mailboxes):
            await self._responses.update_one({"_id": id}, idempotency_records.DELETE_RESPONSE)

    async def _stored_response(self, id: str, request_hash: str) -> GraphQLResponse:
        stored = await self._responses.find_one({"_id": id})
        if stored is None or stored["hash"] != request_hash:
            raise Conflict("This idempotency key was used before with another request. Use a new key.")
        if stored.get("response") is None:
            raise Unavailable("The first request with this idempotency key is still running. Try again shortly.")
        if stored["response"] == RESPONSE_NOT_STORED:
            raise Conflict(
                "This request was executed before with this idempotency key and is not executed again. Its response "
                "is not stored, because it contained a secret or a user's data. Query what it created. If a secret is "
                "lost, create a new one."
            )
        response: GraphQLResponse = orjson.loads(stored["response"])
        return response


def _key_id(caller: Principal, key: str) -> str:
    """Return the stored id of a caller's key. The id is hashed because a key or a subject may name a person."""
    scopes = [sorted(caller.scopes)] if caller.scopes else []
    parts = orjson.dumps([caller.role, caller.user, key, *scopes])
    return f"{caller.tenant}/#{sha256(parts).hexdigest()}"
