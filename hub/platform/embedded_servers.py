"""Local MongoDB and Redis servers for `hub dev` and the tests.

- `start` returns when the server is ready: for MongoDB, when the replica set has a primary.
- MongoDB's data stays in its folder and is used again by the next start, even on another port.
- A server never outlives the process that started it (see `server_process.py`).
"""

import asyncio
import time
from pathlib import Path

from hub.platform.replica_set import NAME as REPLICA_SET
from hub.platform.replica_set import form_replica_set, is_primary
from hub.platform.server_process import HOST, LOG_TAIL_LINES, START_TIMEOUT_S, ServerProcess, is_free
from hub.platform.server_programs import MONGOD, REDIS, ServerError

DATA_LOCK_TIMEOUT_S = 3.0  # a mongod whose parent was just killed may still hold its data folder
TRANSACTION_LIFETIME_S = 6
"""Slightly longer than HUB_COMMIT_DEADLINE_S. An open transaction of a killed process locks mailboxes for this long."""


class Redis(ServerProcess):
    """A Redis server without persistence. Its data is lost when it stops, which the hub tolerates."""

    program = REDIS

    def __init__(self, folder: Path, *, port: int = 0, binary: str | None = None) -> None:
        super().__init__(folder, port, binary)

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    def _arguments(self) -> list[str]:
        where = ["--bind", HOST, "--port", str(self.port), "--dir", str(self.folder)]
        return [*where, "--save", "", "--appendonly", "no", "--daemonize", "no"]


class Mongod(ServerProcess):
    """A MongoDB server: a replica set with one member, or with `single_member=False`, one member of a ReplicaSet.

    The folder contains the server's data and port. If another process uses that port, `start` chooses a new port and
    updates the configuration of the replica set.
    """

    program = MONGOD

    def __init__(
        self,
        data: Path,
        *,
        port: int = 0,
        binary: str | None = None,
        single_member: bool = True,
        cache_gb: float = 0.5,
    ) -> None:
        super().__init__(data, port, binary)
        self._single_member = single_member
        self._cache_gb = cache_gb

    @property
    def url(self) -> str:
        return f"mongodb://{HOST}:{self.port}/?replicaSet={REPLICA_SET}"

    async def start(self) -> None:
        deadline = time.monotonic() + DATA_LOCK_TIMEOUT_S
        while True:
            try:
                await super().start()
                break
            except ServerError as error:
                if "DBPathInUse" not in str(error):
                    raise
                if time.monotonic() > deadline:
                    text = f"The data in {self.folder} is in use by another mongod. Stop it, or use another folder."
                    raise ServerError(text) from None
        self._port_file.write_text(str(self.port))

    def _arguments(self) -> list[str]:
        where = ["--bind_ip", HOST, "--port", str(self.port), "--dbpath", str(self.folder), "--nounixsocket"]
        size = ["--wiredTigerCacheSizeGB", f"{self._cache_gb:g}", "--oplogSize", "512"]
        parameters = [
            "shutdownTimeoutMillisForSignaledShutdown=100",  # the default: a primary waits 15 s for a successor
            f"transactionLifetimeLimitSeconds={TRANSACTION_LIFETIME_S}",
            "diagnosticDataCollectionEnabled=false",
        ]
        return [*where, *size, "--replSet", REPLICA_SET, *(word for p in parameters for word in ("--setParameter", p))]

    @property
    def _port_file(self) -> Path:
        return self.folder / "port"

    def _pick_port(self) -> int:
        if self.port == 0 and self._port_file.exists() and is_free(last := int(self._port_file.read_text())):
            return last
        return super()._pick_port()

    async def _wait_until_ready(self) -> None:
        await super()._wait_until_ready()
        if self._single_member:
            await form_replica_set([self])

    def _log_tail(self) -> list[str]:
        """Return the last error lines of the log, because mongod logs many other lines after an error."""
        lines = self.log.read_text(errors="replace").splitlines()
        errors = [line for line in lines if '"s":"E"' in line or '"s":"F"' in line]
        return errors[-LOG_TAIL_LINES:] or lines[-LOG_TAIL_LINES:]


class ReplicaSet:
    """A replica set with several members, for failover tests. Each member can be killed, suspended, and restarted."""

    def __init__(self, data: Path, members: int = 3, *, binary: str | None = None) -> None:
        self.members = [Mongod(data / str(number), binary=binary, single_member=False) for number in range(members)]

    @property
    def url(self) -> str:
        return f"mongodb://{','.join(f'{HOST}:{m.port}' for m in self.members)}/?replicaSet={REPLICA_SET}"

    async def start(self) -> None:
        """Start the members that are not running, and return when one member is the primary."""
        try:
            await asyncio.gather(*(member.start() for member in self.members))
            async with asyncio.timeout(START_TIMEOUT_S):
                await form_replica_set(self.members)
        except BaseException:
            for member in self.members:
                member.kill()
            raise

    async def stop(self) -> None:
        await asyncio.gather(*(member.stop() for member in self.members))

    async def primary(self) -> Mongod | None:
        """Return the primary, or None during an election."""
        for member in self.members:
            if await is_primary(member):
                return member
        return None
