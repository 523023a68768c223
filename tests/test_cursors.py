"""Positions and page cursors: round trips, and damaged ones."""

from base64 import urlsafe_b64encode
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import BadUserInput
from hub.inbox.cursors import decode_page_cursor, decode_position, encode_page_cursor, encode_position
from hub.model import (
    Position,
)

numbers = st.integers(0, 10**18 - 1)
words = st.text("0123456789abcdef-", max_size=40)


@given(st.builds(Position, epoch=words, modseq=numbers, time=numbers, up_to_id=words))
def test_position_survives_encoding(position: Position) -> None:
    cursor = encode_position(position)
    assert decode_position(cursor, "after") == position
    assert not set(cursor) & set("+/= "), "it needs no escaping in a URL"


@given(numbers)
def test_page_cursor_survives_encoding_and_is_not_a_position(place: int) -> None:
    assert decode_page_cursor(encode_page_cursor(place), "after") == place
    with pytest.raises(BadUserInput):
        decode_position(encode_page_cursor(place), "after")


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")) | st.text("m.0123AZ_-+/= \n").map(str))
def test_random_text_is_rejected_or_is_exactly_a_cursor(rubbish: str) -> None:
    with suppress(BadUserInput):
        assert encode_position(decode_position(rubbish, "after")) == rubbish


@given(st.builds(Position, epoch=words, modseq=numbers, time=numbers, up_to_id=words), st.data())
def test_damaged_position_is_rejected(position: Position, data: st.DataObject) -> None:
    cursor = encode_position(position)
    place = data.draw(st.integers(0, len(cursor)))
    foreign = data.draw(st.text("!*=+/ \n\x00é", min_size=1, max_size=8))
    with pytest.raises(BadUserInput):
        decode_position(cursor[:place] + foreign + cursor[place:], "after")


@pytest.mark.parametrize(
    "parts", ["e.-1.2.", "e.1.-2.", "e.1.2", "e.1.2.3.4", "e.x.2.", "e.٣.2.", f"e.{10**18}.2.", "e..2.", "e. 1.2."]
)
def test_position_with_invalid_parts_is_rejected(parts: str) -> None:
    with pytest.raises(BadUserInput):
        decode_position(urlsafe_b64encode(parts.encode()).decode().rstrip("="), "after")
