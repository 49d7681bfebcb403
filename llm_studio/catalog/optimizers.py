"""What takes the steps."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Optimizer:
    """One member; `function` ("module:Class") takes parameter groups, lr and `arguments`.

    state_bytes: memory of its state for each trained weight.
    """

    name: str
    help: str
    function: str
    state_bytes: float
    arguments: Mapping[str, object] = field(default_factory=dict)


OPTIMIZERS: tuple[Optimizer, ...] = (
    Optimizer("AdamW", "Suits nearly always.", "torch.optim:AdamW", 8, {"fused": True}),
    Optimizer("AdamW8bit", "AdamW with its state in 8 bits.", "bitsandbytes.optim:AdamW8bit", 2),
    Optimizer(
        "PagedAdamW8bit",
        "The same; on a GPU its state moves to the machine's memory when the GPU's is full.",
        "bitsandbytes.optim:PagedAdamW8bit",
        2,
    ),
    Optimizer("Adam", "Weight decay is part of the gradient.", "torch.optim:Adam", 8),
    Optimizer("SGD", "No state but momentum.", "torch.optim:SGD", 4, {"momentum": 0.9, "nesterov": True}),
    Optimizer("RMSprop", "Steps by the recent size of gradients.", "torch.optim:RMSprop", 8, {"momentum": 0.9}),
    Optimizer("Adadelta", "Finds its step size itself; set a learning rate near 1.", "torch.optim:Adadelta", 8),
    Optimizer("Adafactor", "Hardly any state.", "torch.optim:Adafactor", 0.1),
    Optimizer("Lion", "Steps of one size, by sign; a tenth of AdamW's learning rate.", "bitsandbytes.optim:Lion", 4),
    Optimizer(
        "Muon",
        "Steps of matrices with all directions alike; the rest is stepped by AdamW.",
        "llm_studio.training.muon:MuonWithAdamW",
        4,
    ),
)


def optimizer(name: str) -> Optimizer:
    """The optimiser of this name; KeyError when there is none."""
    return {entry.name: entry for entry in OPTIMIZERS}[name]
