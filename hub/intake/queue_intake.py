"""Receives the events of one SQS queue.

Guarantees
- A message is deleted only after its event is stored durably, or was stored before.
- The tenant is the one that HUB_INTAKE gives to the queue. Nothing in a message changes it.
- A message that is not an event is left to the redrive policy of the queue.
- Messages are received only while the store takes writes (`store_gate`). If storing fails, the pollers end, and then
  the messages that are not stored are made visible. They are not made visible before, because another poller would
  receive them at once, and each receipt counts toward `maxReceiveCount`.

What runs when
- POLLERS tasks receive up to BATCH_SIZE messages each with long polling, store them, and delete them.
- While a batch is stored, its messages are kept invisible, for HOLD_MAX_S at most.

How it stops: a poller that waits for messages ends at once. The others store and delete their batch first.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog
from msgspec import Struct
from pymongo.errors import PyMongoError

from hub.errors import HubError, Unavailable
from hub.events.cloud_events import EVENT_MAX_BYTES, NewEvent, parse_event, parse_too_large
from hub.intake.store_gate import StoreGate
from hub.platform import metrics
from hub.platform.connections import is_outage
from hub.send.aws import AWS_ERRORS
from hub.workflows.receive_events import ReceiveEvents

BATCH_SIZE = 10  # the maximum of SQS
POLLERS = 4  # of each queue
WAIT_S = 20  # of a long poll, the maximum of SQS
VISIBILITY_S = 60
RENEW_EVERY_S = 20.0
HOLD_MAX_S = 600.0
ERROR_PAUSE_S = 5.0  # after an error of SQS

log = structlog.get_logger(__name__)


class Message(Struct, frozen=True):
    """A message that was received."""

    id: str
    receipt: str
    body: bytes


class QueueIntake:
    def __init__(
        self,
        client: Any,
        url: str,
        tenant: str,
        receive: ReceiveEvents,
        gate: StoreGate,
        stopping: asyncio.Event,
    ) -> None:
        self.name = url.rpartition("/")[2]
        self._client = client
        self._url = url
        self._tenant = tenant
        self._receive = receive
        self._gate = gate
        self._stopping = stopping
        self._not_stored: list[Message] = []

    async def run(self) -> None:
        """Receive messages until `stopping` is set."""
        while not self._stopping.is_set():
            await self._gate.wait_until_open(self._stopping)
            async with asyncio.TaskGroup() as group:
                for _ in range(POLLERS):
                    group.create_task(self._poll())
            not_stored, self._not_stored = self._not_stored, []
            await self._set_visibility(not_stored, 0)
            metrics.intake_messages.labels("returned").inc(len(not_stored))

    async def _poll(self) -> None:
        while not self._stopping.is_set() and not self._not_stored and await self._gate.check():
            try:
                messages = await self._receive_messages()
            except AWS_ERRORS as error:
                log.warning("receive_failed", queue=self.name, error=error)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), ERROR_PAUSE_S)
                continue
            if messages:
                await self._process(messages)

    async def _receive_messages(self) -> list[Message]:
        """Wait for messages. Return none if `stopping` is set in the meantime."""
        call = self._client.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=BATCH_SIZE,
            WaitTimeSeconds=WAIT_S,
            VisibilityTimeout=VISIBILITY_S,
        )
        receiving, stopping = asyncio.ensure_future(call), asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({receiving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not receiving.done():
                return []
            found = receiving.result().get("Messages", ())
        finally:
            for task in (receiving, stopping):
                task.cancel()
        return [Message(one["MessageId"], one["ReceiptHandle"], one["Body"].encode()) for one in found]

    async def _process(self, messages: Sequence[Message]) -> None:
        """Store the events of messages, and delete the messages."""
        if self._not_stored or not self._gate.is_open:
            self._not_stored += messages
            return
        parsed = [(message, event) for message in messages if (event := self._parse(message))]
        async with self._kept_invisible([message for message, _ in parsed]):
            stored = await self._store(parsed)
        await self._delete(stored)

    async def _store(self, parsed: Sequence[tuple[Message, NewEvent]]) -> list[Message]:
        """Return the messages whose events are stored."""
        if not parsed:
            return []
        try:
            async with asyncio.timeout(HOLD_MAX_S):
                results = await self._receive.receive(self._tenant, [event for _, event in parsed], "sqs")
        except Exception as error:  # noqa: BLE001 - a message that cannot be stored must not stop the others
            if isinstance(error, TimeoutError | Unavailable) or (isinstance(error, PyMongoError) and is_outage(error)):
                self._gate.close(error)
                self._not_stored += [message for message, _ in parsed]
                return []
            if len(parsed) == 1:
                self._reject(parsed[0][0], error)
                return []
            return [message for one in parsed for message in await self._store([one])]
        self._gate.confirm()
        for (_, event), result in zip(parsed, results, strict=True):
            kind = "duplicate" if result.duplicate else "too_large" if event.too_large else "stored"
            metrics.intake_messages.labels(kind).inc()
        return [message for message, _ in parsed]

    def _parse(self, message: Message) -> NewEvent | None:
        parse: Callable[[bytes], NewEvent] = parse_too_large if len(message.body) > EVENT_MAX_BYTES else parse_event
        try:
            return parse(message.body)
        except HubError as error:
            self._reject(message, error)
            return None

    def _reject(self, message: Message, error: Exception) -> None:
        metrics.intake_messages.labels("rejected").inc()
        field = error.extensions.get("field") if isinstance(error, HubError) else None
        log.warning("message_rejected", queue=self.name, message_id=message.id, error=error, field=field)

    @asynccontextmanager
    async def _kept_invisible(self, messages: Sequence[Message]) -> AsyncIterator[None]:
        """Keep messages invisible while the body of the `async with` statement runs."""

        async def renew() -> None:
            while True:
                await asyncio.sleep(RENEW_EVERY_S)
                await self._set_visibility(messages, VISIBILITY_S)

        renewal = asyncio.ensure_future(renew())
        try:
            yield
        finally:
            renewal.cancel()

    async def _set_visibility(self, messages: Sequence[Message], seconds: int) -> None:
        for start in range(0, len(messages), BATCH_SIZE):
            entries = [
                {"Id": str(index), "ReceiptHandle": message.receipt, "VisibilityTimeout": seconds}
                for index, message in enumerate(messages[start : start + BATCH_SIZE])
            ]
            try:
                await self._client.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)
            except AWS_ERRORS as error:  # the messages become visible later
                log.warning("visibility_not_changed", queue=self.name, error=error)

    async def _delete(self, messages: Sequence[Message]) -> None:
        """Delete messages. One that is not deleted is received again, and is then a duplicate."""
        if not messages:
            return
        entries = [{"Id": str(index), "ReceiptHandle": message.receipt} for index, message in enumerate(messages)]
        try:
            result = await self._client.delete_message_batch(QueueUrl=self._url, Entries=entries)
        except AWS_ERRORS as error:
            log.warning("messages_not_deleted", queue=self.name, error=error, messages=len(messages))
            return
        if failed := result.get("Failed"):
            log.warning("messages_not_deleted", queue=self.name, error=failed[0].get("Code"), messages=len(failed))
