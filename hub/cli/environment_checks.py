"""Checks of `hub doctor` that do not use a store: machine, listener, operations, channels, providers, and intake."""

import asyncio
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

from hub.cli.findings import CheckFailed, Findings
from hub.cli.target_hub import variable_name
from hub.model import Channel
from hub.platform.connections import first_line
from hub.runtime import listen, tls
from hub.settings import Settings
from hub.settings.types import SNS_PLATFORM_KINDS

MIN_OPEN_FILES = 10_000
RECOMMENDED_PYTHON = (3, 12)
CONNECT_TIMEOUT_S = 2.0
SMTPS_PORT = 465
REGIONAL_SERVICES = {"ses_from": "SES", "sns_sms_from": "SNS"}
"""The services that are called in AWS_REGION, by setting."""

REQUIRED_SETTINGS = {
    Channel.EMAIL: "HUB_SMTP_URL and HUB_SMTP_FROM, or HUB_SES_FROM and AWS_REGION",
    Channel.WEB_PUSH: "HUB_VAPID_PRIVATE_KEY and HUB_VAPID_SUBJECT (`hub vapid` creates them)",
    Channel.MOBILE_PUSH: "HUB_SNS_PLATFORM_FCM or HUB_SNS_PLATFORM_APNS",
    Channel.SMS: "HUB_SMS_FROM, HUB_TWILIO_ACCOUNT_SID and HUB_TWILIO_AUTH_TOKEN, or HUB_SNS_SMS_FROM and AWS_REGION",
    Channel.WHATSAPP: "HUB_WHATSAPP_FROM, HUB_TWILIO_ACCOUNT_SID and HUB_TWILIO_AUTH_TOKEN",
    Channel.WEBHOOK: "HUB_PERSONAL_WEBHOOKS=true",
    Channel.SLACK: "HUB_CHATS with SLACK",
    Channel.DISCORD: "HUB_CHATS with DISCORD",
    Channel.TEAMS: "HUB_CHATS with TEAMS",
}
"""The settings that each implemented channel requires."""


async def check_machine(settings: Settings, findings: Findings) -> None:
    keys = ["HUB_JWT_SECRET"] * bool(settings.jwt_secret) + ["HUB_JWKS_URL"] * bool(settings.jwks_url)
    findings.ok(f"settings: mode {settings.mode}, tokens checked with {' and '.join(keys)}")
    files = listen.raise_open_file_limit()
    if 0 <= files < MIN_OPEN_FILES:
        findings.note(
            f"a process may open only {files} files, and each socket needs one: raise the hard limit (ulimit -Hn)"
        )
    else:
        findings.ok("a process may open enough files for its sockets")
    if sys.version_info < RECOMMENDED_PYTHON:
        version = ".".join(map(str, sys.version_info[:3]))
        findings.note(
            f"Python {version} works; 3.12 or later is recommended, whose asyncio survives more cancellations"
        )


async def check_listening(settings: Settings, findings: Findings) -> None:
    """Check the host, the certificate, and the allowed origins. The running hub may use the port."""
    for listener in listen.bind(settings.host, 0):
        listener.close()
    if tls.server_context(settings):
        findings.ok(f"the certificate is valid ({settings.ssl_certfile})")
    if settings.allowed_origins:
        findings.ok(f"browsers may call from {', '.join(settings.allowed_origins)} (HUB_ALLOWED_ORIGINS)")


async def check_operations(settings: Settings, findings: Findings) -> None:
    from hub.api.execution.persisted_queries import SETTING, read_manifest
    from hub.api.execution.query_cache import QueryCache
    from hub.api.schema.root import make_schema

    if settings.operation_allowlist:
        allowlist = read_manifest(settings.operation_allowlist, QueryCache(make_schema()._schema, settings).pin)
        findings.ok(f"{len(allowlist.texts)} persisted operations; others are rejected ({SETTING})")


async def check_channels(running: Mapping[Channel, str], settings: Settings, findings: Findings) -> None:
    """Check the channels of the environment. `running` maps channels of running workers to their provider."""
    configured = settings.provided
    if ready := [channel for channel in REQUIRED_SETTINGS if channel in configured]:
        findings.ok(f"channels with a provider: {', '.join(ready)}")
    for channel, required in REQUIRED_SETTINGS.items():
        if channel in configured:
            continue
        if channel in running:
            findings.ok(
                f"{channel} is not set up in this environment; running workers send it through {running[channel]}"
            )
        elif settings.mode == "development":
            findings.ok(f"{channel} has no provider: /dev/outbox shows its messages; to send, set {required}")
        else:
            findings.note(f"{channel} is not set up and is skipped (NOT_CONFIGURED): set {required}")
    if key := settings.vapid_private_key.get_secret_value():
        from hub.api.vapid import vapid_public_key

        findings.ok(f"web push: browsers subscribe with the public key {vapid_public_key(key)}")
    _check_twilio(settings, findings)
    await _check_aws(settings, findings)
    if settings.smtp_url:
        await _check_smtp(settings.smtp_url, findings)
    if not settings.public_url and Channel.EMAIL in configured:
        findings.note("emails have no unsubscribe link: set HUB_PUBLIC_URL")
    if not settings.app_url:
        findings.note(
            "links that are a path, such as /builds/7, get no button in emails and do not work outside your app: "
            "set HUB_APP_URL"
        )


def _check_twilio(settings: Settings, findings: Findings) -> None:
    """Check the senders and the callback URL without calling Twilio."""
    from hub.platform.twilio_callback import CALLBACK_PATH
    from hub.send.twilio import callback_url

    senders = {"SMS": settings.sms_from, "WhatsApp": settings.whatsapp_from}
    used = [f"{name} from {sender}" for name, sender in senders.items() if sender]
    if not used:
        if settings.twilio_account_sid:
            findings.note("HUB_TWILIO_ACCOUNT_SID is not used: set HUB_SMS_FROM or HUB_WHATSAPP_FROM")
        return
    findings.ok(f"Twilio sends {' and '.join(used)} with account {settings.twilio_account_sid}")
    if callback := callback_url(settings.public_url):
        findings.ok(f"Twilio reports statuses to {callback}; set the same URL for incoming messages in its console")
    else:
        findings.note(
            f"Twilio cannot report statuses and STOP: set HUB_PUBLIC_URL to the public URL at which it reaches "
            f"{CALLBACK_PATH}"
        )


async def _check_aws(settings: Settings, findings: Findings) -> None:
    """Check the AWS region and key without calling AWS. The ARNs contain the region of mobile push."""
    regional = {name: service for name, service in REGIONAL_SERVICES.items() if getattr(settings, name)}
    used = [variable_name(name) for name in (*regional, *SNS_PLATFORM_KINDS) if getattr(settings, name)]
    if not used:
        return
    from hub.send import aws

    try:
        region, key = await aws.detect_credentials()
    except aws.AWS_ERRORS as error:
        raise CheckFailed(
            f"the AWS variables and files cannot be used ({', '.join(used)}): {first_line(error)}"
        ) from None
    for name, service in regional.items():
        if not region:
            raise CheckFailed(
                f"{variable_name(name)} needs AWS_REGION too: set a region of Amazon {service}, such as eu-west-1."
            )
    if key:
        services = " and ".join(regional.values())
        findings.ok(f"AWS is called with the key from {key}{f', {services} in {region}' if services else ''}")
    else:
        findings.note(
            f"no AWS key found, required by {', '.join(used)}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )


async def check_intake(settings: Settings, findings: Findings) -> None:
    """Check the queues of HUB_INTAKE, without receiving messages."""
    if not settings.intake:
        return
    from hub.runtime.intake import open_clients, read_queue
    from hub.send.aws import AWS_ERRORS

    async with AsyncExitStack() as stack:
        for url, client in (await open_clients(settings, stack)).items():
            try:
                async with asyncio.timeout(settings.provider_timeout_s):
                    queue = await read_queue(client, url)
            except AWS_ERRORS as error:
                raise CheckFailed(f"HUB_INTAKE: the queue {url} cannot be read: {first_line(error)}") from None
            findings.ok(f"{queue.waiting} messages wait in the queue {url} of the tenant {settings.intake[url]}")
            if not queue.has_dead_letters:
                findings.note(
                    f"messages of {url} that are not events are received again and again: set a RedrivePolicy"
                )


async def _check_smtp(url: str, findings: Findings) -> None:
    """Check whether the mail server accepts connections. Skip the check if the URL has no port."""
    parts = urlsplit(url)
    port = parts.port or (SMTPS_PORT if parts.scheme == "smtps" else None)
    if port is None:
        return
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, writer = await asyncio.open_connection(parts.hostname, port)
    except (OSError, TimeoutError):
        findings.note(f"no mail server responds at {parts.hostname}:{port} (HUB_SMTP_URL): emails are delayed")
        return
    writer.close()
    findings.ok(f"a mail server responds at {parts.hostname}:{port}")
