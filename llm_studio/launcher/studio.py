"""The life of a running studio: check, start, mind, stop."""

import os
import signal
import socket
import sys
import time
import webbrowser
from ipaddress import ip_address
from types import FrameType
from typing import TYPE_CHECKING, TextIO

from llm_studio.errors import UserError
from llm_studio.launcher import web
from llm_studio.launcher.children import Child
from llm_studio.launcher.lock import HomeLock

if TYPE_CHECKING:
    from llm_studio.store import Home

APP = "llm_studio.ui.app:create"
PORTS_TRIED = 50
READY_SECONDS = 60.0
RESTARTS = 5  # within RESTARTS_SECONDS; more than that is not an accident
RESTARTS_SECONDS = 120.0


def run(
    home: "Home",
    *,
    port: int = 10101,
    open_browser: bool = False,
    listen: str = "127.0.0.1",
    behind_proxy: bool = False,
    app: str = APP,
) -> int:
    """Run the studio until Ctrl-C or SIGTERM. Returns 0, 1 after a fault, 2 when it cannot start as asked.

    port: the first one to try. listen: an address other than loopback needs `behind_proxy`, the word of the user that
    a proxy which checks who comes stands in front; its public addresses are in LLM_STUDIO_ORIGINS, with commas.
    app: the ASGI factory; tests put other pages in.
    """
    try:
        _check_listen(listen, behind_proxy)
        home.create()
        lock = HomeLock(home.run)
    except UserError as error:
        _say(str(error), to=sys.stderr)
        return 2
    try:
        studio = Studio(home, lock=lock, first_port=port, listen=listen, app=app)
        return studio.live(open_browser=open_browser)
    except UserError as error:
        _say(str(error), to=sys.stderr)
        return 2
    finally:
        lock.release()


def _check_listen(listen: str, behind_proxy: bool) -> None:
    try:
        loopback = listen == "localhost" or ip_address(listen).is_loopback
    except ValueError:
        raise UserError(f"{listen!r} is not an address to listen on.", where="--listen", fix="Use 127.0.0.1.") from None
    if not loopback and not behind_proxy:
        raise UserError(
            f"The studio has no login, so it does not listen on {listen}.",
            where="--listen",
            fix="Keep 127.0.0.1 and use an SSH tunnel, or put an authenticating proxy in front and add --behind-proxy.",
        )


class Studio:
    """The three children of one launcher."""

    def __init__(self, home: "Home", *, lock: HomeLock, first_port: int, listen: str, app: str) -> None:
        self._home = home
        self._lock = lock
        self._stopping = False
        self._restarts: list[float] = []
        _say(f"Starting LLM Studio. Its files are in {home.database.parent}")
        self.port = _free_port(listen, first_port)
        if self.port != first_port:
            _say(f"Port {first_port} is busy, taking {self.port}.")
        self._app_port = _free_port("127.0.0.1", 0)
        waved, www = web.find_waved()
        folder = web.make_web_folder(home.run / "www", www)
        web.write_headers(home)
        web.clear_uploads(home)
        environment = web.environment(
            home,
            listen=listen,
            port=self.port,
            app_port=self._app_port,
            origins=web.allowed_origins(self.port, os.environ.get("LLM_STUDIO_ORIGINS", "")),
            inherited=os.environ,
        )
        python = [sys.executable, "-m"]
        # waved's own lines name browser sessions, with which somebody could take one over; so they go nowhere.
        self._waved = Child(
            "waved",
            [str(waved), "-web-dir", str(folder), "-access-keychain", str(home.run / "keychain")],
            environment=environment, folder=home.run, log=None, patience_seconds=3,
        )  # fmt: skip
        self._app = Child(
            "app",
            [*python, "uvicorn", "--factory", app, "--host", "127.0.0.1", "--port",
             str(self._app_port), "--no-access-log", "--log-level", "warning", "--timeout-graceful-shutdown", "2",
             # longer than waved keeps an idle connection, else a click may be sent into one that closes just then
             "--timeout-keep-alive", "3600"],
            environment=environment, folder=home.run, log=home.run / "app.log", patience_seconds=5,
        )  # fmt: skip
        plain = {name: value for name, value in environment.items() if not name.startswith("H2O_WAVE_")}
        self._supervisor = Child(
            "supervisor",
            [*python, "llm_studio.worker.supervisor", "--home", str(home.database.parent)],
            environment=plain, folder=home.run, log=home.run / "supervisor.log", patience_seconds=20,
            signal_at_parents_death=signal.SIGTERM,
        )  # fmt: skip

    @property
    def address(self) -> str:
        """Where the browser finds the studio."""
        return f"http://127.0.0.1:{self.port}"

    def live(self, *, open_browser: bool) -> int:
        """Start everything, mind it until told to stop, stop everything."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        try:
            self._supervisor.start()
            self._start_pages()
            if not self._pages_are_alive and not self._stopping:
                raise _GaveUpError(f"The studio could not start.\n{self._app.last_words()}")
            if not self._stopping:
                self._lock.write(address=self.address)
                _say(f"LLM Studio is ready: {self.address}  (Ctrl-C stops it)")
                if open_browser:
                    webbrowser.open(self.address)
            while not self._stopping:
                time.sleep(0.1)
                self._mind()
            return 0
        except _GaveUpError as fault:
            _say(str(fault), to=sys.stderr)
            return 1
        finally:
            self._stop()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self._stopping:
            _say("Stopping; running experiments save a checkpoint first.")
        self._stopping = True

    def _start_pages(self) -> None:
        """waved, then the app; returns when the app has registered itself with waved, or when one of them died."""
        self._waved.start()
        self._app.start()
        deadline = time.monotonic() + READY_SECONDS
        while not self._stopping and not _answers(self._app_port):
            if not self._pages_are_alive:
                return
            if time.monotonic() > deadline:
                raise _GaveUpError(f"The app does not answer.\n{self._app.last_words()}")
            time.sleep(0.03)

    @property
    def _pages_are_alive(self) -> bool:
        return self._waved.is_alive and self._app.is_alive

    def _mind(self) -> None:
        """Start again what died. waved forgets its apps and the app cannot live without waved, so both go together."""
        if not self._pages_are_alive:
            self._count_restart(self._app if self._waved.is_alive else self._waved)
            self._app.stop()
            self._waved.stop()
            self._start_pages()
        elif not self._supervisor.is_alive:
            self._count_restart(self._supervisor)
            self._supervisor.start()

    def _count_restart(self, child: Child) -> None:
        now = time.monotonic()
        self._restarts = [moment for moment in self._restarts if now - moment < RESTARTS_SECONDS] + [now]
        if len(self._restarts) > RESTARTS:
            raise _GaveUpError(f"The {child.name} process ended again and again.\n{child.last_words()}")
        _say(f"The {child.name} process ended; starting it again.")

    def _stop(self) -> None:
        """The app says goodbye to waved, so it goes first; the supervisor may take a while for its checkpoints."""
        self._supervisor.ask_to_stop()
        self._app.stop()
        self._waved.stop()
        self._supervisor.stop()


class _GaveUpError(Exception):
    """A child does not stay alive."""


def _free_port(listen: str, first: int) -> int:
    """The first free port from `first` on; with 0 any free one."""
    for port in range(first, min(first + PORTS_TRIED, 65536)) if first else (0,):
        with socket.socket(socket.AF_INET6 if ":" in listen else socket.AF_INET) as probe:
            # Without SO_REUSEADDR a port that was closed a moment ago would count as busy.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((listen, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise UserError(
        f"No port from {first} to {first + PORTS_TRIED - 1} is free.", where="--port", fix="Choose another first port."
    )


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _say(words: str, to: TextIO | None = None) -> None:
    stream = to or sys.stdout
    stream.write(words + "\n")
    stream.flush()
