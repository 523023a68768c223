"""Texts for recipients are in their language."""

import ast
import re
from pathlib import Path
from uuid import uuid4

import pytest
from babel import Locale
from babel.messages.catalog import Message
from babel.messages.pofile import read_po

import hub
from hub.model import User
from hub.platform.connections import Database
from hub.platform.translations import (
    BECAUSE,
    CATALOGS,
    LOCALES,
    accepted_language,
    because,
    direction_of,
    language,
)
from hub.send.channels import email
from tests.client import Tenant
from tests.provider_setup import NOW, new_message

CODE = Path(hub.__file__).parent
TRANSLATE_FUNCTIONS = {"text": 1, "_text": 1, "marked": 1, "plural": 2}
REASON_DE, REASON_AR = "Der Absender hat Sie als Empfänger angegeben.", "حدّدك المرسل ضمن المستلمين."


def _key(message: Message) -> str | tuple[str, ...]:
    return message.id if isinstance(message.id, str) else tuple(message.id)


def messages_of(locale: str) -> dict[str | tuple[str, ...], Message]:
    with (CATALOGS / f"{locale}.po").open("rb") as file:
        return {_key(found): found for found in read_po(file, locale=locale, abort_invalid=True) if found.id}


def reader(locale: str) -> User:
    return User(id="acme/alice", created_at=NOW, updated_at=NOW, email="a@people.example", locale=locale)


def marked_in_code() -> set[str | tuple[str, ...]]:
    """Return every message that the code translates."""
    found: set[str | tuple[str, ...]] = set()
    for path in CODE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            fields = [
                str(value.value)
                for value in node.args[: TRANSLATE_FUNCTIONS.get(name, 0)]
                if isinstance(value, ast.Constant)
            ]
            if fields and name != "plural":
                found.add(fields[0])
        tree = ast.parse(path.read_text())
        texts = {node.targets[0].id: str(node.value.value) for node in ast.walk(tree)
                 if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and isinstance(node.value, ast.Constant)}  # fmt: skip
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "plural":
                found.add(tuple(texts[value.id] for value in node.args[:2] if isinstance(value, ast.Name)))
    return found


def test_english_catalog_contains_exactly_the_messages_of_the_code() -> None:
    """A new message needs an entry in `en.po`, and an unused entry is removed."""
    assert set(messages_of("en")) == marked_in_code()


@pytest.mark.parametrize("locale", LOCALES)
def test_catalog_has_every_message_with_the_same_placeholders(locale: str) -> None:
    """No text or plural form is missing, and placeholders are those of the English text."""
    english, own = messages_of("en"), messages_of(locale)
    assert own.keys() == english.keys()
    with (CATALOGS / f"{locale}.po").open("rb") as file:
        forms = read_po(file, locale=locale).num_plurals
    for id, entry in own.items():
        assert not entry.fuzzy
        texts = entry.string if isinstance(entry.string, tuple | list) else (str(entry.string),)
        assert len(texts) == (forms if isinstance(id, tuple) else 1)
        for text in texts:
            assert text.strip()
            placeholders = re.findall(r"\{\w*\}", id[-1] if isinstance(id, tuple) else id)
            assert sorted(re.findall(r"\{\w*\}", text)) == sorted(placeholders), text


def test_catalogs_cover_eight_languages_and_both_directions() -> None:
    assert {"en", "de", "ar"} < set(LOCALES)
    assert len(LOCALES) >= 8
    assert {Locale.parse(locale).text_direction for locale in LOCALES} == {"ltr", "rtl"}


@pytest.mark.parametrize(
    ("requested", "tag"),
    [
        ("de", "de"), ("de-AT", "de"), ("DE_ch", "de"), ("de_DE.UTF-8", "de"), ("de-u-co-phonebk", "de"),
        ("pt", "pt-BR"), ("pt-PT", "pt-BR"), ("zh", "zh-Hans"), ("zh-CN", "zh-Hans"), ("zh-Hans-SG", "zh-Hans"),
        ("zh-TW", "en"), ("zh-Hant", "en"), ("ar-EG", "ar"), ("es-419", "es"), ("fr-CA-x-y", "fr"), ("ja", "ja"),
        ("en-GB", "en"), ("xx", "en"), ("", "en"), ("../../etc", "en"), ("english", "en"), ("x" * 5000, "en"),
    ],
)  # fmt: skip
def test_locale_falls_back_to_its_language_and_then_to_english(requested: str, tag: str) -> None:
    assert language(requested).tag == tag


def test_browser_language_is_the_first_that_has_a_catalog() -> None:
    assert accepted_language("sv, de;q=0.5, fr-CH;q=0.8").tag == "fr"
    assert accepted_language("en, de").tag == "en"
    assert accepted_language("de;q=0, *").tag == "en"
    assert accepted_language("de;q=x").tag == "en"
    assert accepted_language("").tag == "en"


def test_placeholder_value_is_inserted_unchanged() -> None:
    """A category named like a placeholder keeps its name, and its own text direction in Arabic."""
    assert (
        language("en").text("Unsubscribe from {category}", category="{tenant} {0}") == "Unsubscribe from {tenant} {0}"
    )
    assert "\u2068News\u2069" in language("ar").text("Unsubscribe from {category}", category="News")
    assert direction_of("123 (") is None
    assert direction_of("1. مرحبا x") == "rtl"


def test_plural_form_follows_the_number() -> None:
    one, many = next(id for id in messages_of("en") if isinstance(id, tuple))
    assert len({language("ar").plural(one, many, number).replace(str(number), "") for number in (1, 2, 5, 11)}) == 4
    assert "1 Sekunde " in language("de").plural(one, many, 1)
    assert "0 Sekunden " in language("de").plural(one, many, 0)
    assert "0 seconde." in language("fr").plural(one, many, 0)


def test_stored_reason_is_translated() -> None:
    assert because(new_message(n_because="NAMED").notification, language("de")) == REASON_DE
    topic = new_message(n_because="TOPIC:a:b {topic}").notification
    assert (topic.because_kind, topic.because_of) == ("TOPIC", "a:b {topic}")
    assert because(topic, language("en")) == "You follow the topic a:b {topic}."
    assert new_message(n_because="").notification.because_kind == "NAMED"
    assert len(BECAUSE) == 5


READ = "inbox { nodes { because becauseKind becauseOf } }"
LIVE = "subscription ($after: Cursor) { inbox(after: $after) { notification { because becauseKind becauseOf } } }"
UPSERT = "mutation ($users: [UserInput!]!) { upsertUsers(users: $users) { id } }"


async def test_reason_is_in_the_language_of_the_reader(tenant: Tenant, database: Database) -> None:
    """A new language applies to what is read. Subscriptions and services also use the language of the recipient."""
    user = f"u{uuid4().hex[:8]}"
    await tenant.execute(UPSERT, users=[{"id": user, "locale": "de-AT"}])
    expected = {"because": REASON_DE, "becauseKind": "NAMED", "becauseOf": None}
    position = (await tenant.execute("{ inbox { position } }", user=user))["inbox"]["position"]
    async with tenant.feed(user, position, query=LIVE) as live:
        await tenant.send(user)
        [event] = await live.take(1)
    assert event["notification"] == expected
    assert (await tenant.execute(f"{{ {READ} }}", user=user))["inbox"]["nodes"] == [expected]
    assert (await tenant.execute(f"{{ me {{ {READ} }} }}", user=user))["me"]["inbox"]["nodes"] == [expected]
    await tenant.execute(UPSERT, users=[{"id": user, "locale": "ar"}])
    assert (await tenant.execute(f"{{ {READ} }}", user=user))["inbox"]["nodes"][0]["because"] == REASON_AR
    query = f"query ($id: ID!) {{ user(id: $id) {{ {READ} }} }}"
    assert (await tenant.execute(query, id=user))["user"]["inbox"]["nodes"][0]["because"] == REASON_AR
    stored = await database["notifications"].find_one({"mailbox": f"{tenant.name}/{user}"})
    assert stored
    assert stored["because"] == "NAMED"


def test_email_is_in_the_language_of_its_reader() -> None:
    displayed = email.preview(new_message(n_because="NAMED", n_action_url="https://ci.example/1", user=reader("de-CH")))
    assert "Öffnen: https://ci.example/1" in displayed.text
    assert f"-- \n{REASON_DE}\nBuild results abbestellen: " in displayed.text
    assert displayed.html
    assert ">Öffnen</a>" in displayed.html
    assert REASON_DE in displayed.html
    assert '<html lang="de"' in displayed.html
