"""LoRA layers on a CPU in one pass forward and one backward: what PEFT computes, without its copies of activations.

PEFT's layer casts its input to the adapter's float32 and back, the frozen weights to 16 bits in every forward (autocast
keeps casts of trained weights alone), and adds backbone and adapter in passes of their own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft.tuners.lora.layer import Linear as LoraLayer

from llm_studio.modeling.dropout import kept


class LoraProduct(torch.autograd.Function):  # type: ignore[misc]
    """x W' + bias + scale (x * keep) A' B', with the gradients of x, A and B.

    x: [N, in] in the computing type, as are W [out, in], bias [out] or None, and keep [N, in] of 0 and 1 or None.
    A: [r, in] and B: [out, r] in float32.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        down: torch.Tensor,
        up: torch.Tensor,
        scale: float,
        keep: torch.Tensor | None,
    ) -> torch.Tensor:
        """[N, out] in the computing type."""
        down, up = down.to(x.dtype), up.to(x.dtype)
        result = torch.nn.functional.linear(x, weight, bias)
        low = (x if keep is None else x * keep) @ down.t()
        result.addmm_(low, up.t(), alpha=scale)
        ctx.save_for_backward(x, weight, down, up, low, keep)
        ctx.scale = scale
        return result

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        """Gradients of x (16 bits where x has them), A and B (float32)."""
        x, weight, down, up, low, keep = ctx.saved_tensors
        low_gradient = (gradient @ up).mul_(ctx.scale)
        up_gradient = (gradient.t() @ low).float().mul_(ctx.scale)
        down_gradient = (low_gradient.t() @ (x if keep is None else x * keep)).float()
        x_gradient = None
        if ctx.needs_input_grad[0]:
            x_gradient = gradient @ weight
            if keep is None:
                x_gradient.addmm_(low_gradient, down)
            else:
                x_gradient.addcmul_(low_gradient @ down, keep)
        return x_gradient, None, None, down_gradient, up_gradient, None, None


class _Casts:
    """The last input in the computing type, for the layers that share it, and the frozen weights for all steps."""

    def __init__(self) -> None:
        self._weights: dict[torch.Tensor, torch.Tensor] = {}
        self._input: torch.Tensor | None = None
        self._cast: torch.Tensor | None = None

    def of_weight(self, weight: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        if weight.dtype == dtype:
            return weight
        if weight not in self._weights or self._weights[weight].dtype != dtype:
            self._weights[weight] = weight.detach().to(dtype)
        return self._weights[weight]

    def of_input(self, x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        if x.dtype == dtype:
            return x
        known = self._cast if self._input is x else None
        if known is None or known.requires_grad != (x.requires_grad and torch.is_grad_enabled()):
            self._input, self._cast = x, x.to(dtype)
            return self._cast
        return known


@contextmanager
def fast_lora(model: Any) -> Iterator[int]:
    """The model with this forward in every layer it fits; gives how many. Afterwards with PEFT's own again.

    It fits plain LoRA (no DoRA) on linear layers that are neither quantised nor sharded, on a CPU, in float32 or under
    autocast. Frozen weights are kept in 16 bits too as long as it lasts, where autocast wants them so.
    """
    casts = _Casts()
    layers = [module for module in model.modules() if fits(module)]
    for layer in layers:
        layer.forward = _forward_of(layer, casts)
    try:
        yield len(layers)
    finally:
        for layer in layers:
            del layer.forward


def fits(module: Any) -> bool:
    """Whether it is a layer that `LoraProduct` computes as PEFT does."""
    if type(module) is not LoraLayer or type(module.base_layer) is not torch.nn.Linear:
        return False
    names = module.active_adapters
    weight = module.base_layer.weight
    plain = len(names) == 1 and names[0] in module.lora_A and names[0] not in module.lora_variant
    plain = plain and not module.merged and not module.disable_adapters and not module.lora_bias[names[0]]
    return bool(
        plain and type(weight) is torch.nn.Parameter and weight.device.type == "cpu" and not weight.requires_grad
    )


def _forward_of(layer: Any, casts: _Casts) -> Any:
    name = layer.active_adapters[0]
    base, down, up = layer.base_layer, layer.lora_A[name], layer.lora_B[name]
    scale, dropout = layer.scaling[name], float(getattr(layer.lora_dropout[name], "p", 0.0))
    peft_forward = layer.forward

    def forward(x: torch.Tensor) -> torch.Tensor:
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32
        if dtype == torch.float32 and not base.weight.dtype == x.dtype == dtype:
            return peft_forward(x)  # it computes the adapter more exactly than the backbone
        weight = casts.of_weight(base.weight, dtype)
        bias = None if base.bias is None else casts.of_weight(base.bias, dtype)
        flat = casts.of_input(x, dtype).flatten(0, -2)
        share = dropout if layer.training else 0.0
        keep = kept(flat.shape, share, dtype) if share else None
        result = LoraProduct.apply(flat, weight, bias, down.weight, up.weight, scale / (1 - share), keep)
        return result.view(*x.shape[:-1], -1)

    return forward
