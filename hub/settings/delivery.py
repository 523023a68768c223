"""Settings of the channels and the workers."""

from pydantic import BaseModel, Field, SecretStr

from hub.settings.types import (
    COUNT_MAX,
    ApnsApplication,
    AppOrigin,
    Chats,
    Concurrencies,
    Count,
    Days,
    FcmApplication,
    MailServer,
    PositiveCount,
    PositiveSeconds,
    PrivateNetworks,
    QueueTenants,
    RetrySchedule,
    RetrySchedules,
    Seconds,
    Sender,
    SmsSender,
    SnsSmsSender,
    SnsTopics,
    TwilioAccount,
    VapidSubject,
    WebOrigins,
    WebURL,
    WhatsAppSender,
    WholeSeconds,
)

SMS_SEGMENTS_MAX = 7  # Amazon SNS accepts 1,600 bytes: 7 segments of 67 characters of 3 bytes each


class ChannelSettings(BaseModel):
    """Channels and their providers."""

    public_url: WebURL = Field(
        "", description="Public URL of this hub for the links in emails, such as `https://hub.example.org`."
    )
    app_url: AppOrigin = Field(
        "",
        description="Origin of the app, such as `https://app.example.org`, which is prepended to action URLs that "
        "are a path.",
    )
    smtp_url: MailServer = Field(
        "",
        description="URL of the mail server: `smtps://user:password@host:465`, or `smtp://`, which requires STARTTLS "
        "unless the host is this machine; `?starttls=on` or `?starttls=off` overrides this.",
    )
    smtp_max_connections: PositiveCount = Field(
        10, description="Maximum number of open connections from one worker to the mail server."
    )
    smtp_from: Sender = Field("", description="Sender of emails through SMTP, such as `Acme <no-reply@example.org>`.")
    ses_from: Sender = Field("", description="Sender of emails through Amazon SES.")
    sns_topics: SnsTopics = Field(
        (), description="ARNs of the SNS topics on which SES publishes bounces, complaints, and deliveries."
    )
    vapid_private_key: SecretStr = Field(
        SecretStr(""), description="Private key that signs web pushes, as printed by `hub vapid`."
    )
    vapid_subject: VapidSubject = Field(
        "", description="Contact URL for the operators of push services, such as `mailto:ops@example.org`."
    )
    sns_platform_fcm: FcmApplication = Field("", description="ARN of the SNS platform application for Android.")
    sns_platform_apns: ApnsApplication = Field("", description="ARN of the SNS platform application for iOS.")
    twilio_account_sid: TwilioAccount = Field(
        "", description="Account SID of Twilio, AC and 32 hexadecimal digits, from the start page of its console."
    )
    twilio_auth_token: SecretStr = Field(SecretStr(""), description="Auth token of the Twilio account.")
    twilio_url: WebURL = Field(
        "https://api.twilio.com",
        description="Base URL of the Twilio API, such as that of a region: `https://api.dublin.ie1.twilio.com`.",
    )
    sms_from: SmsSender = Field(
        "",
        description="Sender of SMS through Twilio: a phone number such as `+4915112345678`, or the SID of a messaging "
        "service (MG and 32 hexadecimal digits).",
    )
    sns_sms_from: SnsSmsSender = Field(
        "",
        description="Sender of SMS through Amazon SNS: a sender ID of 3 to 11 letters and digits, or an origination "
        "number such as `+14155550100`.",
    )
    sms_segments: int = Field(
        3,
        ge=1,
        le=SMS_SEGMENTS_MAX,
        description="Maximum number of segments of an SMS, each of which is billed; longer texts are cut before "
        "their link.",
    )
    whatsapp_from: WhatsAppSender = Field(
        "", description="Sender of WhatsApp messages through Twilio: a phone number such as `+4915112345678`."
    )
    personal_webhooks: bool = Field(True, description="Allow users to connect personal webhooks.")
    chats: Chats = Field(("SLACK", "DISCORD", "TEAMS"), description="Chats that users may connect; empty for none.")
    chat_origins: WebOrigins = Field(
        (),
        description="Origins of proxies, such as `https://chat-proxy.example.org`, whose URLs users may connect as any "
        "chat.",
    )
    webhook_failing_days: Days = Field(
        5, description="Number of days without a successful call after which a failing webhook endpoint is disabled."
    )
    webhook_call_days: Days = Field(
        30, description="Days that calls of webhook endpoints are stored and can be replayed."
    )
    intake: QueueTenants = Field(
        {},
        description="URLs of the SQS queues that `hub intake` receives, with the tenants of their events, as a "
        'JSON object such as `{"https://sqs.eu-west-1.amazonaws.com/123456789012/events": "acme"}`.',
    )
    egress_allow: PrivateNetworks = Field(
        (), description="Private networks (CIDR) that webhooks, chats, and web pushes may reach."
    )


class DeliverySettings(BaseModel):
    """Workers."""

    delivery_concurrency: PositiveCount = Field(
        100, description="Maximum number of concurrent provider calls per worker and channel."
    )
    delivery_concurrency_by_channel: Concurrencies = Field(
        {},
        description="Concurrency of single channels, of WEBHOOK_ENDPOINT (tenants' webhooks), EVENTS, or ENRICHMENT, "
        'as a JSON object such as `{"EMAIL": 20}`.',
    )
    provider_timeout_s: PositiveSeconds = Field(
        15, description="Time after which a provider call without a response fails."
    )
    lease_margin_s: Seconds = Field(30, description="Time by which a worker's lease exceeds the provider timeout.")
    lease_max_expirations: int = Field(
        5,
        ge=2,
        le=COUNT_MAX,
        description="Number of expired leases after which a delivery is FAILED with POISON; its last two attempts "
        "run in isolation.",
    )
    retry_schedule: RetrySchedule = Field(
        (5, 300, 1800, 7200, 18000, 36000, 36000),
        description="Delays between delivery attempts, before jitter, such as `5s,5m,30m,2h`.",
    )
    retry_schedule_by_channel: RetrySchedules = Field(
        {}, description='Retry delays of single channels in seconds, as a JSON object such as `{"EMAIL": [60, 3600]}`.'
    )
    retry_after_max_s: Seconds = Field(
        86_400, description="Maximum delay that a provider can request with `Retry-After`."
    )
    circuit_breaker_open_s: PositiveSeconds = Field(
        30, description="Time for which an open circuit breaker blocks all calls before it allows a probe."
    )
    delivery_limit_window_s: WholeSeconds = Field(60, description="Length of the window of the delivery rate limits.")
    delivery_limit_per_user: Count = Field(
        0, description="Maximum number of deliveries to one user on one channel in the window; 0 is unlimited."
    )
    delivery_limit_per_channel: Count = Field(
        0, description="Maximum number of deliveries on one channel in the window; 0 is unlimited."
    )
    delivery_limit_per_tenant: Count = Field(
        0, description="Maximum number of deliveries of one tenant in the window; 0 is unlimited."
    )
    sms_limit_per_user: Count = Field(
        5,
        description="Maximum number of SMS to one user in an hour; further ones wait, except CRITICAL ones, which are "
        "not counted; 0 is unlimited.",
    )
    delivery_limit_overall: Count = Field(
        0, description="Maximum number of deliveries of the whole hub in the window; 0 is unlimited."
    )
    lane_max_ids: PositiveCount = Field(
        1000, description="Maximum number of ids in one lane of the Redis queue; further deliveries wait in MongoDB."
    )
    requeue_after_s: PositiveSeconds = Field(
        60, description="Time after which a delivery that no worker has claimed is enqueued again."
    )
    scheduler_interval_s: PositiveSeconds = Field(0.5, description="Time between two runs of the scheduler.")
    oplog_hours: Seconds = Field(
        1,
        description="Hours that MongoDB's full oplog must cover; while it covers less, sends to many users wait, "
        "because they would end the cursors of receipt subscriptions; 0 disables the check.",
    )
    guard_recipients: Count = Field(
        10_000,
        description="Number of recipients above which the failure guard sends a broadcast to about 1 % of them first.",
    )
    guard_failures: int = Field(
        20,
        ge=0,
        le=100,
        description="Percentage of these first deliveries that may fail; if more do, the broadcast is paused.",
    )
    shutdown_timeout_s: PositiveSeconds = Field(
        10, description="Time in which a process must finish its work after SIGTERM, and `hub serve` after HUB_DRAIN_S."
    )
