"""Checks that compare rows: duplicates, near-duplicates, contradictions, overlap of training and validation rows."""

import random

from llm_studio.data.health.findings import Remedy
from tests.data.health.conftest import Examine, clean_pairs, named, rows_named
from tests.data.planted import plain_jaccard

CLEAN = clean_pairs(120)
HELD = [(f"{prompt} Please explain.", answer) for prompt, answer in clean_pairs(160)[120:]]


def changed(text: str, words: int, seed: int = 5) -> str:
    """The text with some words replaced."""
    chance = random.Random(seed)
    parts = text.split()
    for place in chance.sample(range(1, len(parts) - 1), words):
        parts[place] = f"word{place}"
    return " ".join(parts)


def test_finds_repeated_conversations_but_for_the_first(look: Examine) -> None:
    again = [CLEAN[3], CLEAN[7], CLEAN[3], (CLEAN[9][0].upper(), "  " + CLEAN[9][1])]
    report = look(CLEAN + again, own=HELD)
    assert rows_named(report, "duplicates") == [120, 121, 122, 123]
    found = named(report, "duplicates-train")
    assert found.remedy == Remedy("deduplicate", {"by": "exact"})
    assert [one.reason for one in found.examples] == [f"the same as row {number}" for number in (4, 8, 4, 10)]
    assert rows_named(report, "near_duplicates") == []


def test_finds_near_duplicates_and_shows_how_alike_they_are(look: Examine) -> None:
    near = [(CLEAN[place][0], changed(CLEAN[place][1], 1, place)) for place in (5, 11, 60)]
    far = [("What else is new?", changed(CLEAN[20][1], 25))]
    report = look(CLEAN + near + far, own=HELD)
    assert rows_named(report, "near_duplicates") == [120, 121, 122]
    found = named(report, "near_duplicates-train")
    assert found.remedy == Remedy("deduplicate", {"by": "near", "threshold": 0.8})
    plain = [
        "".join(sign for sign in "\n".join(row) if sign.isalnum() or sign.isspace()) for row in (CLEAN[5], near[0])
    ]
    alike = plain_jaccard(*plain)
    assert found.examples[0].reason == f"{100 * alike:.0f} % of the word triples are those of row 6"


def test_a_template_that_makes_all_rows_alike_is_warned_about(look: Examine) -> None:
    template = " ".join(f"Rule {number} of them says to do thing{number}." for number in range(20))
    rows = [(f"{template} Review {place} speaks of item{place}.", f"Label{place} fits.") for place in range(60)]
    found = named(look(rows, own=HELD), "near_duplicates-train")
    assert "largest group has 60 rows" in found.what and "drop nothing" in found.fix


def test_a_system_text_that_is_the_same_in_all_rows_makes_no_duplicates(look: Examine) -> None:
    system = {
        "role": "system",
        "content": " ".join(f"Rule {number} of them says to do thing{number}." for number in range(40)),
    }
    chats = [
        [system, {"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
        for prompt, answer in CLEAN
    ]
    assert [one.what for one in look(chats).findings] == []


def test_finds_short_answers_that_contradict_and_drops_the_minority(look: Examine) -> None:
    prompt = "Is the sea salty or is it sweet?"
    rows = [*CLEAN, (prompt, "salty"), (prompt.upper(), "Salty"), (prompt, "sweet"), ("Tie?", "yes"), ("tie?", "no")]
    report = look(rows, own=HELD)
    assert rows_named(report, "contradictions") == [122, 123, 124]
    found = named(report, "contradictions-train")
    assert found.severity == "warning" and found.remedy == Remedy("drop")
    assert found.examples[0].reason == "row 121 has the same prompt and another answer"


def test_several_long_answers_to_one_prompt_are_a_note_without_a_step(look: Examine) -> None:
    rows = [*CLEAN, (CLEAN[0][0], CLEAN[1][1]), (CLEAN[2][0], CLEAN[2][1])]
    report = look(rows, own=HELD)
    assert rows_named(report, "contradictions-several") == [0, 120]
    found = named(report, "contradictions-several-train")
    assert found.severity == "note" and found.remedy is None


def test_one_prompt_under_two_system_texts_is_no_contradiction(look: Examine) -> None:
    def chat(system: str, answer: str) -> list[dict[str, str]]:
        texts = {"system": system, "user": "Is it hot?", "assistant": answer}
        return [{"role": role, "content": text} for role, text in texts.items()]

    chats = [chat("Say yes.", "yes"), chat("Say no.", "no"), *[chat(f"Say {n}.", f"Item {n}.") for n in range(20)]]
    report = look([*chats, [{"role": "user", "content": "Other?"}, {"role": "assistant", "content": "Some."}]])
    assert rows_named(report, "contradictions") == []


def test_finds_training_rows_whose_prompt_is_scored_and_stops_at_many(look: Examine) -> None:
    few = look([*CLEAN, (HELD[0][0].lower(), "Some other answer for this one, at some length.")], own=HELD)
    found = named(few, "overlap-train")
    assert (found.rows.tolist(), found.severity, found.remedy) == ([120], "warning", Remedy("drop"))
    assert found.examples[0].reason == "row 1 of the validation rows asks the same"


def test_much_overlap_stops(look: Examine) -> None:
    found = named(look(CLEAN + HELD[:5], own=HELD), "overlap-train")
    assert (found.rows.tolist(), found.severity) == ([120, 121, 122, 123, 124], "stops")


def test_finds_training_prompts_that_are_nearly_scored(look: Examine) -> None:
    long = [(f"{answer} What of it?", "It depends on what came before it.") for _, answer in HELD]
    nearly = [(changed(long[4][0], 1), "Some answer that nobody else gives to this.")]
    report = look(CLEAN + nearly, own=long)
    assert rows_named(report, "near_overlap") == [120]
    assert rows_named(report, "overlap") == []
    assert "word triples are those of validation row 5" in named(report, "near_overlap-train").examples[0].reason


def test_an_automatic_split_has_no_overlap_and_the_report_says_so(look: Examine) -> None:
    report = look(CLEAN + CLEAN[:30])
    outcome = {one.check: one for one in report.checks}["overlap"]
    assert outcome.findings == 0 and outcome.words == "Passed: no row of 150 is learned and scored."


def test_rows_of_a_validation_file_are_reported_but_no_step_drops_them(look: Examine) -> None:
    report = look(CLEAN, own=[*HELD, HELD[0]])
    found = named(report, "duplicates-validation")
    assert found.rows.tolist() == [len(HELD)] and found.remedy is None
    assert "validation rows" in found.what


def test_one_prompt_in_very_many_rows_is_examined_in_one_go(look: Examine) -> None:
    rows = [("Name a number.", str(min(number % 7, 5))) for number in range(20_000)]
    found = named(look(rows, own=HELD), "contradictions-train")
    assert found.rows.tolist() == [row for row in range(20_000) if row % 7 < 5]
