"""`send`: accepted notifications per second."""

from msgspec.structs import replace

from hub import utc_time
from hub.audience.templates import Templates
from hub.audience.tenants import Tenants
from hub.bench.benchmark_servers import BenchEnvironment
from hub.bench.payloads import SEND, TENANT, operation, send_input, template_input, write_request
from hub.bench.plan import Plan
from hub.bench.post_load import PostResult, measure_posts
from hub.bench.results import Figure
from hub.model import Preferences, QuietHours, TemplateTexts
from hub.utc_time import HubTime

CONNECTIONS = 64
BATCH_CONNECTIONS = 8
SENDS_PER_BATCH = 100  # sends per sendMany call
TEMPLATES = {"shared": "{{ text }}", "personal": "{{ text }} {{ user.id }}"}
"""The bodies by key. The title of both is `{{ title }}`."""
TEMPLATE_FIGURES = (
    ("shared", "quiet hours and a shared template, CPU of a plain send", 1.25),
    ("personal", "quiet hours and a template with `user`, CPU of a plain send", 1.6),
)
SEND_MANY = "mutation($inputs: [SendInput!]!) { sendMany(inputs: $inputs) { send { id } duplicate } }"


async def run(env: BenchEnvironment, plan: Plan) -> list[Figure]:
    """Measure sends with one recipient each over 64 connections."""
    single = write_request(env, "send", operation(SEND, input=send_input()))
    batch = write_request(env, "many", operation(SEND_MANY, inputs=[send_input() for _ in range(SENDS_PER_BATCH)]))
    async with env.hub("send") as hub:
        plan.progress("send, 64 connections")
        sends = await measure_posts(env, plan, hub, single, CONNECTIONS)
        templates = {}
        await _set_quiet_hours(env)
        for key, body in TEMPLATES.items():
            plan.progress(f"send with a template, {key}")
            await _store_template(env, key, body)
            request = write_request(env, key, operation(SEND, input=template_input(key)))
            templates[key] = await measure_posts(env, plan, hub, request, CONNECTIONS)
        plan.progress("sendMany")
        batches = await measure_posts(env, plan, hub, batch, BATCH_CONNECTIONS)
    floors = {}
    for writes in ("plain", "journaled"):
        plan.progress(f"floor: insert and publish, {writes}")
        async with env.baseline(writes) as floor:
            floors[writes] = await measure_posts(env, plan, floor, single, CONNECTIONS)
    plain = floors["plain"].per_second
    return [
        sends.figure("send", "to one user each", "/s", minimum=2500, floor=plain),
        Figure(
            group="send",
            name="p99 of the above",
            value=sends.p99_ms,
            unit="ms",
            maximum=60,
            floor=floors["plain"].p99_ms,
        ),
        *(_cost(templates[key], sends, name, maximum) for key, name, maximum in TEMPLATE_FIGURES),
        batches.figure(
            "send", f"sendMany of {SENDS_PER_BATCH}, notifications", "/s", items=SENDS_PER_BATCH, minimum=6000
        ),
        floors["plain"].figure("floor", "insert and publish one by one, without waiting for the journal", "/s"),
        floors["journaled"].figure("floor", "the same, journaled", "/s"),
    ]


async def _set_quiet_hours(env: BenchEnvironment) -> None:
    """Give the users of the `send` benchmark quiet hours on every day."""
    night = QuietHours(start="22:00", end="07:00", timezone="Europe/Berlin")
    async with env.mongo_client() as client:
        tenants = Tenants(client["send"], max_categories=10, deadline_s=5)
        quiet = Preferences(quiet_schedule=(night,))
        await tenants.change(TENANT, lambda tenant: replace(tenant, preferences=quiet), None)


async def _store_template(env: BenchEnvironment, key: str, body: str) -> None:
    """Store a template in the database of the `send` benchmark."""
    async with env.mongo_client() as client:
        templates = Templates(client["send"], lambda: HubTime(utc_time.now()), deadline_s=5)
        texts = TemplateTexts(key=key, locale="en", title="{{ title }}", body=body)
        await templates.upsert(TENANT, texts, None, "bench", None)


def _cost(result: PostResult, plain: PostResult, name: str, maximum: float) -> Figure:
    """Return the CPU time of a send relative to that of a plain send."""
    return Figure(
        group="send",
        name=name,
        value=result.cpu_us / plain.cpu_us,
        unit="times",
        maximum=maximum,
        p50_ms=result.p50_ms,
        p99_ms=result.p99_ms,
        memory_mb=result.memory_mb,
        cpu_us=result.cpu_us,
    )
