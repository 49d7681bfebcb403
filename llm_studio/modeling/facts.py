"""Reads what is known of a backbone from its config.json and the headers of its safetensors files; loads no weights."""

import ast
import difflib
import importlib.util
import json
import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from llm_studio.config.facts import BackboneFacts, BackboneSource
from llm_studio.errors import UserError

Config = Mapping[str, Any]
LARGEST_HEADER_BYTES = 100_000_000  # the limit of the safetensors format
WEIGHTS = (".safetensors", ".bin", ".pt", ".pth")


@lru_cache(maxsize=1)
def causal_lm_types() -> dict[str, tuple[str, ...]]:
    """Model types that transformers can load as a causal language model, each with the names of its classes.

    Read from the source of transformers without running it, since importing it takes seconds.
    """
    package = importlib.util.find_spec("transformers")
    if package is None or not package.submodule_search_locations:
        return {}
    source = Path(package.submodule_search_locations[0]) / "models" / "auto" / "modeling_auto.py"
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and node.targets[0].id == "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES"
            and isinstance(node.value, ast.Call)
        ):
            pairs = ast.literal_eval(node.value.args[0])
            return {kind: (names,) if isinstance(names, str) else tuple(names) for kind, names in pairs}
    return {}


def facts_from_config(
    name: str,
    config: Config,
    *,
    source: BackboneSource,
    parameters: int | None = None,
    trust_remote_code: bool = False,
    **more: Any,
) -> BackboneFacts:
    """The facts in a config.json; `parameters` is the count of the weight files, where that is known.

    Raises:
        UserError: the model is not a causal language model, or runs code of its own that is not trusted.
    """
    needs_remote_code = _refuse_other_models(name, config, trust_remote_code)
    inner = text_config(config)
    hidden = _number(inner, "hidden_size", "n_embd", "d_model", "dim")
    layers = _number(inner, "num_hidden_layers", "n_layer", "num_layers", "n_layers")
    heads = _number(inner, "num_attention_heads", "n_head", "n_heads") or 1
    shape: dict[str, Any] = {
        "hidden_size": hidden,
        "intermediate_size": _number(inner, "intermediate_size", "n_inner", "ffn_dim", "d_ff") or 4 * hidden,
        "layers": layers,
        "attention_heads": heads,
        "key_value_heads": _number(inner, "num_key_value_heads") or heads,
        "vocabulary_size": _number(inner, "vocab_size"),
        "tied_embeddings": bool(inner.get("tie_word_embeddings", config.get("tie_word_embeddings", False))),
    }
    head_size = _number(inner, "head_dim") or (hidden // heads if heads else 0)
    counted = parameters is not None
    return BackboneFacts(
        name=name,
        source=source,
        architecture=next(iter(config.get("architectures") or []), ""),
        model_type=str(config.get("model_type", "")),
        parameters=parameters if parameters is not None else estimated_parameters(head_size=head_size, **shape),
        parameters_exact=counted,
        context_length=_number(inner, "max_position_embeddings", "n_positions", "n_ctx", "max_seq_len") or None,
        dtype=str(inner.get("dtype") or inner.get("torch_dtype") or config.get("dtype") or ""),
        quantised=str((config.get("quantization_config") or {}).get("quant_method", "")),
        needs_remote_code=needs_remote_code,
        **shape,
        **more,
    )


def _refuse_other_models(name: str, config: Config, trust_remote_code: bool) -> bool:
    """Whether the model runs code of its own."""
    architecture = next(iter(config.get("architectures") or []), "")
    model_type = str(config.get("model_type", ""))
    known = causal_lm_types()
    if any(architecture in classes for classes in known.values()) or (not architecture and model_type in known):
        return False
    if "AutoModelForCausalLM" in (config.get("auto_map") or {}):
        if trust_remote_code:
            return True
        raise UserError(
            f"{name} runs Python code of its own (model type {model_type!r}), which could do anything on this machine.",
            where="backbone",
            fix='Read that code first; then switch on "Trust remote code" for this experiment, or choose another one.',
        )
    if not architecture and not model_type:
        raise UserError(
            f"The config.json of {name} names no architecture.",
            where="config.json",
            fix="Choose the folder of a model in the format of transformers.",
        )
    if architecture.endswith("ForCausalLM") or (model_type not in known and not architecture):
        what = f"The architecture {architecture or model_type} of {name} is newer than, or unknown to, this studio."
        raise UserError(what, where="backbone", fix="Choose another backbone, or update the transformers library.")
    raise UserError(
        f"{name} is not a causal language model: its architecture is {architecture or model_type}.",
        where="backbone",
        fix="Choose a model that writes text, such as one whose architecture ends in ForCausalLM.",
    )


def text_config(config: Config) -> Config:
    """The part about the language model, for backbones that also see or hear."""
    inner = config.get("text_config")
    return inner if isinstance(inner, Mapping) else config


def _number(config: Config, *names: str) -> int:
    """The first of these that is a positive whole number, else 0."""
    values = (config.get(name) for name in names)
    return next((int(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool) and v > 0), 0)


def estimated_parameters(
    *,
    hidden_size: int,
    intermediate_size: int,
    layers: int,
    attention_heads: int,
    key_value_heads: int,
    vocabulary_size: int,
    tied_embeddings: bool,
    head_size: int,
) -> int:
    """Elements of a decoder with gated MLP: embeddings, and per layer q, k, v, o, gate, up, down and two norms."""
    attention = 2 * hidden_size * head_size * (attention_heads + key_value_heads)
    layer = attention + 3 * hidden_size * intermediate_size + 2 * hidden_size
    embeddings = vocabulary_size * hidden_size * (1 if tied_embeddings else 2)
    return embeddings + layers * layer + hidden_size


def read_json(path: Path) -> dict[str, Any]:
    """An object in a JSON file.

    Raises:
        UserError: the file is not one.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path.name} cannot be read: {error}", where=str(path), fix="Copy the model's folder again."
        ) from error
    if not isinstance(value, dict):
        raise UserError(f"{path.name} is not a JSON object.", where=str(path), fix="Copy the model's folder again.")
    return value


def count_parameters(files: Iterable[Path]) -> int | None:
    """Elements in safetensors files, from their headers; None when there are none or weights are packed."""
    total = 0
    for path in files:
        for tensor in _header(path).values():
            if tensor["dtype"] in ("U8", "I32"):  # packed 4-bit weights: the shapes do not count parameters
                return None
            total += math.prod(tensor["shape"])
    return total or None


def _header(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if size > LARGEST_HEADER_BYTES:
            raise UserError(f"{path.name} is not a safetensors file.", where=str(path), fix="Copy the model again.")
        try:
            header = json.loads(file.read(size))
        except ValueError as error:
            raise UserError(
                f"{path.name} is cut short or is not a safetensors file.", where=str(path), fix="Copy the model again."
            ) from error
    header.pop("__metadata__", None)
    return dict(header)


def has_chat_template(folder: Path) -> bool:
    """Whether the tokenizer files in `folder` bring a chat template."""
    if (folder / "chat_template.jinja").is_file() or (folder / "chat_template.json").is_file():
        return True
    settings = folder / "tokenizer_config.json"
    return settings.is_file() and bool(read_json(settings).get("chat_template"))


def no_config(name: str, files: Iterable[str]) -> UserError:
    """The error for a place without config.json, by what lies there instead."""
    files = list(files)
    if any(file.endswith("adapter_config.json") for file in files):
        what = f"{name} is an adapter, not a backbone."
        return UserError(what, where=f"backbone {name}", fix="Choose the backbone that the adapter was made for.")
    if any(file.lower().endswith(".gguf") for file in files):
        what = f"{name} holds GGUF files, which can be run but not tuned."
        return UserError(what, where=f"backbone {name}", fix="Choose the original model, in safetensors format.")
    what = f"{name} has no config.json, so it is not a model in the format of transformers."
    return UserError(what, where=f"backbone {name}", fix="Choose a model or folder with config.json and safetensors.")


def facts_from_folder(
    name: str, folder: Path, *, source: Any, trust_remote_code: bool = False, **more: Any
) -> BackboneFacts:
    """What the files of a folder say: the bundled starter, a local folder, or a snapshot in the local cache.

    Raises:
        UserError: there is no config.json, no tokenizer or no weights, a file is broken, or it cannot be tuned here.
    """
    if not (folder / "config.json").is_file():
        raise no_config(name, [path.name for path in folder.glob("*")])
    weights = [path for path in folder.iterdir() if path.name.endswith(WEIGHTS)]
    if not weights:
        raise UserError(
            f"{name} holds no weights.", where=str(folder), fix="Copy its .safetensors files into the folder too."
        )
    tokenizer = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model")
    if not any((folder / file).is_file() for file in tokenizer):
        raise UserError(
            f"{name} has no tokenizer.", where=str(folder), fix="Copy tokenizer.json and tokenizer_config.json too."
        )
    if missing := missing_shards(folder):
        what = f"{name} is not complete: {len(missing)} weight files are missing, such as {missing[0]}."
        raise UserError(what, where=str(folder), fix="Copy or download the missing files.")
    return facts_from_config(
        name,
        read_json(folder / "config.json"),
        source=source,
        parameters=count_parameters(path for path in weights if path.suffix == ".safetensors"),
        trust_remote_code=trust_remote_code,
        has_chat_template=has_chat_template(folder),
        **more,
    )


def missing_shards(folder: Path) -> list[str]:
    """Weight files that the index names and that are not there; empty for a model in one file."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return []
    wanted = set(read_json(index).get("weight_map", {}).values())
    return sorted(file for file in wanted if not (folder / file).exists())


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that offers the names most like `name`."""
    close = difflib.get_close_matches(name.lower(), (by_lower := {one.lower(): one for one in known}), n=3, cutoff=0.6)
    if close:
        return f"Did you mean {' or '.join(by_lower[one] for one in close)}?"
    return "Check the spelling: names look like owner/model."
