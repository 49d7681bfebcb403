"""LoRA layers that multiply by one matrix, backbone and adapter added up, while answers are drawn.

Drawing a token multiplies few rows; there the adapter's two narrow matrices take longer than the backbone's wide one.
The model's weights are not touched, so nothing is rounded in them by coming back.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from llm_studio.modeling.devices import free_bytes
from llm_studio.modeling.lora_forward import fits

SHARE_OF_FREE = 0.25
"""Of the free memory, for the sums."""


@contextmanager
def merged_for_a_while(model: Any) -> Iterator[int]:
    """The model with its adapter added in, where that is possible; gives in how many layers.

    It takes what `fast_lora` fits, in float32 without autocast (16 bits would round the sum), where memory has room
    for it. Afterwards each layer has the forward it had before.
    """
    layers = _layers(model)
    before = [layer.__dict__.get("forward") for layer in layers]
    try:
        for layer in layers:
            layer.forward = _merged(layer)
        yield len(layers)
    finally:
        for layer, forward in zip(layers, before, strict=True):
            layer.__dict__.pop("forward", None)
            if forward is not None:
                layer.forward = forward


def _layers(model: Any) -> list[Any]:
    if torch.is_autocast_enabled("cpu"):
        return []
    layers = [layer for layer in model.modules() if fits(layer) and layer.base_layer.weight.dtype == torch.float32]
    if not layers:
        return []
    size = sum(layer.base_layer.weight.nbytes for layer in layers)
    free = free_bytes(str(layers[0].base_layer.weight.device))
    return layers if size <= SHARE_OF_FREE * free else []


def _merged(layer: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    with torch.no_grad():
        weight = layer.base_layer.weight + layer.get_delta_weight(layer.active_adapters[0])
    return partial(torch.nn.functional.linear, weight=weight, bias=layer.base_layer.bias)
