"""The process of a loaded model, over a real socket: key, answers, streams, disconnects, its end."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from llm_studio.actions.serving import stream_answer
from llm_studio.errors import UserError
from llm_studio.store import Home, ServerRecord, Store
from tests.support.tuned import make_backbone, make_experiment

ASK = [{"role": "user", "content": "Tom orders three cups."}]


@dataclass
class Running:
    """A started server."""

    store: Store
    record: ServerRecord
    process: "subprocess.Popen[bytes]"

    def post(self, key: str | None = None, **body: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.record.api_key if key is None else key}"}
        body = {"messages": ASK, "max_tokens": 20} | body
        return httpx.post(f"{self.address}/v1/chat/completions", json=body, headers=headers, timeout=30)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.record.port}"


def start(store: Store, record: ServerRecord) -> Running:
    command = [sys.executable, "-m", "llm_studio.serving.server", record.id, "--home", str(store.home.path)]
    process = subprocess.Popen(command)
    deadline = time.monotonic() + 60
    while store.servers.get(record.id).status not in ("ready", "failed") and time.monotonic() < deadline:
        time.sleep(0.05)
    return Running(store, store.servers.get(record.id), process)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("server")
    store = Store.open(Home(folder / "home"))
    experiment = make_experiment(store, make_backbone(folder / "backbone"))
    server = start(store, store.servers.request(experiment.id, "cpu", backbone=experiment.backbone))
    assert server.record.status == "ready", server.record.error
    yield server
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(10) == 0
    assert store.servers.get(server.record.id).status == "stopped"
    store.close()


def test_answers_in_the_shape_of_openai(running: Running) -> None:
    body = running.post().json()
    choice = body["choices"][0]
    assert body["object"] == "chat.completion" and choice["message"]["role"] == "assistant"
    assert choice["message"]["content"] and choice["finish_reason"] == "length"
    assert body["usage"]["completion_tokens"] == 20
    assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] + 20


@pytest.mark.parametrize("key", ["x", "wrong", "Bearer"])
def test_refuses_who_has_not_the_key(running: Running, key: str) -> None:
    answer = running.post(key=key)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"
    models = httpx.get(f"{running.address}/v1/models", headers={"Authorization": f"Bearer {key}x"})
    assert models.status_code == 401


def test_says_its_name_and_that_it_lives(running: Running) -> None:
    headers = {"Authorization": f"Bearer {running.record.api_key}"}
    model = httpx.get(f"{running.address}/v1/models", headers=headers).json()["data"][0]
    assert model["id"] == "tuned" and model["has_adapter"]
    assert httpx.get(f"{running.address}/health").json()["status"] == "ok"


def test_listens_on_the_loopback_address_alone(running: Running) -> None:
    listening = [c.laddr for c in psutil.Process(running.process.pid).net_connections() if c.status == "LISTEN"]
    assert [address.ip for address in listening] == ["127.0.0.1"]


def test_a_stream_holds_the_same_answer_in_pieces(running: Running) -> None:
    whole = running.post().json()["choices"][0]["message"]["content"]
    lines = [line for line in running.post(stream=True).text.split("\n\n") if line.startswith("data: ")]
    assert lines[-1] == "data: [DONE]"
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == whole
    assert chunks[-1]["choices"][0]["finish_reason"] == "length" and len(chunks) > 5


def test_the_adapter_is_switched_on_and_off_in_one_process(running: Running) -> None:
    tuned, untouched = running.post(adapter=True).json(), running.post(adapter=False).json()
    assert tuned["choices"][0]["message"]["content"] != untouched["choices"][0]["message"]["content"]
    assert running.post(adapter=True).json()["choices"] == tuned["choices"]


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role"),
        ({"temperature": -1}, "temperature"),
        ({"tools": []}, "tools"),
        ({"n": 2}, "n"),
        ({"messages": [{"role": "user", "content": "cups and plates " * 300}]}, "conversation"),
    ],
)
def test_a_wrong_request_gets_what_where_and_fix(running: Running, body: dict[str, Any], where: str) -> None:
    answer = running.post(**body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["where"] == where and error["what"] and error["fix"]


def test_a_client_that_leaves_ends_its_answer_at_once(running: Running) -> None:
    started = time.monotonic()
    running.post(max_tokens=220)
    whole_seconds = time.monotonic() - started
    for _ in stream_answer(running.record, ASK, {"max_tokens": 220}):
        break
    left_at = time.monotonic()
    while httpx.get(f"{running.address}/health").json()["answers"] and time.monotonic() < left_at + 30:
        time.sleep(0.01)
    assert time.monotonic() - left_at < max(0.2, whole_seconds / 2)


def test_a_stop_between_pieces_ends_the_stream(running: Running) -> None:
    stopped, pieces = threading.Event(), []
    for piece in stream_answer(running.record, ASK, {"max_tokens": 220}, stopped=stopped):
        pieces.append(piece)
        if len(pieces) == 3:
            stopped.set()
    assert len(pieces) == 3


def test_a_second_answer_waits_for_the_first_and_both_are_right(running: Running) -> None:
    alone = running.post(max_tokens=60).json()["choices"][0]["message"]["content"]
    found: list[str] = []
    threads = [
        threading.Thread(
            target=lambda: found.append(running.post(max_tokens=60).json()["choices"][0]["message"]["content"])
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [alone] * 3


def test_an_error_of_the_server_reaches_the_client_in_words(running: Running) -> None:
    with pytest.raises(UserError, match="reads at most"):
        list(stream_answer(running.record, [{"role": "user", "content": "cups and plates " * 300}], {}))


def test_a_model_that_cannot_be_loaded_leaves_its_reason(tmp_path: Path) -> None:
    store = Store.open(Home(tmp_path / "home"))
    backbone = make_backbone(tmp_path / "backbone")
    record = store.servers.request(None, "cpu", backbone=str(tmp_path / "nothing here"))
    failed = start(store, record)
    assert failed.process.wait(10) == 1
    assert failed.record.status == "failed" and failed.record.error
    assert "cannot be loaded" in failed.record.error["what"]
    plain = start(store, store.servers.request(None, "cpu", backbone=str(backbone)))
    try:
        assert plain.post().status_code == 200
        assert plain.post(adapter=False).json()["error"]["where"] == "adapter"
    finally:
        plain.process.kill()
        plain.process.wait()
        store.close()


def test_ends_when_the_process_that_started_it_is_gone(tmp_path: Path) -> None:
    store = Store.open(Home(tmp_path / "home"))
    record = store.servers.request(None, "cpu", backbone=str(make_backbone(tmp_path / "backbone")))
    command = [sys.executable, "-m", "llm_studio.serving.server", record.id, "--home", str(store.home.path)]
    starter = f"import subprocess, time; p = subprocess.Popen({command!r}); print(p.pid, flush=True); time.sleep(60)"
    parent = subprocess.Popen([sys.executable, "-c", starter], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    child = psutil.Process(int(parent.stdout.readline()))
    deadline = time.monotonic() + 60
    while store.servers.get(record.id).status != "ready" and time.monotonic() < deadline:
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs([child], timeout=8)
    for process in alive:
        process.kill()
    assert not alive
    assert store.servers.get(record.id).status == "stopped"
    store.close()
