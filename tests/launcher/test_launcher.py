"""The launcher with real processes: keys, loopback, one per home, restarts, and nothing left behind however it ends."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from llm_studio.errors import UserError
from llm_studio.launcher import web
from llm_studio.launcher.studio import _check_listen
from llm_studio.store import Home
from tests.support.browser import Studio

DEMO = "tests.support.demo:create"


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    one = Studio(tmp_path_factory.mktemp("launcher") / "home", app=DEMO, port=20501)
    yield one
    assert not one.stop()


def eventually(condition: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def answers(address: str) -> bool:
    try:
        return httpx.get(address, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def environment_of(studio: Studio) -> dict[str, str]:
    return studio.child("waved").environ()


def test_listens_on_loopback_only(studio: Studio) -> None:
    addresses = {
        one.laddr.ip
        for process in studio.children()
        for one in process.net_connections("inet")
        if one.status == "LISTEN"
    }
    assert addresses == {"127.0.0.1"}


def test_refuses_the_well_known_keys_of_wave(studio: Studio) -> None:
    body = (
        '{"register_app":{"mode":"unicast","route":"/","address":"http://127.0.0.1:1","key_id":"a","key_secret":"b"}}'
    )
    headers = {"Content-Type": "application/json"}
    keys = ("access_key_id", "access_key_secret")
    with httpx.Client(trust_env=False) as client:
        assert client.post(studio.address, content=body, headers=headers, auth=keys).status_code == 401
        assert client.patch(f"{studio.address}/x", content="{}", auth=keys).status_code == 401
        assert client.delete(f"{studio.address}/_f/x/y.z", auth=keys).status_code == 401


def test_makes_new_keys_at_every_start(tmp_path: Path) -> None:
    def keys() -> set[str]:
        made = web.environment(Home(tmp_path), listen="127.0.0.1", port=1, app_port=2, origins=[], inherited={})
        return {made[name] for name in made if "ACCESS_KEY" in name}

    assert len(keys()) == 4 and not keys() & keys()


def test_takes_no_variable_of_wave_from_outside(tmp_path: Path) -> None:
    made = web.environment(
        Home(tmp_path), listen="127.0.0.1", port=1, app_port=2, origins=[],
        inherited={"H2O_WAVE_OIDC_CLIENT_ID": "x", "__H2O_WAVE_DEV_MODE": "1", "PATH": "/bin"},
    )  # fmt: skip
    assert "H2O_WAVE_OIDC_CLIENT_ID" not in made and "__H2O_WAVE_DEV_MODE" not in made and made["PATH"] == "/bin"


@pytest.mark.parametrize("authorization", [None, "Bearer x", "Basic eDp5", "Basic", "Token abc", "basic \u00e9"])
def test_the_app_port_takes_only_the_exact_credentials_of_waved(studio: Studio, authorization: str | None) -> None:
    """Wave's own check lets every scheme but Basic through."""
    address = environment_of(studio)["H2O_WAVE_APP_ADDRESS"]
    headers = {"Wave-Client-ID": "x"} | ({"Authorization": authorization.encode()} if authorization else {})  # type: ignore[dict-item]
    with httpx.Client(trust_env=False) as client:
        assert client.post(f"{address}/", json={"data": {}}, headers=headers).status_code == 401
        assert client.post(f"{address}/disconnect", headers=headers).status_code == 401
        assert client.get(f"{address}/", headers=headers).status_code == 404


def test_a_page_of_another_origin_may_not_connect(studio: Studio) -> None:
    def handshake(host: str, origin: str | None) -> int:
        lines = [f"GET /_s/ HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade"]
        lines += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13"]
        lines += [f"Origin: {origin}"] if origin else []
        port = int(studio.address.rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
            return int(connection.recv(200).split()[1])

    own = studio.address.removeprefix("http://")
    assert handshake(own, studio.address) == 101
    assert handshake(own, "http://evil.example") == 403
    assert handshake("evil.example", "http://evil.example") == 403
    assert handshake(own, None) == 403


def test_the_page_comes_with_a_strict_policy_and_the_name_of_the_studio(studio: Studio) -> None:
    answer = httpx.get(studio.address, trust_env=False)
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy and "http:" not in policy and "object-src 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "<title>LLM Studio</title>" in answer.text and 'lang="en"' in answer.text
    for path in ("/studio/glue.js", "/studio/studio.css", "/studio/plotly.min.js"):
        assert httpx.get(studio.address + path, trust_env=False).status_code == 200


def test_a_second_launcher_on_the_same_home_says_where_the_first_is(studio: Studio) -> None:
    with pytest.raises(AssertionError, match="running on this home already") as refused:
        Studio(studio.home, app=DEMO, port=20601)
    assert studio.address in str(refused.value)


def test_a_busy_port_makes_it_take_the_next_one(studio: Studio, tmp_path: Path) -> None:
    port = int(studio.address.rsplit(":", 1)[1])
    second = Studio(tmp_path / "home", app=DEMO, port=port)
    try:
        assert int(second.address.rsplit(":", 1)[1]) > port
        assert any(f"Port {port} is busy" in line for line in second.output)
    finally:
        assert not second.stop()


@pytest.mark.parametrize("listen", ["0.0.0.0", "192.0.2.1", "::"])
def test_refuses_another_address_than_loopback_without_a_proxy(listen: str) -> None:
    with pytest.raises(UserError, match="no login") as refused:
        _check_listen(listen, behind_proxy=False)
    assert "--behind-proxy" in refused.value.fix
    _check_listen(listen, behind_proxy=True)


@pytest.mark.parametrize("word", ["waved", "uvicorn"])
def test_when_waved_or_the_app_dies_both_are_started_again(studio: Studio, word: str) -> None:
    """waved forgets its apps, and an app never registers a second time."""
    before = {name: studio.child(name).pid for name in ("waved", "uvicorn")}
    supervisor = studio.child("llm_studio.worker.supervisor").pid
    studio.child(word).kill()

    def both_are_new() -> bool:
        try:
            return all(studio.child(name).pid != pid for name, pid in before.items())
        except (AssertionError, psutil.NoSuchProcess):
            return False

    assert eventually(both_are_new), "".join(studio.output) + studio.log()
    assert eventually(lambda: answers(studio.address))
    assert studio.child("llm_studio.worker.supervisor").pid == supervisor


def test_a_dead_supervisor_is_started_again_alone(studio: Studio) -> None:
    pages = studio.child("uvicorn").pid
    supervisor = studio.child("llm_studio.worker.supervisor")
    supervisor.kill()
    psutil.wait_procs([supervisor], timeout=5)

    def is_new() -> bool:
        try:
            return studio.child("llm_studio.worker.supervisor").pid != supervisor.pid
        except (AssertionError, psutil.NoSuchProcess):
            return False

    assert eventually(is_new)
    assert studio.child("uvicorn").pid == pages


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_stopped_launcher_leaves_nothing_behind(tmp_path: Path, number: int) -> None:
    one = Studio(tmp_path / "home", app=DEMO, port=20701)
    family = one.children()
    assert len(family) >= 3
    assert not one.stop(number)
    assert one.process.returncode == 0
    assert not [process for process in family if process.is_running()]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_a_killed_launcher_leaves_nothing_behind(tmp_path: Path) -> None:
    one = Studio(tmp_path / "home", app=DEMO, port=20701)
    family = one.children()
    assert len(family) >= 3
    one.process.kill()
    one.process.wait()
    _, left = psutil.wait_procs(family, timeout=20)
    one.stop()
    assert not left
    again = Studio(tmp_path / "home", app=DEMO, port=20701)  # the home is free again
    assert not again.stop()


def test_stops_even_while_it_is_starting(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from llm_studio import launcher; from llm_studio.store import Home;"
        "sys.exit(launcher.run(Home(Path(sys.argv[1])), port=20801))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "home")], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    assert process.stdout
    with process:
        assert "Starting" in process.stdout.readline()
        assert eventually(lambda: len(psutil.Process(process.pid).children()) >= 3)
        family = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        assert process.wait(30) == 0
    assert not [one for one in family if one.is_running()]


def test_uploads_that_nobody_took_are_cleared_at_the_next_start(tmp_path: Path) -> None:
    home = Home(tmp_path)
    left = home.wave / "f" / "0b6d9e5e-0000-4000-8000-000000000000"
    left.mkdir(parents=True)
    (left / "big.csv").write_text("a")
    web.clear_uploads(home)
    assert not left.exists()


def test_nothing_is_kept_for_a_departed_client(studio: Studio) -> None:
    """Without H2O_WAVE_NO_STORE waved would keep what is saved to a closed tab for ever."""
    environment = environment_of(studio)
    keys = (environment["H2O_WAVE_ACCESS_KEY_ID"], environment["H2O_WAVE_ACCESS_KEY_SECRET"])
    with httpx.Client(trust_env=False, auth=keys) as client:
        patch = '{"d":[{"k":"a","d":{"view":"markdown","box":"1 1 1 1","title":"t","content":"c"}}]}'
        assert client.patch(f"{studio.address}/departed", content=patch).status_code == 200
        answer = client.get(f"{studio.address}/departed", headers={"Content-Type": "application/json"})
    assert answer.status_code == 404
