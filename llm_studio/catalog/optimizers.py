"""What takes the steps."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Optimizer:
    """One member; `function` ("module:Class") takes parameter groups, lr and `arguments`."""

    name: str
    help: str
    function: str
    arguments: Mapping[str, object] = field(default_factory=dict)


OPTIMIZERS: tuple[Optimizer, ...] = (
    Optimizer("AdamW", "Suits nearly always.", "torch.optim:AdamW", {"fused": True}),
    Optimizer("AdamW8bit", "AdamW with its state in 8 bits.", "bitsandbytes.optim:AdamW8bit"),
    Optimizer("Adam", "Weight decay is part of the gradient.", "torch.optim:Adam"),
    Optimizer("SGD", "No state but momentum.", "torch.optim:SGD", {"momentum": 0.9, "nesterov": True}),
    Optimizer("RMSprop", "Steps by the recent size of gradients.", "torch.optim:RMSprop", {"momentum": 0.9}),
    Optimizer("Adadelta", "Finds its step size itself.", "torch.optim:Adadelta"),
)
