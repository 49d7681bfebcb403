"""Writes adapter.zip or merged.zip of an experiment; offers a merged model only after it was read back and compared."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

from transformers import GenerationConfig

from llm_studio.config import ExperimentConfig
from llm_studio.config.memory import BYTES
from llm_studio.data.dataset import open_dataset
from llm_studio.errors import UserError
from llm_studio.modeling import merging
from llm_studio.modeling.backbones import is_path
from llm_studio.modeling.download import use_token
from llm_studio.modeling.facts import read_json
from llm_studio.modeling.loading import (
    CONFIG_FILE,
    OWN_BACKBONE,
    LoadedModel,
    checkpoint_of,
    experiment_config,
    load_experiment,
    load_tokenizer,
    path_of,
)
from llm_studio.modeling.portable import (
    Report,
    make_config_readable,
    make_tokenizer_readable,
    safe_name,
    write_json,
    write_zip,
)
from llm_studio.modeling.sampling import Sampling
from llm_studio.store import ExperimentRecord, Home, JobRecord, Store
from llm_studio.tokens.making import make_template

WHICH = "best"
SPARE_BYTES = 100_000_000
EQUALITY_FILE = "equality.json"
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")


def run(home: Home, store: Store, job: JobRecord, report: Report) -> dict[str, Any]:
    """The data job "export": params experiment_id and what ("adapter" or "merged").

    Returns path, filename, size_bytes and, for a merged model, equality (see merging.Equality, with its sentence).

    Raises:
        UserError: nothing to export, not enough disk, or the merged model does not answer as the tuned one.
    """
    record = store.experiments.get(str(job.params["experiment_id"]))
    use_token(store.secrets.get("huggingface_token"))
    what = str(job.params["what"])
    target = home.experiment(record.id) / "export"
    target.mkdir(exist_ok=True)
    work = target / f"{what}.part"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        if what == "adapter":
            equality = None
            _write_adapter(home, record, work)
        else:
            equality = _write_merged(home, record, work, report)
            (target / EQUALITY_FILE).write_text(json.dumps(equality, indent=2), encoding="utf-8")
        (work / "experiment.yaml").write_bytes((home.experiment(record.id) / CONFIG_FILE).read_bytes())
        archive = target / f"{what}.zip"
        inside = f"{safe_name(record.name)}-{what}"
        write_zip(archive, work, inside, report, begin=0.7 if what == "merged" else 0.1, end=1.0)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    size = archive.stat().st_size
    return {"path": str(archive), "filename": f"{inside}.zip", "size_bytes": size, "equality": equality}


def _write_adapter(home: Home, record: ExperimentRecord, work: Path) -> None:
    """The adapter as PEFT reads it, with the tokenizer; no model is loaded."""
    checkpoint = checkpoint_of(home.experiment(record.id), WHICH)
    if not (checkpoint / ADAPTER_FILES[0]).is_file():
        raise UserError(
            f"{record.name} was tuned in full, so there is no adapter.",
            where=f"experiment {record.name}",
            fix="Export the merged model instead.",
        )
    if (home.experiment(record.id) / OWN_BACKBONE).is_dir():
        raise UserError(
            f"The adapter of {record.name} was learned on a merged model that only this experiment has, so it would "
            f"answer nonsense on {_public_name(record.backbone)}.",
            where=f"experiment {record.name}",
            fix="Export the merged model instead.",
        )
    config = experiment_config(home.experiment(record.id))
    if config.architecture.pretrained_weights:
        raise UserError(
            f"The adapter of {record.name} was learned on a backbone with further weights from a file "
            f"({Path(config.architecture.pretrained_weights).name}), so it would answer nonsense without them.",
            where=f"experiment {record.name}",
            fix="Export the merged model instead.",
        )
    for name in ADAPTER_FILES:
        shutil.copyfile(checkpoint / name, work / name)
    settings = read_json(work / ADAPTER_FILES[0])
    public, revision = _public_name(record.backbone), _revision(config, record)
    write_json(work / ADAPTER_FILES[0], settings | {"base_model_name_or_path": public, "revision": revision})
    tokenizer = load_tokenizer(config, checkpoint)
    make_template(tokenizer, config)
    tokenizer.save_pretrained(work)
    make_tokenizer_readable(work, str(tokenizer.chat_template))
    notes = _adapter_notes(record, public, revision, grows=bool(settings.get("trainable_token_indices")))
    (work / "README.md").write_text(notes, encoding="utf-8")


def _write_merged(home: Home, record: ExperimentRecord, work: Path, report: Report) -> dict[str, Any]:
    """The merged model, and how it compares once it is read back."""
    folder = home.experiment(record.id)
    report(0.02, "Loading the tuned model")
    tuned = load_experiment(folder, which=WHICH, device="cpu", report=lambda words: report(0.05, words))
    rows = _rows(home, record, tuned)
    report(0.15, f"Asking the tuned model about {len(rows)} rows")
    before = merging.logits_of(tuned, rows)
    tuned_dtype = tuned.dtype.value
    wanted, backbone = tuned.config.architecture.backbone_dtype, path_of(tuned.config.llm_backbone)
    dtype = merging.merged_dtype(wanted, tuned_dtype, tuned.model.num_parameters(), backbone)
    tokenizer, template, prediction = tuned.tokenizer, tuned.template, tuned.config.prediction
    del tuned
    model = merging.merged_model(folder, WHICH, dtype, lambda words: report(0.25, words))
    _check_disk(work, model.num_parameters(), dtype)
    report(0.45, "Writing the weights")
    model.config.use_cache = True
    model.generation_config = _generation(Sampling.of(prediction), template.stop_ids, template.pad_id)
    model.save_pretrained(work)
    tokenizer.save_pretrained(work)
    make_tokenizer_readable(work, str(tokenizer.chat_template))
    make_config_readable(work)
    del model
    report(0.55, "Reading the model back and comparing its logits")
    after = merging.logits_from_disk(work, dtype, rows)
    found = merging.comparison(before, after, tuned_dtype=tuned_dtype, merged_dtype=dtype)
    print(found.sentence, flush=True)  # noqa: T201 - the log of the job
    if not found.equal:
        tolerance = merging.tolerance_for(tuned_dtype, dtype)
        raise UserError(
            f"The merged model does not answer as the tuned one, so it is not offered. {found.sentence}",
            where=f"tolerance: mean difference {tolerance.most_relative:g} of the logits' standard deviation, "
            f"{100 * tolerance.least_agreement:g} % the same",
            fix="Export the adapter instead, and load it with the backbone.",
        )
    equality = dataclasses.asdict(found) | {"sentence": found.sentence}
    write_json(work / EQUALITY_FILE, equality)
    (work / "README.md").write_text(_merged_notes(record, found.sentence), encoding="utf-8")
    return equality


def _rows(home: Home, record: ExperimentRecord, tuned: LoadedModel) -> list[list[int]]:
    """Token ids of rows that the model was not trained on, else of rows that it was."""
    dataset = open_dataset(home.dataset(record.dataset_id))
    found = dataset.conversations("validation", limit=merging.MOST_ROWS)
    found = found or dataset.conversations("train", limit=merging.MOST_ROWS)
    encoded = [sample.input_ids for sample in tuned.template.for_scoring().encode_many(found)]
    rows = merging.rows_to_compare(encoded, int(tuned.model.config.get_text_config().vocab_size))
    if not rows:
        raise UserError("The data set has no row to compare the models on.", fix="Export the adapter instead.")
    return rows


def _check_disk(work: Path, parameters: int, dtype: str) -> None:
    """Room for the folder and, beside it, the zip."""
    wanted, free = int(2 * parameters * BYTES[dtype]) + SPARE_BYTES, shutil.disk_usage(work).free
    if free < wanted:
        raise UserError(
            f"The export needs {wanted / 1e9:.1f} GB; {free / 1e9:.1f} GB are free.",
            where=str(work.parent),
            fix="Delete checkpoints or data sets that are not needed; Settings shows what takes room.",
        )


def _generation(sampling: Sampling, stop_ids: tuple[int, ...], pad_id: int) -> GenerationConfig:
    """How the model answers by default: as it did in the studio."""
    drawn = sampling.temperature > 0
    more = {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": sampling.top_k} if drawn else {}
    return GenerationConfig(
        do_sample=drawn,
        max_new_tokens=sampling.max_tokens,
        repetition_penalty=sampling.repetition_penalty,
        eos_token_id=list(stop_ids),
        pad_token_id=pad_id,
        **more,
    )


def _public_name(backbone: str) -> str:
    """The backbone without a path of this machine."""
    return Path(backbone).name if Path(backbone).expanduser().is_absolute() else backbone


def _revision(config: ExperimentConfig, record: ExperimentRecord) -> str | None:
    """Branch or commit of the Hub that the adapter was learned on; None for the main one, and for a folder."""
    revision = config.environment.huggingface_branch
    return None if revision in ("", "main") or is_path(record.backbone) or record.backbone == "starter" else revision


def _adapter_notes(record: ExperimentRecord, backbone: str, revision: str | None, *, grows: bool) -> str:
    """revision: of the backbone, where it is not the main one. grows: the tokenizer has tokens that it lacks."""
    if backbone == "starter":
        where = "from llm_studio.starter import BACKBONE\n\nbackbone = str(BACKBONE)  # comes with LLM Studio"
    elif "/" in backbone and not Path(record.backbone).is_absolute():
        where = f'backbone = "{backbone}"  # on the Hugging Face Hub'
    else:
        where = f'backbone = "{backbone}"  # the folder of the backbone'
    size = "max(len(tokenizer), model.get_input_embeddings().num_embeddings)"
    room = f"model.resize_token_embeddings({size})  # the markers are tokens of their own\n" if grows else ""
    return f"""# {record.name}: LoRA adapter

Tuned with LLM Studio from the backbone `{backbone}` on the data set {record.dataset_name!r}.
It needs that backbone, and `pip install transformers peft`.

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
{where}

tokenizer = AutoTokenizer.from_pretrained(".")
model = AutoModelForCausalLM.from_pretrained(backbone{f', revision="{revision}"' if revision else ""})
{room}model = PeftModel.from_pretrained(model, ".")
messages = [{{"role": "user", "content": "..."}}]
ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
print(tokenizer.decode(model.generate(**ids, max_new_tokens=256)[0][ids["input_ids"].shape[1]:]))
```

The chat template in this folder is the one that was used in training. `experiment.yaml` holds every setting.
"""


def _merged_notes(record: ExperimentRecord, sentence: str) -> str:
    return f"""# {record.name}

Tuned with LLM Studio from the backbone `{_public_name(record.backbone)}` on the data set {record.dataset_name!r}.
Needs `pip install transformers` (4 or 5).

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model, tokenizer = AutoModelForCausalLM.from_pretrained("."), AutoTokenizer.from_pretrained(".")
messages = [{{"role": "user", "content": "..."}}]
ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
print(tokenizer.decode(model.generate(**ids)[0][ids["input_ids"].shape[1]:]))
```

Compared with the tuned model after it was read back from disk: {sentence}

The chat template in this folder is the one that was used in training. `experiment.yaml` holds every setting.
"""
