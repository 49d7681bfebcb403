"""Faster ways for a GPU to compute the same: fused kernels of the package liger-kernel, TF32, compiled layers.

Each is offered where it can work, tried before it is trusted where a trial is possible, and told with its reason. Not
yet measured: no GPU was at hand.
"""

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AttentionInterface
from transformers.modeling_layers import GradientCheckpointingLayer

from llm_studio.modeling.allocator import memory_words
from llm_studio.modeling.attention import PACKED, packed_attention
from llm_studio.modeling.devices import Choice

FUSED, OWN = "fused", "its own"
PARTS = {"rope": True, "rms_norm": True, "swiglu": True, "geglu": True}
"""What is fused. Liger's cross-entropies are not: they know no weight for each token, and the loss has its chunks."""
LEFT_OUT = {"cross_entropy": False, "fused_linear_cross_entropy": False}
CLOSE, ROUNDED = 1e-3, 5e-2
"""Largest difference of logits, and of the gradient at the embeddings, as share of their length: in 32 and 16 bits."""
LONG_SECONDS = 3600.0
"""Training left from which compiling is offered; it takes minutes in the first steps."""

Apply = Callable[..., None]


def find_liger() -> Mapping[str, Apply] | None:
    """Liger's functions by architecture; None when the package is not installed or does not load."""
    try:
        from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN
    except (ImportError, RuntimeError, OSError):
        return None
    found: Mapping[str, Apply] = MODEL_TYPE_TO_APPLY_LIGER_FN
    return found


def fuse(
    model: Any, wanted: str, device: torch.device, find: Callable[[], Mapping[str, Apply] | None] = find_liger
) -> Choice:
    """Gives a loaded backbone, before it gets adapters, Liger's kernels for norms, rotary positions and feed-forward
    layers: FUSED; or leaves it as it is: OWN. wanted: "auto" or "never".

    Logits and gradients of a few tokens are compared before and after; where they differ or the kernels fail, the
    backbone is set back.
    """
    if wanted == "never":
        return Choice(OWN, "as set")
    if device.type != "cuda":
        return Choice(OWN, "Liger's kernels need a GPU")
    known = find()
    if known is None:
        return Choice(OWN, "liger-kernel is not installed; it comes with the extra gpu")
    kind = str(model.config.model_type)
    if kind not in known:
        return Choice(OWN, f"liger-kernel does not know the architecture {kind}")
    return _fused_if_equal(model, known[kind])


def prepare(model: Any, wanted: str, device: torch.device, *, mixed_precision: bool) -> list[str]:
    """Everything here for a loaded backbone but compiling; gives what was chosen, as sentences for the log.

    mixed_precision: whether products may be computed in fewer bits than 32.
    """
    if device.type != "cuda":
        return []
    torch.set_float32_matmul_precision("high" if mixed_precision else "highest")
    fused = fuse(model, wanted, device)
    return [
        "Products of 32-bit matrices are computed in TF32: several times as fast, with three digits less."
        if mixed_precision
        else "Products of 32-bit matrices are computed in 32 bits, since mixed precision is off.",
        f"Kernels of the backbone: {fused.value}, {fused.reason}.",
        memory_words(),
    ]


def _fused_if_equal(model: Any, apply: Apply) -> Choice:
    set_back = _remember(model)
    takes = inspect.signature(apply).parameters
    parts = {name: on for name, on in (PARTS | LEFT_OUT).items() if name in takes}
    try:
        before = _logits_and_gradient(model)
        apply(model=model, **parts)
        pairs = zip(before, _logits_and_gradient(model), strict=True)
        apart = max(float((one - two).norm() / one.norm().clamp(min=1e-9)) for one, two in pairs)
    except Exception as error:  # noqa: BLE001 - kernels are compiled here, and a compiler may fail in any way
        set_back()
        return Choice(OWN, f"Liger's kernels failed: {(str(error).splitlines() or [type(error).__name__])[0][:200]}")
    limit = CLOSE if model.get_input_embeddings().weight.dtype is torch.float32 else ROUNDED
    if not apart <= limit:
        set_back()
        return Choice(OWN, f"with Liger's kernels it computes something else (differs by {apart:.0e})")
    names = " and ".join(name for name, on in parts.items() if on)
    return Choice(FUSED, f"Liger's {names}; logits and gradients differ by {apart:.0e}")


def _logits_and_gradient(model: Any) -> tuple[torch.Tensor, torch.Tensor]:
    embeddings = model.get_input_embeddings()
    ids = torch.arange(3, 11, device=embeddings.weight.device)[None] % len(embeddings.weight)
    mode = model.training
    model.eval()
    try:
        with torch.enable_grad():
            embedded = embeddings(ids).detach().requires_grad_()
            logits = model(inputs_embeds=embedded, use_cache=False).logits.float()
            (gradient,) = torch.autograd.grad(logits.logsumexp(-1).sum(), embedded)
    finally:
        model.train(mode)
    return logits.detach(), gradient.float()


def _remember(model: Any) -> Callable[[], None]:
    """A way back: Liger puts methods on modules, and functions and classes into the module of the architecture."""
    own = [(module, dict(vars(module))) for module in model.modules()]
    code = vars(sys.modules[type(model).__module__])
    names = dict(code)

    def set_back() -> None:
        for module, attributes in own:
            vars(module).clear()
            vars(module).update(attributes)
        code.update(names)

    return set_back


def decoder_layers(model: Any) -> list[Any]:
    """The layers that transformers repeats."""
    return [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]


class CompiledLayers:
    """Within its context the decoder layers run as torch.compile made them; outside, as scoring and generating need
    them, as they are. Compiled at the first step, once for all layers and for all lengths."""

    def __init__(self, model: Any, **options: Any) -> None:
        self._layers = decoder_layers(model)
        self._forwards = [torch.compile(layer.forward, dynamic=True, **options) for layer in self._layers]
        # Rows one by one are a loop over their lengths, which would be compiled anew for each batch.
        AttentionInterface.register(PACKED, torch.compiler.disable(packed_attention))

    def __len__(self) -> int:
        return len(self._layers)

    @contextmanager
    def running(self) -> Iterator[None]:
        """The context."""
        with _forwards_of(self._layers, self._forwards):
            yield


@contextmanager
def _forwards_of(layers: Sequence[Any], forwards: Sequence[Any]) -> Iterator[None]:
    own = [vars(layer).get("forward") for layer in layers]
    for layer, forward in zip(layers, forwards, strict=True):
        layer.forward = forward
    try:
        yield
    finally:
        for layer, before in zip(layers, own, strict=True):
            if before is None:
                del layer.forward
            else:
                layer.forward = before


def offer_compiling(device: torch.device, seconds: float, *, compiles: bool) -> str | None:
    """A hint for a long experiment; None where it does not apply. seconds: of training left."""
    if compiles or device.type != "cuda" or seconds < LONG_SECONDS:
        return None
    return (
        f"About {seconds / 3600:.1f} hours of training are left. In long experiments the setting "
        "environment.compile_model may save time: compiling takes minutes at the start and makes each step faster."
    )
