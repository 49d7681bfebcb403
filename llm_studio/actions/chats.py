"""What can be talked to, and the conversations: kept in the store, with the settings of their answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from llm_studio.actions.serving import checkpoint_folder
from llm_studio.config.device_names import devices_in, is_cpu
from llm_studio.data.dataset import open_dataset
from llm_studio.data.types import Conversation
from llm_studio.errors import UserError
from llm_studio.modeling.backbones import list_backbones
from llm_studio.modeling.sampling import Sampling
from llm_studio.store import ChatRecord, ExperimentRecord, Store

BACKBONE_MARK = "backbone:"
LOOKED_AT = 50  # rows that say whether the model learned from several turns
Variant = Literal["content", "untouched"]
"""The two answers a message may hold: of the chosen model, and of the same backbone before tuning."""

VARIANTS: tuple[Variant, ...] = ("content", "untouched")


@dataclass(frozen=True)
class Talker:
    """A model that can be talked to. key: stands in the address of the page; experiment_id None: a plain backbone.

    has_adapter: the untouched backbone can be asked in the same process.
    """

    key: str
    title: str
    experiment_id: str | None
    backbone: str
    device: str
    dataset_id: str = ""
    has_adapter: bool = False


def talkers(store: Store, folders: Sequence[Path] = ()) -> tuple[Talker, ...]:
    """Every experiment with saved weights, newest first, then the backbones that are on this machine."""
    tuned = [found for record in store.experiments.list() if (found := _tuned(store, record)) is not None]
    device = next((devices_in(one.device)[0] for one in tuned if not is_cpu(one.device)), "cpu")
    plain = [_plain(backbone.name, backbone.title, device) for backbone in list_backbones(folders)]
    return (*tuned, *plain)


def find_talker(store: Store, key: str, folders: Sequence[Path] = ()) -> Talker:
    """The model of an address.

    Raises:
        UserError: there is none, or nothing of the experiment was saved yet.
    """
    if key.startswith(BACKBONE_MARK):
        found = next((one for one in talkers(store, folders) if one.key == key), None)
        if found is None:
            name = key.removeprefix(BACKBONE_MARK)
            raise UserError(f"There is no backbone {name} on this machine.", fix="Choose a model from the list.")
        return found
    record = store.experiments.get(key)
    talker = _tuned(store, record)
    if talker is None:
        waits = record.status in ("queued", "running")
        what = f"{record.name} has no saved weights{' yet' if waits else ''}."
        fix = "It can be talked to after its first evaluation." if waits else "Continue it, or choose another model."
        raise UserError(what, where=f"experiment {record.name}", fix=fix)
    return talker


def _tuned(store: Store, record: ExperimentRecord) -> Talker | None:
    folder = checkpoint_folder(store, record.id)
    if folder is None:
        return None
    return Talker(
        key=record.id,
        title=record.name,
        experiment_id=record.id,
        backbone=record.backbone,
        device=record.device,
        dataset_id=record.dataset_id,
        has_adapter=(folder / "adapter_config.json").is_file(),
    )


def _plain(name: str, title: str, device: str) -> Talker:
    return Talker(key=BACKBONE_MARK + name, title=title, experiment_id=None, backbone=name, device=device)


# ---- settings of a chat ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ChatSettings:
    """How answers of a chat are made. turns: how many earlier turns the model reads; 0: each prompt stands alone."""

    sampling: Sampling
    system: str = ""
    turns: int = 8
    compare: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For the store."""
        return {**self.sampling.as_dict(), "system": self.system, "turns": self.turns, "compare": self.compare}

    @classmethod
    def of(cls, stored: Mapping[str, Any], default: "ChatSettings") -> "ChatSettings":
        """Settings as stored; what is missing is as in `default`."""
        names = {one.name for one in fields(Sampling)}
        given = {name: value for name, value in stored.items() if name in names}
        if "stop" in given:
            given["stop"] = tuple(given["stop"])
        if stored and "seed" not in stored:
            given["seed"] = None
        chosen = {one.name: getattr(default.sampling, one.name) for one in fields(Sampling)} | given
        return cls(
            sampling=Sampling(**chosen),
            system=str(stored.get("system", default.system)),
            turns=int(stored.get("turns", default.turns)),
            compare=bool(stored.get("compare", default.compare)),
        )


def default_settings(store: Store, talker: Talker) -> ChatSettings:
    """What the experiment's own settings say, so that chat answers as its evaluation did.

    A model that learned from single turns is given each prompt alone: it has never seen a second one.
    """
    from llm_studio.config import ExperimentConfig, from_yaml

    if talker.experiment_id is None:
        prediction = ExperimentConfig().prediction
        return ChatSettings(sampling=Sampling.of(prediction), turns=prediction.num_history)
    text = (store.home.experiment(talker.experiment_id) / "config.yaml").read_text(encoding="utf-8")
    prediction = from_yaml(text).config.prediction
    rows = held_out(store, talker, LOOKED_AT)
    several = any(sum(message.role == "user" for message in row.messages) > 1 for row in rows)
    system = next((row.messages[0].content for row in rows if row.messages[0].role == "system"), "")
    turns = prediction.num_history if several or not rows else 0
    return ChatSettings(sampling=Sampling.of(prediction), turns=turns, system=system)


def held_out(store: Store, talker: Talker, limit: int) -> list[Conversation]:
    """Rows that the model was not trained on; none for a plain backbone, or when the data set is gone."""
    folder = store.home.dataset(talker.dataset_id) if talker.dataset_id else None
    if folder is None or not folder.is_dir():
        return []
    return open_dataset(folder).conversations("validation", limit=limit)


def read_settings(values: Mapping[str, Any], current: ChatSettings) -> ChatSettings:
    """Settings as a user typed them (texts).

    Raises:
        UserError: something is not a number, or out of range.
    """
    numbers = {
        "temperature": _number(values, "temperature", "Temperature", float),
        "top_p": _number(values, "top_p", "Top p", float),
        "top_k": _number(values, "top_k", "Top k", int),
        "max_tokens": _number(values, "max_tokens", "Longest answer", int),
        "repetition_penalty": _number(values, "repetition_penalty", "Repetition penalty", float),
        "seed": _number(values, "seed", "Seed", int),
    }
    given = {name: value for name, value in numbers.items() if value is not None}
    kept = {name: getattr(current.sampling, name) for name in numbers if name not in given and name != "seed"}
    stop = tuple(line for line in str(values.get("stop") or "").splitlines() if line)
    turns = _number(values, "turns", "Turns remembered", int)
    if turns is not None and not 0 <= turns <= 1000:
        raise UserError(f"Turns remembered is {turns}.", where="Turns remembered", fix="Give a number from 0 to 1000.")
    return ChatSettings(
        sampling=Sampling(**{**kept, **given}, stop=stop),
        system=str(values.get("system") or "").strip(),
        turns=current.turns if turns is None else int(turns),
        compare=current.compare,
    )


def _number(values: Mapping[str, Any], name: str, title: str, kind: type[int] | type[float]) -> Any:
    text = str(values.get(name) or "").strip()
    if not text:
        return None
    try:
        return kind(text)
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise UserError(f"{title} is {text!r}.", where=title, fix=f"Type {what}, such as 1.") from None


# ---- conversations ---------------------------------------------------------------------------------------------------


def open_conversation(store: Store, talker: Talker) -> ChatRecord:
    """The newest conversation with a model; begun now when there is none."""
    found = store.chats.list(talker.key)
    return found[0] if found else store.chats.create(talker.key, talker.title)


def newest_conversation(store: Store, talker: Talker) -> ChatRecord | None:
    """The newest conversation with a model, if there is one."""
    found = store.chats.list(talker.key)
    return found[0] if found else None


def prompt_messages(
    messages: Sequence[Mapping[str, str]], settings: ChatSettings, variant: Variant
) -> list[dict[str, str]]:
    """What the model is given: the system prompt, the last turns with its own answers, and the newest prompt.

    A turn without an answer of this variant is left out, so that roles keep taking turns.
    """
    turns: list[tuple[str, str]] = []
    for message, following in zip(messages, [*messages[1:], {}], strict=True):
        answer = following.get(variant) if following.get("role") == "assistant" else None
        if message["role"] == "user" and answer:
            turns.append((message["content"], answer))
    kept = turns[max(0, len(turns) - settings.turns) :]
    system = [{"role": "system", "content": settings.system}] if settings.system else []
    history = [
        {"role": role, "content": text} for turn in kept for role, text in zip(("user", "assistant"), turn, strict=True)
    ]
    return [*system, *history, {"role": "user", "content": messages[-1]["content"]}]
