"""Checks of languages, encodings, personal data, secrets and labels find what was planted."""

from pathlib import Path

import pytest

from llm_studio.data.fixes.recipe import Recipe, recipe_step_for
from llm_studio.data.health.findings import Remedy
from llm_studio.data.health.languages import language
from tests.data.health.conftest import Examine, clean_pairs, named, rows_named
from tests.data.test_personal import GENUINE

PROMPTS = [f"{prompt}" for prompt, _ in clean_pairs(60)]
ENGLISH = [
    f"The number {place} is what you are looking for, because there is no other number that would fit as well here."
    for place in range(60)
]
OTHER = {
    "German": "Das ist eine gute Frage, denn nur wenige Menschen wissen, wie der Fluss zu seinem Namen gekommen ist.",
    "French": "C'est une bonne question, car peu de gens savent comment la rivière a reçu le nom qu'elle porte.",
    "Spanish": "Es una buena pregunta, porque pocas personas saben cómo el río llegó a tener el nombre que lleva.",
    "Chinese": "这是一个很好的问题，因为很少有人知道这条河是怎么得到现在这个名字的，我来告诉你。",
    "Russian": "Это хороший вопрос, потому что мало кто знает, как река получила то имя, которое она носит.",
}
ROWS = list(zip(PROMPTS, ENGLISH, strict=True))


def test_finds_answers_in_another_language_than_most(look: Examine) -> None:
    report = look([*ROWS, *((f"What about {name}?", text) for name, text in OTHER.items())])
    assert rows_named(report, "languages") == [60, 61, 62, 63, 64]
    found = next(one for one in report.findings if one.check == "languages")
    assert found.severity == "note" and "most, which are English: " in found.what
    reasons = {example.row: example.reason for one in report.findings for example in one.examples}
    assert {reasons[60 + place] for place in range(5)} == {f"the answer seems to be {name}" for name in OTHER}


@pytest.mark.parametrize(
    "text", ["", "Yes, it is.", "x = [i for i in range(10)]; print(sum(x)) # {} () 12 34", "7 8 9"]
)
def test_guesses_no_language_of_short_texts_and_code(text: str) -> None:
    assert language(text) == ""


DAMAGED = {
    "mojibake": [
        "The cafÃ© on the corner isnâ€™t open on Mondays.",
        "Er wohnt in der KÃ¶nigstraÃŸe gleich um die Ecke.",
    ],
    "control": ["A bell\x07 rings in this text, and it stops.", "Nothing\x00 to see in this text at all."],
    "lost": ["The caf\ufffd on the corner is not open on Mondays."],
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_finds_damaged_text_and_the_step_mends_what_can_be_mended(look: Examine, kind: str) -> None:
    good = [("What is a “naïve” café?", "A place in Zürich – or Łódź – where you pay 5 € for “nothing”… and smile 🙂.")]
    report = look([*ROWS, *good, *((f"Why {place}?", text) for place, text in enumerate(DAMAGED[kind]))])
    rows = list(range(61, 61 + len(DAMAGED[kind])))
    assert rows_named(report, f"encoding-{kind}") == rows
    assert [one.name for one in report.findings if one.check == "encoding" and f"-{kind}-" not in one.name] == []
    found = next(one for one in report.findings if one.check == "encoding")
    if kind == "lost":
        assert found.remedy == Remedy("drop")
    else:
        recipe = Recipe(Path("nowhere"), [recipe_step_for(found)])
        mended = [recipe.edit({"q": "Why?", "a": text})["a"] for text in DAMAGED[kind]]
        wanted = {
            "mojibake": [
                "The café on the corner isn’t open on Mondays.",
                "Er wohnt in der Königstraße gleich um die Ecke.",
            ],
            "control": ["A bell rings in this text, and it stops.", "Nothing to see in this text at all."],
        }
        assert mended == wanted[kind]


def test_finds_each_kind_of_personal_data_and_secret_and_masks_it(look: Examine) -> None:
    planted = [(name, f"What you asked for is {one}, as told.") for name, all_ in GENUINE.items() for one in all_]
    report = look([*ROWS, *((f"What is it for {place}?", text) for place, (_, text) in enumerate(planted))])
    for name, _ in planted:
        check = "secrets" if rows_named(report, f"secrets-{name}") else "personal_data"
        rows = [60 + place for place, (kind, _) in enumerate(planted) if kind == name]
        assert rows_named(report, f"{check}-{name}") == rows
    checks = {one.check for one in report.findings}
    assert {"personal_data", "secrets"} <= checks
    for found in report.findings:
        if found.check in ("personal_data", "secrets"):
            recipe = Recipe(Path("nowhere"), [recipe_step_for(found)])
            kind = found.name.split("-")[1]
            text = next(text for name, text in planted if name == kind)
            assert GENUINE[kind][0] not in str(recipe.edit({"q": "", "a": text})["a"])


def test_a_report_does_not_repeat_the_secrets_that_it_warns_of(look: Examine) -> None:
    planted = [
        (f"What is it for {place}?", f"It is {all_[0]}, as told.") for place, all_ in enumerate(GENUINE.values())
    ]
    report = look([*ROWS, *planted])
    said = " ".join(f"{one.reason} {one.excerpt}" for found in report.findings for one in found.examples)
    assert [all_[0] for all_ in GENUINE.values() if all_[0] in said] == []


def test_one_label_for_all_rows_stops_and_for_most_is_a_warning(look: Examine) -> None:
    held = [("Held out?", "good"), ("Also held?", "bad")]
    alone = named(look([(prompt, "good") for prompt in PROMPTS], own=held), "labels-one_sided-train")
    assert alone.severity == "stops" and alone.what.startswith("100 % of the 60 training rows")


def test_a_label_that_outweighs_the_others_and_rare_labels_are_told(look: Examine) -> None:
    answers = ["good"] * 53 + ["bad"] * 4 + ["Ugly"] * 3
    held = [("Held out?", "good"), ("Also held?", "bad")]
    report = look(list(zip(PROMPTS, answers, strict=True)), own=held)
    most, rare = named(report, "labels-one_sided-train"), named(report, "labels-rare-train")
    assert most.severity == "warning" and "88.3 %" in most.what and "“good”" in most.what
    assert rare.rows.tolist() == list(range(53, 60)) and "one of 2 labels" in rare.what
    assert rare.examples[-1].reason == "the label “Ugly” has 3 of 60 rows"


def test_balanced_labels_and_free_text_have_no_finding(look: Examine) -> None:
    answers = ["good", "bad", "neutral"] * 20
    assert rows_named(look(list(zip(PROMPTS, answers, strict=True))), "labels-rare") == []
    assert [one for one in look(ROWS).findings if one.check == "labels"] == []
