"""A micro-batch through the model to its loss, as this device computes it best; the choices are told with reasons."""

from contextlib import AbstractContextManager, ExitStack, nullcontext
from types import TracebackType
from typing import Any

import torch

from llm_studio.modeling.attention import attending_apart, choose_packed_attention, takes_logits_to_keep
from llm_studio.modeling.kernels import CompiledLayers
from llm_studio.modeling.lora_forward import fast_lora
from llm_studio.modeling.norms import fast_norms, find_norms
from llm_studio.training.batches import MicroBatch
from llm_studio.training.losses import weighted_nats
from llm_studio.training.noise import EmbeddingNoise
from llm_studio.training.output_head import find_head


class Forward:
    """Within its context the model attends, and its embeddings get noise, as in training; outside as ever.

    compiles: lets torch compile the layers. called: what is called for the forward, when it is not the model itself
    (wrapped for several devices).
    autocast: number type to compute in, None for the weights' own. notes: what was chosen, with the reasons.
    """

    def __init__(
        self,
        model: Any,
        *,
        device: torch.device,
        autocast: torch.dtype | None,
        packed: bool,
        noise_alpha: float = 0.0,
        compiles: bool = False,
        called: Any = None,
    ) -> None:
        self._model, self._called = model, model if called is None else called
        self._device, self._autocast = device, autocast
        self._noise = EmbeddingNoise(model, noise_alpha)
        self._keeps_logits = takes_logits_to_keep(model)
        self._head, why = find_head(model, device)
        self.notes = [f"The loss is computed {'in chunks' if self._head else 'from all logits at once'}, {why}."]
        self._packed_by: str | None = None
        if packed:
            choice = choose_packed_attention(model, device, autocast or model.get_input_embeddings().weight.dtype)
            self._packed_by = choice.value
            self.notes.append(f"Attention of packed rows: {choice.reason}.")
        self._compiled = CompiledLayers(model) if compiles else None
        if self._compiled:
            self.notes.append(f"{len(self._compiled)} layers are compiled in the first steps, which takes minutes.")
        self._norms = find_norms(model) if device.type == "cpu" and not compiles else []
        self._entered = ExitStack()

    def __enter__(self) -> "Forward":
        self._entered.enter_context(self._attention())
        self._entered.enter_context(self._noise)
        if self._device.type == "cpu" and not self._compiled:
            self._entered.enter_context(fast_lora(self._model))
            self._entered.enter_context(fast_norms(self._norms))
        if self._compiled:
            self._entered.enter_context(self._compiled.running())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered.close()

    def loss(self, batch: MicroBatch) -> torch.Tensor:
        """The micro-batch's part of the loss of its step, [] on the device. Within the context."""
        self._noise.set_lengths(batch.row_lengths)
        kept = {"logits_to_keep": batch.keep} if self._keeps_logits else {}

        def run() -> torch.Tensor:
            logits: torch.Tensor = self._called(**batch.inputs, use_cache=False, **kept).logits
            return logits

        with torch.autocast(self._device.type, dtype=self._autocast or torch.bfloat16, enabled=bool(self._autocast)):
            if self._head and batch.targets.numel() > self._head.most_tokens:
                return self._head.nats(self._learned(self._head.read(run), batch), batch.targets, batch.weights)
            logits = self._learned(run(), batch)
        return weighted_nats(logits, batch.targets, batch.weights)

    def _learned(self, output: torch.Tensor, batch: MicroBatch) -> torch.Tensor:
        """[B, K, ...] of [B, T, ...] where the backbone has not left the others out itself."""
        return output if self._keeps_logits else output[:, batch.keep]

    def _attention(self) -> AbstractContextManager[Any]:
        return attending_apart(self._model, self._packed_by) if self._packed_by else nullcontext()
