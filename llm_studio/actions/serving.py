"""Loads models for chat and talks to them: which device, in a process of its own, answers as they are made."""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from llm_studio.config.device_names import devices_in
from llm_studio.errors import UserError
from llm_studio.store import ExperimentRecord, ServerRecord, Store

DeviceChoice = Literal["auto", "cpu", "wait"]
CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 30.0  # a living server says at least four times a second that it is there


class DeviceBusyError(UserError):
    """The GPU trains now; the user decides between waiting for it and the CPU."""


def checkpoint_folder(store: Store, experiment_id: str) -> Path | None:
    """The weights that chat loads: the best checkpoint, else the last; None when nothing was saved yet."""
    checkpoints = store.home.experiment(experiment_id) / "checkpoints"
    return next((checkpoints / which for which in ("best", "last") if (checkpoints / which).is_dir()), None)


def open_chat(store: Store, experiment_id: str, device_choice: DeviceChoice = "auto") -> ServerRecord:
    """Ask for an experiment's model; the one that is loaded or loading already is given back.

    device_choice: "auto" takes the device of the experiment and asks when that one trains, "cpu" the CPU, "wait" stands
    in line for the device.

    Raises:
        DeviceBusyError: "auto", and the device trains an experiment.
        UserError: there is no such experiment, or nothing of it was saved.
    """
    record = store.experiments.get(experiment_id)
    if checkpoint_folder(store, experiment_id) is None:
        raise _nothing_saved(record)
    return _open(store, record.id, record.backbone, devices_in(record.device)[0], device_choice)


def open_untouched(
    store: Store, backbone: str, device: str = "cpu", device_choice: DeviceChoice = "auto"
) -> ServerRecord:
    """Ask for a backbone as it is, on `device` ("cpu" or "cuda:0"); otherwise like `open_chat`.

    Raises:
        DeviceBusyError: "auto", and the device trains an experiment.
    """
    return _open(store, None, backbone, device, device_choice)


def close_chat(store: Store, experiment_id: str | None, backbone: str = "") -> None:
    """End every process that holds this model."""
    for server in store.servers.list(active=True):
        if server.experiment_id == experiment_id and (experiment_id is not None or server.backbone == backbone):
            store.servers.request_stop(server.id)


def current_server(store: Store, experiment_id: str | None, backbone: str) -> ServerRecord | None:
    """The newest process with this model, also one that failed; None when it was closed or never asked for."""
    for server in store.servers.list():
        same = server.experiment_id == experiment_id and (experiment_id is not None or server.backbone == backbone)
        if same:
            return None if server.status == "stopped" or server.stop_requested else server
    return None


def _open(store: Store, experiment_id: str | None, backbone: str, device: str, choice: DeviceChoice) -> ServerRecord:
    ready = current_server(store, experiment_id, backbone)
    if ready is not None and ready.status in ("loading", "ready"):
        return ready
    if choice == "cpu":
        device = "cpu"
        if ready is not None and ready.device != "cpu":
            store.servers.request_stop(ready.id)
    holder = None if device == "cpu" else store.leases.holder(device)
    if holder is not None and holder.holder_kind == "experiment" and choice == "auto":
        found = store.experiments.find(holder.holder_id)
        name = found.name if found else "an experiment"
        raise DeviceBusyError(
            f"{device} is busy: {name} trains on it.",
            where=device,
            fix="Wait until it is free, or load the model on the CPU, where answers are slower.",
        )
    if holder is not None and holder.holder_kind == "server":  # another chat's model makes room
        store.servers.request_stop(holder.holder_id)
    return store.servers.request(experiment_id, device, backbone=backbone)


def _nothing_saved(record: ExperimentRecord) -> UserError:
    waits = record.status in ("queued", "running")
    return UserError(
        f"{record.name} has no saved weights yet." if waits else f"{record.name} ended before any weights were saved.",
        where=f"experiment {record.name}",
        fix="Wait for its first evaluation or its end."
        if waits
        else "Continue it or start it again; or choose another.",
    )


# ---- answers ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Piece:
    """A part of an answer as it arrives; the text may be empty while the model waits or reads the prompt.

    finish_reason is set on the last one: "stop", "length" or "cancelled".
    """

    text: str = ""
    completion_tokens: int = 0
    tokens_per_second: float = 0.0
    finish_reason: str = ""


def stream_answer(
    server: ServerRecord,
    messages: Sequence[Mapping[str, str]],
    settings: Mapping[str, Any],
    *,
    adapter: bool = True,
    stopped: threading.Event | None = None,
) -> Iterator[Piece]:
    """Pieces of the answer of a ready server; setting `stopped`, or closing the iterator, ends the generation.

    settings: temperature, top_p, top_k, max_tokens, repetition_penalty, seed, stop; what is missing has the value
    chosen for the experiment.

    Raises:
        UserError: the server refused or is gone; the text says what to do.
    """
    import httpx

    body = {**settings, "messages": [dict(message) for message in messages], "stream": True, "adapter": adapter}
    address = f"http://127.0.0.1:{server.port}/v1/chat/completions"
    timeout = httpx.Timeout(CONNECT_SECONDS, read=SILENCE_SECONDS)
    try:
        with (
            httpx.Client(timeout=timeout, trust_env=False) as client,
            client.stream("POST", address, json=body, headers={"Authorization": f"Bearer {server.api_key}"}) as answer,
        ):
            if answer.status_code != 200:
                raise _refusal(answer.read())
            for line in answer.iter_lines():
                if stopped is not None and stopped.is_set():
                    return
                if line.startswith(":"):
                    yield Piece()
                elif line.startswith("data: ") and line != "data: [DONE]":
                    yield _piece(json.loads(line.removeprefix("data: ")))
    except httpx.HTTPError as error:
        raise UserError(
            "The model's process does not answer any more.",
            where="chat",
            fix="Send the prompt again; the model is loaded anew.",
        ) from error


def _piece(event: Mapping[str, Any]) -> Piece:
    if "error" in event:
        raise UserError.from_dict(event["error"])
    choice, usage = event["choices"][0], event.get("usage") or {}
    return Piece(
        text=choice["delta"].get("content", ""),
        completion_tokens=int(usage.get("completion_tokens", 0)),
        tokens_per_second=float(usage.get("tokens_per_second", 0.0)),
        finish_reason=choice.get("finish_reason") or "",
    )


def _refusal(body: bytes) -> UserError:
    try:
        return UserError.from_dict(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return UserError("The model's process gave no readable answer.", where="chat", fix="Send the prompt again.")
