"""Backbones with random weights, made on the device: that of Llama 3 8B, and a tiny one for a test."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from llm_studio.modeling.quantising import keep_layout
from llm_studio.tokens.sample import Sample

LORA_R = 16


@dataclass(frozen=True)
class Shape:
    """Sizes of a Llama, and the longest sequence that is trained."""

    name: str
    width: int
    inner: int
    layers: int
    heads: int
    key_heads: int
    vocabulary: int
    longest: int

    @property
    def linear(self) -> list[tuple[int, int]]:
        """(in, out) of the linear layers of one decoder layer."""
        narrow = self.width * self.key_heads // self.heads
        wide, inner = self.width, self.inner
        return [(wide, wide), (wide, narrow), (wide, narrow), (wide, wide), (wide, inner), (wide, inner), (inner, wide)]

    def operations(self, lengths: Sequence[int], learned: int) -> float:
        """Floating-point operations that training an adapter on such rows takes at least, without padding.

        Twice the weights of the linear layers for each token forward and again backward (frozen weights have no
        gradient), three times twice for the adapter; the head for learned tokens; and causal attention of a row of n
        tokens: 2 n^2 widths forward, twice that backward.
        """
        weights = sum(one * two for one, two in self.linear)
        adapter = sum(LORA_R * (one + two) for one, two in self.linear)
        each = self.layers * (4 * weights + 6 * adapter)
        attention = self.layers * 6 * self.width * sum(float(length) ** 2 for length in lengths)
        return sum(lengths) * each + learned * 4 * self.vocabulary * self.width + attention


LLAMA_3_8B = Shape("Llama 3 8B", 4096, 14336, 32, 32, 8, 128256, 4096)
TINY = Shape("tiny", 64, 128, 2, 4, 2, 512, 128)


def learned_tokens(rows: Sequence[Sample]) -> int:
    """Tokens with a loss."""
    return sum(row.learned_tokens for row in rows)


def make_model(shape: Shape, device: str, dtype: str) -> Any:
    """A backbone on the device. dtype: "bfloat16", or "int8" and "int4" by bitsandbytes."""
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_heads,
        max_position_embeddings=2 * shape.longest,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 500000.0},
        tie_word_embeddings=False,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16, attn_implementation="sdpa")
    return model if dtype == "bfloat16" else quantised(model, dtype, device)


def quantised(model: Any, dtype: str, device: str) -> Any:
    """Its linear layers but the head in 8 or 4 bits, as transformers loads them."""
    import bitsandbytes

    for name, module in list(model.named_modules()):
        if type(module) is not torch.nn.Linear or name.endswith("lm_head"):
            continue
        sizes = (module.in_features, module.out_features)
        weight = module.weight.data.cpu()
        if dtype == "int8":
            layer = bitsandbytes.nn.Linear8bitLt(*sizes, bias=False, has_fp16_weights=False)
            layer.weight = bitsandbytes.nn.Int8Params(weight, requires_grad=False, has_fp16_weights=False)
        else:
            layer = bitsandbytes.nn.Linear4bit(
                *sizes, bias=False, compute_dtype=torch.bfloat16, compress_statistics=True, quant_type="nf4"
            )
            layer.weight = bitsandbytes.nn.Params4bit(
                weight, requires_grad=False, compress_statistics=True, quant_type="nf4"
            )
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, layer.to(device))
    keep_layout(model)
    setattr(model, "is_loaded_in_8bit" if dtype == "int8" else "is_loaded_in_4bit", True)
    return model
