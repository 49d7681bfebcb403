"""The loss without all logits at once: the output head and its loss, a chunk of tokens at a time.

A large vocabulary makes the logits of a micro-batch the largest thing in memory. Here the backbone hands over what its
output head would read; each chunk's gradient is computed with its loss, so that no chunk is kept or computed twice.
The head may be frozen, trained, or carry an adapter: it is called as the module that it is.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from peft.utils.other import TrainableTokensWrapper

from llm_studio.training.losses import weighted_nats

LOGIT_BYTES = 16
"""Memory for one logit while its loss and gradient are computed, at most: itself, in 32 bits, its log-softmax, and the
gradients of the last two."""
CPU_BYTES, CPU_TOKENS = 2**27, 128
GPU_BYTES, GPU_SHARE = 2**29, 1 / 16
"""Logits may take this much memory at once. On a CPU a fixed amount, so that a resumed training computes the same, but
those of some tokens at least; on a GPU a share of what is free, and some at least.

On a CPU chunks are faster too, since they stay nearer to the processor. Forward and backward, process time of one
thread, medians of five in turns, all at once and in chunks of 2^27 bytes: 2,000 tokens, V 8,192, D 256: 0.29 and 0.23 s
in float32, 0.12 and 0.07 in bfloat16; 1,200 tokens, V 50,000, D 512: 1.6 and 1.5 s, 0.89 and 0.54. Chunks of fewer
than 128 tokens read the head's weights too often."""


@dataclass(frozen=True)
class OutputHead:
    """The head of a backbone that gives out its logits untouched. vocabulary: V. limit_bytes: for logits at once."""

    module: Any
    vocabulary: int
    limit_bytes: int

    @property
    def most_tokens(self) -> int:
        """Whose logits may be held at once."""
        return max(1, self.limit_bytes // (LOGIT_BYTES * self.vocabulary))

    def read(self, run: Callable[[], Any]) -> torch.Tensor:
        """What the head reads while `run` calls the backbone, [B, K, D]; the head itself computes nothing."""
        read: list[torch.Tensor] = []

        def hands_over(hidden: torch.Tensor) -> torch.Tensor:
            read.append(hidden)
            return hidden

        with _instead(self.module, hands_over):
            run()
        (hidden,) = read
        return hidden

    def nats(self, hidden: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """As `weighted_nats` of the head's logits. hidden: [B, K, D]; targets, weights: [B, K]."""
        trained = [weight for weight in self.module.parameters() if weight.requires_grad]
        flat = (hidden.flatten(0, 1), targets.flatten(), weights.flatten())
        chunks = math.ceil(targets.numel() / self.most_tokens)
        nats: torch.Tensor = _InChunks.apply(self.module, math.ceil(targets.numel() / chunks), *flat, *trained)
        return nats


class _InChunks(torch.autograd.Function):  # type: ignore[misc]
    """Sum of weighted nats of [N, D] hidden states, with its gradient computed on the way."""

    @staticmethod
    def forward(
        ctx: Any,
        head: Any,
        size: int,
        hidden: torch.Tensor,
        targets: torch.Tensor,
        weights: torch.Tensor,
        *trained: torch.Tensor,
    ) -> torch.Tensor:
        # Weights of about one: in float16 the gradient of a token among many would round to nothing.
        unit = weights.max().clamp(min=torch.finfo(torch.float32).tiny)
        sums = [torch.zeros_like(weight, dtype=torch.float32) for weight in trained]
        gradient, total = torch.empty_like(hidden), torch.zeros((), device=hidden.device)
        for begin in range(0, len(hidden), size):
            chunk = slice(begin, begin + size)
            with torch.enable_grad(), _autocast_without_cache(hidden.device.type):
                part = hidden[chunk].detach().requires_grad_()
                nats = weighted_nats(head(part)[None], targets[None, chunk], (weights[chunk] / unit)[None])
            gradient[chunk], *more = torch.autograd.grad(nats, (part, *trained), allow_unused=True)
            for added, one in zip(sums, more, strict=True):
                if one is not None:
                    added += one
            total += nats.detach()
        ctx.save_for_backward(unit, gradient, *sums)
        ctx.dtypes = [weight.dtype for weight in trained]
        return total * unit

    @staticmethod
    def backward(ctx: Any, outer: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        unit, gradient, *sums = ctx.saved_tensors
        factor = outer * unit
        trained = [(one * factor).to(dtype) for one, dtype in zip(sums, ctx.dtypes, strict=True)]
        return None, None, gradient * factor, None, None, *trained


def _autocast_without_cache(kind: str) -> Any:
    """The autocast there is, without keeping rounded weights: they would belong to the graph of the chunk before."""
    dtype, enabled = torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind)
    return torch.autocast(kind, dtype=dtype, enabled=enabled, cache_enabled=False)


@contextmanager
def _instead(module: Any, forward: Callable[[torch.Tensor], torch.Tensor]) -> Iterator[None]:
    own = module.__dict__.get("forward")
    module.forward = forward
    try:
        yield
    finally:
        if own is None:
            del module.forward
        else:
            module.forward = own


def find_head(model: Any, device: torch.device) -> tuple[OutputHead | None, str]:
    """The head whose loss can be computed in chunks, or None; with the reason.

    Tried once: the backbone is run with a head that gives large numbers, and these must come out as its logits exactly.
    A backbone that caps, scales or shifts its logits is found out so in any number type.
    """
    head = model.get_output_embeddings()
    if head is None:
        return None, "since this backbone tells no output head"
    if isinstance(head, TrainableTokensWrapper):
        return None, "since new tokens are learned, whose rows stand outside the output head"
    if any(hasattr(weight, "device_mesh") for weight in head.parameters()):
        return None, "since the output head is split over several devices"
    vocabulary = len(model.get_input_embeddings().weight)
    found = OutputHead(head, vocabulary, limit_bytes(device, vocabulary))
    if not _gives_out_untouched(model, head, vocabulary):
        return None, "since this backbone changes what its output head gives"
    room = f"since their logits would take more than {found.limit_bytes / 1e9:.1f} GB"
    return found, f"where a micro-batch learns more than {found.most_tokens:,} tokens, {room}"


def limit_bytes(device: torch.device, vocabulary: int) -> int:
    """Memory that logits may take at once."""
    if device.type != "cuda":
        return max(CPU_BYTES, CPU_TOKENS * LOGIT_BYTES * vocabulary)
    return max(GPU_BYTES, int(torch.cuda.mem_get_info(device)[0] * GPU_SHARE))


def _gives_out_untouched(model: Any, head: Any, vocabulary: int) -> bool:
    given: list[torch.Tensor] = []

    def gives_large(hidden: torch.Tensor) -> torch.Tensor:
        places = torch.linspace(-1000, 1000, vocabulary, device=hidden.device, dtype=hidden.dtype)
        given.append(places.expand(*hidden.shape[:-1], vocabulary).clone())
        return given[-1]

    ids = torch.arange(3, device=model.get_input_embeddings().weight.device)[None] % vocabulary
    mode = model.training
    model.eval()
    try:
        with torch.no_grad(), _instead(head, gives_large):
            logits = model(input_ids=ids, use_cache=False).logits
    except (TypeError, ValueError, RuntimeError, IndexError):
        return False
    finally:
        model.train(mode)
    return len(given) == 1 and logits.shape == given[0].shape and torch.equal(logits.float(), given[0].float())
