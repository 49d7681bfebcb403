"""Turns samples into batches, padded to their longest row only."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.utils.data import Dataset

from llm_studio.tokens.sample import IGNORE_INDEX, Sample


class Samples(Dataset):  # type: ignore[misc]
    """The training rows by number."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = samples

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Sample:
        return self._samples[index]


@dataclass(frozen=True)
class Collate:
    """Pads on the right. input_ids, attention_mask, labels: [B, T]; padding is neither read nor learned."""

    pad_id: int

    def __call__(self, samples: Sequence[Sample]) -> dict[str, torch.Tensor]:
        width = max(len(sample.input_ids) for sample in samples)
        shape = (len(samples), width)
        batch = {
            "input_ids": torch.full(shape, self.pad_id),
            "attention_mask": torch.zeros(shape, dtype=torch.long),
            "labels": torch.full(shape, IGNORE_INDEX),
        }
        for index, sample in enumerate(samples):
            length = len(sample.input_ids)
            batch["input_ids"][index, :length] = torch.tensor(sample.input_ids)
            batch["attention_mask"][index, :length] = 1
            batch["labels"][index, :length] = torch.tensor(sample.labels)
        return batch
