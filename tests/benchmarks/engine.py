"""Our engine as a contestant: from settings to a trained model, by the same path as an experiment."""

from pathlib import Path

from llm_studio.config import make_config
from llm_studio.modeling import devices
from llm_studio.modeling.adapters import make_trainable
from llm_studio.modeling.loading import load_model, quiet
from llm_studio.tokens.stored import StoredSamples
from llm_studio.training.trainer import train
from tests.benchmarks.contestant import Ready, Spec

DEVICE = "cpu"


def ready(spec: Spec, rows: Path, folder: Path) -> Ready:
    """Everything that comes before the clock starts."""
    import torch
    from transformers import AutoTokenizer

    quiet()
    config = make_config(spec.settings | {"llm_backbone": spec.backbone})
    torch.manual_seed(config.environment.seed)
    devices.set_threads()
    model, dtype = load_model(config, device=DEVICE, parameters=0, trains=True)
    autocast, _ = devices.choose_autocast(
        device=DEVICE, mixed_precision=config.environment.mixed_precision, dtype=dtype.value
    )
    model = make_trainable(model, config, quantised=False).model
    samples = StoredSamples(rows)
    pad_id = int(AutoTokenizer.from_pretrained(spec.backbone).pad_token_id)

    def work() -> None:
        finished = train(
            model,
            samples,
            config,
            folder=folder / "resume",
            device=DEVICE,
            pad_id=pad_id,
            autocast=autocast,
            listen=lambda event: None,
        )
        assert finished

    return Ready(model, work)
