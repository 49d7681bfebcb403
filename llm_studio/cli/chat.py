"""`llm-studio chat`: talk to a tuned model in the terminal."""

import argparse
import sys

from llm_studio.cli.experiment import find_experiment
from llm_studio.cli.output import open_store
from llm_studio.errors import UserError


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its options."""
    command = commands.add_parser("chat", help="talk to a tuned model")
    command.add_argument("experiment", help="name or id")
    command.add_argument("--device", default="auto", help="auto, cpu or cuda:0 (default: auto)")
    command.add_argument("--checkpoint", choices=("best", "last"), default="best", help="default: best")
    command.add_argument("--untouched", action="store_true", help="answer with the backbone before tuning")
    command.add_argument("--system", default="", help="system prompt")
    command.add_argument("--temperature", type=float, default=0.0, help="0 takes the likeliest token (default)")
    command.add_argument("--max-tokens", type=int, default=256, help="longest answer in tokens (default: 256)")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Reads prompts from standard input, one a line, until end of file or an empty line."""
    store = open_store()
    record = find_experiment(store, arguments.experiment)
    if record.status in ("queued", "running"):
        raise UserError(
            f"{record.name} is {record.status}; there is no finished model to talk to yet.",
            where="experiment",
            fix=f"Wait for it, or stop it: llm-studio experiment stop {record.name}",
        )
    from llm_studio.serving.engine import ChatEngine, Sampling

    print(f"Loading {record.name} ...", file=sys.stderr)
    engine = ChatEngine.load(store, experiment_id=record.id, device=arguments.device, which=arguments.checkpoint)
    sampling = Sampling(temperature=arguments.temperature, max_tokens=arguments.max_tokens)
    messages = [{"role": "system", "content": arguments.system}] if arguments.system else []
    print("Type a message; an empty line ends.", file=sys.stderr)
    while prompt := read_prompt():
        messages.append({"role": "user", "content": prompt})
        answer = ""
        for piece in engine.stream(messages, sampling, adapter=not arguments.untouched):
            answer += piece
            print(piece, end="", flush=True)
        print()
        messages.append({"role": "assistant", "content": answer})
    return 0


def read_prompt() -> str:
    """One line; empty at the end of the input."""
    if sys.stdin.isatty():
        print("> ", end="", flush=True, file=sys.stderr)
    return sys.stdin.readline().strip()
