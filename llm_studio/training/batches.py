"""The rows of an optimiser step as micro-batches of tensors: packed without padding, or padded to their longest row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import torch

from llm_studio.tokens.sample import IGNORE_INDEX, Sample
from llm_studio.training.losses import token_weights
from llm_studio.training.partition import partition

CPU_ELEMENTS, CPU_TOKENS = 2**21, 1024

Mover = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class MicroBatch:
    """What goes through the model at once.

    inputs: what the model's forward takes; input_ids [B, T], and either attention_mask [B, T] (padded) or position_ids
    [1, T] with the bounds of the rows (packed, B = 1). keep: [K] places whose next token is learned in some row.
    targets: [B, K] that next token. weights: [B, K] in the loss of the step, 0 where it is not learned.
    row_lengths: [B, T], of the row that a token belongs to. tokens: read, without padding.
    """

    inputs: dict[str, torch.Tensor | int]
    keep: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    row_lengths: torch.Tensor
    tokens: int

    def to(self, device: torch.device) -> "MicroBatch":
        """On another device; from pinned memory without waiting."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "MicroBatch":
        """In memory that a GPU can read by itself; the loader calls it."""
        return self._each(lambda tensor: tensor.pin_memory())

    def _each(self, move: Mover) -> "MicroBatch":
        inputs = {
            name: move(value) if isinstance(value, torch.Tensor) else value for name, value in self.inputs.items()
        }
        moved = {name: move(getattr(self, name)) for name in ("keep", "targets", "weights", "row_lengths")}
        return replace(self, inputs=inputs, **moved)


@dataclass(frozen=True)
class Layout:
    """How rows become micro-batches. packed: one behind the other, else padded. most_rows: in a micro-batch.
    even: packed ones are filled up to few different lengths, which a CPU needs. most_tokens: in a packed one, see
    `partition`; None: as many as the rows have.

    processes: that share the step; rank: this one's number among them.
    """

    packed: bool
    most_rows: int
    pad_id: int
    loss: str
    processes: int = 1
    rank: int = 0
    even: bool = True
    most_tokens: int | None = None

    def shares(self, lengths: Sequence[int]) -> list[list[list[int]]]:
        """`partition` of rows of these lengths."""
        return partition(
            lengths, most_rows=self.most_rows, most_tokens=self.most_tokens, processes=self.processes,
            packed=self.packed,
        )  # fmt: skip


def words_about_tokens(layout: Layout, lengths: Sequence[int]) -> str | None:
    """What `most_tokens` does to a training on rows of these lengths; None where it does nothing."""
    if not layout.packed or layout.most_tokens is None or len(lengths) == 0:
        return None
    if layout.most_rows * sum(lengths) <= layout.most_tokens * len(lengths):
        return None
    return (
        f"Packed rows are computed about {layout.most_tokens:,} tokens at a time, not {layout.most_rows} rows: a "
        "CPU is no faster with more and needs more memory. The result of a step stays the same; with “Pack rows "
        "together” at never, batches stay whole."
    )


def most_tokens_at_once(width: int) -> int:
    """How many tokens of hidden states of this width a CPU computes best at once: more only need more memory, which it
    takes longer to come by.

    Measured with 16 rows of some 300 tokens a step, two steps from a fresh heap: at width 768, 12 layers, 337 learned
    tokens a second in micro-batches of 2,600 and of 1,300 tokens, 270 in those of 5,100, at peaks of 3.6, 2.9 and 5.9
    GB; at width 256 they differ by a twentieth.
    """
    return max(CPU_TOKENS, CPU_ELEMENTS // width)


def micro_batches(samples: Sequence[Sample], layout: Layout) -> list[MicroBatch]:
    """Those of this process, at least one. samples: all rows of the step, over all processes.

    A process without a row of its own reads one with weight 0, since all processes must take part in each exchange.
    """
    weights = token_weights(layout.loss, [sample.learned_tokens for sample in samples])
    lengths = [len(sample.input_ids) for sample in samples]
    shares = layout.shares(lengths)
    shortest = min(range(len(samples)), key=lambda row: lengths[row])
    made = []
    for number, places in enumerate(shares[layout.rank]):
        if not places and not any(share[number] for share in shares):
            continue
        rows = [samples[place] for place in places] or [samples[shortest]]
        heavy = [weights[place] for place in places] or [0.0]
        made.append(packed(rows, heavy, even=layout.even) if layout.packed else padded(rows, heavy, layout.pad_id))
    return made


def padded(samples: Sequence[Sample], weights: Sequence[float], pad_id: int) -> MicroBatch:
    """Rows below each other, padded on the right to the longest; padding is neither read nor learned."""
    lengths = [len(sample.input_ids) for sample in samples]
    shape = (len(samples), max(lengths))
    ids, mask = torch.full(shape, pad_id), torch.zeros(shape, dtype=torch.long)
    labels, heavy = torch.full(shape, IGNORE_INDEX), torch.zeros(shape)
    for index, (sample, weight) in enumerate(zip(samples, weights, strict=True)):
        length = lengths[index]
        ids[index, :length] = torch.tensor(sample.input_ids)
        mask[index, :length] = 1
        labels[index, :length] = torch.tensor(sample.labels)
        heavy[index, :length] = weight
    per_token = mask * torch.tensor(lengths)[:, None]
    return _made({"input_ids": ids, "attention_mask": mask}, labels, heavy, lengths, per_token)


def packed(samples: Sequence[Sample], weights: Sequence[float], *, even: bool = True) -> MicroBatch:
    """Rows one behind the other; `cu_seq_lens_q` holds their bounds, int32 [rows + 1], where attention parts them.

    even: behind them stands a row of padding, so that batches have few different lengths: see `filled`.
    """
    lengths = [len(sample.input_ids) for sample in samples]
    total = sum(lengths)
    more = filled(total) - total if even else 0
    bounded = [*lengths, *([more] if more else [])]
    ids = torch.tensor([[token for sample in samples for token in sample.input_ids] + [0] * more])
    labels = torch.tensor(
        [[label for sample in samples for label in (IGNORE_INDEX, *sample.labels[1:])] + [IGNORE_INDEX] * more]
    )
    per_token = torch.tensor(bounded).repeat_interleave(torch.tensor(bounded))[None]
    heavy = torch.zeros((1, total + more))
    heavy[0, :total] = torch.tensor(weights, dtype=torch.float32).repeat_interleave(torch.tensor(lengths))
    bounds = torch.tensor([0, *accumulate(bounded)], dtype=torch.int32)
    inputs: dict[str, torch.Tensor | int] = {
        "input_ids": ids,
        "position_ids": torch.cat([torch.arange(length) for length in bounded])[None],
        "cu_seq_lens_q": bounds,
        "cu_seq_lens_k": bounds,
        "max_length_q": max(bounded),
        "max_length_k": max(bounded),
    }
    return _made(inputs, labels, heavy, lengths, per_token)


def filled(tokens: int) -> int:
    """The length of a packed batch: `tokens` with at most a sixteenth more, so that there are few different lengths.

    On a CPU each new length costs time to prepare its kernels, and memory to keep them. Measured on the starter with 16
    rows a step: 13 % less processor time, and 0.9 GB instead of a memory that grew to 1.45 GB in 65 steps.
    """
    grain = 1 << max(0, (tokens // 16).bit_length() - 1)
    return -(-tokens // grain) * grain


def _made(
    inputs: dict[str, torch.Tensor | int],
    labels: torch.Tensor,
    heavy: torch.Tensor,
    lengths: Sequence[int],
    row_lengths: torch.Tensor,
) -> MicroBatch:
    following = labels[:, 1:]
    learned = following != IGNORE_INDEX
    keep = learned.any(0).nonzero()[:, 0]
    if not len(keep):  # a forward needs a place to look at, even when nothing is learned there
        keep = torch.zeros(1, dtype=torch.long)
    if labels.shape[1] == 1:
        empty = torch.zeros((len(labels), 1))
        return MicroBatch(inputs, keep, empty.long(), empty, row_lengths, sum(lengths))
    targets = following.clamp(min=0)[:, keep]
    weights = (heavy[:, 1:] * learned)[:, keep]
    return MicroBatch(inputs, keep, targets, weights, row_lengths, sum(lengths))
