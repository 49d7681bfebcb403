"""`llm-studio settings`: every setting with its type, default, limits and meaning."""

import argparse

from llm_studio.cli.output import print_json


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its options."""
    command = commands.add_parser("settings", help="list every setting")
    command.add_argument("name", nargs="?", default="", help="show only settings whose name contains this")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the settings of both scopes, experiment and data set."""
    from llm_studio.config.declarations import all_settings, describe

    chosen = [describe(info) for info in all_settings() if arguments.name.lower() in info.path.lower()]
    if arguments.json:
        print_json(chosen)
        return 0
    section = ""
    for setting in chosen:
        heading = f"{setting['section']} ({setting['scope']})"
        if heading != section:
            section = heading
            print(f"\n{heading}")
        coming = "" if setting["status"] == "ready" else " [coming]"
        print(f"  {setting['path']} = {setting['default']!r}{coming}")
        print(f"      {setting['type']}, {setting['level']}{', ' + setting['limits'] if setting['limits'] else ''}")
        if setting["shown_when"]:
            print(f"      shown when {setting['shown_when']}")
        print(f"      {setting['help']}")
    return 0
