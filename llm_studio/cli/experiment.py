"""`llm-studio experiment`: list, show, stop, continue and delete experiments; more epochs for one that has ended."""

import argparse
from typing import Any

from llm_studio.cli.output import duration, open_store, print_json, print_table
from llm_studio.errors import UserError
from llm_studio.store import ExperimentRecord, Store


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its options."""
    verbs = commands.add_parser("experiment", help="list, show, stop, continue, more epochs, delete").add_subparsers(
        dest="verb", required=True, metavar="VERB"
    )
    listing = verbs.add_parser("list", help="all experiments, newest first")
    listing.add_argument("--json", action="store_true", help="print JSON")
    listing.set_defaults(run=run_list)
    show = verbs.add_parser("show", help="one experiment: status, scores, error")
    show.add_argument("experiment", help="name or id")
    show.add_argument("--json", action="store_true", help="print JSON")
    show.set_defaults(run=run_show)
    stop = verbs.add_parser("stop", help="stop with a checkpoint; it can be continued")
    stop.add_argument("experiment", help="name or id")
    stop.set_defaults(run=run_stop)
    going_on = verbs.add_parser("continue", help="go on with a stopped or failed one from its last state")
    going_on.add_argument("experiment", help="name or id")
    going_on.set_defaults(run=run_continue)
    more = verbs.add_parser(
        "more-epochs",
        help="train a finished or stopped one further",
        description="Trains it further from its last weights. The optimiser starts anew, and the learning rate is "
        "planned anew over the added epochs, with its warm-up.",
    )
    more.add_argument("experiment", help="name or id")
    more.add_argument("epochs", type=int, help="how many to add")
    more.set_defaults(run=run_more_epochs)
    delete = verbs.add_parser("delete", help="delete with its checkpoints, charts and predictions")
    delete.add_argument("experiment", help="name or id")
    delete.set_defaults(run=run_delete)


def find_experiment(store: Store, name: str) -> ExperimentRecord:
    """By id or by name.

    Raises:
        UserError: there is none, with the names that there are.
    """
    records = store.experiments.list()
    for record in records:
        if name in (record.id, record.name):
            return record
    known = ", ".join(record.name for record in records[:10]) or "none yet"
    raise UserError(f"There is no experiment {name!r}.", where="experiment", fix=f"Take one of: {known}.")


def run_list(arguments: argparse.Namespace) -> int:
    """Prints one line per experiment."""
    records = open_store().experiments.list()
    if arguments.json:
        print_json(records)
        return 0
    judged = any("gpt" in shown_scores(record) for record in records)
    print_table(
        [line(record, judged=judged) for record in records],
        "No experiments yet. Start one: llm-studio train CONFIG.yaml",
    )
    return 0


def shown_scores(record: ExperimentRecord) -> dict[str, Any]:
    """Those of its last evaluation; before one, of what it starts from."""
    return record.scores.get("last") or record.scores.get("before") or {}


def line(record: ExperimentRecord, *, judged: bool) -> dict[str, object]:
    """The cells of one experiment in the list; judged: with that of a judge."""
    scores = shown_scores(record)
    bleu, perplexity, grade = scores.get("bleu"), scores.get("perplexity"), scores.get("gpt")
    return {
        "id": record.id,
        "name": record.name,
        "status": record.status,
        "progress": f"{record.progress:.0%}",
        "eta": duration(record.eta_seconds) if record.status == "running" else "-",
        "perplexity": "-" if perplexity is None else f"{perplexity:.3f}",
        "bleu": "-" if bleu is None else f"{bleu:.1f}",
        **({"judge": "-" if grade is None else f"{grade:.2f}"} if judged else {}),
        "data set": record.dataset_name,
        "backbone": record.backbone,
    }


def run_show(arguments: argparse.Namespace) -> int:
    """Prints one experiment whole."""
    store = open_store()
    record = find_experiment(store, arguments.experiment)
    if arguments.json:
        print_json(record)
        return 0
    for title, value in line(record, judged="gpt" in shown_scores(record)).items():
        print(f"{title:<12}{value}")
    print(f"{'folder':<12}{store.home.experiment(record.id)}")
    for moment, scores in record.scores.items():
        print(f"{moment:<12}" + ", ".join(f"{name} {value}" for name, value in scores.items()))
    if record.error:
        print(UserError.from_dict(record.error))
    return 0


def run_stop(arguments: argparse.Namespace) -> int:
    """Asks the experiment to stop with a checkpoint."""
    from llm_studio.actions.experiments import stop_experiment

    store = open_store()
    record = find_experiment(store, arguments.experiment)
    stop_experiment(store, record.id)
    print(f"Stopping {record.name}; it saves a checkpoint first.")
    return 0


def run_continue(arguments: argparse.Namespace) -> int:
    """Queues it and streams its log; 1 when it failed."""
    from llm_studio.actions.experiments import continue_experiment
    from llm_studio.cli.train import follow

    store = open_store()
    return follow(store, continue_experiment(store, find_experiment(store, arguments.experiment).id), from_here=True)


def run_more_epochs(arguments: argparse.Namespace) -> int:
    """Queues it for more epochs, says what the learning rate does, and streams its log; 1 when it failed."""
    from llm_studio.actions.experiments import config_of
    from llm_studio.actions.going_on import more_epochs, schedule_words
    from llm_studio.cli.train import follow

    store = open_store()
    record = more_epochs(store, find_experiment(store, arguments.experiment).id, arguments.epochs)
    print(schedule_words(config_of(store, record.id), arguments.epochs))
    return follow(store, record, from_here=True)


def run_delete(arguments: argparse.Namespace) -> int:
    """Deletes one experiment and its folder."""
    from llm_studio.actions.experiments import delete_experiment

    store = open_store()
    record = find_experiment(store, arguments.experiment)
    delete_experiment(store, record.id)
    print(f"Deleted {record.name}.")
    return 0
