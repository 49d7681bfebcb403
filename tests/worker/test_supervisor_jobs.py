"""The supervisor with real processes that are no experiments: data jobs, model servers and their chats."""

import os
import signal
import time

import psutil
import pytest

from tests.support.supervised import Studio, until


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
