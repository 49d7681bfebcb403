"""Attention that keeps packed rows apart, for every backbone that asks transformers' AttentionInterface for attention.

A packed batch is one row of T tokens with the bounds of its rows in `cu_seq_lens_q`. No mask of T x T is made: on a CPU
each row is attended by itself, on a GPU all of them in one call (see varlen).
"""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any

import torch
from transformers import AttentionInterface

from llm_studio.errors import UserError
from llm_studio.modeling import varlen
from llm_studio.modeling.devices import Choice
from llm_studio.modeling.row_attention import RowAttention

PACKED, PACKED_AT_ONCE = "packed", "packed_at_once"
UNSUPPORTED = ("softcap", "s_aux", "position_bias")
"""Arguments with which some backbones change attention in ways that are not built here."""
EXACT, ROUNDED = 1e-4, 3e-2
"""Largest difference between logits of packed and of separate rows, relative to the largest logit: in float32, and in
number types that round every product. Rows that see each other differ by far more."""


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """One causal attention per row, by torch; on a CPU in bfloat16 by `RowAttention`.

    query: [1, heads, T, width]; key, value: [1, key heads, T, width].

    Gives [1, T, heads, width].

    Raises:
        NotImplementedError: the backbone wants something that is not built here, or told no bounds.
    """
    wanted = [name for name in UNSUPPORTED if others.get(name) is not None]
    if wanted or cu_seq_lens_q is None or query.shape[0] != 1:
        raise NotImplementedError(f"packed attention: {wanted or 'no bounds of rows'}")
    scaling = scaling or query.shape[-1] ** -0.5
    if not dropout and query.device.type == "cpu" and computing_dtype(query) is torch.bfloat16:
        with torch.autocast("cpu", enabled=False):
            one, two, three = (part[0].to(torch.bfloat16) for part in (query, key, value))
            window = sliding_window or query.shape[2]
            return RowAttention.apply(one, two, three, cu_seq_lens_q.tolist(), scaling, window)[None], None
    lengths = cu_seq_lens_q.diff().tolist()
    parts = [
        _row(one_query, one_key, one_value, dropout, scaling, sliding_window)
        for one_query, one_key, one_value in zip(
            query.split(lengths, 2), key.split(lengths, 2), value.split(lengths, 2), strict=True
        )
    ]
    return torch.cat(parts, 2).transpose(1, 2), None


def _row(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    dropout: float,
    scaling: float,
    window: int | None,
) -> torch.Tensor:
    length, mask = query.shape[2], None
    if window is not None and length > window:
        place = torch.arange(length, device=query.device)
        behind = place[:, None] - place[None, :]
        mask = (behind >= 0) & (behind < window)
    return torch.nn.functional.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        dropout_p=dropout,
        is_causal=mask is None,
        scale=scaling,
        enable_gqa=query.shape[1] != key.shape[1],
    )


def computing_dtype(tensor: torch.Tensor) -> torch.dtype:
    """What torch's attention would compute in: that of autocast within one, else the tensor's."""
    kind = tensor.device.type
    if torch.is_autocast_enabled(kind):
        return torch.get_autocast_dtype(kind)
    return tensor.dtype


_kernel = varlen.find_kernel()


def attention_at_once(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    max_length_q: int | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """As `packed_attention`, by the kernel for all rows at once where it can; max_length_q: of the longest row."""
    unknown = cu_seq_lens_q is None or query.shape[0] != 1 or any(others.get(name) is not None for name in UNSUPPORTED)
    if _kernel is None or max_length_q is None or unknown or varlen.refused(query, value, dropout):
        return packed_attention(
            module, query, key, value, attention_mask, dropout, scaling, sliding_window, cu_seq_lens_q, **others
        )
    parts = [part.to(computing_dtype(query)) for part in (query, key, value)]
    made = varlen.attend(
        _kernel, *parts, bounds=cu_seq_lens_q, longest=max_length_q, scaling=scaling, window=sliding_window
    )
    return made, None


AttentionInterface.register(PACKED, packed_attention)
AttentionInterface.register(PACKED_AT_ONCE, attention_at_once)


def choose_packed_attention(
    model: Any, device: torch.device, dtype: torch.dtype, kernel: varlen.Kernel | None = _kernel
) -> Choice:
    """PACKED_AT_ONCE where torch's kernel runs on this device and agrees with one attention per row on heads like the
    model's, tried once; else PACKED. dtype: what attention computes in."""
    why = "this torch has no varlen_attn with windows" if kernel is None else varlen.refused_device(device, dtype)
    if kernel is None or why:
        return Choice(PACKED, f"one attention per row, since {why}")
    shape = head_shape(model)
    if shape is None:
        return Choice(PACKED, "one attention per row, since this backbone's config does not tell its heads")
    try:
        apart = varlen.difference(kernel, packed_attention, **shape, device=device, dtype=dtype)
    except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
        return Choice(PACKED, f"one attention per row, since torch's kernel failed: {str(error).splitlines()[0][:200]}")
    if not apart <= varlen.CLOSE:
        return Choice(PACKED, f"one attention per row, since torch's kernel differs from it by {apart:.1e}")
    repeated = "" if kernel.takes_gqa else ", with keys and values repeated, as this torch needs it"
    return Choice(PACKED_AT_ONCE, f"all rows in one call of torch's varlen_attn{repeated}; differs by {apart:.0e}")


def head_shape(model: Any) -> dict[str, Any] | None:
    """heads, key_heads, width and window (None: none) of a model's attention, from its config; None when not told."""
    config = model.config.get_text_config() if hasattr(model.config, "get_text_config") else model.config
    heads = getattr(config, "num_attention_heads", None)
    if not heads:
        return None
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    window = getattr(config, "sliding_window", None)
    return {
        "heads": heads,
        "key_heads": getattr(config, "num_key_value_heads", None) or heads,
        "width": width,
        "window": window if isinstance(window, int) and window > 0 else None,
    }


@contextmanager
def attending_apart(model: Any, by: str = PACKED) -> Iterator[None]:
    """The model with packed attention; afterwards with its own again, as scoring and generating need it."""
    configs = [model.config, *{id(one): one for one in _inner_configs(model)}.values()]
    before = [config._attn_implementation for config in configs]
    for config in configs:
        config._attn_implementation = by
    try:
        yield
    finally:
        for config, own in zip(configs, before, strict=True):
            config._attn_implementation = own


def _inner_configs(model: Any) -> Iterator[Any]:
    """Configs of parts of the model that are objects of their own."""
    for module in model.modules():
        config = getattr(module, "config", None)
        if config is not model.config and hasattr(config, "_attn_implementation"):
            yield config


def takes_logits_to_keep(model: Any) -> bool:
    """Whether the backbone can leave out logits that nobody needs."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return "logits_to_keep" in inspect.signature(inner.forward).parameters


def choose_packing(wanted: str, model: Any) -> Choice:
    """ "packed" or "padded" for the training, with the reason. wanted: "auto", "always" or "never".

    Before rows are packed, this backbone's logits of two packed rows are compared with those of each row alone.

    Raises:
        UserError: "always", of a backbone that cannot.
    """
    if wanted == "never":
        return Choice("padded", "as set")
    apart = packed_difference(model)
    exact = {one.dtype for one in model.parameters()} == {torch.float32}
    if apart is None or apart > (EXACT if exact else ROUNDED):
        why = "its attention cannot be kept apart" if apart is None else f"packed rows differ by {apart:.1e}"
        if wanted == "always":
            what = f"This backbone cannot take packed rows: {why}."
            raise UserError(what, where="training.packing", fix='Choose "auto".')
        return Choice("padded", f"this backbone cannot take packed rows: {why}")
    return Choice("packed", f"no padding, and packed rows differ from separate ones by {apart:.0e} at most")


def packed_difference(model: Any, rows: Sequence[Sequence[int]] = ((3, 4, 5, 6, 7), (8, 9, 3))) -> float | None:
    """Largest difference of logits between packed and separate rows, relative to the largest logit; None when the
    backbone refuses packed rows. Computed in the model's own number type, without dropout."""
    mode, embeddings = model.training, model.get_input_embeddings()
    highest, device = len(embeddings.weight) - 1, embeddings.weight.device
    ids = [torch.tensor([[min(token, highest) for token in row]], device=device) for row in rows]
    model.eval()
    try:
        with torch.no_grad():
            return _difference(model, ids)
    except (NotImplementedError, TypeError, ValueError, RuntimeError, IndexError):
        return None
    finally:
        model.train(mode)


def _difference(model: Any, ids: Sequence[torch.Tensor]) -> float:
    lengths = [row.shape[1] for row in ids]
    bounds = torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device=ids[0].device)
    alone = torch.cat([model(input_ids=row, use_cache=False).logits for row in ids], 1).float()
    with attending_apart(model):
        together = model(
            input_ids=torch.cat(list(ids), 1),
            position_ids=torch.cat([torch.arange(length, device=bounds.device) for length in lengths])[None],
            use_cache=False,
            cu_seq_lens_q=bounds,
            cu_seq_lens_k=bounds,
            max_length_q=max(lengths),
            max_length_k=max(lengths),
        ).logits.float()
    return float((alone - together).abs().max() / alone.abs().max().clamp(min=1e-9))
