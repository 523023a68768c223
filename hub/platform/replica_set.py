"""Configures local `mongod` processes as a replica set."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import pymongo
from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure, PyMongoError

from hub.platform.server_process import HOST, POLL_S, ServerProcess
from hub.platform.server_programs import ServerError

NAME = "hub"
COMMAND_TIMEOUT_MS = 2_000  # of a member that is starting
CONFIGURE_TIMEOUT_S = 30.0  # initiating writes to the disk, which may be busy
ELECTION_TIMEOUT_MS = 2_000  # MongoDB's default of 10 s would slow down failover tests

NOT_YET_INITIALIZED = 94  # codes of MongoDB's replSet commands
ALREADY_INITIALIZED = 23


async def form_replica_set(members: Sequence[ServerProcess]) -> None:
    """Configure the members with their current ports, and return when one member is the primary. Raise ServerError."""
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(_client(member)) for member in members]
        try:
            with pymongo.timeout(CONFIGURE_TIMEOUT_S):
                await _configure(clients[0], [f"{HOST}:{member.port}" for member in members])
        except PyMongoError as error:
            members[0].check_running()
            raise ServerError(f"mongod did not accept the configuration of its replica set: {error}") from error
        while not any([await _is_primary(client) for client in clients]):
            for member in members:
                member.check_running()
            await asyncio.sleep(POLL_S)


async def is_primary(member: ServerProcess) -> bool:
    """Return True if the member is running and is the primary."""
    if not member.running:
        return False
    async with _client(member) as client:
        return await _is_primary(client)


async def _configure(client: AsyncMongoClient[dict[str, Any]], hosts: list[str]) -> None:
    """Initiate the replica set, or change its hosts."""
    admin = client.admin
    while True:
        try:
            config = (await admin.command("replSetGetConfig"))["config"]
            break
        except OperationFailure as error:
            if error.code != NOT_YET_INITIALIZED:
                raise
        members = [{"_id": number, "host": host} for number, host in enumerate(hosts)]
        timeouts = {
            "electionTimeoutMillis": ELECTION_TIMEOUT_MS,
            "heartbeatIntervalMillis": ELECTION_TIMEOUT_MS // 4,
        }
        try:
            await admin.command("replSetInitiate", {"_id": NAME, "members": members, "settings": timeouts})
        except OperationFailure as error:
            if error.code != ALREADY_INITIALIZED:  # the member was still reading its configuration
                raise
            await asyncio.sleep(POLL_S)
    if [member["host"] for member in config["members"]] != hosts:
        for member, host in zip(config["members"], hosts, strict=True):
            member["host"] = host
        config["version"] += 1
        await admin.command("replSetReconfig", config, force=True)


def _client(member: ServerProcess) -> AsyncMongoClient[dict[str, Any]]:
    return AsyncMongoClient(HOST, member.port, directConnection=True, timeoutMS=COMMAND_TIMEOUT_MS)


async def _is_primary(client: AsyncMongoClient[dict[str, Any]]) -> bool:
    try:
        return bool((await client.admin.command("hello"))["isWritablePrimary"])
    except PyMongoError:
        return False
