"""Tokenised rows kept on disk and memory-mapped, shared by all experiments that would make the same ones."""

import os
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from llm_studio.data.dataset import Dataset, Part
from llm_studio.data.types import Conversation
from llm_studio.tokens.encoding import conversation_blocks
from llm_studio.tokens.fingerprints import samples_fingerprint
from llm_studio.tokens.sample import IGNORE_INDEX, OUTCOMES, Sample
from llm_studio.tokens.template import Template
from llm_studio.tokens.truncation import Counts, counted

FILE = "rows.arrow"
FINGERPRINT = b"fingerprint"
LEARNED, ANSWER = 1, 2
SCHEMA = pa.schema(
    {
        "row": pa.int64(),
        "outcome": pa.int8(),
        "cut_tokens": pa.int64(),
        "learned_tokens": pa.int64(),
        "input_ids": pa.list_(pa.int32()),
        "marks": pa.list_(pa.uint8()),  # LEARNED and ANSWER, one number per token
    }
)


class StoredSamples(Sequence[Sample]):
    """Samples in a file, read when asked for; `chosen` are the places of those that count, all by default."""

    def __init__(self, path: Path, chosen: Sequence[int] | None = None) -> None:
        self.path = path
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        self._blocks = [_Block(reader.get_batch(index)) for index in range(reader.num_record_batches)]
        self._starts = np.cumsum([0, *(len(block.row) for block in self._blocks)]).tolist()
        self._chosen = range(self._starts[-1]) if chosen is None else chosen

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process opens the file itself."""
        return StoredSamples, (self.path, self._chosen)

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return StoredSamples(self.path, self._chosen[index])
        place = self._chosen[index]
        block = bisect_right(self._starts, place) - 1
        return self._blocks[block].sample(place - self._starts[block])

    @property
    def places(self) -> Sequence[int]:
        """Where those that count stand among all rows of the file."""
        return self._chosen

    @property
    def highest_id(self) -> int:
        """The highest token id in the file, -1 when it holds none."""
        return max((int(block.ids.max(initial=-1)) for block in self._blocks), default=-1)

    def lengths(self) -> "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]":
        """Tokens, and learned tokens, of each sample: two arrays of int64 [rows], read without the tokens."""
        none = np.zeros(0, np.int64)
        tokens = np.concatenate([none, *(np.diff(block.offsets) for block in self._blocks)])
        learned = np.concatenate([none, *(block.learned for block in self._blocks)])
        chosen = np.fromiter(self._chosen, np.int64, len(self._chosen))
        return tokens[chosen], learned[chosen]

    def learned(self) -> "StoredSamples":
        """Those that have something to learn."""
        learned = np.concatenate([np.zeros(0, np.int64), *(block.learned for block in self._blocks)])
        return StoredSamples(self.path, [place for place in self._chosen if learned[place]])

    def counts(self) -> Counts:
        """What happened to all rows of the file."""
        return counted(figures for block in self._blocks for figures in block.figures())


class _Block:
    """One record batch as numpy views of the file."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.row = batch.column("row").to_numpy()
        self.outcome = batch.column("outcome").to_numpy()
        self.cut = batch.column("cut_tokens").to_numpy()
        self.learned = batch.column("learned_tokens").to_numpy()
        self.offsets = batch.column("input_ids").offsets.to_numpy()
        self.ids = batch.column("input_ids").values.to_numpy()
        self.marks = batch.column("marks").values.to_numpy()

    def sample(self, index: int) -> Sample:
        begin, end = int(self.offsets[index]), int(self.offsets[index + 1])
        ids, marks = self.ids[begin:end], self.marks[begin:end]
        return Sample(
            row=int(self.row[index]),
            input_ids=tuple(ids.tolist()),
            labels=tuple(np.where(marks & LEARNED, ids, IGNORE_INDEX).tolist()),
            answer_labels=tuple(np.where(marks & ANSWER, ids, IGNORE_INDEX).tolist()),
            cut_tokens=int(self.cut[index]),
            outcome=OUTCOMES[self.outcome[index]],
        )

    def figures(self) -> Iterator[tuple[int, Any, int, int]]:
        lengths = np.diff(self.offsets).tolist()
        for row, outcome, tokens, learned in zip(
            self.row.tolist(), self.outcome.tolist(), lengths, self.learned.tolist(), strict=True
        ):
            yield row, OUTCOMES[outcome], tokens, learned


@dataclass(frozen=True)
class Tokenised:
    """The samples of some parts of a data set, and whether they were there from before."""

    samples: StoredSamples
    known: bool


def tokenise(
    cache: Path, template: Template, dataset: Dataset, parts: Sequence[Part], tell: Callable[[int, int], None]
) -> Tokenised:
    """The tokenised rows of the parts, in the order of the file: from `cache` when they are there, else made and put
    there in one step. tell(rows done, rows in all) may raise Cancelled.

    Raises:
        UserError: the template refuses a row.
    """
    fingerprint = samples_fingerprint(template, dataset.fingerprint, parts)
    path = cache / fingerprint / FILE
    if is_whole(path, fingerprint):
        return Tokenised(StoredSamples(path), known=True)
    total = sum(len(dataset.split.train if part == "train" else dataset.split.validation) for part in parts)
    conversations = (one for part in parts for one in dataset.iter_conversations(part))
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(f".{os.getpid()}.part")
    try:
        write(beside, template, conversations, fingerprint, lambda done: tell(done, total))
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return Tokenised(StoredSamples(path), known=False)


def is_whole(path: Path, fingerprint: str) -> bool:
    """Whether the file is there, complete, and what its folder says it is."""
    if not path.is_file():
        return False
    with suppress(pa.ArrowInvalid, OSError), pa.memory_map(str(path)) as source:
        schema = pa.ipc.open_file(source).schema
        return (schema.metadata or {}).get(FINGERPRINT) == fingerprint.encode() and schema.equals(SCHEMA)
    return False


def write(
    path: Path,
    template: Template,
    conversations: Iterable[Conversation],
    fingerprint: str,
    tell: Callable[[int], None],
) -> None:
    """Write the samples of conversations, one block in memory at a time."""
    done = 0
    tell(done)
    schema = SCHEMA.with_metadata({FINGERPRINT: fingerprint.encode()})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for block in conversation_blocks(conversations):
            writer.write_batch(_batch(template.encode_many(block), schema))
            done += len(block)
            tell(done)


def _batch(samples: Sequence[Sample], schema: pa.Schema) -> pa.RecordBatch:
    lengths = [len(sample.input_ids) for sample in samples]
    offsets = pa.array(np.cumsum([0, *lengths]), pa.int32())

    def joined(name: str) -> Any:
        return np.fromiter((value for one in samples for value in getattr(one, name)), np.int32, sum(lengths))

    learned, answer = joined("labels") != IGNORE_INDEX, joined("answer_labels") != IGNORE_INDEX
    marks = learned.astype(np.uint8) * LEARNED + answer.astype(np.uint8) * ANSWER
    before = np.concatenate([[0], np.cumsum(learned)])[np.cumsum([0, *lengths])]
    return pa.record_batch(
        [
            pa.array([sample.row for sample in samples], pa.int64()),
            pa.array([OUTCOMES.index(sample.outcome) for sample in samples], pa.int8()),
            pa.array([sample.cut_tokens for sample in samples], pa.int64()),
            pa.array(np.diff(before), pa.int64()),
            pa.ListArray.from_arrays(offsets, pa.array(joined("input_ids"))),
            pa.ListArray.from_arrays(offsets, pa.array(marks)),
        ],
        schema=schema,
    )
