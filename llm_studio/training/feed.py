"""Prepares the micro-batches of each optimiser step, in the trainer or in loader processes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.utils.data import DataLoader, Dataset

from llm_studio.tokens.sample import Sample
from llm_studio.training.augmentation import Augmentation
from llm_studio.training.batches import Layout, MicroBatch, micro_batches
from llm_studio.training.order import RowOrder


@dataclass(frozen=True)
class Step:
    """What one optimiser step takes. number: counted from 0. tokens: read by all processes, without padding."""

    number: int
    batches: list[MicroBatch]
    tokens: int

    def pin_memory(self) -> "Step":
        """In memory that a GPU can read by itself; the loader calls it."""
        return Step(self.number, [batch.pin_memory() for batch in self.batches], self.tokens)


@dataclass(frozen=True)
class Feed(Dataset):  # type: ignore[misc]
    """Steps by number. samples: the rows to learn from; order: which of them a step takes."""

    samples: Sequence[Sample]
    order: RowOrder
    layout: Layout
    augment: Augmentation | None = None

    def __getitem__(self, step: int) -> Step:
        return self.made_of(self.rows_of(step), step)

    def rows_of(self, step: int) -> list[Sample]:
        """The rows of a step as they are learned."""
        numbers = self.order.of(step)
        rows = [self.samples[number] for number in numbers]
        return self.augment(rows, numbers, step) if self.augment else rows

    def made_of(self, rows: Sequence[Sample], step: int) -> Step:
        """A step on exactly these rows."""
        return Step(step, micro_batches(rows, self.layout), sum(len(row.input_ids) for row in rows))

    def steps(self, first: int, last: int, *, workers: int, pin: bool) -> Iterator[Step]:
        """The steps from `first` up to, not including, `last`, in order."""
        yield from DataLoader(
            self, sampler=range(first, last), batch_size=None, num_workers=workers, pin_memory=pin,
            generator=torch.Generator(),
        )  # fmt: skip
