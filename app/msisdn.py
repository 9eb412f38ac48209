"""L1: MSISDNs in E.164 with the plus sign, read, written and masked."""

from __future__ import annotations

import re

import phonenumbers

from app.errors import DomainError

_E164 = re.compile(r"\+[1-9]\d{6,14}\Z", re.ASCII)


def is_e164(text: str) -> bool:
    """Whether a gateway's number already has the form we keep: `+254711000001`."""
    return _E164.match(text) is not None


def parse(text: str, region: str) -> str:
    """E.164 of a number as people type it: spaces, `+254…`, `254…`, `07…`.

    `region` is the market's ISO 3166 code. Raises DomainError `msisdn_invalid`.
    """
    candidate = text.strip()
    country_code = str(phonenumbers.country_code_for_region(region))
    digits = re.sub(r"\D", "", candidate)
    if not candidate.startswith("+") and digits.startswith(country_code) and len(digits) > 9:
        candidate = f"+{digits}"
    try:
        number = phonenumbers.parse(candidate, region)
    except phonenumbers.NumberParseException as error:
        raise DomainError("msisdn_invalid") from error
    if not phonenumbers.is_possible_number(number):
        raise DomainError("msisdn_invalid")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def local(msisdn: str) -> str:
    """The form people dial at home: `0711000001`."""
    number = phonenumbers.parse(msisdn)
    national = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
    return re.sub(r"\D", "", national)


def mask(msisdn: str) -> str:
    """For logs and screens of others: `+254711***001`."""
    if len(msisdn) < 8:
        return "***"
    return f"{msisdn[:-6]}***{msisdn[-3:]}"
