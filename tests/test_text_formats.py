"""base64url and ISO 8601 durations are written and read in one place each."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub import base64url, iso_duration


@given(st.binary(max_size=100))
def test_base64url_accepts_every_spelling_of_the_same_bytes(data: bytes) -> None:
    assert base64url.encode(data) == base64.urlsafe_b64encode(data).decode().rstrip("=")
    for text in (base64url.encode(data), base64.urlsafe_b64encode(data).decode(), base64.b64encode(data).decode()):
        assert base64url.decode(text) == data


@pytest.mark.parametrize("text", ["a", "ab!d", "ab d", "é", "ab\ncd"])
def test_base64url_of_other_characters_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="base64url"):
        base64url.decode(text)


@given(st.integers(min_value=0, max_value=10**10))
def test_duration_is_read_as_it_was_written(seconds: int) -> None:
    assert iso_duration.parse(iso_duration.format(seconds)) == seconds


@pytest.mark.parametrize(
    "text", ["", "P", "PT", "P1DT", "P1Y", "P1M", "-PT1H", "PT1e4S", "PT1H ", "PT\u0661S", "P" + "9" * 100 + "D"]
)
def test_duration_in_another_format_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="ISO 8601"):
        iso_duration.parse(text)
