"""The rule for phone numbers: the API accepts a number only if it can exist, and stores it in E.164 format."""

import re

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, ValidationResult

E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_SEPARATORS = str.maketrans("", "", " -./()\u00a0\u2010\u2011\u2013")
_RULE = "Write the number with + and its country code, such as +4915112345678."
_REASONS = {
    ValidationResult.TOO_SHORT: "It has too few digits.",
    ValidationResult.IS_POSSIBLE_LOCAL_ONLY: "It has too few digits.",
    ValidationResult.TOO_LONG: "It has too many digits.",
    ValidationResult.INVALID_LENGTH: "It has too few or too many digits.",
    ValidationResult.INVALID_COUNTRY_CODE: "Its country code does not exist.",
}


class InvalidPhoneNumber(ValueError):
    """The number is not valid. The error text states the reason and does not quote the number."""


def e164(text: str) -> str:
    """Return a phone number in E.164 format. Raise InvalidPhoneNumber if no number of that country has this length.

    The number may be unassigned: the library does not know new ranges."""
    text = text.strip()
    if not text.startswith("+"):
        raise InvalidPhoneNumber(_RULE)
    try:
        number = phonenumbers.parse(text, None)
    except NumberParseException as error:
        unknown_country = error.error_type == NumberParseException.INVALID_COUNTRY_CODE
        raise InvalidPhoneNumber("Its country code does not exist." if unknown_country else _RULE) from None
    if number.extension:
        raise InvalidPhoneNumber("Write the number without an extension.")
    result = phonenumbers.is_possible_number_with_reason(number)
    if result != ValidationResult.IS_POSSIBLE:
        raise InvalidPhoneNumber(_REASONS.get(result, _RULE))
    formatted = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    if not E164.fullmatch(formatted):  # such as a German number of 16 digits
        raise InvalidPhoneNumber("It has too few or too many digits.")
    return formatted


def stored_number(phone: str | None) -> str | None:
    """Return the stored number of a user in E.164 format, or None if messages cannot be sent to it. Earlier versions
    stored numbers as they were written."""
    if not phone:
        return None
    if E164.fullmatch(phone):
        return phone
    compact = without_separators(phone)
    return compact if E164.fullmatch(compact) else None


def without_separators(text: str) -> str:
    """Return a number without the spaces, dashes, dots, slashes, and parentheses between its digits."""
    return text.translate(_SEPARATORS)
