"""Puts an adapter into the weights of its backbone, and measures whether the result answers as the tuned model does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from transformers import AutoConfig, AutoModelForCausalLM

from llm_studio.modeling.devices import DTYPES
from llm_studio.modeling.loading import LoadedModel, load_experiment, quiet
from llm_studio.modeling.quantising import QUANTISED

Logits = list[torch.Tensor]  # one [T, V] per row, float32, on the CPU
MOST_ROWS = 8
MOST_TOKENS = 256  # of one row; the logits of all rows are kept, T x V x 4 bytes each
MOST_LOGITS = 64_000_000
SMALL_PARAMETERS = 1_000_000_000


@dataclass(frozen=True)
class Tolerance:
    """When a merged model counts as equal: the mean difference of logits is at most `most_relative` times their
    standard deviation, and the likeliest token the same at least at `least_agreement` of all positions."""

    most_relative: float
    least_agreement: float


TOLERANCES = {
    "float32": Tolerance(1e-3, 0.999),
    "bfloat16": Tolerance(0.05, 0.90),
    "float16": Tolerance(0.05, 0.90),
    "int8": Tolerance(0.20, 0.80),
    "int4": Tolerance(0.60, 0.50),
}
"""By number type of the tuned model where it is quantised, else of the merged one.

Merging in 32 bits only changes the order of additions. In 16 bits the sum of weight and adapter is rounded once more,
which turns near-ties of an unsure model. A quantised backbone is merged without its quantisation, whose error is then
gone: it is measured and said, and only a model that is another one altogether is refused.
"""


@dataclass(frozen=True)
class Equality:
    """How far a merged model, read back from disk, is from the tuned one; over `positions` tokens of `rows` rows."""

    tuned_dtype: str
    merged_dtype: str
    rows: int
    positions: int
    max_difference: float
    mean_difference: float
    relative_difference: float
    agreement: float
    equal: bool

    @property
    def sentence(self) -> str:
        """The figures in words."""
        share = f"{100 * self.agreement:.2f}".rstrip("0").rstrip(".")
        rows = "1 row" if self.rows == 1 else f"{self.rows} rows"
        figures = (
            f"Logits differ by at most {self.max_difference:.2g} (mean {self.mean_difference:.2g}), and the likeliest "
            f"token is the same at {share} % of {self.positions:,} positions in {rows} of the data set."
        )
        if self.tuned_dtype in QUANTISED:
            return (
                f"{figures} The adapter was learned on an {self.tuned_dtype} backbone and is merged into its "
                f"{self.merged_dtype} weights, so answers can differ a little."
            )
        if self.merged_dtype != self.tuned_dtype:
            return (
                f"{figures} The model was tuned in {self.tuned_dtype}; its weights are written in {self.merged_dtype}."
            )
        return figures


def merged_dtype(wanted: str, tuned: str, parameters: int, backbone: str) -> str:
    """The number type of the merged weights: the one the settings name, if it is a plain one; a small model keeps the
    exact 32 bits it was tuned in; else the one that the backbone's own files have.

    wanted: of the settings ("auto", "int8", ...); tuned: as it was loaded; backbone: its folder or name on the Hub.
    """
    if wanted in DTYPES:
        return wanted
    if tuned == "float32" and parameters < SMALL_PARAMETERS:
        return tuned
    own = str(getattr(AutoConfig.from_pretrained(backbone), "dtype", "") or "").removeprefix("torch.")
    return own if own in DTYPES else "float32"


def merged_model(folder: Path, which: str, dtype: str, report: Callable[[str], None]) -> Any:
    """The experiment's model without adapter, on the CPU. The sum is made in float32 and rounded once to `dtype`.

    Raises:
        UserError: checkpoint or backbone cannot be loaded.
    """
    loaded = load_experiment(folder, which=which, device="cpu", dtype="float32", report=report)
    model = loaded.model
    if loaded.is_adapter:
        report("Merging the adapter into the backbone")
        model = with_own_head(model).merge_and_unload(safe_merge=True)
    return model.to(DTYPES[dtype])


def with_own_head(model: Any) -> Any:
    """The model with weights of its own in its output head, where that shares those of the embeddings and an adapter is
    on one of them: merged into shared weights it would change both."""
    embeddings, head = model.get_input_embeddings(), model.get_output_embeddings()
    if head is None or head.weight is not embeddings.weight:
        return model
    if isinstance(head, LoraLayer) or isinstance(embeddings, LoraLayer):
        layer = head.get_base_layer() if isinstance(head, LoraLayer) else head
        layer.weight = torch.nn.Parameter(layer.weight.detach().clone())
        model.config.get_text_config().tie_word_embeddings = model.config.tie_word_embeddings = False
    return model


def logits_of(loaded: LoadedModel, rows: Sequence[Sequence[int]]) -> Logits:
    """What a model says about rows of token ids."""
    return _logits(loaded.model, rows)


def logits_from_disk(folder: Path, dtype: str, rows: Sequence[Sequence[int]]) -> Logits:
    """The same of a model that is read from a folder."""
    quiet()
    model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=DTYPES[dtype], device_map={"": "cpu"})
    return _logits(model.eval(), rows)


def _logits(model: Any, rows: Sequence[Sequence[int]]) -> Logits:
    found = []
    with torch.inference_mode():
        for row in rows:
            ids = torch.tensor([list(row)], device=model.device)
            found.append(model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0].float().cpu())
    return found


def tolerance_for(tuned_dtype: str, merged_dtype: str) -> Tolerance:
    """What counts as equal."""
    return TOLERANCES[tuned_dtype if tuned_dtype in QUANTISED else merged_dtype]


def comparison(tuned: Logits, merged: Logits, *, tuned_dtype: str, merged_dtype: str) -> Equality:
    """The figures, and whether they are within the tolerance of the tuned model's number type."""
    apart = [(one - other).abs() for one, other in zip(tuned, merged, strict=True)]
    same = [one.argmax(-1) == other.argmax(-1) for one, other in zip(tuned, merged, strict=True)]
    positions = sum(one.numel() for one in same)
    mean = sum(float(one.sum()) for one in apart) / sum(one.numel() for one in apart)
    relative = mean / max(1e-12, sum(float(one.std()) for one in tuned) / len(tuned))
    agreement = sum(int(one.sum()) for one in same) / positions
    tolerance = tolerance_for(tuned_dtype, merged_dtype)
    return Equality(
        tuned_dtype=tuned_dtype,
        merged_dtype=merged_dtype,
        rows=len(tuned),
        positions=positions,
        max_difference=max(float(one.max()) for one in apart),
        mean_difference=mean,
        relative_difference=relative,
        agreement=agreement,
        equal=relative <= tolerance.most_relative and agreement >= tolerance.least_agreement,
    )


def rows_to_compare(encoded: Sequence[Sequence[int]], vocabulary_size: int) -> list[list[int]]:
    """Rows cut so that the logits of all of them fit into memory."""
    rows = [list(row)[:MOST_TOKENS] for row in encoded if row][:MOST_ROWS]
    room = max(1, MOST_LOGITS // max(1, vocabulary_size) // max(1, len(rows)))
    return [row[:room] for row in rows]
