"""What environment.gpus may say, and who holds which device."""

from pathlib import Path

import pytest

from llm_studio.actions import devices
from llm_studio.actions.devices import Device, choose_device, title_of
from llm_studio.config import check, make_config
from llm_studio.config.device_names import devices_in, is_cpu, places
from llm_studio.errors import UserError
from llm_studio.store import Home, Store
from llm_studio.store.processes import own_identity

GPUS = (Device("cuda:0", "A", 8), Device("cuda:1", "B", 8), Device("cpu", "CPU"))


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("auto", "cuda:0"), ("", "cuda:0"), ("cuda", "cuda:0"), ("1", "cuda:1"), ("all", "cuda:0,cuda:1"),
        ("0, 1", "cuda:0,cuda:1"), ("cuda:1,cuda:0", "cuda:1,cuda:0"), ("cpu", "cpu"), ("cpu:1", "cpu"),
        ("cpu:2", "cpu:2"),
    ],
)  # fmt: skip
def test_a_device_or_several_are_named(monkeypatch: pytest.MonkeyPatch, wanted: str, found: str) -> None:
    monkeypatch.setattr(devices, "devices", lambda: GPUS)
    assert choose_device(wanted) == found


@pytest.mark.parametrize(
    ("wanted", "what", "fix"),
    [
        ("cuda:2", "There is no device cuda:2 here.", "Take auto or: cuda:0, cuda:1, cpu."),
        ("cuda:0,cuda:0", "cuda:0,cuda:0 names a device twice.", "Name each once."),
        ("cpu,cuda:0", "One experiment cannot use a GPU and the CPU together.", "Name GPUs only, or cpu."),
        ("cpu:0", "cpu:0 is not a number of processes.", "Take cpu:2 up to cpu:16, or cpu."),
        ("cpu:many", "cpu:many is not a number of processes.", "Take cpu:2 up to cpu:16, or cpu."),
    ],
)
def test_what_is_not_there_or_makes_no_sense_is_refused_with_what_to_take(
    monkeypatch: pytest.MonkeyPatch, wanted: str, what: str, fix: str
) -> None:
    monkeypatch.setattr(devices, "devices", lambda: GPUS)
    with pytest.raises(UserError) as caught:
        choose_device(wanted)
    assert caught.value.as_dict() == {"what": what, "where": "environment.gpus", "fix": fix}


def test_all_gpus_are_refused_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "devices", lambda: GPUS[2:])
    with pytest.raises(UserError, match="There is no GPU here"):
        choose_device("all")
    assert choose_device("auto") == "cpu"


def test_a_name_says_the_device_of_each_process_and_how_people_read_it() -> None:
    assert places("cuda:0,cuda:1") == devices_in("cuda:0,cuda:1") == ("cuda:0", "cuda:1")
    assert (places("cpu:2"), devices_in("cpu:2")) == (("cpu", "cpu"), ("cpu",))
    assert [is_cpu(name) for name in ("cpu", "cpu:3", "cuda:0")] == [True, True, False]
    assert [title_of(name) for name in ("cpu", "cpu:2", "cuda:0,cuda:1")] == [
        "CPU",
        "CPU, 2 processes",
        "cuda:0, cuda:1",
    ]


def test_an_experiment_on_several_devices_holds_all_of_them_or_none(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.create()
    leases = Store.open(home).leases
    own = own_identity()
    assert leases.acquire("cuda:1", "server", "chat", *own)
    assert not leases.acquire("cuda:0,cuda:1", "experiment", "one", *own)
    assert leases.holder("cuda:0") is None
    holder = leases.holder("cuda:0,cuda:1")
    assert holder is not None and (holder.device, holder.holder_id) == ("cuda:1", "chat")
    leases.release("cuda:1", "server", "chat")
    assert leases.acquire("cuda:0,cuda:1", "experiment", "one", *own)
    assert not leases.acquire("cuda:1", "server", "chat", *own)
    leases.release("cuda:0,cuda:1", "experiment", "one")
    assert leases.list() == []


def found(device: str, **changes: object) -> list[tuple[str, str]]:
    config = make_config({"dataset_id": "x", **changes})
    findings = check(config, train_rows=1000, validation_rows=100, device=device)
    paths = ("environment.distributed", "environment.gpus", "training.batch_size")
    return [(one.level, one.what) for one in findings if one.path in paths]


def test_what_cannot_be_split_over_devices_is_found_before_the_start() -> None:
    both = "cuda:0,cuda:1"
    fsdp = {"environment.distributed": "fsdp"}
    assert found(both) == []
    assert found(both, **fsdp, **{"architecture.backbone_dtype": "int8"}) == [
        ("error", "A backbone in int8 cannot be split over devices.")
    ]
    assert found(both, **fsdp, **{"training.optimizer": "AdamW8bit"}) == [
        ("error", "AdamW8bit cannot follow a split model.")
    ]
    assert found(both, **{"architecture.backbone_dtype": "int8"}) == []
    few = {"training.batch_size": 1, "training.grad_accumulation": 1}
    assert "some of the 2 processes have nothing to learn from" in found(both, **few)[0][1]
    assert found("cuda:0", **fsdp) == [("note", "There is one device, so nothing is shared.")]
    assert found("cpu:2")[0][0] == "note"
