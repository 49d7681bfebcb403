"""Keeps what a user chose for a new experiment: changes beside the values that preset and backbone give.

A browser sends every field with its first submission, changed or not. So the draft remembers what the page showed last;
a field that comes back different is a change, and one that comes back the same is none.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llm_studio.config import PRESETS, ExperimentConfig, flatten, make_config, settings_by_path
from llm_studio.starter import RECOMMENDED
from llm_studio.ui.form import SET, FormState, read_form, spelled
from llm_studio.ui.page import Context
from llm_studio.ui.pages.new_names import two_words

PRESET = "balanced"
LEVEL = "basic"
STARTER = "starter"
OWN, SHOWN, ORIGIN, NAME, REPORT = "own", "shown", "origin", "name_given", "report"  # what the page keeps in its draft
KEPT_WITH_ANOTHER_DATASET = (OWN, ORIGIN, NAME, REPORT, "preset", "level", "search", "start_from")

_lock = threading.Lock()
_carried: dict[str, dict[str, Any]] = {}


@dataclass(frozen=True)
class Chosen:
    """Everything the draft says. origin: id of the experiment it was taken from, or empty."""

    form: FormState
    preset: str
    level: str
    search: str
    origin: str
    report: Mapping[str, Any] | None

    @property
    def config(self) -> ExperimentConfig:
        """The config as chosen; where a field holds no value, with the value it had before."""
        return make_config(self.form.values)


def read(ctx: Context, dataset_id: str, recommended: Mapping[str, object] | None = None) -> Chosen:
    """The draft as it stands now, with what the browser sent since.

    recommended: settings that the chosen backbone brings, where the page already knows its facts.
    """
    infos = settings_by_path()
    with _lock:
        draft = ctx.draft
        own: dict[str, Any] = draft.setdefault(OWN, {})
        shown: dict[str, Any] = draft.setdefault(SHOWN, {})
        for path in infos:
            name = f"{SET}/{path}"
            if name in draft and (given := _plain(draft.pop(name))) != shown.get(path, given):
                own[path] = given
        preset = draft.get("preset") if draft.get("preset") in PRESETS else PRESET
        backbone = str(own.get("llm_backbone") or STARTER).strip()
        advice = (RECOMMENDED if backbone == STARTER else recommended) or {}
        base = flatten(make_config({}, preset=preset, recommended=advice))
        sources = origins(base, advice, str(preset))
        base |= {"experiment_name": draft.setdefault(NAME, "") or two_words(), "dataset_id": dataset_id}
        draft[NAME] = base["experiment_name"]
        form = read_form(infos, base, own, origins=sources)
        draft[OWN] = dict(form.entered)
        draft[SHOWN] = {path: form.entered.get(path, spelled(info, base[path])) for path, info in infos.items()}
        return Chosen(
            form=form,
            preset=str(preset),
            level=str(draft.get("level") or ctx.preferences.get("level", LEVEL)),
            search=str(draft.get("search") or ""),
            origin=str(draft.get(ORIGIN) or ""),
            report=draft.get(REPORT),
        )


def origins(base: Mapping[str, Any], advice: Mapping[str, object], preset: str) -> dict[str, str]:
    """Where the values come from that are not the default."""
    without_preset = flatten(make_config({}, recommended=advice))
    found = dict.fromkeys(advice, "recommended by this model")
    for path, value in base.items():
        if value != without_preset[path]:
            found[path] = f"from the preset {PRESETS[preset].title}"
    return found


def _plain(given: Any) -> Any:
    return "" if given is None else given


def begin(ctx: Context, origin: str) -> bool:
    """Makes the draft one for this address; True when `origin` was just opened and its config has to be taken over.

    A draft that was carried over from another data set goes on; one that came from another experiment ends here.
    """
    with _lock:
        carried = _carried.pop(ctx.args[0], None) if ctx.args else None
        if carried is not None:
            ctx.draft.clear()
            ctx.draft.update(carried)
        if ctx.draft.get(ORIGIN, "") == origin:
            return False
        ctx.draft.clear()
        ctx.draft[ORIGIN] = origin
        return True


def carry(ctx: Context, dataset_id: str) -> None:
    """Take the draft along to the address of another data set."""
    with _lock:
        _carried[dataset_id] = {key: ctx.draft[key] for key in KEPT_WITH_ANOTHER_DATASET if key in ctx.draft}
        ctx.draft.clear()


def begin_with(dataset_id: str, changes: Mapping[str, Any]) -> None:
    """Let the page of a data set begin with these changes, by path, when it is opened next."""
    infos = settings_by_path()
    with _lock:
        _carried[dataset_id] = {OWN: {path: spelled(infos[path], value) for path, value in changes.items()}}


def take_over(ctx: Context, values: Mapping[str, Any], *, name: str = "") -> None:
    """Replace all changes by these values, by path; name and data set stay those of the page."""
    infos = settings_by_path()
    with _lock:
        ctx.draft[OWN] = {
            path: spelled(infos[path], value)
            for path, value in values.items()
            if path in infos and path not in ("dataset_id", "experiment_name")
        }
        ctx.draft[SHOWN] = {}
        if name:
            ctx.draft[NAME] = name


def reset(ctx: Context, path: str = "") -> None:
    """Take one change back, or all but name, data set and backbone."""
    with _lock:
        own = ctx.draft.get(OWN, {})
        kept = ("experiment_name", "dataset_id", "llm_backbone")
        ctx.draft[OWN] = {one: given for one, given in own.items() if (one != path if path else one in kept)}
