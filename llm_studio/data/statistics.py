"""Counts what a data set holds: rows, turns, characters, tokens for one tokenizer, empty values, exact duplicates."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from llm_studio.data.dataset import STATISTICS, Dataset
from llm_studio.data.row_hashes import row_hashes
from llm_studio.data.splitting.stored_split import SPLIT
from llm_studio.data.types import Conversation
from llm_studio.errors import UserError

BLOCK_CONVERSATIONS = 256
BINS = 40


@dataclass(frozen=True)
class Lengths:
    """The distribution of one length; `edges` has one entry more than `counts`."""

    total: int
    mean: float
    median: float
    percentile_95: float
    longest: int
    longest_row: int
    """Counts from 0."""
    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Statistics:
    """All figures of the statistics tab; lengths are of the text alone, a chat template adds to them."""

    rows: int
    conversations: int
    tokenizer: str
    prompt_tokens: Lengths
    answer_tokens: Lengths
    conversation_tokens: Lengths
    conversation_characters: Lengths
    turns: dict[str, int]
    """Number of assistant messages to number of conversations."""
    empty_prompts: int
    duplicate_rows: int
    """Rows that repeat an earlier row in every column."""
    missing: dict[str, int]
    """Column to number of missing or empty values."""
    fingerprint: str


def load_tokenizer(path: Path) -> Tokenizer:
    """A tokenizer.json, or the one in a folder.

    Raises:
        UserError: there is none, or it cannot be read.
    """
    file = path / "tokenizer.json" if path.is_dir() else path
    try:
        return Tokenizer.from_str(file.read_text(encoding="utf-8"))
    except Exception as error:  # noqa: BLE001 - tokenizers raises bare Exception
        raise UserError(
            f"The tokenizer cannot be read: {error}.",
            where=str(file),
            fix="Choose a backbone that has a tokenizer.json.",
        ) from None


def lengths(values: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> Lengths:
    """Figures and histogram of one length per conversation; the last bar holds everything above the 99.5 percentile."""
    top = int(np.argmax(values))
    low, reach = float(values.min()), float(np.percentile(values, 99.5))
    width = max(1.0, float(np.ceil((reach - low + 1) / BINS)))
    edges = np.floor(low / width) * width + np.arange(0, BINS + 2) * width
    edges = edges[: int(np.searchsorted(edges, reach, side="right")) + 1]
    counts, _ = np.histogram(np.minimum(values, edges[-1] - 0.5), bins=edges)
    return Lengths(
        total=int(values.sum()),
        mean=round(float(values.mean()), 2),
        median=float(np.median(values)),
        percentile_95=round(float(np.percentile(values, 95)), 1),
        longest=int(values[top]),
        longest_row=int(rows[top]),
        edges=tuple(edges.tolist()),
        counts=tuple(counts.tolist()),
    )


def count(dataset: Dataset, tokenizer: Tokenizer, name: str, tell: Callable[[float, str], None]) -> Statistics:
    """Reads all conversations of both parts once, in blocks; `tell` hears share and words and may raise Cancelled."""
    figures: list[tuple[int, int, int, int, int]] = []
    turns: Counter[int] = Counter()
    empty_prompts = 0
    block: list[Conversation] = []
    total = len(dataset.split.train) + len(dataset.split.validation)
    for part in ("train", "validation"):
        for conversation in dataset.iter_conversations(part):
            turns[sum(one.role == "assistant" for one in conversation.messages)] += 1
            asked = any(one.role == "user" and one.content.strip() for one in conversation.messages)
            empty_prompts += not asked and not conversation.plain
            block.append(conversation)
            if len(block) == BLOCK_CONVERSATIONS:
                figures += measure(block, tokenizer)
                block = []
                tell(
                    0.9 * len(figures) / max(total, 1), f"Counting tokens: {len(figures):,} of {total:,} conversations"
                )
    figures += measure(block, tokenizer) if block else []
    table = np.array(figures, dtype=np.int64)
    tell(0.9, "Looking for rows that repeat")
    return Statistics(
        rows=dataset.row_count,
        conversations=len(table),
        tokenizer=name,
        prompt_tokens=lengths(table[:, 1], table[:, 0]),
        answer_tokens=lengths(table[:, 2], table[:, 0]),
        conversation_tokens=lengths(table[:, 3], table[:, 0]),
        conversation_characters=lengths(table[:, 4], table[:, 0]),
        turns={str(number): turns[number] for number in sorted(turns)},
        empty_prompts=empty_prompts,
        duplicate_rows=duplicate_rows(dataset),
        missing={column.name: column.missing + column.empty for column in dataset.column_facts()},
        fingerprint=dataset.fingerprint,
    )


def measure(block: list[Conversation], tokenizer: Tokenizer) -> list[tuple[int, int, int, int, int]]:
    """Per conversation: row, tokens that are read, tokens that are learned, tokens of both, characters of both."""
    texts = [message.text for conversation in block for message in conversation.messages]
    encoded = iter(tokenizer.encode_batch_fast(texts, add_special_tokens=False))
    found = []
    for conversation in block:
        read = learned = characters = 0
        for message in conversation.messages:
            size = len(next(encoded))
            characters += len(message.text)
            if message.learned:
                learned += size
            else:
                read += size
        found.append((conversation.row, read, learned, read + learned, characters))
    return found


def duplicate_rows(dataset: Dataset) -> int:
    """Number of rows that repeat an earlier one in every column; counted when the rows were split."""
    known = json.loads((dataset.folder / SPLIT).read_text(encoding="utf-8")).get("repeated_rows")
    if known is not None:
        return int(known)
    hashes = row_hashes(dataset.table, list(dataset.columns))  # made before that was counted
    return len(hashes) - len(np.unique(hashes))


def save(statistics: Statistics, folder: Path) -> None:
    """Writes statistics.json in one step."""
    fresh = folder / f"{STATISTICS}.new"
    fresh.write_text(json.dumps(asdict(statistics), ensure_ascii=False), encoding="utf-8")
    fresh.replace(folder / STATISTICS)


def load(folder: Path) -> Statistics | None:
    """The figures that were saved; None before the first count."""
    path = folder / STATISTICS
    if not path.is_file():
        return None
    stored = json.loads(path.read_text(encoding="utf-8"))
    named = ("prompt_tokens", "answer_tokens", "conversation_tokens", "conversation_characters")
    for one in named:
        held = stored[one]
        stored[one] = Lengths(**{**held, "edges": tuple(held["edges"]), "counts": tuple(held["counts"])})
    return Statistics(**stored)
