"""The supervisor with real processes: order, devices, kill -9, restart, stop, data jobs and model servers."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from llm_studio.store import ExperimentRecord, Home, Store
from llm_studio.store.charts_db import ChartsDb
from llm_studio.store.processes import own_identity, send_signal
from llm_studio.worker.start import run_experiment

HERE = Path(__file__).parent
TRAINER = [sys.executable, str(HERE / "fake_trainer.py")]


class Studio:
    """A home with a supervisor that can be ended and started again."""

    def __init__(self, path: Path) -> None:
        self.home = Home(path)
        self.store = Store.open(self.home)
        self.dataset = self.store.datasets.create(
            name="stories", row_count=1, train_rows=1, validation_rows=0, settings={}, fingerprint="f",
            source="starter", size_bytes=1,
        )  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, str(HERE / "fake_supervisor.py"), "--home", str(self.home.path)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        until(self.store.supervisor_is_alive, seconds=15)

    def end(self, number: int = signal.SIGTERM) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(timeout=20)
        self.process = None

    def add(self, name: str, behaviour: str = "work 0.2", device: str = "cpu") -> ExperimentRecord:
        return self.store.experiments.create(
            behaviour, name=name, dataset_id=self.dataset.id, backbone="b", problem_type="causal_lm", device=device
        )

    def status(self, record: ExperimentRecord) -> str:
        return self.store.experiments.get(record.id).status

    def learning(self, record: ExperimentRecord) -> bool:
        found = self.store.experiments.get(record.id)
        return found.status == "running" and found.progress > 0

    def pid(self, record: ExperimentRecord) -> int:
        found = self.store.experiments.get(record.id).pid
        assert found, "it has no process"  # os.kill(0) would end the tests themselves
        return found


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    made = Studio(tmp_path / "home")
    yield made
    if made.process is not None:
        made.end()
    for record in made.store.experiments.list():
        send_signal(record.pid, record.pid_started_at, signal.SIGKILL, word=record.id)
    made.store.close()


def until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.03)


def test_runs_one_experiment_after_the_other_on_a_device_in_the_order_of_the_queue(studio: Studio) -> None:
    records = [studio.add(name) for name in ("a", "b", "c")]
    studio.start()
    most = 0
    while studio.status(records[-1]) != "finished":
        most = max(most, len(studio.store.experiments.list("running")))
        time.sleep(0.02)
    assert most == 1
    ended = [studio.store.experiments.get(record.id) for record in records]
    assert [record.status for record in ended] == ["finished"] * 3
    starts = [record.started_at or 0.0 for record in ended]
    assert starts == sorted(starts)
    assert "work begins on cpu" in (studio.home.experiment(records[0].id) / "log.txt").read_text()


def test_runs_one_experiment_on_each_device_at_once(studio: Studio) -> None:
    on_cpu, on_gpu = studio.add("cpu", "work 60"), studio.add("gpu", "work 60", device="cuda:0")
    studio.start()
    until(lambda: studio.learning(on_cpu) and studio.learning(on_gpu))


def test_a_killed_trainer_is_failed_within_five_seconds_and_the_next_one_starts(studio: Studio) -> None:
    first, second = studio.add("first", "work 60"), studio.add("second", "work 60")
    studio.start()
    until(lambda: studio.learning(first))
    os.kill(studio.pid(first), signal.SIGKILL)
    until(lambda: studio.status(first) == "failed", seconds=5)
    error = studio.store.experiments.get(first.id).error
    assert error is not None
    assert "most likely out of memory" in error["what"]
    assert "work begins on cpu" in error["where"]
    assert "batch size" in error["fix"]
    until(lambda: studio.learning(second))


@pytest.mark.parametrize(
    ("behaviour", "words"), [("exit 3", "exit code 3"), ("silent", "without saying"), ("failed", "learning rate")]
)
def test_a_trainer_that_ends_badly_says_why(studio: Studio, behaviour: str, words: str) -> None:
    record = studio.add("bad", behaviour)
    studio.start()
    until(lambda: studio.status(record) == "failed")
    error = studio.store.experiments.get(record.id).error
    assert error is not None and words in error["what"]


def test_a_trainer_outlives_a_killed_supervisor_and_the_next_one_takes_it_over(studio: Studio) -> None:
    first, second = studio.add("first", "work 60"), studio.add("second")
    studio.start()
    until(lambda: studio.learning(first))
    pid = studio.pid(first)
    studio.end(signal.SIGKILL)
    before = studio.store.experiments.get(first.id).progress
    studio.start()
    until(lambda: studio.store.experiments.get(first.id).progress > before)
    time.sleep(0.5)
    assert (studio.pid(first), studio.status(second)) == (pid, "queued")
    os.kill(pid, signal.SIGKILL)
    until(lambda: studio.status(first) == "failed", seconds=5)
    until(lambda: studio.status(second) == "finished")


def test_a_trainer_that_died_while_no_supervisor_was_there_is_marked(studio: Studio) -> None:
    record = studio.add("first", "work 60")
    studio.start()
    until(lambda: studio.learning(record))
    studio.end(signal.SIGKILL)
    os.kill(studio.pid(record), signal.SIGKILL)
    studio.start()
    until(lambda: studio.status(record) == "failed", seconds=5)


def test_another_process_with_the_same_id_is_never_taken_for_the_trainer(studio: Studio) -> None:
    record = studio.add("first")
    pid, started_at = own_identity()
    studio.store.experiments.claim(record.id)
    studio.store.experiments.set_running(record.id, pid, started_at - 3600)
    studio.start()
    until(lambda: studio.status(record) == "failed", seconds=5)


@pytest.mark.parametrize("whose", ["first process", "own parent", "a stranger"])
def test_a_wrong_row_cannot_end_a_process_that_is_not_the_studios(studio: Studio, whose: str) -> None:
    stranger = subprocess.Popen(["sleep", "60"], start_new_session=True)
    pid = {"first process": 1, "own parent": os.getpid(), "a stranger": stranger.pid}[whose]
    started_at = psutil.Process(pid).create_time()
    record = studio.add("wrong")
    studio.store.experiments.claim(record.id)
    studio.store.experiments.set_running(record.id, pid, started_at)
    assert not send_signal(pid, started_at, 0, word=record.id, group=True)
    assert studio.status(record) == "running"
    if whose == "a stranger":  # the whole way, where a mistake costs nothing
        studio.start()
        studio.end()
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_at_its_end_experiments_save_a_checkpoint_and_go_on_at_the_next_start(studio: Studio) -> None:
    first, second = studio.add("first", "work 2"), studio.add("second")
    studio.start()
    until(lambda: studio.learning(first))
    pid = studio.pid(first)
    studio.end()
    assert not psutil.pid_exists(pid)
    interrupted = studio.store.experiments.get(first.id)
    assert interrupted.status == "queued" and "Interrupted" in interrupted.phase
    assert [record.id for record in studio.store.experiments.list("queued")] == [first.id, second.id]
    studio.start()
    until(lambda: studio.status(second) == "finished", seconds=20)
    steps = [row["step"] for _, _, row in ChartsDb(studio.home.experiment(first.id)).read()]
    assert steps == list(range(1, 41)), "it went on where it was, and no row is there twice"


def test_a_trainer_that_does_not_listen_is_killed_at_the_end(studio: Studio) -> None:
    record = studio.add("deaf", "deaf 600")
    studio.start()
    until(lambda: studio.learning(record))
    pid = studio.pid(record)
    studio.end()
    until(lambda: not psutil.pid_exists(pid))
    assert studio.status(record) == "queued"


def test_stop_ends_a_running_experiment_with_its_checkpoint(studio: Studio) -> None:
    record = studio.add("first", "work 60")
    studio.start()
    until(lambda: studio.learning(record))
    studio.store.experiments.request_stop(record.id)
    until(lambda: studio.status(record) == "stopped", seconds=5)
    assert (studio.home.experiment(record.id) / "checkpoints" / "resume").is_dir()


def test_an_experiment_of_the_command_line_keeps_the_device_and_outlives_the_studio(studio: Studio) -> None:
    own, waiting = studio.add("own", "work 60"), studio.add("waiting")
    process = run_experiment(studio.store, own, command=TRAINER, by="command", ends_with_parent=True)
    assert process is not None
    assert run_experiment(studio.store, waiting, command=TRAINER) is None, "the device is taken"
    until(lambda: studio.learning(own))
    studio.start()
    time.sleep(1)
    assert studio.status(waiting) == "queued"
    studio.end()
    assert process.poll() is None and studio.status(own) == "running"
    studio.store.experiments.request_stop(own.id)
    assert process.wait(timeout=5) == 0


def test_one_home_has_one_supervisor(studio: Studio) -> None:
    studio.start()
    command = [sys.executable, str(HERE / "fake_supervisor.py"), "--home", str(studio.home.path)]
    second = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert second.returncode == 2
    assert "running on this home already" in second.stdout


def test_data_jobs_run_two_at_a_time_and_give_their_result(studio: Studio) -> None:
    jobs = [studio.store.jobs.create("count", {"to": 10}) for _ in range(4)]
    studio.start()
    most = 0
    while studio.store.jobs.list(active=True):
        most = max(most, len(studio.store.jobs.list(status="running")))
        time.sleep(0.02)
    assert most == 2
    assert [studio.store.jobs.get(job.id).result for job in jobs] == [{"counted": 10}] * 4


def test_a_data_job_says_what_was_wrong(studio: Studio) -> None:
    refused, faulty, unknown = (studio.store.jobs.create(kind, {}) for kind in ("refuse", "fault", "nothing"))
    studio.start()
    until(lambda: not studio.store.jobs.list(active=True))
    errors = [studio.store.jobs.get(job.id).error or {} for job in (refused, faulty, unknown)]
    assert errors[0] == {"what": "Row 3 has no answer.", "where": "file.csv, row 3", "fix": "Fill it."}
    assert "fault of the studio: KeyError" in errors[1]["what"]
    assert "no data job of kind" in errors[2]["what"]


def test_a_cancelled_data_job_ends_and_leaves_nothing(studio: Studio) -> None:
    job = studio.store.jobs.create("count", {"to": 10_000})
    studio.start()
    until(lambda: (studio.store.jobs.get(job.id).progress or 0) > 0)
    studio.store.jobs.request_cancel(job.id)
    until(lambda: studio.store.jobs.get(job.id).status == "cancelled", seconds=5)


def test_a_data_job_that_does_not_listen_is_killed_and_its_leavings_removed(studio: Studio) -> None:
    job = studio.store.jobs.create("deaf", {})
    studio.start()
    until(lambda: (studio.home.staging / job.id).is_dir())
    studio.store.jobs.request_cancel(job.id)
    until(lambda: studio.store.jobs.get(job.id).status == "cancelled", seconds=15)
    assert not (studio.home.staging / job.id).exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_data_job_ends_with_the_supervisor_and_starts_again(studio: Studio, number: int) -> None:
    job = studio.store.jobs.create("count", {"to": 40})
    studio.start()
    until(lambda: (studio.store.jobs.get(job.id).progress or 0) > 0)
    pid = studio.store.jobs.get(job.id).pid or 0
    studio.end(number)
    until(lambda: not psutil.pid_exists(pid))
    studio.start()
    until(lambda: studio.store.jobs.get(job.id).status == "done", seconds=15)


def test_a_chat_on_a_busy_gpu_waits_and_says_for_whom_and_one_on_the_cpu_does_not(studio: Studio) -> None:
    running = studio.add("training", "work 60", device="cuda:0")
    studio.start()
    until(lambda: studio.learning(running))
    on_gpu = studio.store.servers.request("ab12", "cuda:0")
    on_cpu = studio.store.servers.request("ab12", "cpu")
    until(lambda: studio.store.servers.get(on_cpu.id).status == "ready")
    found = studio.store.servers.get(on_gpu.id)
    assert found.status == "queued" and found.phase == "Waiting for cuda:0: the experiment training uses it"
    studio.store.experiments.request_stop(running.id)
    until(lambda: studio.store.servers.get(on_gpu.id).status == "ready")
    next_one = studio.add("next", device="cuda:0")
    until(lambda: "a chat uses cuda:0" in studio.store.experiments.get(next_one.id).phase)
    studio.store.servers.request_stop(on_gpu.id)
    until(lambda: studio.status(next_one) == "finished")


def test_an_experiment_on_two_devices_waits_for_both_and_those_behind_it_wait_for_it(studio: Studio) -> None:
    first = studio.add("first", "work 60", device="cuda:0")
    both = studio.add("both", "work 60", device="cuda:0,cuda:1")
    behind, beside = studio.add("behind", device="cuda:1"), studio.add("beside", device="cpu")
    studio.start()
    until(lambda: studio.learning(first))
    until(lambda: studio.status(beside) == "finished")
    assert (studio.status(both), studio.status(behind)) == ("queued", "queued")
    studio.store.experiments.request_stop(first.id)
    until(lambda: studio.learning(both))
    assert {lease.device for lease in studio.store.leases.list()} == {"cuda:0", "cuda:1"}
    assert studio.status(behind) == "queued"
    studio.store.experiments.request_stop(both.id)
    until(lambda: studio.status(behind) == "finished")


def test_an_idle_or_dead_server_ends(studio: Studio) -> None:
    studio.start()
    idle = studio.store.servers.request("ab12", "cpu")
    until(lambda: studio.store.servers.get(idle.id).status == "ready")
    until(lambda: studio.store.servers.get(idle.id).status == "stopped")
    killed = studio.store.servers.request("ab12", "cpu")
    until(lambda: studio.store.servers.get(killed.id).status == "ready")
    pid = studio.store.servers.get(killed.id).pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    until(lambda: studio.store.servers.get(killed.id).status == "failed", seconds=5)
    last = studio.store.servers.request("ab12", "cpu")
    until(lambda: studio.store.servers.get(last.id).status == "ready")
    pid = studio.store.servers.get(last.id).pid or 0
    studio.end()
    assert not psutil.pid_exists(pid)
    assert studio.store.servers.get(last.id).status == "stopped"
