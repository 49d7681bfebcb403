"""Recognises personal data and secrets in text, and masks them; every pattern carries the check that makes it sure."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

RESERVED = re.compile(r"(?:^|\.)(?:example|test|invalid|localhost)(?:\.(?:com|org|net))?$", re.IGNORECASE)
"""Domains that belong to nobody (RFC 2606)."""


@dataclass(frozen=True)
class Pattern:
    """One kind of personal data or secret."""

    name: str
    title: str
    replacement: str
    secret: bool
    """Whether it opens something (a key) rather than tells about somebody."""
    triggers: tuple[str, ...]
    """A text without any of these cannot hold it; empty: every text must be searched."""
    expression: re.Pattern[str]
    genuine: Callable[[str], bool] = lambda found: True
    """Whether what the expression found is one, by checksum or known exceptions."""


def luhn(found: str) -> bool:
    """Whether 13 to 19 digits of a known issuer have the checksum of a card number (ISO/IEC 7812)."""
    digits = [int(sign) for sign in found if sign.isdigit()]
    if not 13 <= len(digits) <= 19 or digits[0] not in (2, 3, 4, 5, 6) or len(set(digits)) < 2:
        return False
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def iban_checksum(found: str) -> bool:
    """Whether letters and digits are an IBAN: at least 15 of them, remainder 1 of 97 (ISO 13616)."""
    plain = found.replace(" ", "")
    if not 15 <= len(plain) <= 34:
        return False
    turned = plain[4:] + plain[:4]
    return int("".join(str(int(sign, 36)) for sign in turned)) % 97 == 1


def belongs_to_somebody(found: str) -> bool:
    """Whether the domain of an e-mail address is not one of those reserved for examples."""
    return not RESERVED.search(found.rpartition("@")[2])


def telephone(found: str) -> bool:
    """Whether an international number has as many digits as one may have (ITU-T E.164: at most 15)."""
    return 9 <= sum(sign.isdigit() for sign in found) <= 15


def has_letters_and_digits(found: str) -> bool:
    """Whether the part after the prefix looks random; "sk-your-key-here" does not."""
    body = found.split("-", 1)[-1]
    return any(sign.isdigit() for sign in body) and any(sign.isalpha() for sign in body)


PATTERNS: tuple[Pattern, ...] = (
    Pattern(
        "e_mail",
        "e-mail address",
        "[e-mail]",
        False,
        ("@",),
        re.compile(r"(?<![\w.+-])[A-Za-z0-9][\w.+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.){1,4}[A-Za-z]{2,24}(?![\w-])"),
        belongs_to_somebody,
    ),
    Pattern(
        "card_number",
        "card number",
        "[card number]",
        False,
        (),
        re.compile(
            r"(?<![\w.,-])(?:[2-6]\d{12,18}|[2-6]\d{3}([ -])\d{4}\1\d{4}\1\d{4}(?:\1\d{3})?"
            r"|3[47]\d\d([ -])\d{6}\2\d{5})(?![\w-]|[.,]\d)"
        ),
        luhn,
    ),
    Pattern(
        "iban",
        "bank account (IBAN)",
        "[bank account]",
        False,
        (),
        re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)"),
        iban_checksum,
    ),
    Pattern(
        "telephone",
        "international telephone number",
        "[telephone]",
        False,
        ("+",),
        re.compile(r"(?<![\w+)])\+[1-9]\d{0,2}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{1,4}(?:[ .-]?\d{2,4}){2,4}(?!\d)"),
        telephone,
    ),
    Pattern(
        "aws_key",
        "AWS access key",
        "[access key]",
        True,
        ("AKIA", "ASIA"),
        re.compile(r"(?<![A-Za-z0-9])A(?:KIA|SIA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
        has_letters_and_digits,
    ),
    Pattern(
        "api_key",
        "API key",
        "[API key]",
        True,
        ("sk-", "sk_live_", "AIza", "xox", "hf_", "glpat-"),
        re.compile(
            r"(?<![A-Za-z0-9])(?:sk-[A-Za-z0-9_-]{20,200}|sk_live_[A-Za-z0-9]{16,99}|AIza[A-Za-z0-9_-]{35}"
            r"|xox[abeoprs]-[A-Za-z0-9-]{10,200}|hf_[A-Za-z0-9]{30,60}|glpat-[A-Za-z0-9_-]{20,60})(?![A-Za-z0-9])"
        ),
        has_letters_and_digits,
    ),
    Pattern(
        "github_token",
        "GitHub token",
        "[GitHub token]",
        True,
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        re.compile(r"(?<![A-Za-z0-9])(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255})(?![A-Za-z0-9])"),
    ),
    Pattern(
        "private_key",
        "private key",
        "[private key]",
        True,
        ("PRIVATE KEY",),
        re.compile(
            r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,20}PRIVATE KEY-----|\Z)", re.DOTALL
        ),
    ),
    Pattern(
        "web_token",
        "web token (JWT)",
        "[web token]",
        True,
        ("eyJ",),
        re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,4000}\.eyJ[A-Za-z0-9_-]{8,4000}\.[A-Za-z0-9_-]{8,2000}"),
    ),
)


def pattern(name: str) -> Pattern:
    """The pattern of this name; KeyError when there is none."""
    return {one.name: one for one in PATTERNS}[name]


def occurrences(one: Pattern, text: str) -> Iterator[str]:
    """What the text holds of one kind."""
    if one.triggers and not any(trigger in text for trigger in one.triggers):
        return
    for match in one.expression.finditer(text):
        if one.genuine(match.group()):
            yield match.group()


def masked(one: Pattern, text: str, replacement: str) -> str:
    """The text with every occurrence replaced."""
    if one.triggers and not any(trigger in text for trigger in one.triggers):
        return text
    return one.expression.sub(lambda match: replacement if one.genuine(match.group()) else match.group(), text)


def hinted(found: str) -> str:
    """Enough of an occurrence to recognise it and too little to use it: "AKIA…3Q"."""
    return f"{found[:3]}…{found[-2:]}" if len(found) > 8 else f"{found[:1]}…"
