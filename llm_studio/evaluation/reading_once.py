"""Reads a row once for both scores: how likely its right answer is, and the prompt from which the model answers.

A row is read whole. Keys and values of a prompt do not depend on what follows it, so those of the answer are dropped
and the model goes on from the prompt.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

import torch
from transformers import DynamicCache

from llm_studio.evaluation.nats import LOGIT_ELEMENTS, lay
from llm_studio.modeling.key_value_cache import growing_cache, only_grows
from llm_studio.modeling.prefill import MOST_TOKENS, Read, like_lengths, read
from llm_studio.tokens.sample import Sample


class Row(Protocol):
    """A row to score, as `scoring.Question`."""

    @property
    def sample(self) -> Sample:
        """The whole row as tokens."""

    @property
    def prompt(self) -> tuple[int, ...]:
        """The tokens before its answer."""


class ReadsOnce:
    """nats: (of the answer, of all learned tokens) of each row that has been read, by its number."""

    def __init__(self, rows: Sequence[Row], pad_id: int) -> None:
        self._rows = rows
        self._pad_id = pad_id
        self.nats: dict[int, tuple[float, float]] = {}

    def of(self, numbers: Sequence[int]) -> Read:
        """What reads the prompts of these rows."""
        return partial(self._read, numbers)

    def _read(
        self,
        numbers: Sequence[int],
        model: Any,
        ids: torch.Tensor,
        mask: torch.Tensor,
        cache: DynamicCache,
        last_only: dict[str, int],
    ) -> torch.Tensor:
        """As `prefill.read`. Rows are not scored where a prompt is not the beginning of its row, since it was cut."""
        rows, lengths = [self._rows[number] for number in numbers], mask.sum(-1).tolist()
        whole = only_grows(cache) and all(
            length == len(row.prompt) and tuple(row.sample.input_ids[:length]) == row.prompt
            for row, length in zip(rows, lengths, strict=True)
        )
        if not whole:
            return read(model, ids, mask, cache, last_only)
        vocabulary = len(model.get_input_embeddings().weight)
        most = min(MOST_TOKENS, LOGIT_ELEMENTS["cuda" if ids.is_cuda else "cpu"] // vocabulary)
        groups = like_lengths([len(row.sample.input_ids) for row in rows], most)
        found = []
        for group in groups:
            part, before = growing_cache(model), max(lengths[row] for row in group)
            starts = [before - lengths[row] for row in group]
            laid = lay([rows[row].sample for row in group], self._pad_id, starts)
            columns = laid.columns([before - 1])
            logits = _logits_at(model, laid.ids.to(ids.device), laid.mask.to(ids.device), part, columns, last_only)
            self.nats |= zip([numbers[row] for row in group], laid.nats(logits, columns), strict=True)
            found.append(logits[:, int((columns == before - 1).nonzero())])
            chosen = torch.tensor(group, device=ids.device)
            for layer, own in zip(cache.layers, part.layers, strict=True):
                keys, values = own.keys[:, :, :before], own.values[:, :, :before]
                layer.place(chosen, keys, values, rows=len(rows), length=ids.shape[1])
        order = torch.tensor([row for group in groups for row in group], device=ids.device)
        return torch.cat(found)[order.argsort()]


def _logits_at(
    model: Any,
    ids: torch.Tensor,
    mask: torch.Tensor,
    cache: DynamicCache,
    columns: torch.Tensor,
    last_only: dict[str, int],
) -> torch.Tensor:
    columns = columns.to(ids.device)
    logits: torch.Tensor = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=(mask.cumsum(-1) - 1).clamp(min=0),
        past_key_values=cache,
        use_cache=True,
        **({"logits_to_keep": columns} if last_only else {}),
    ).logits
    return logits if last_only else logits[:, columns]
