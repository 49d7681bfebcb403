"""The process of one loaded model: `python -m llm_studio.serving.server SERVER_ID --home H`.

Loads while saying what it does, then answers on a free port of the loopback address. It ends when it is told to
(SIGTERM), and by itself when the process that started it is gone.
"""

import argparse
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from types import FrameType

from llm_studio.errors import UserError
from llm_studio.modeling.heap import keep_few_kernels
from llm_studio.modeling.threads import share_cores
from llm_studio.store import Home, ServerRecord, Store
from llm_studio.store.processes import own_identity

log = logging.getLogger("llm_studio.serving")
LOOK_SECONDS = 1.0


def main() -> int:
    """Exit code 0 when it ended as asked, 1 when the model could not be loaded."""
    parser = argparse.ArgumentParser(prog="llm_studio.serving.server")
    parser.add_argument("server_id")
    parser.add_argument("--home", required=True)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    signal.signal(signal.SIGTERM, _end)
    end_with_parent(os.getppid())
    store = Store.open(Home(arguments.home))
    try:
        return run(store, store.servers.get(arguments.server_id))
    finally:
        store.close()


def run(store: Store, record: ServerRecord) -> int:
    """Load, answer until told to end, and leave the right status behind."""
    pid, started_at = own_identity()
    store.servers.set_loading(record.id, pid, started_at, phase="Starting")
    try:
        serve(store, record)
    except UserError as error:
        log.error("%s", error)
        store.servers.finish(record.id, "failed", error.as_dict())
        return 1
    except SystemExit:
        pass
    except BaseException as fault:
        log.exception("the model could not be loaded")
        store.servers.finish(record.id, "failed", _unexpected(fault).as_dict())
        return 1
    store.servers.finish(record.id, "stopped")
    return 0


def serve(store: Store, record: ServerRecord) -> None:
    """Load the model and answer until the process is told to end."""

    def report(words: str) -> None:
        log.info(words)
        store.servers.update(record.id, phase=words)

    report("Loading the libraries")
    share_cores()
    keep_few_kernels()
    import uvicorn

    from llm_studio.modeling.download import use_token
    from llm_studio.serving.api import create
    from llm_studio.serving.engine import ChatEngine

    if record.experiment_id is None:
        use_token(store.secrets.get("huggingface_token"))
        engine = ChatEngine.load_untouched(record.backbone, device=record.device, report=report)
    else:
        engine = ChatEngine.load(store, experiment_id=record.experiment_id, device=record.device, report=report)
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    port = int(listener.getsockname()[1])
    app = create(
        engine,
        api_key=record.api_key,
        defaults=engine.default_sampling,
        on_ready=lambda: store.servers.set_ready(record.id, port),
        on_use=at_most_every(LOOK_SECONDS, lambda: store.servers.touch(record.id)),
    )
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=2, lifespan="on")
    uvicorn.Server(config).run(sockets=[listener])


def at_most_every(seconds: float, action: Callable[[], None]) -> Callable[[], None]:
    """`action`, skipped when it was done less than `seconds` ago."""
    last = [-seconds]

    def limited() -> None:
        if time.monotonic() - last[0] >= seconds:
            last[0] = time.monotonic()
            action()

    return limited


def end_with_parent(parent: int) -> None:
    """End this process soon after the one that started it is gone; a forgotten model would keep its memory for ever."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_SECONDS)
        log.warning("the process that started this model server is gone: ending")
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def _unexpected(fault: BaseException) -> UserError:
    memory = isinstance(fault, MemoryError) or type(fault).__name__ == "OutOfMemoryError"
    if memory:
        fix = "Close other models, load this one on the CPU, or use a smaller number type."
        return UserError("Memory ran out while loading the model.", where="model server", fix=fix)
    what = f"The model could not be loaded: {type(fault).__name__}: {str(fault)[:300]}"
    return UserError(what, where="the log of the model server", fix="Read the log, then load the model again.")


if __name__ == "__main__":
    raise SystemExit(main())
