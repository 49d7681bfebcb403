"""Personal data and secrets: each kind is found and masked, look-alikes are left alone."""

import pytest

from llm_studio.data.fixes.personal import PATTERNS, hinted, masked, occurrences, pattern

# Composed here so that no scanner takes this file for a leak.
GENUINE = {
    "e_mail": ["jane.doe+news@mail.bank.co.uk", "bob_1@firma.de"],
    "card_number": ["4111 1111 1111 1111", "5500-0000-0000-0004", "378282246310005"],
    "iban": ["DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432"],
    "telephone": ["+49 30 901820", "+1 (202) 456-1111", "+44 20 7946 0958"],
    "aws_key": ["AKIA" + "IOSFODNN7EXAMPLE"],
    "api_key": ["sk-" + "proj-9aB8cD7eF6gH5iJ4kL3m", "AIza" + "SyA1234567890abcdefghijklmnopqrstuv", "hf_" + "a1" * 17],
    "github_token": ["ghp_" + "a1B2" * 9, "github_pat_" + "11ABCDEFG0123456789abcdef"],
    "private_key": ["-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEow\nabc=\n-----END RSA PRIVATE KEY-----"],
    "web_token": ["eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"],
}
LOOKALIKES = [
    "write to name@example.com or me@test",
    "the number 4111 1111 1111 1112 has a wrong checksum",
    "it took 0000000000000000 steps and 1234567890123 more",
    "pi is 3.14159265358979323846264338",
    "48+24 = 72 and 1000000 + 2000000000 = 2001000000",
    "5+123456789 is a sum, (a)+123 456 789 too",
    "set OPENAI_API_KEY to sk-your-secret-key-goes-here",
    "task-12 risk-based-approach-to-everything-2024x",
    "DE89 3704 0044 0532 0130 01 fails its checksum",
    "AKIA is a prefix; @property is a decorator; a @ b is a product",
    "a decorator like @app.route('/x') and user@host",
]


@pytest.mark.parametrize(("name", "found"), [(name, one) for name, all_ in GENUINE.items() for one in all_])
def test_finds_each_kind_inside_a_sentence_and_masks_all_of_it(name: str, found: str) -> None:
    one = pattern(name)
    text = f"Before {found}, after."
    assert list(occurrences(one, text)) == [found]
    assert masked(one, text, one.replacement) == f"Before {one.replacement}, after."
    assert [other.name for other in PATTERNS if any(occurrences(other, text))] == [name]


@pytest.mark.parametrize("text", LOOKALIKES)
def test_leaves_lookalikes_alone(text: str) -> None:
    for one in PATTERNS:
        assert list(occurrences(one, text)) == []
        assert masked(one, text, "x") == text


def test_every_pattern_is_tried_here() -> None:
    assert {one.name for one in PATTERNS} == set(GENUINE)


def test_a_hint_does_not_give_the_secret_away() -> None:
    for found in ("AKIAIOSFODNN7EXAMPLE", "a@b.co", "short"):
        assert len(hinted(found).replace("…", "")) <= 5 and found not in hinted(found)
