"""The bundled backbone and sample data sets: where they lie, and what the user is told about them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

FOLDER = Path(__file__).parent
BACKBONE = FOLDER / "backbone"
RECOMMENDED: Mapping[str, object] = MappingProxyType(
    json.loads((BACKBONE / "recommended.json").read_text(encoding="utf-8"))
)
"""Setting path -> value: what this backbone learns best with."""


@dataclass(frozen=True)
class Sample:
    """A data set that is bundled; `prompt_columns` and `answer_column` are empty for `messages` lists."""

    name: str
    title: str
    description: str
    path: Path
    prompt_columns: tuple[str, ...] = ()
    answer_column: str = ""


SAMPLES: tuple[Sample, ...] = (
    Sample(
        name="orders_to_json",
        title="Orders to JSON",
        description="Turn an order written in plain words into JSON with six fields. JSON Lines, 1,200 rows.",
        path=FOLDER / "samples" / "orders_to_json.jsonl",
        prompt_columns=("order",),
        answer_column="json",
    ),
    Sample(
        name="story_questions",
        title="Questions about a story",
        description="Answer a question about a short story in a full sentence. CSV, two prompt columns, 1,200 rows.",
        path=FOLDER / "samples" / "story_questions.csv",
        prompt_columns=("story", "question"),
        answer_column="answer",
    ),
    Sample(
        name="polite_letters",
        title="Notes to polite letters",
        description="Rewrite a short note as a polite letter. Lists of messages in JSON Lines, 1,200 rows.",
        path=FOLDER / "samples" / "polite_letters.jsonl",
    ),
)
