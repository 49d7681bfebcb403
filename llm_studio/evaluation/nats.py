"""How unlikely the tokens of some rows are to a model, from logits at those places alone where a token counts."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from llm_studio.tokens.sample import IGNORE_INDEX, Sample

LOGIT_ELEMENTS = {"cpu": 2**22, "cuda": 2**28}
"""Logits in memory at once: rows of a batch x tokens x vocabulary. On a CPU few, which stay near the processor: 2^22
took 10 to 20 % less time than 2^24 for 200 rows of the starter and for 24 at 90 million parameters."""


@dataclass(frozen=True)
class Laid:
    """Rows below each other, padded on both sides. ids, mask: [B, T]; labels: [2, B, T], of answers and of all learned
    tokens."""

    ids: torch.Tensor
    mask: torch.Tensor
    labels: torch.Tensor

    def columns(self, more: Sequence[int] = ()) -> torch.Tensor:
        """Places whose logits are needed: where the next token counts in some row, and `more`; sorted, [K]."""
        counts = (self.labels[:, :, 1:] != IGNORE_INDEX).any(0).any(0)
        counts = torch.cat([counts, torch.zeros(1, dtype=torch.bool)])
        counts[list(more)] = True
        return counts.nonzero()[:, 0]

    def nats(self, logits: torch.Tensor, columns: torch.Tensor) -> list[tuple[float, float]]:
        """(nats of the answer, nats of learned tokens) of each row. logits: [B, K, V] at `columns`."""
        inside = columns < self.ids.shape[1] - 1
        if not bool(inside.all()):
            columns, logits = columns[inside], logits[:, inside.to(logits.device)]
        if not len(columns):
            return [(0.0, 0.0)] * len(self.ids)
        following = self.ids[:, 1:][:, columns].to(logits.device)
        counts = (self.labels[:, :, 1:] != IGNORE_INDEX)[:, :, columns].to(logits.device)
        logits = logits.float().flatten(0, 1)
        spent = torch.nn.functional.cross_entropy(logits, following.flatten(), reduction="none")
        sums = (spent.view(1, len(self.ids), -1).double() * counts).sum(-1).tolist()
        return list(zip(sums[0], sums[1], strict=True))


def lay(samples: Sequence[Sample], pad_id: int, starts: Sequence[int] | None = None) -> Laid:
    """The samples below each other; starts: columns where they begin, 0 by default."""
    starts = starts or [0] * len(samples)
    width = max(start + len(sample.input_ids) for start, sample in zip(starts, samples, strict=True))
    ids = torch.full((len(samples), width), pad_id)
    mask = torch.zeros((len(samples), width), dtype=torch.long)
    labels = torch.full((2, len(samples), width), IGNORE_INDEX)
    for row, (start, sample) in enumerate(zip(starts, samples, strict=True)):
        place = slice(start, start + len(sample.input_ids))
        ids[row, place] = torch.tensor(sample.input_ids)
        mask[row, place] = 1
        labels[0, row, place] = torch.tensor(sample.answer_labels)
        labels[1, row, place] = torch.tensor(sample.labels)
    return Laid(ids, mask, labels)
