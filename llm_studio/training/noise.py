"""NEFTune: uniform noise on the embeddings while training (Jain et al. 2023, arXiv:2310.05914).

transformers' own hook scales the noise by the length of the whole sequence, which for packed rows is that of all rows
together; this one goes by the row that a token belongs to, so that packing changes nothing.
"""

import math
from types import TracebackType
from typing import Any

import torch


class EmbeddingNoise:
    """Within the context, the input embeddings of `model` get noise in ±alpha / sqrt(L x D) in training mode.

    L: tokens of the row a token belongs to. D: width of the embeddings. alpha 0 adds nothing.
    """

    def __init__(self, model: Any, alpha: float) -> None:
        self._embeddings = model.get_input_embeddings()
        self._alpha = alpha
        self._lengths: torch.Tensor | None = None
        self._hook: Any = None

    def set_lengths(self, lengths: torch.Tensor | None) -> None:
        """lengths: [B, T], of the row each token of the next micro-batch belongs to; None: T."""
        self._lengths = lengths

    def __enter__(self) -> "EmbeddingNoise":
        if self._alpha:
            self._hook = self._embeddings.register_forward_hook(self._add)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._hook is not None:
            self._hook.remove()
            self._hook = None

    def _add(self, module: Any, inputs: Any, embedded: torch.Tensor) -> torch.Tensor:
        if not module.training:
            return embedded
        if self._lengths is None:
            size: torch.Tensor | float = self._alpha / math.sqrt(embedded.shape[1] * embedded.shape[2])
        else:
            lengths = self._lengths.clamp(min=1).to(embedded.dtype)[..., None]
            size = self._alpha / (lengths * embedded.shape[2]).sqrt()
        return embedded + torch.empty_like(embedded).uniform_(-1, 1) * size
