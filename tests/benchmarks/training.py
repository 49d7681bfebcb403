"""Learned tokens a second of our training against TRL's SFTTrainer: same rows, adapter, seed and steps, in turns."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.benchmarks.contestant import Spec
from tests.benchmarks.models import BACKBONES, DATASETS, SKIPPED
from tests.benchmarks.rates import as_dict, best, ratios, spread

TURNS = 3
FINALISTS = 2
"""Settings of the grid that go on after the first turn; the ratio is that to the better one."""
STEP_ROWS = 16
WARM_UP_STEPS = 1
HELD_OUT = 16
MAX_LENGTH = 1024
BAR_DEFAULTS, BAR_GRID = 3.0, 1.2
TOLERANCE = 0.1
"""Of what training took off the held-out loss: rows come in another order, and dropout draws other numbers."""
OURS, DEFAULTS = "ours", "TRL, its defaults"


@dataclass(frozen=True)
class Match:
    """A backbone and a data set, and how long they are trained in each turn."""

    backbone: str
    dataset: str
    steps: int
    learning_rate: float


MATCHES = (
    Match("starter", "gsm8k", 6, 4e-3),
    Match("starter", "alpaca", 6, 4e-3),
    Match("90m", "gsm8k", 2, 1e-3),
)


def trl_settings() -> dict[str, dict[str, Any]]:
    """TRL's defaults with two batches a step, and the grid of settings that do not mix rows; 16 rows a step in all."""
    grid = {
        f"TRL, bf16, by length, batch {size}": {
            "per_device_train_batch_size": size,
            "gradient_accumulation_steps": STEP_ROWS // size,
            "train_sampling_strategy": "group_by_length",
            "gradient_checkpointing": False,
            "bf16": True,
        }
        for size in (2, 4, 8, 16)
    }
    return {DEFAULTS: {"gradient_accumulation_steps": STEP_ROWS // 8}} | grid


def our_settings(match: Match) -> dict[str, Any]:
    """Defaults, but for what both sides must share."""
    return {
        "tokenizer.max_length": MAX_LENGTH,
        "tokenizer.truncation": "drop",
        "training.epochs": 1,
        "training.batch_size": STEP_ROWS,
        "training.learning_rate": match.learning_rate,
        "training.schedule": "Linear",
        "training.warmup_epochs": 0.0,
        "training.evaluation_epochs": 1.0,
    }


class Contestant:
    """The process of one contestant; it waits without work while others train."""

    def __init__(self, spec: Spec, folder: Path, name: str) -> None:
        file = folder / f"{name}.json"
        spec.write(file)
        self._log = (folder / f"{name}.log").open("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.contestant", str(file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self._answer()

    def ask(self, **order: str) -> dict[str, float]:
        """Have it done and wait.

        Raises:
            SystemExit: the process ended; with the end of what it printed.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, float]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            raise SystemExit(f"a contestant ended:\n{self._log.read()[-3000:]}")
        answer: dict[str, float] = json.loads(line)
        return answer

    def end(self) -> None:
        """Let the process end; it does when nothing more can be asked."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._log.close()


def write_rows(match: Match, folder: Path) -> dict[str, int]:
    """Write the tokenised rows for training, warming up and scoring; gives the learned tokens of each file."""
    from transformers import AutoTokenizer

    from llm_studio.config import make_config
    from llm_studio.data.types import Conversation, Message
    from llm_studio.tokens.making import make_template
    from llm_studio.tokens.stored import StoredSamples, write

    tokenizer = AutoTokenizer.from_pretrained(str(BACKBONES[match.backbone]()))
    template = make_template(tokenizer, make_config(our_settings(match)))
    pairs = DATASETS[match.dataset]()
    conversations = [
        Conversation(number, (Message("user", asked), Message("assistant", answer, True)))
        for number, (asked, answer) in enumerate(pairs[: 4 * STEP_ROWS * (match.steps + WARM_UP_STEPS) + HELD_OUT])
    ]
    whole = [one for one in conversations if template.encode(one).learned_tokens]
    learned, begin = {}, 0
    for name, count in (
        ("rows", STEP_ROWS * match.steps),
        ("warm_up", STEP_ROWS * WARM_UP_STEPS),
        ("held_out", HELD_OUT),
    ):
        chosen = whole[begin : begin + count]
        assert len(chosen) == count
        write(folder / name, template, chosen, match.dataset, lambda done: None)
        learned[name] = sum(one.learned_tokens for one in StoredSamples(folder / name))
        begin += count
    return learned


def play(match: Match) -> dict[str, Any]:
    """All contestants warm up and train once; ours, the defaults and the best of the grid go on in turns."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        learned = write_rows(match, folder)
        files = {name: str(folder / name) for name in ("rows", "warm_up", "held_out")}
        common = {"backbone": str(BACKBONES[match.backbone]()), "settings": our_settings(match), **files}
        specs = {OURS: Spec(peer="ours", **common)}
        specs |= {name: Spec(peer="trl", arguments=one, **common) for name, one in trl_settings().items()}
        contestants: dict[str, Contestant] = {}
        try:
            for name, spec in specs.items():
                contestants[name] = Contestant(spec, folder, str(len(contestants)))
                contestants[name].ask(do="train", on="warm_up")
            return compare(match, contestants, learned["rows"])
        finally:
            for contestant in contestants.values():
                contestant.end()


def compare(match: Match, contestants: Mapping[str, Contestant], learned: int) -> dict[str, Any]:
    """Turns, then losses; prints the tables."""
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    processor: dict[str, list[float]] = {name: [] for name in contestants}
    peaks, playing = {}, list(contestants)
    for turn in range(TURNS):
        for name in playing:
            answer = contestants[name].ask(do="train", on="rows")
            rates[name].append(learned / answer["seconds"])
            processor[name].append(learned / answer["processor_seconds"])
            peaks[name] = answer["peak_gb"]
        if turn == 0:
            grid = {name: rates[name] for name in rates if name not in (OURS, DEFAULTS)}
            playing = [OURS, DEFAULTS, *best(grid, FINALISTS)]
    losses = {name: contestants[name].ask(do="score") for name in playing}
    rival = best({name: rates[name] for name in playing[2:]}, 1)[0]
    return report(match, rates, processor, peaks, losses, rival)


def report(
    match: Match,
    rates: Mapping[str, list[float]],
    processor: Mapping[str, list[float]],
    peaks: Mapping[str, float],
    losses: Mapping[str, Mapping[str, float]],
    rival: str,
) -> dict[str, Any]:
    """The tables, printed, and the same as data. processor: learned tokens for each second of processor time, which
    others on the machine disturb less."""
    before, mine = losses[OURS]["before"], losses[OURS]["loss"]
    allowed = TOLERANCE * (before - mine)
    print(f"\n{match.backbone}, {match.dataset}: {match.steps} steps of {STEP_ROWS} rows in each of {TURNS} turns")
    print(f"held-out loss before training {before:.4f}; losses after must agree within {allowed:.4f}")
    print(f"{'':<34}{'learned tokens/s':>26}{'/cpu s':>8}{'loss':>9}{'peak GB':>9}")
    for name, values in rates.items():
        one = spread(values)
        shown = f"{one.median:,.0f} ({one.lowest:,.0f} to {one.highest:,.0f})"
        loss = f"{losses[name]['loss']:.4f}" if name in losses else ""
        print(f"{name:<34}{shown:>26}{spread(processor[name]).median:>8,.0f}{loss:>9}{peaks[name]:>9.2f}", flush=True)
    found = {"defaults": ratios(rates[OURS], rates[DEFAULTS]), "best of the grid": ratios(rates[OURS], rates[rival])}
    agree = all(abs(one["loss"] - mine) <= allowed for one in losses.values())
    for (name, ratio), bar in zip(found.items(), (BAR_DEFAULTS, BAR_GRID), strict=True):
        print(f"against {name}: {ratio}, bar {bar}: {'met' if ratio.median >= bar else 'MISSED'}")
    print(f"losses {'agree' if agree else 'DO NOT AGREE'}; the best of the grid was {rival}", flush=True)
    return {
        "steps": match.steps,
        "rates": rates,
        "rates_by_processor_time": processor,
        "ratios": {name: as_dict(one) for name, one in found.items()},
        "rival": rival,
        "losses": {name: one["loss"] for name, one in losses.items()},
        "loss_before": before,
        "losses_agree": agree,
        "peak_gb": peaks,
        "load": psutil.getloadavg()[0],
    }


def run(matches: tuple[Match, ...] = MATCHES) -> dict[str, object]:
    """Every match; the bars are 3 times the defaults and 1.2 times the best of the grid."""
    results: dict[str, object] = {}
    for match in matches:
        if not DATASETS[match.dataset]():
            print(SKIPPED)
            return {"skipped": SKIPPED}
        results[f"{match.backbone}, {match.dataset}"] = play(match)
    return results
