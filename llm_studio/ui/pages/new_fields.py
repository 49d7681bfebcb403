"""Draws the settings of a new experiment: those that matter first, all others by section, and those of the data set."""

from collections.abc import Sequence
from typing import Any

from h2o_wave import ui

from llm_studio.config import all_settings, is_visible, settings_by_path
from llm_studio.data.layouts import all_layouts
from llm_studio.store import DatasetRecord
from llm_studio.ui import build, form, text, words
from llm_studio.ui.page import Card
from llm_studio.ui.pages import dataset_form, split_form
from llm_studio.ui.pages.new_data import Data
from llm_studio.ui.pages.new_state import Chosen

IN_THE_BAR = ("experiment_name",)
FIRST = (
    "dataset_id", "llm_backbone", "problem_type", "training.epochs", "training.learning_rate", "training.batch_size",
    "tokenizer.max_length", "prediction.max_length_inference", "prediction.metric",
    "prediction.metric_gpt_model", "prediction.metric_gpt_template", "training.lora", "architecture.backbone_dtype",
    "environment.gpus",
)  # fmt: skip
SECTIONS = {
    "dataset": ("Text of the conversations", "Template and learned text. Columns and split belong to the data set."),
    "tokenizer": ("Tokens", "How text becomes tokens."),
    "architecture": ("Backbone in memory", "Number type and memory of the pretrained model."),
    "training": ("Training", "Optimiser, schedule, LoRA, checkpoints and evaluations."),
    "augmentation": ("Augmentation", "Noise that makes training harder; all off by default."),
    "prediction": ("Answers and scores", "How answers are generated and scored at each evaluation."),
    "environment": ("Environment", "Device, seed, precision and what may be downloaded."),
    "logging": ("Logging", "What is recorded, and where."),
}
PROBLEM_TYPES = {"causal_lm": "Causal language model"}


def first_card(data: Data, chosen: Chosen, shown: set[str]) -> Card:
    """The few settings that matter first."""
    infos = settings_by_path()
    own = {
        "dataset_id": dataset_field(data, "dataset_id" in shown),
        "llm_backbone": backbone_field(data, chosen, "llm_backbone" in shown),
        "problem_type": problem_type_field("problem_type" in shown),
        "environment.gpus": device_field(data, chosen, "environment.gpus" in shown),
    }
    known = data.looked.sentence or ("Looking the backbone up …" if data.looked.pending else "")
    said = {"llm_backbone": known}
    heading = build.heading(
        "First choices", hint="Everything has a value that fits. Press Start when this looks right."
    )
    again = build.button("look_again", "Look the backbone up again", link=True, visible=data.looked.problem is not None)
    fields = [
        form.cell(infos[path], chosen.form, visible=path in shown, control=own.get(path), words=said.get(path, ""))
        for path in FIRST
    ]
    return build.form("main", "section_first", [heading, *fields, again])


def dataset_field(data: Data, visible: bool) -> Any:
    """The dropdown of data sets."""
    info = settings_by_path()["dataset_id"]
    choices = [
        ui.choice(record.id, f"{record.name} ({words.count(record.row_count)} rows)") for record in data.datasets
    ]
    return ui.dropdown(
        name=f"{form.SET}/dataset_id",
        label=info.title,
        value=data.dataset.id if data.dataset else "",
        placeholder="Choose a data set",
        choices=choices,
        tooltip=info.help,
        trigger=True,
        visible=visible,
        popup="never",
    )


def backbone_field(data: Data, chosen: Chosen, visible: bool) -> Any:
    """The list of backbones, where any name may be typed."""
    info = settings_by_path()["llm_backbone"]
    value = str(chosen.form.values["llm_backbone"])
    names = [backbone.name for backbone in data.backbones]
    return ui.combobox(
        name=f"{form.SET}/llm_backbone",
        label=info.title,
        value=value,
        placeholder="starter, a folder, or owner/name of the Hub",
        choices=names if value in names else [*names, value],
        error=data.looked.problem.what if data.looked.problem else None,
        tooltip=f"{info.help} Type a name and press Enter.",
        trigger=True,
        visible=visible,
    )


def device_field(data: Data, chosen: Chosen, visible: bool) -> Any:
    """The devices of this machine."""
    info = settings_by_path()["environment.gpus"]
    value = str(chosen.form.values["environment.gpus"])
    titles = {"auto": f"auto: {data.devices[0].title}" if data.devices else "auto"}
    titles |= {device.name: device.title for device in data.devices}
    gpus = [device for device in data.devices if device.memory_bytes]
    if len(gpus) > 1:
        titles["all"] = f"all {len(gpus)} GPUs, for one experiment"
    return ui.dropdown(
        name=f"{form.SET}/environment.gpus",
        label=form.label(info),
        value=value,
        choices=[ui.choice(name, title) for name, title in ({value: value} | titles).items()],
        tooltip=form.explained(info),
        trigger=True,
        visible=visible,
        popup="never",
    )


def section_card(name: str, paths: Sequence[str], chosen: Chosen, shown: set[str]) -> Card:
    """All settings of a section, in groups; those not shown are there and hidden."""
    infos = settings_by_path()
    title, hint = SECTIONS[name]
    items: list[Any] = [build.heading(title, hint=hint)]
    groups = list(dict.fromkeys(infos[path].group for path in paths))
    for group in sorted(groups, key=bool):
        members = [path for path in paths if infos[path].group == group]
        if group:
            visible = any(path in shown for path in members)
            content = f'<h3 class="ls-group">{text.markup(group)}</h3>'
            items.append(ui.markup(name=f"group/{name}/{group}", content=content, visible=visible))
        for path in members:
            items.append(form.cell(infos[path], chosen.form, visible=path in shown))
    return build.form("main", f"section_{name}", items)


def problem_type_field(visible: bool) -> Any:
    """The kinds of task, in words."""
    info = settings_by_path()["problem_type"]
    return ui.dropdown(
        name=f"{form.SET}/problem_type",
        label=info.title,
        value="causal_lm",
        choices=[ui.choice(name, PROBLEM_TYPES.get(name, name)) for name in info.choices],
        tooltip=info.help,
        trigger=True,
        visible=visible,
    )


def dataset_card(data: Data) -> Card:
    """The settings of the data set, to read only."""
    items: list[Any] = [build.heading("Data set", hint="Set on the data set's own page; an experiment records them.")]
    record = data.dataset
    if record is None:
        return build.form("main", "section_data", [*items, build.paragraph("No data set is chosen.", quiet=True)])
    split = f"{words.count(record.train_rows)} to learn from, {words.count(record.validation_rows)} held out"
    pairs = [("Rows", split), *dataset_pairs(record)]
    items += [
        build.line("data_link", text.link(f"Open {record.name}", f"#dataset/{record.id}")),
        build.pairs("data_settings", pairs),
    ]
    return build.form("main", "section_data", items)


def dataset_pairs(record: DatasetRecord) -> list[tuple[str, str]]:
    """The settings of a data set that matter, in words."""
    settings = record.settings
    values = {f"dataset.{name}": value for name, value in settings.items()}
    several = len(settings.get("prompt_column") or ()) > 1
    pairs = []
    for info in all_settings():
        value = settings.get(info.name)
        if info.scope != "dataset" or info.status == "coming" or value in ("", None, [], ()):
            continue
        if is_visible(info, values) and (info.name != "prompt_column_separator" or several):
            pairs.append((info.title, dataset_words(info.name, value)))
    return pairs


def dataset_words(name: str, value: Any) -> str:
    """A setting of a data set as its own page says it."""
    if name == "layout":
        return next((one.title for one in all_layouts() if one.name == value), str(value))
    if name == "validation_strategy":
        return split_form.STRATEGIES.get(str(value), str(value))
    if name == "validation_size":
        return split_form.spelled_size(float(value))
    if name == "test_size":
        return split_form.spelled_test(float(value))
    if name == "stratify":
        return split_form.MIXTURES.get(str(value), str(value))
    if name == "near_duplicates":
        return split_form.NEAR.get(str(value), str(value))
    if name == "data_sample":
        return words.percent(float(value))
    if name == "prompt_column_separator":
        return dataset_form.separators(str(value))[dataset_form.separator_name(str(value))]
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
