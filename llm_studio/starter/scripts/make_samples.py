"""Writes the sample data sets: three tasks in the little world, one file format each."""

import argparse
import csv
import io
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

from llm_studio.starter.scripts import world

ROWS = 1200
SEED = 2026
Row = tuple[str, ...]


def unique(make: Callable[[random.Random], Row], count: int, seed: int) -> Iterator[Row]:
    """`count` rows with different prompts."""
    rng = random.Random(seed)
    seen: set[Row] = set()
    while len(seen) < count:
        row = make(rng)
        if row[:-1] not in seen:
            seen.add(row[:-1])
            yield row


def order_row(rng: random.Random) -> Row:
    """(order, JSON)."""
    order = world.order(rng)
    answer = {
        "customer": order.customer,
        "city": order.city,
        "quantity": order.quantity,
        "colour": order.colour,
        "item": order.item,
        "day": order.day,
    }
    return world.order_sentence(rng, order), json.dumps(answer, separators=(",", ":"))


def question_row(rng: random.Random) -> Row:
    """(story, question, answer as a sentence)."""
    told = world.story(rng, rng.randint(1, 2))
    text, _, sentence = world.question(rng, told)
    return told.text, text, f"Yes, I know: {sentence[:-1]}, says the story."


def letter_row(rng: random.Random) -> Row:
    """(note, polite letter)."""
    note = world.note(rng)
    return note.plain, note.polite


def as_json_lines(rows: Iterator[Row]) -> str:
    return "".join(json.dumps({"order": order, "json": answer}) + "\n" for order, answer in rows)


def as_csv(rows: Iterator[Row]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("story", "question", "answer"))
    writer.writerows(rows)
    return text.getvalue()


def as_messages(rows: Iterator[Row]) -> str:
    lines = (
        {"messages": [{"role": "user", "content": note}, {"role": "assistant", "content": letter}]}
        for note, letter in rows
    )
    return "".join(json.dumps(line) + "\n" for line in lines)


FILES: dict[str, Callable[[int], str]] = {
    "orders_to_json.jsonl": lambda count: as_json_lines(unique(order_row, count, SEED)),
    "story_questions.csv": lambda count: as_csv(unique(question_row, count, SEED + 1)),
    "polite_letters.jsonl": lambda count: as_messages(unique(letter_row, count, SEED + 2)),
}


def write(folder: Path, count: int = ROWS) -> None:
    """Write all of them; the same count gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in FILES.items():
        (folder / name).write_text(make(count), encoding="utf-8", newline="")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    write(parser.parse_args().folder)
