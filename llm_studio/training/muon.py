"""Muon for matrices with AdamW for everything else, as one optimiser (Jordan et al. 2024; torch.optim.Muon)."""

from collections.abc import Callable, Iterable
from typing import Any

import torch


class MuonWithAdamW(torch.optim.Optimizer):  # type: ignore[misc]
    """Groups whose weights are all matrices go to Muon, with the update scaled to the size of AdamW's so that the same
    learning rates suit; other groups go to AdamW. A group never mixes both: `parted` parts it beforehand."""

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float) -> None:
        parted_groups = [part for group in groups for part in parted(group)]
        super().__init__(parted_groups, {"lr": lr, "weight_decay": 0.0})
        self._parts: list[torch.optim.Optimizer] = []
        for kind, matrices in ((torch.optim.Muon, True), (torch.optim.AdamW, False)):
            mine = [group for group in self.param_groups if group["matrices"] is matrices]
            if mine:
                more = {"adjust_lr_fn": "match_rms_adamw"} if matrices else {"fused": True}
                made = kind(mine, lr=lr, **more)
                made.param_groups = mine  # the same objects, so that rates set here are seen there
                for group in mine:
                    for name, value in made.defaults.items():
                        group.setdefault(name, value)
                made.state = self.state
                self._parts.append(made)

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step of both."""
        loss = None if closure is None else closure()
        for part in self._parts:
            part.step()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As torch's; the parts see what is loaded."""
        super().load_state_dict(state_dict)
        for part in self._parts:
            matrices = isinstance(part, torch.optim.Muon)
            part.param_groups = [group for group in self.param_groups if group["matrices"] is matrices]
            part.state = self.state


def parted(group: dict[str, Any]) -> list[dict[str, Any]]:
    """The group as up to two: matrices, and what is not one; tables of embeddings (`tables`) are none in this sense."""
    rest = {name: value for name, value in group.items() if name != "params"}
    matrices = [weight for weight in group["params"] if weight.ndim == 2 and not group.get("tables")]
    ids = {id(weight) for weight in matrices}
    others = [weight for weight in group["params"] if id(weight) not in ids]
    parts = ((matrices, True), (others, False))
    return [rest | {"params": weights, "matrices": is_matrices} for weights, is_matrices in parts if weights]
