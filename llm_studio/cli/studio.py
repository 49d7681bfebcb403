"""`llm-studio studio`: start the studio in the browser."""

import argparse


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its options."""
    command = commands.add_parser("studio", help="start the studio and print its address")
    command.add_argument("--port", type=int, default=10101, help="first port to try (default: 10101)")
    command.add_argument("--open-browser", action="store_true", help="open the page in the default browser")
    command.add_argument("--listen", default="127.0.0.1", help="address to listen on (default: this machine only)")
    command.add_argument(
        "--behind-proxy",
        action="store_true",
        help="allow another address: a proxy that checks who comes stands in front",
    )
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs until Ctrl-C or SIGTERM."""
    from llm_studio import launcher
    from llm_studio.store import Home

    return launcher.run(
        Home.default(),
        port=arguments.port,
        open_browser=arguments.open_browser,
        listen=arguments.listen,
        behind_proxy=arguments.behind_proxy,
    )
