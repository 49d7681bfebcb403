"""Our engine as a contestant: from settings to a trained model, by the same path as an experiment."""

import time
from pathlib import Path

from llm_studio.config import make_config
from llm_studio.modeling import devices
from llm_studio.modeling.adapters import make_trainable
from llm_studio.modeling.attention import PACKED, choose_packing
from llm_studio.modeling.loading import load_model, quiet
from llm_studio.tokens.stored import StoredSamples
from llm_studio.training.events import Event, StepDone
from llm_studio.training.trainer import Trainer
from tests.benchmarks.contestant import Ready, Spec

DEVICE = "cpu"


def ready(spec: Spec, rows: Path, folder: Path) -> Ready:
    """Everything that comes before the clock starts; it stands when the last step is told, before a state is saved,
    since TRL is told to save none."""
    import torch
    from transformers import AutoTokenizer

    quiet()
    config = make_config(spec.settings | {"llm_backbone": spec.backbone})
    torch.manual_seed(config.environment.seed)
    devices.set_threads()
    model, dtype = load_model(config, device=DEVICE, trains=True)
    autocast, _ = devices.choose_autocast(device=DEVICE, environment=config.environment, dtype=dtype.value)
    model = make_trainable(model, config, quantised=False).model
    ended = []

    def listen(event: Event) -> None:
        if isinstance(event, StepDone) and event.step == event.steps:
            ended.append(time.perf_counter())

    trainer = Trainer(
        model,
        StoredSamples(rows),
        config,
        folder=folder / "resume",
        device=DEVICE,
        pad_id=int(AutoTokenizer.from_pretrained(spec.backbone).pad_token_id),
        autocast=autocast,
        packed=choose_packing(config.training.packing, model).value == PACKED,
        listen=listen,
    )

    def train() -> float:
        began = time.perf_counter()
        trainer.run()
        return ended[0] - began

    return Ready(model, train)
