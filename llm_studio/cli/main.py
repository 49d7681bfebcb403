"""Parses the arguments, runs one command and turns its errors into an exit code."""

import argparse
import sys
from collections.abc import Sequence

from llm_studio import __version__
from llm_studio.cli import chat, dataset, doctor, experiment, export, settings, studio, train
from llm_studio.errors import UserError

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

COMMANDS = (studio, train, settings, dataset, experiment, chat, export, doctor)


def parser() -> argparse.ArgumentParser:
    """The whole command line; every command module adds its own part."""
    top = argparse.ArgumentParser(prog="llm-studio", description="Fine-tune language models.")
    top.add_argument("--version", action="version", version=f"llm-studio {__version__}")
    commands = top.add_subparsers(title="commands", dest="command", required=True, metavar="COMMAND")
    for module in COMMANDS:
        module.add_parser(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 done, 1 the experiment failed, 2 bad input, 130 interrupted.
    """
    top = parser()
    known, rest = top.parse_known_args(arguments)
    if rest and not getattr(known, "takes_settings", False):
        top.error(f"unrecognized arguments: {' '.join(rest)}")
    known.rest = rest
    try:
        return int(known.run(known))
    except UserError as error:
        print_error(error)
        return BAD_INPUT
    except BrokenPipeError:
        return DONE
    except KeyboardInterrupt:
        return INTERRUPTED


def print_error(error: UserError) -> None:
    """What, where and how to fix, one line each, on standard error."""
    print(f"What:  {error.what}", file=sys.stderr)
    if error.where:
        print(f"Where: {error.where}", file=sys.stderr)
    if error.fix:
        print(f"Fix:   {error.fix}", file=sys.stderr)
