"""One model in several processes: whole in each (DDP) or split over all (FSDP2), its gradient summed over them.

Zhao et al. 2023, arXiv:2304.11277 (FSDP); Li et al. 2020, arXiv:2006.15704 (DDP). Both average gradients, while the
weights of tokens are those of the whole step; so the loss is multiplied by the number of processes.
"""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from llm_studio.training.processes import Processes

BUFFERS = next(
    name
    for name in ("forward_sync_buffers", "broadcast_buffers")
    if name in inspect.signature(DistributedDataParallel.__init__).parameters
)
"""The argument that has buffers copied at each forward; torch 2.13 renamed it."""
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")


def wrapped(model: Any, processes: Processes) -> Any:
    """What to call for a forward in training. "fsdp" splits `model` itself, so make the optimiser afterwards."""
    if processes.size == 1:
        return model
    if isinstance(model, FSDPModule):  # split before; an optimiser must get the parts, not what a forward has gathered
        parted_again(model)
        return model
    for weight in model.parameters():
        if weight.requires_grad:
            dist.broadcast(weight.data, 0)
    if processes.kind == "fsdp":
        return sharded(model, processes)
    device = torch.device(processes.device)
    return DistributedDataParallel(
        model,
        device_ids=None if device.type == "cpu" else [device.index],
        init_sync=False,  # every process has read the same backbone
        gradient_as_bucket_view=True,
        find_unused_parameters=may_leave_weights_unused(model),
        **{BUFFERS: False},
    )


def sharded(model: Any, processes: Processes) -> Any:
    """Each decoder layer split over the processes, and what is left of the model."""
    part(model, mesh_of(processes))
    begin(model)
    return model


def mesh_of(processes: Processes) -> DeviceMesh:
    """The devices that a model is split over; all processes must ask together."""
    return init_device_mesh(torch.device(processes.device).type, (processes.size,))


def part(model: Any, mesh: DeviceMesh) -> None:
    """Keep this process's part of the model, on its device. Nobody is asked, so that processes may do it in turns; what
    they part must be the same."""
    names = set(layer_names(model))
    for module in list(model.modules()):
        if type(module).__name__ in names:
            fully_shard(module, mesh=mesh)
    fully_shard(model, mesh=mesh)
    register_fsdp_forward_method(model, "generate")


def begin(model: Any) -> None:
    """The first forward of a model that was parted, in all processes together. FSDP keeps its tensors; made in
    inference mode, as by a first scoring, they could not be trained."""
    device = next(own_part(weight) for weight in model.parameters()).device
    with torch.no_grad():
        model(input_ids=torch.zeros((1, 1), dtype=torch.long, device=device), use_cache=False)
    parted_again(model)


def parted_again(model: Any) -> None:
    """Let go of what the last forward gathered; FSDP keeps the outermost weights for a backward that may not come."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def layer_names(model: Any) -> list[str]:
    """Classes of modules that are gathered as one; transformers names them for each architecture."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return list(getattr(inner, "_no_split_modules", None) or [])


@contextmanager
def gathered(model: Any) -> Iterator[None]:
    """A split model whole in each process, so that each can call it by itself; afterwards split again."""
    modules = [module for module in model.modules() if isinstance(module, FSDPModule)]
    for module in modules:
        module.set_reshard_after_forward(False, recurse=False)
        module.unshard()
    try:
        yield
    finally:
        for module in modules:
            module.set_reshard_after_forward(module is not model, recurse=False)
            module.reshard()


def bytes_of(model: Any) -> int:
    """Memory that all of its weights take when they are whole."""
    return sum(weight.numel() * weight.element_size() for weight in model.parameters())


def may_leave_weights_unused(model: Any) -> bool:
    """Whether a step may not reach some trained weight: of an expert nobody was sent to, or of an unused eye."""
    config = model.config
    return config.get_text_config() is not config or any(getattr(config, name, None) for name in EXPERTS)


@contextmanager
def adding_up(model: Any, *, last: bool) -> Iterator[None]:
    """Whole models exchange their gradients after the last micro-batch of a step alone.

    Split ones do after each: until then every process would hold the gradient of the whole model.
    """
    waits = isinstance(model, DistributedDataParallel) and not last
    with model.no_sync() if waits else nullcontext():
        yield


def whole(value: torch.Tensor) -> torch.Tensor:
    """A tensor with all of its parts; every process must ask for it."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def own_part(value: torch.Tensor) -> torch.Tensor:
    """What this process holds of a tensor."""
    return value.to_local() if isinstance(value, DTensor) else value


def whole_on_cpu(value: Any, *, keep: bool) -> Any:
    """The same nest of dicts and lists with whole tensors on the CPU; keep False takes part and keeps nothing."""
    if isinstance(value, torch.Tensor):
        found = whole(value.detach())
        return found.to("cpu", copy=isinstance(value, DTensor)) if keep else None
    if isinstance(value, dict):
        return {key: whole_on_cpu(one, keep=keep) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(whole_on_cpu(one, keep=keep) for one in value)
    return value


def copy_into(weight: torch.Tensor, value: torch.Tensor) -> None:
    """Set a weight, or this process's part of it, to a whole tensor."""
    with torch.no_grad():
        weight.copy_(_parted_like(value.to(weight.device, weight.dtype), weight))


def _parted_like(value: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    if not isinstance(weight, DTensor):
        return value
    return distribute_tensor(value, weight.device_mesh, weight.placements)


def parted_state(state: dict[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """An optimiser's whole state (`state_dict()`) as this process's part of it.

    What has the shape of its weight is split as the weight is; what has not (steps, factors) stays whole.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    if not any(isinstance(weight, DTensor) for weight in weights):
        return state
    parts = {
        index: {
            name: _parted_like(value.to(weights[index].device), weights[index])
            if isinstance(value, torch.Tensor) and value.shape == weights[index].shape
            else value
            for name, value in of_weight.items()
        }
        for index, of_weight in state["state"].items()
    }
    return {**state, "state": parts}
