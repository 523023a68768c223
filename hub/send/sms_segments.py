"""The segments of an SMS (3GPP TS 23.038 and 23.040). Pure.

A text of GSM-7 characters has 160 of them in one message, or 153 in each of several. Characters of the extension table
count twice. Any other character makes the whole text UCS-2, with 70 or 67 units of 16 bits. Phones and providers do not
split a character over two segments.
"""

from msgspec import Struct

GSM7 = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM7_EXTENSION = frozenset("\f^{}\\[~]|€")


class Encoding(Struct, frozen=True):
    """An encoding, with the number of units in a single segment and in each of several."""

    name: str
    single: int
    concatenated: int

    def units(self, character: str) -> int:
        if self is GSM_7:
            return 2 if character in GSM7_EXTENSION else 1
        return 2 if ord(character) > 0xFFFF else 1


GSM_7 = Encoding("GSM-7", 160, 153)
UCS_2 = Encoding("UCS-2", 70, 67)


def encoding_of(text: str) -> Encoding:
    """Return the encoding in which a text is sent."""
    return GSM_7 if GSM7.issuperset(set(text) - GSM7_EXTENSION) else UCS_2


def count_units(text: str) -> int:
    """Return the number of units of a text in its encoding."""
    encoding = encoding_of(text)
    return sum(map(encoding.units, text))


def split(text: str) -> list[str]:
    """Return the segments of a text: at least one, which may be empty."""
    encoding = encoding_of(text)
    if sum(map(encoding.units, text)) <= encoding.single:
        return [text]
    segments, start, used = [], 0, 0
    for at, character in enumerate(text):
        units = encoding.units(character)
        if used + units > encoding.concatenated:
            segments.append(text[start:at])
            start, used = at, 0
        used += units
    return [*segments, text[start:]]
