"""SMS and WhatsApp messages as the providers get them, and the length of their texts."""

import json
from typing import Any

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from hub.model import Action, Priority
from hub.platform.twilio_callback import RETRY_FRAGMENT
from hub.send import sms_segments, twilio
from hub.send.channels import sms, whatsapp
from hub.send.outcome import Dead, Gone, OptedOut, Outcome, Retry, Sent
from hub.send.sms_text import sms_text
from tests.fake_twilio import error
from tests.provider_setup import PRIVATE_VALUES, FakeServers, new_message, provider_settings, without_secrets
from tests.sms_setup import MESSAGING_SERVICE, TWILIO_NUMBER, open_twilio, twilio_settings

pytestmark = pytest.mark.usefixtures("no_secrets_in_logs")

LINK = "https://app.example.org/orders/7"
FAMILY = "👨‍👩‍👧‍👦"
CONTENT = {"whatsapp_content_sid": f"HX{'a' * 32}", "whatsapp_variables": ("Ann", 'a "quote"')}
PHONE = PRIVATE_VALUES["phone"]


@pytest.mark.parametrize(
    ("text", "encoding", "lengths"),
    [
        ("", "GSM-7", [0]),
        ("a" * 160, "GSM-7", [160]),
        ("a" * 161, "GSM-7", [153, 8]),
        ("€" * 80, "GSM-7", [80]),
        ("a" + "€" * 80, "GSM-7", [77, 4]),  # 1 + 76 * 2 units: half a character does not fit
        ("a" * 306, "GSM-7", [153, 153]),
        ("ç" + "a" * 69, "UCS-2", [70]),  # only the capital letter is in GSM-7
        ("ж" * 71, "UCS-2", [67, 4]),
        ("😀" * 35, "UCS-2", [35]),
        ("😀" * 36, "UCS-2", [33, 3]),  # 66 of 67 units: half a surrogate pair does not fit
    ],
)
def test_text_is_split_into_the_segments_of_its_encoding(text: str, encoding: str, lengths: list[int]) -> None:
    assert (sms_segments.encoding_of(text).name, [len(part) for part in sms_segments.split(text)]) == (
        encoding,
        lengths,
    )
    assert "".join(sms_segments.split(text)) == text


WORDS = st.lists(
    st.sampled_from(["Hello ", "ß€[", "Ж", "😀", FAMILY, "🇩🇪", "e\u0301", "http://a.example/b?c=1 ", "\n", "x" * 90]),
    max_size=80,
).map("".join)


@given(WORDS, st.none() | st.sampled_from([LINK, f"{LINK}?{'a' * 300}"]), st.integers(1, 7))
def test_text_of_an_sms_fits_and_keeps_its_link_and_whole_characters(text: str, link: str | None, most: int) -> None:
    message = new_message(n_title="", n_body=text, n_action_url=link, sms_segments_max=most)
    sent = sms_text(message)
    assert len(sms_segments.split(sent)) <= most
    if link and len(link) < 100 and (most > 1 or sent.isascii()):
        assert link in sent
    body = new_message(n_body=text).plain_body.strip()
    kept = sent.removesuffix(f"\n{link}").removesuffix("...") if "..." in sent else ""
    if kept:
        ends = [match.end() for match in regex.finditer(r"\X", sent)]
        assert len(kept) in ends
        assert (
            regex.sub(r"\s", "", kept)
            == regex.sub(r"\s", "", regex.sub("e\u0301", "é", body))[: len(regex.sub(r"\s", "", kept))]
        )


def test_long_text_is_cut_before_an_emoji_and_before_a_link() -> None:
    def text_of(body: str, **fields: Any) -> str:
        return sms_text(new_message(n_title="", n_body=body, sms_segments_max=1, **fields))

    assert text_of("a" * 161) == "a" * 157 + "..."
    assert text_of("ж" * 60 + FAMILY + "ж" * 60) == "ж" * 60 + "..."
    assert text_of(f"{'a' * 120} {LINK}?{'b' * 90}") == "a" * 120 + "..."
    assert text_of("a" * 200, n_action_url=LINK) == "a" * (156 - len(LINK)) + f"...\n{LINK}"
    assert text_of("a" * 200, n_action_url=f"{LINK}?{'b' * 160}") == "a" * 157 + "..."
    assert text_of(f"See {LINK}", n_action_url=LINK) == f"See {LINK}"
    action = Action(key="open", label="Open", url=LINK)
    assert text_of("Ready", n_actions=(Action(key="x", label="X"), action)) == f"Ready\n{LINK}"
    assert text_of("Ready", n_action_url="/orders/7") == "Ready"


async def test_twilio_gets_the_sender_the_text_and_a_callback_that_it_can_reach(fakes: FakeServers) -> None:
    server = await open_twilio(fakes)

    async def send(provider_of: Any, message: Any, **fields: Any) -> dict[str, str]:
        [provider] = await provider_of.create_providers(fakes.resources(twilio_settings(server, **fields)))
        outcome = await provider.send(message)
        assert isinstance(outcome, Sent), outcome
        assert (outcome.provider_id or "").startswith("SM")
        return server.messages[-1]

    message = new_message(n_title="Ready", n_body="Order *7*", n_markdown=True, n_action_url=LINK)
    text = f"Ready\nOrder 7\n{LINK}"
    assert await send(sms, message, sms_from=TWILIO_NUMBER, public_url="https://hub.example.org") == {
        "To": PHONE,
        "From": TWILIO_NUMBER,
        "Body": text,
        "StatusCallback": "https://hub.example.org/providers/twilio#rc=5&rp=5xx,ct,rt",
    }
    fields = {"To": PHONE, "MessagingServiceSid": MESSAGING_SERVICE, "Body": text}
    for url in ("http://localhost:8000", "http://127.0.0.1:8000", ""):
        assert await send(sms, message, sms_from=MESSAGING_SERVICE, public_url=url) == fields
    sender = {"To": f"whatsapp:{PHONE}", "From": f"whatsapp:{TWILIO_NUMBER}"}
    assert await send(whatsapp, message, whatsapp_from=TWILIO_NUMBER) == {**sender, "Body": text}
    approved = await send(whatsapp, new_message(**CONTENT), whatsapp_from=f"whatsapp:{TWILIO_NUMBER}")
    assert json.loads(approved.pop("ContentVariables")) == {"1": "Ann", "2": 'a "quote"'}
    assert approved == {**sender, "ContentSid": CONTENT["whatsapp_content_sid"]}
    long = await send(whatsapp, new_message(n_body=FAMILY * 900, n_action_url=LINK), whatsapp_from=TWILIO_NUMBER)
    assert 1590 < len(long["Body"]) <= 1600
    assert long["Body"].endswith(f"{FAMILY}...\n{LINK}")


@pytest.mark.parametrize(
    ("channel", "status", "code", "expected"),
    [
        ("sms", 400, 21211, Gone),
        ("sms", 400, 21614, Gone),
        ("sms", 400, 21610, OptedOut),
        ("sms", 403, 21610, OptedOut),
        ("sms", 400, 21408, Dead),
        ("sms", 400, 39999, Dead),  # unknown
        ("sms", 400, 21606, Retry),
        ("sms", 400, 21611, Retry),
        ("sms", 401, 20003, Retry),
        ("sms", 404, 20404, Retry),
        ("sms", 429, 20429, Retry),
        ("sms", 400, 20429, Retry),
        ("sms", 500, 20500, Retry),
        ("sms", 400, None, Dead),
        ("sms", 200, None, Retry),  # not an answer of Twilio
        ("sms", 302, None, Retry),
        ("whatsapp", 400, 63024, Gone),
        ("whatsapp", 400, 63016, Dead),
        ("whatsapp", 400, 21656, Dead),
        ("whatsapp", 400, 63018, Retry),
        ("whatsapp", 400, 21610, OptedOut),
    ],
)
async def test_error_of_twilio_has_its_outcome(
    fakes: FakeServers, channel: str, status: int, code: int | None, expected: type[Outcome]
) -> None:
    server = await open_twilio(fakes)
    settings = twilio_settings(server, sms_from=TWILIO_NUMBER, whatsapp_from=TWILIO_NUMBER)
    module: Any = {"sms": sms, "whatsapp": whatsapp}[channel]
    [provider] = await module.create_providers(fakes.resources(settings))
    server.fault = error(status, code, f"The number {PHONE} ...") if code else error(status, "x")  # type: ignore[arg-type]
    outcome = without_secrets(await provider.send(new_message()))
    assert isinstance(outcome, expected), outcome
    if code:
        assert f"Twilio {code}: " in repr(outcome)
    assert fakes.opt_outs == ([(f"{channel}-sender", PHONE, "twilio 21610")] if code == 21610 else [])


async def test_failed_message_in_an_accepting_response_and_invalid_numbers_have_their_outcomes(
    fakes: FakeServers,
) -> None:
    server = await open_twilio(fakes)
    [provider] = await whatsapp.create_providers(fakes.resources(twilio_settings(server, whatsapp_from=TWILIO_NUMBER)))
    failed = {"sid": f"MM{'0' * 32}", "status": "failed", "error_code": 63016}
    server.fault = lambda: twilio_response(failed)
    outcome = without_secrets(await provider.send(new_message()))
    assert isinstance(outcome, Dead)
    assert "whatsappContentSid" in outcome.error
    calls = server.calls
    user = new_message().user
    for module, fields in ((sms, {"sms_from": TWILIO_NUMBER}), (whatsapp, {"whatsapp_from": TWILIO_NUMBER})):
        [provider] = await module.create_providers(fakes.resources(twilio_settings(server, **fields)))
        for phone in (None, "0151 12345678"):  # an earlier version stored it
            changed = type(user)(id=user.id, created_at=user.created_at, updated_at=user.updated_at, phone=phone)
            assert isinstance(await provider.send(new_message(user=changed)), Dead)
        assert isinstance(await provider.send(new_message(n_title="", n_body=" ")), Dead)
    assert server.calls == calls


def twilio_response(answer: dict[str, object]) -> Any:
    from aiohttp import web

    return web.json_response(answer, status=201)


async def test_sns_gets_the_number_the_text_and_the_attributes(fakes: FakeServers) -> None:
    amazon = await fakes.amazon()
    sent = {}
    for sender, priority in (("Acme", Priority.HIGH), ("+14155550100", Priority.LOW)):
        [provider] = await sms.create_providers(fakes.resources(provider_settings(sns_sms_from=sender)))
        message = new_message(n_title="Ready", n_body="Order 7", n_priority=priority)
        outcome = await provider.send(message)
        assert isinstance(outcome, Sent)
        assert outcome.provider_id
        action, form = amazon.requests[-1]
        assert (action, form["PhoneNumber"], form["Message"]) == ("Publish", PHONE, "Ready\nOrder 7")
        names = [f"MessageAttributes.entry.{number}." for number in (1, 2)]
        sent[sender] = {form[f"{name}Name"]: form[f"{name}Value.StringValue"] for name in names}
    assert sent == {
        "Acme": {"AWS.SNS.SMS.SenderID": "Acme", "AWS.SNS.SMS.SMSType": "Transactional"},
        "+14155550100": {"AWS.MM.SMS.OriginationNumber": "+14155550100", "AWS.SNS.SMS.SMSType": "Promotional"},
    }


def test_preview_is_a_bubble_with_the_segments_that_are_sent() -> None:
    message = new_message(n_title="<b>Sale</b>", n_body="😀" * 100, n_action_url=LINK, sms_segments_max=2)
    preview = sms.preview(message)
    assert preview.text == sms_text(message)
    assert preview.html
    assert preview.html.count('class="segment"') == 2
    assert "&lt;b&gt;Sale" in preview.html
    assert "2 segments, UCS-2, " in preview.html
    assert "1 segment, GSM-7, 22 units" in (
        sms.preview(new_message(n_title="Ready", n_body="Order 7 is [x]")).html or ""
    )
    approved = whatsapp.preview(new_message(**CONTENT))
    assert approved.text == f'Template {CONTENT["whatsapp_content_sid"]}\n{{{{1}}}}: Ann\n{{{{2}}}}: a "quote"'


def test_callback_url_is_one_that_twilio_accepts() -> None:
    assert (
        twilio.callback_url("https://hub.example.org/x")
        == f"https://hub.example.org/x/providers/twilio{RETRY_FRAGMENT}"
    )
    for url in ("", "http://localhost", "http://127.0.0.1:8000", "http://[::1]:8000"):
        assert twilio.callback_url(url) == ""
