"""Loads tokenizers, backbones and tuned models, in 32, 16, 8 or 4 bits, on a GPU or a CPU."""

import json
import logging
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from llm_studio import starter
from llm_studio.config import ExperimentConfig, from_yaml
from llm_studio.config.memory import Needs
from llm_studio.errors import UserError
from llm_studio.modeling.backbone_dropout import put_back, set_dropout
from llm_studio.modeling.backbones import check_backbone
from llm_studio.modeling.devices import DTYPES, Choice, choose_dtype
from llm_studio.modeling.download import is_here
from llm_studio.modeling.further_file import file_of
from llm_studio.modeling.further_weights import lay_over
from llm_studio.modeling.marker_tokens import make_room
from llm_studio.modeling.quantising import QUANTISED, computing_dtype, keep_layout, keep_scales, quantisation
from llm_studio.tokens.making import make_template
from llm_studio.tokens.template import Template

Report = Callable[[str], None]
CONFIG_FILE = "config.yaml"
OWN_BACKBONE = "backbone"
DECIDED_ELSEWHERE = {
    "trust_remote_code": "environment.trust_remote_code",
    "revision": "environment.huggingface_branch",
    "code_revision": "environment.huggingface_branch",
}
"""Arguments of a tokenizer that further ones may not overrule: whether code runs is said, and asked, in one place."""
REPLACED = ".replaced"
"""End of the name that a checkpoint has for the moment between its replacement's being ready and being there."""


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to answer, with its tokenizer, its chat template and the experiment's config."""

    model: Any
    tokenizer: Any
    template: Template
    is_adapter: bool
    config: ExperimentConfig
    device: str
    dtype: Choice = field(default_factory=lambda: Choice("float32", ""))


def quiet() -> None:
    """Keep the libraries' progress bars and known harmless warnings out of the logs."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    warnings.filterwarnings("ignore", message=".*MatMul8bitLt.*")
    warnings.filterwarnings("ignore", message=".*gemm_4bit.*")
    warnings.filterwarnings("ignore", message=".*gradient_checkpointing.*")
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


def path_of(name: str) -> str:
    """Folder or Hub name behind the name of a backbone."""
    if name == "starter":
        return str(starter.BACKBONE)
    folder = Path(name).expanduser()
    return str(folder) if (folder / "config.json").is_file() else name


def experiment_config(folder: Path) -> ExperimentConfig:
    """The config of an experiment. One that started from a merged model has that as a backbone of its own, in its
    folder, in place of the one the config names.

    Raises:
        UserError: it cannot be read.
    """
    config = from_yaml((folder / CONFIG_FILE).read_text(encoding="utf-8")).config
    own = folder / OWN_BACKBONE
    return standing_alone(config, own) if (own / "config.json").is_file() else config


def standing_alone(config: ExperimentConfig, folder: Path) -> ExperimentConfig:
    """The config with all weights from `folder`, which hold those of a file beside the backbone already."""
    return config.with_changes({"llm_backbone": str(folder), "architecture.pretrained_weights": ""})


def hub_arguments(config: ExperimentConfig, name: str) -> dict[str, Any]:
    """Revision and code permission for a backbone; the network is left alone when all is here."""
    revision = config.environment.huggingface_branch
    found: dict[str, Any] = {"trust_remote_code": config.environment.trust_remote_code}
    if not Path(path_of(name)).is_dir():
        found |= {"revision": revision, "local_files_only": is_here(name, revision)}
    return found


def load_tokenizer(config: ExperimentConfig, folder: Path | None = None) -> Any:
    """The tokenizer of the backbone, or the one saved in a checkpoint's folder.

    Raises:
        UserError: it cannot be loaded.
    """
    name = config.llm_backbone
    try:
        if folder is not None:
            return AutoTokenizer.from_pretrained(str(folder), trust_remote_code=config.environment.trust_remote_code)
        more = tokenizer_arguments(config.tokenizer.tokenizer_kwargs)
        return AutoTokenizer.from_pretrained(path_of(name), **(hub_arguments(config, name) | more))
    except (OSError, ValueError, KeyError, ImportError, TypeError) as error:
        raise _cannot_load("tokenizer", name, error) from error


def tokenizer_arguments(text: str) -> dict[str, Any]:
    """Further arguments of a tokenizer, from JSON.

    Raises:
        UserError: the text is no JSON object, or holds what another setting decides.
    """
    try:
        found = json.loads(text or "{}")
    except ValueError:
        found = None
    if isinstance(found, dict):
        for name in found.keys() & DECIDED_ELSEWHERE.keys():
            setting = DECIDED_ELSEWHERE[name]
            what, fix = f"{name} is no argument of the tokenizer alone.", f"Leave it out, and set {setting}."
            raise UserError(what, where="tokenizer.tokenizer_kwargs", fix=fix)
        return found
    raise UserError(
        f"The tokenizer arguments are no JSON object: {text[:80]}",
        where="tokenizer.tokenizer_kwargs",
        fix='Write names and values in braces, such as {"add_prefix_space": true}.',
    )


def load_model(
    config: ExperimentConfig, *, device: str, needed: Needs | None = None, trains: bool = False
) -> tuple[Any, Choice]:
    """The backbone and its number type, with the reason for it.

    needed: what it and its training take; None looks up what the backbone alone takes, where it is on this machine.
    trains: it will be trained, not only asked.

    Raises:
        UserError: it cannot be loaded, or there is not enough memory for it.
    """
    quiet()
    name = config.llm_backbone
    dtype = choose_dtype(
        config.architecture.backbone_dtype,
        device=device,
        needed=needed or needs_to_answer(config),
        all_weights=not config.training.lora,
    )
    arguments: dict[str, Any] = hub_arguments(config, name) | {"device_map": {"": device}}
    if config.training.attention_implementation != "auto":
        arguments["attn_implementation"] = config.training.attention_implementation
    if dtype.value in QUANTISED:
        arguments["quantization_config"] = quantisation(dtype.value, device)
        arguments["dtype"] = computing_dtype(device)
    else:
        arguments["dtype"] = DTYPES[dtype.value]
    further = file_of(config)
    if further is not None and dtype.value in QUANTISED:
        raise UserError(
            f"Further weights cannot be laid over a backbone in {dtype.value}.",
            where="architecture.backbone_dtype",
            fix="Choose bfloat16, float16 or float32.",
        )
    share = config.architecture.intermediate_dropout if trains else 0.0
    try:
        if share:
            arguments["config"] = AutoConfig.from_pretrained(path_of(name), **hub_arguments(config, name))
            own = set_dropout(arguments["config"], share)
        model = AutoModelForCausalLM.from_pretrained(path_of(name), **arguments)
        put_back(model.config, own if share else {})
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise UserError(
                f"{name} does not fit into the memory of {device} in {dtype.value}.",
                where="architecture.backbone_dtype",
                fix="Choose int8 or int4, or a smaller backbone.",
            ) from error
        raise _cannot_load("backbone", name, error) from error
    if dtype.value == "int4" and (trains or config.training.use_dora):
        keep_layout(model)
    if dtype.value == "int8":
        keep_scales(model)
    if further is not None:
        lay_over(model, further)
    return model, dtype


def needs_to_answer(config: ExperimentConfig) -> Needs | None:
    """What a backbone takes that is not trained; None when its files are not here or cannot be read."""
    name, environment = config.llm_backbone, config.environment
    if not is_here(name, environment.huggingface_branch):
        return None
    try:
        facts = check_backbone(
            name, revision=environment.huggingface_branch, trust_remote_code=environment.trust_remote_code
        )
    except UserError:
        return None  # said by whoever loads it, with more detail
    return Needs(facts.parameters, state_bytes=0.0, row_bytes=0.0, batch_size=1)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or in the machine."""
    words = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in words or "can't allocate memory" in words


def load_backbone(name: str, *, device: str, report: Report = lambda words: None) -> LoadedModel:
    """An untouched backbone, ready to answer.

    Raises:
        UserError: it cannot be loaded.
    """
    config = ExperimentConfig(llm_backbone=name)
    report("Loading the backbone")
    tokenizer = load_tokenizer(config)
    template = make_template(tokenizer, config)
    model, dtype = load_model(config, device=device)
    return LoadedModel(model.eval(), tokenizer, template, False, config, device, dtype)


def load_experiment(
    folder: Path,
    *,
    which: str = "best",
    device: str,
    dtype: str | None = None,
    report: Report = lambda words: None,
) -> LoadedModel:
    """The model of an experiment from its checkpoint.

    which: "best" or "last"; "last" where there is no best. dtype: another number type than the experiment's.

    Raises:
        UserError: there is no checkpoint, or the backbone cannot be loaded.
    """
    config = experiment_config(folder)
    if dtype is not None:
        config = config.with_changes({"architecture.backbone_dtype": dtype})
    checkpoint = checkpoint_of(folder, which)
    is_adapter = (checkpoint / "adapter_config.json").is_file()
    report("Loading the tokenizer")
    tokenizer = load_tokenizer(config, checkpoint)
    template = make_template(tokenizer, config)
    report("Loading the backbone")
    if is_adapter:
        from peft import PeftModel

        model, chosen = load_model(config, device=device)
        if config.tokenizer.add_prompt_answer_tokens:
            make_room(model, tokenizer, make_template(load_tokenizer(config), config).new_tokens)
        report("Loading the adapter")
        model = PeftModel.from_pretrained(model, str(checkpoint))
    else:
        model, chosen = load_model(standing_alone(config, checkpoint), device=device)
    return LoadedModel(model.eval(), tokenizer, template, is_adapter, config, device, chosen)


def checkpoint_of(folder: Path, which: str) -> Path:
    """The folder of a checkpoint of an experiment; "best" falls back to "last".

    Raises:
        UserError: there is none.
    """
    names = [f"{name}{end}" for name in (which, "last", "best") for end in ("", REPLACED)]
    for name in dict.fromkeys(names):
        found = folder / "checkpoints" / name
        if (found / "adapter_config.json").is_file() or (found / "config.json").is_file():
            return found
    raise UserError(
        "This experiment has no checkpoint yet.",
        where="checkpoints",
        fix="Wait for it, or start it again.",
    )


def _cannot_load(what: str, name: str, error: BaseException) -> UserError:
    reason = str(error).strip().split("\n")[0][:300] or type(error).__name__
    if "flash" in reason.lower():
        fix = "Set training.attention_implementation to auto."
    elif "trust_remote_code" in str(error):
        fix = "Its code must run to load it: turn on environment.trust_remote_code if you trust its authors."
    else:
        fix = "Check the name and the connection, or choose another backbone."
    return UserError(f"The {what} of {name} cannot be loaded: {reason}", where="llm_backbone", fix=fix)
