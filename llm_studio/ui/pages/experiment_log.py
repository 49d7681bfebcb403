"""The log of an experiment: everything its process printed, from the first import on."""

from collections.abc import Iterator
from dataclasses import dataclass

from llm_studio.errors import UserError
from llm_studio.store import ExperimentRecord
from llm_studio.ui import build, words
from llm_studio.ui.page import Card, Context, Event, Outcome, download

FILE = "log.txt"
MOST_BYTES = 64_000
MOST_LINES = 500


@dataclass(frozen=True)
class Body:
    """The end of the log, and how large it is."""

    text: str
    size_bytes: int
    shortened: bool


def load(ctx: Context, record: ExperimentRecord) -> Body:
    """Reads at most the last 64 kB."""
    path = ctx.home.experiment(record.id) / FILE
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            file.seek(max(0, size - MOST_BYTES))
            content = file.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return Body("", 0, False)
    lines = [
        line.rstrip("\r").rsplit("\r", 1)[-1] for line in content.rstrip().split("\n")
    ]  # of a progress bar only its end
    if size > MOST_BYTES:
        lines = lines[1:]  # the first one may be cut
    return Body("\n".join(lines[-MOST_LINES:]), size, size > MOST_BYTES or len(lines) > MOST_LINES)


def cards(record: ExperimentRecord, body: Body) -> Iterator[Card]:
    """The end of the log, following it while it grows."""
    if not body.text:
        waits = record.status == "queued"
        said = (
            "The log begins when the experiment starts." if waits else "The process of this experiment printed nothing."
        )
        yield build.form("main", "no_log", build.empty(said, name="log_empty"))
        return
    hint = f"The last {MOST_LINES} lines of {words.size(body.size_bytes)}." if body.shortened else "All of it."
    hint += " It follows while it grows, unless you scroll up."
    yield build.form(
        "main",
        "log_card",
        [
            build.row(
                build.heading("Log", hint=hint),
                build.button(f"download_log/{record.id}", "Download"),
                justify="between",
            ),
            build.log("log_text", body.text),
        ],
    )


def download_log(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Hands out the whole file."""
    record = ctx.store.experiments.get(args[0])
    path = ctx.home.experiment(record.id) / FILE
    if not path.is_file():
        raise UserError("There is no log yet.", fix="Wait until the experiment has started.")
    return download(path, f"{record.name} log.txt")


ACTIONS = {"download_log": download_log}
