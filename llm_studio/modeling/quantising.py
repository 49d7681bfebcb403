"""How a backbone is held in 8 or 4 bits, and what it computes in then."""

from typing import Any

import torch
from transformers import BitsAndBytesConfig

QUANTISED = ("int8", "int4")


def keep_layout(model: Any) -> None:
    """Keep 4-bit layers in the layout that can be trained, and that DoRA can read.

    On processors with AVX-512 BF16 bitsandbytes 0.50 packs their weights for good at the first forward in eval mode,
    for a kernel without a gradient: training after a scoring would then be silently wrong, and so would be what DoRA
    takes for the weights.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def keep_scales(model: Any) -> None:
    """Let 8-bit layers on a CPU find their scales again.

    DoRA reads the weights in each forward, for which PEFT 0.21 makes a parameter anew on a CPU; bitsandbytes 0.50 takes
    that for a weight just loaded, and its missing scales in place of those it has.
    """
    for module in model.modules():
        if type(module).__name__ == "Linear8bitLt" and module.weight.device.type == "cpu":
            module.register_forward_pre_hook(_puts_scales_back)


def _puts_scales_back(layer: Any, inputs: Any) -> None:
    if layer.weight.CB is not None and layer.weight.SCB is None:
        layer.weight.SCB = layer.state.SCB


def quantisation(dtype: str, device: str) -> BitsAndBytesConfig:
    """bitsandbytes in 8 bits, or in 4 bits (NF4 with double quantisation, arXiv:2305.14314)."""
    if dtype == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=computing_dtype(device),
    )


def computing_dtype(device: str) -> torch.dtype:
    """What a quantised backbone computes in: bfloat16 on a GPU that has it, else float32 (float16 on older GPUs)."""
    if device == "cpu":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
