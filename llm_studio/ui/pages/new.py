"""The settings of a new experiment: what matters first, all others by section, and a start."""

from llm_studio.actions import experiments as actions
from llm_studio.actions.datasets import is_active
from llm_studio.actions.devices import choose_device, devices
from llm_studio.actions.health import health_of
from llm_studio.actions.judging import judge_findings
from llm_studio.config import (
    ExperimentConfig,
    Finding,
    check,
    flatten,
    settings_by_path,
    to_yaml,
)
from llm_studio.data import open_dataset
from llm_studio.data.connectors.local import allowed_folders
from llm_studio.errors import UserError
from llm_studio.modeling.backbones import list_backbones
from llm_studio.store import DatasetRecord
from llm_studio.ui import form
from llm_studio.ui.page import Context, Crumb, Event, Outcome, Page, close, download, go, stay
from llm_studio.ui.pages import new_estimate, new_fit, new_health, new_lengths, new_start, new_state, new_yaml
from llm_studio.ui.pages.new_backbone import LOOKUPS, Looked
from llm_studio.ui.pages.new_cards import cards
from llm_studio.ui.pages.new_data import Data, refuse
from llm_studio.ui.pages.new_state import Chosen


def load(ctx: Context, args: tuple[str, ...]) -> Data:
    """Reads the draft, and what is known of its data set and backbone."""
    datasets = tuple(ctx.store.datasets.list())
    if not datasets:
        return Data()
    origin = ctx.query.get("from", "")
    if new_state.begin(ctx, origin) and origin:
        source = actions.new_from(ctx.store, origin)
        new_state.take_over(ctx, flatten(source), name=source.experiment_name)
    dataset = chosen_dataset(datasets, args)
    chosen, looked = chosen_now(ctx, dataset)
    device, findings = device_of(chosen.config)
    starts = new_start.read(ctx, ctx.store.experiments.find(origin) if origin else None)
    findings += tuple(judge_findings(ctx.store, chosen.config))
    findings += new_start.findings(ctx, chosen.config, starts.chosen)
    facts = looked.facts
    if dataset is not None:
        findings += check(
            chosen.config,
            train_rows=dataset.train_rows,
            validation_rows=dataset.validation_rows,
            device=device,
            context_length=facts.context_length if facts else None,
        )
        findings += new_health.findings(health_of(ctx.store, open_dataset(ctx.home.dataset(dataset.id))))
    else:
        what = "The data set of this address is gone." if args else "No data set is chosen."
        findings += (Finding("error", "dataset_id", what, "Choose a data set."),)
    findings += name_findings(ctx, chosen.config.experiment_name)
    counted = new_estimate.counted_tokens(ctx, chosen.config, facts, dataset)
    if counted is not None and counted.lengths is not None:
        findings += new_lengths.findings(counted.lengths, chosen.config, facts)
    memory = new_estimate.memory_of(device)
    expected = (
        new_estimate.estimated(ctx, chosen.config, facts, dataset, device, memory, counted)
        if facts and dataset
        else None
    )
    fit = new_fit.load(ctx.store, dataset, chosen.config, facts, device)
    findings += new_fit.findings(fit) if fit.forecast else new_estimate.findings(expected, memory)
    return Data(
        datasets=datasets,
        chosen=chosen,
        dataset=dataset,
        backbones=list_backbones(allowed_folders(ctx.store)),
        looked=looked,
        findings=findings,
        estimate=expected,
        memory_bytes=memory,
        device=device,
        devices=devices(),
        starts=starts,
        counting=counted.job if counted is not None and is_active(counted.job) else None,
        fit=fit,
    )


def chosen_dataset(datasets: tuple[DatasetRecord, ...], args: tuple[str, ...]) -> DatasetRecord | None:
    """The data set of the address; without one, the newest."""
    if not args:
        return max(datasets, key=lambda record: record.created_at)
    return next((record for record in datasets if record.id == args[0]), None)


def chosen_now(ctx: Context, dataset: DatasetRecord | None) -> tuple[Chosen, Looked]:
    """The draft, with the settings that the backbone recommends, and what is known of the backbone."""
    dataset_id = dataset.id if dataset else ""
    chosen = new_state.read(ctx, dataset_id)
    looked = LOOKUPS.ask(ctx.store, chosen.config)
    if looked.facts and looked.facts.recommended:
        chosen = new_state.read(ctx, dataset_id, looked.facts.recommended)
    return chosen, looked


def device_of(config: ExperimentConfig) -> tuple[str, tuple[Finding, ...]]:
    """The device that the config means, or what is wrong with it."""
    try:
        return choose_device(config.environment.gpus), ()
    except UserError as error:
        return "cpu", (Finding("error", "environment.gpus", error.what, error.fix),)


def name_findings(ctx: Context, name: str) -> tuple[Finding, ...]:
    """Whether the name can be used."""
    if not name.strip():
        return (Finding("error", "experiment_name", "The experiment has no name.", "Type one."),)
    free = ctx.store.experiments.free_name(name.strip())
    if free == name.strip():
        return ()
    what = f"There is an experiment named {name.strip()} already."
    return (Finding("error", "experiment_name", what, f"{free} is free."),)


def refresh_seconds(data: Data) -> float | None:
    """A look-up and the counting of tokens go on by themselves."""
    if data.looked.pending and data.chosen:
        return 0.3
    if data.fit.running is not None:
        return 0.4
    return 1.0 if data.counting is not None else None


def set_field(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome | None:
    """Another data set has an address of its own; every other change is read by `load`."""
    if event.argument != "dataset_id":
        return None
    wanted = str(ctx.draft.pop(f"{form.SET}/dataset_id", "") or "")
    if not wanted or wanted == (args[0] if args else ""):
        return None
    new_state.read(ctx, wanted)
    new_state.carry(ctx, wanted)
    return go(address(ctx, wanted))


def address(ctx: Context, dataset_id: str) -> str:
    """This page for a data set, still beginning from the same experiment."""
    origin = ctx.query.get("from", "")
    return f"#new/{dataset_id}?from={origin}" if origin else f"#new/{dataset_id}"


def reset(ctx: Context, args: tuple[str, ...], event: Event) -> None:
    """Takes one change back."""
    now(ctx, args)
    new_state.reset(ctx, event.argument)


def reset_all(ctx: Context, args: tuple[str, ...], event: Event) -> None:
    """Takes all changes back."""
    now(ctx, args)
    new_state.reset(ctx)


def set_level(ctx: Context, args: tuple[str, ...], event: Event) -> None:
    """Remembers the level for the next experiment."""
    if ctx.draft.get("level") in form.LEVELS:
        ctx.preferences.set("level", ctx.draft["level"])


def look_again(ctx: Context, args: tuple[str, ...], event: Event) -> None:
    """Asks for the backbone anew."""
    LOOKUPS.forget()


def now(ctx: Context, args: tuple[str, ...]) -> tuple[Chosen, Looked]:
    """The draft with what came with this press of a button."""
    datasets = tuple(ctx.store.datasets.list())
    return chosen_now(ctx, chosen_dataset(datasets, args) if datasets else None)


def open_yaml(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Shows the settings as YAML."""
    return new_yaml.open_panel(now(ctx, args)[0].config)


def yaml_download(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Hands the settings out as a file."""
    config = now(ctx, args)[0].config
    path = ctx.home.run / "new_experiment.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(to_yaml(config), encoding="utf-8")
    return download(path, f"{file_name(config.experiment_name)}.yaml")


def file_name(name: str) -> str:
    """A name that every file system takes."""
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name) or "experiment"


def use_yaml(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Takes the settings of a YAML over and lists what became of its lines."""
    now(ctx, args)
    yaml, name = new_yaml.brought(ctx.home, ctx.draft)
    loaded, report = new_yaml.read(yaml, name)
    new_state.take_over(ctx, loaded.changes)
    ctx.draft[new_state.REPORT] = report
    return close()


def check_fit(ctx: Context, args: tuple[str, ...], event: Event) -> None:
    """Measures these settings on the device."""
    data = load(ctx, args)
    if data.chosen is None:
        raise UserError("There is no data set yet.", where="Data set", fix="Import data first.")
    wrong = [error for error in data.errors if error.where != settings_by_path()["experiment_name"].title]
    if wrong:
        raise UserError(f"These settings cannot be checked. {wrong[0].what}", where=wrong[0].where, fix=wrong[0].fix)
    new_fit.start(ctx.store, data.dataset, data.chosen.config, data.looked.facts, data.device)


def hide_report(ctx: Context, args: tuple[str, ...], event: Event) -> None:
    """The list of a YAML's lines was read."""
    ctx.draft.pop(new_state.REPORT, None)


def start(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Queues the experiment and opens it."""
    data = load(ctx, args)
    if data.chosen is None:
        raise UserError("There is no data set yet.", where="Data set", fix="Import data first.")
    refuse(data)
    record = actions.start_experiment(ctx.store, data.chosen.config, start=data.starts.chosen)
    ctx.draft.clear()
    return go(f"#experiment/{record.id}")


PAGE = Page(
    route="new",
    title="New experiment",
    section="experiments",
    load=load,
    cards=cards,
    refresh_seconds=refresh_seconds,
    keeps_draft=True,
    crumbs=lambda data: [Crumb("Experiments", "#experiments"), Crumb("New experiment")],
    actions={
        form.SET: set_field,
        form.RESET: reset,
        "reset_all": reset_all,
        "preset": lambda ctx, args, event: stay(),
        "level": set_level,
        new_start.FIELD: lambda ctx, args, event: stay(),
        "search": lambda ctx, args, event: stay(),
        "look_again": look_again,
        "yaml": open_yaml,
        "yaml_download": yaml_download,
        "use_yaml": use_yaml,
        "hide_report": hide_report,
        new_fit.CHECK: check_fit,
        new_fit.CANCEL: lambda ctx, args, event: new_fit.cancel(ctx.store),
        "start": start,
    },
)
