"""The supervisor with real processes: order of experiments, devices, kill -9, restart, stop."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from llm_studio.store.charts_db import ChartsDb
from llm_studio.store.processes import own_identity, send_signal
from llm_studio.worker.start import run_experiment
from tests.support.supervised import HERE, Studio, until

TRAINER = [sys.executable, str(HERE / "fake_trainer.py")]


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
