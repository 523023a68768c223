"""AWS clients that the standard AWS variables configure, and the outcomes of their errors."""

import functools
import os
from collections.abc import Collection
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Any

import aioboto3
from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from botocore.exceptions import BotoCoreError, ClientError, NoRegionError, ParamValidationError
from botocore.parsers import ResponseParserError

from hub import utc_time
from hub.send.outcome import Dead, Gone, Retry, sanitize_error
from hub.send.retry_after import retry_after_s
from hub.settings import Settings

AWS_ERRORS = (BotoCoreError, ClientError, ResponseParserError, TimeoutError)
"""The errors that a call is expected to raise."""


async def open_client(
    service: str,
    settings: Settings,
    stack: AsyncExitStack,
    region: str | None = None,
    read_timeout_s: float | None = None,
) -> Any:
    """Open a client for the whole process. The client does not retry; the hub does. `read_timeout_s`: the timeout of a
    response, if it is not HUB_PROVIDER_TIMEOUT_S. Raise ValueError if no region is set."""
    config = AioConfig(
        connect_timeout=settings.provider_timeout_s,
        read_timeout=read_timeout_s or settings.provider_timeout_s,
        max_pool_connections=settings.delivery_concurrency,
        retries={"total_max_attempts": 1, "mode": "standard"},
        http_session_cls=_NoRedirectSession,
    )
    region = region or os.environ.get("AWS_REGION")
    try:
        return await stack.enter_async_context(aioboto3.Session().client(service, region_name=region, config=config))
    except NoRegionError:
        raise ValueError("set AWS_REGION: the services of AWS are regional") from None


async def detect_credentials() -> tuple[str | None, str | None]:
    """Return the region and the source of the credentials. Both are read from the AWS variables and files, and are None
    if not set. Raise one of AWS_ERRORS."""
    session = aioboto3.Session()
    credentials = await session.get_credentials()
    return os.environ.get("AWS_REGION") or session.region_name, credentials and credentials.method


def outcome_of_error(
    error: BaseException, dead_codes: Collection[str] = (), gone_codes: Collection[str] = ()
) -> Retry | Dead | Gone:
    """Return the outcome of one of AWS_ERRORS. An error code that is not in `dead_codes` or `gone_codes` does not
    concern the message (expired keys, a suspended account, throttling), so the message is retried."""
    if isinstance(error, ParamValidationError):
        return Dead("ParamValidationError")  # the error text contains the request
    if not isinstance(error, ClientError):
        return Retry("no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)
    details, metadata = error.response.get("Error", {}), error.response.get("ResponseMetadata", {})
    code, status = details.get("Code", ""), metadata.get("HTTPStatusCode", 0)
    text = sanitize_error(f"{code}: {details.get('Message', '')}")
    if status < 500 and code in gone_codes:
        return Gone(text)
    if status < 500 and code in dead_codes:
        return Dead(text)
    return Retry(text, retry_after_s(metadata.get("HTTPHeaders", {}).get("retry-after"), utc_time.now()))


class _NoRedirectSession(AIOHTTPSession):  # type: ignore[misc]  # it has no types
    """A session that does not follow redirects. By default, aiohttp follows them."""

    async def _get_session(self, proxy_url: str | None) -> SimpleNamespace:
        session = await super()._get_session(proxy_url)
        return SimpleNamespace(request=functools.partial(session.request, allow_redirects=False))
