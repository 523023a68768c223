"""The rule for email addresses: the API accepts an address only if it can be used in an SMTP envelope.

Accepted: any local part of RFC 5321, quoted or not, with letters beyond ASCII (RFC 6531), at a domain name (IDNA 2008).
Rejected: IP literals, underscores in the domain, comments, and display names. Large email providers also reject these.
"""

import re

import email_validator

PLAIN = re.compile(r"([A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*)@((?:[a-z0-9]+(?:-[a-z0-9]+)*\.)+[a-z]{2,63})")
"""Matches nearly all addresses. A matching address requires only a length check, which keeps user imports fast."""
LOCAL_MAX_BYTES, DOMAIN_LABEL_MAX_BYTES, DOMAIN_MAX_BYTES, ADDRESS_MAX_BYTES = 64, 63, 253, 254  # RFC 5321, RFC 1035

email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()  # internal mail servers also deliver to `.local` and `.test`


class InvalidEmailAddress(ValueError):
    """The address is not valid. The error text states the reason and does not quote the address."""


def envelope_address(address: str) -> str:
    """Return the address with its domain in ASCII, for an SMTP envelope. Raise InvalidEmailAddress."""
    if (plain := PLAIN.fullmatch(address)) and _is_short(plain[1], plain[2]):
        return address
    try:
        checked = email_validator.validate_email(
            address, check_deliverability=False, allow_quoted_local=True, globally_deliverable=False
        )
    except (email_validator.EmailNotValidError, UnicodeError) as error:
        raise InvalidEmailAddress(_reason(address, error)) from None
    local, domain = checked.local_part, checked.ascii_domain
    if not _is_short(local, domain):
        raise InvalidEmailAddress("It is too long: 64 bytes before the @ and 254 bytes in all.")
    return f"{local}@{domain}"


def is_email_address(text: str | None) -> bool:
    """Return True if `text` is a valid email address."""
    try:
        return bool(text and envelope_address(text))
    except InvalidEmailAddress:
        return False


def _is_short(local: str, domain: str) -> bool:
    local_bytes = len(local.encode(errors="replace"))
    return (
        local_bytes <= LOCAL_MAX_BYTES
        and len(domain) <= DOMAIN_MAX_BYTES
        and local_bytes + 1 + len(domain) <= ADDRESS_MAX_BYTES
        and all(len(label) <= DOMAIN_LABEL_MAX_BYTES for label in domain.split("."))
    )


def _reason(address: str, error: Exception) -> str:
    """Return the reason in one sentence. The error texts of the library may quote parts of the address."""
    if "<" in address or ">" in address:
        return "Write the address alone, without a name and angle brackets."
    if address.lower().startswith("mailto:"):
        return "Write the address alone, without `mailto:`."
    if any(character.isspace() for character in address) and '"' not in address:
        return "It has spaces or line breaks."
    if address.count("@") > 1 and '"' not in address:
        return "It has more than one @. Write one address."
    if "@" not in address:
        return "It has no @."
    if "too long" in str(error):
        return "It is too long: 64 bytes before the @ and 254 bytes in all."
    local, _, domain = address.rpartition("@")
    if not local or not domain:
        return "There is nothing on one side of its @."
    try:
        email_validator.validate_email(
            f"a@{domain}", check_deliverability=False, globally_deliverable=False, allow_domain_literal=False
        )
    except (email_validator.EmailNotValidError, UnicodeError):
        return "The part after its @ is not a domain name."
    return "The part before its @ has characters or dots that mail servers refuse."
