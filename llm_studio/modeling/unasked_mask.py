"""Attention masks made without asking the device, while answers are drawn.

transformers looks whether a mask hides anything at all, to leave it out where it does not. On a GPU that look waits for
the device at every token, which costs more than the mask.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from llm_studio.modeling.attention import attending_apart

UNASKED = "sdpa_unasked"
DEVICES = {"cuda"}
"""Where a look costs something."""


def _mask(**named: Any) -> torch.Tensor | None:
    made: torch.Tensor | None = sdpa_mask(**named | {"allow_is_causal_skip": False})
    return made


AttentionInterface.register(UNASKED, sdpa_attention_forward)
AttentionMaskInterface.register(UNASKED, _mask)


@contextmanager
def unasked_mask(model: Any) -> Iterator[bool]:
    """The model with masks made unasked, where it is on a GPU and takes its attention from transformers' interface.

    Gives whether it is so.
    """
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    takes = getattr(inner, "_supports_attention_backend", False) and inner.config._attn_implementation == "sdpa"
    if not takes or model.device.type not in DEVICES:
        yield False
        return
    with attending_apart(model, UNASKED):
        yield True
