"""How processes with control loops are scheduled, and what is told of a machine that stands
still.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from xlvla.ros import priority
from xlvla_cli.bench.ros import machine_pauses

SCHEDULING = (
    "import os, threading; from xlvla.ros import priority; stay = threading.Event(); "
    "threading.Thread(target=stay.wait).start(); "
    "{cores}; said = priority.hasten({asked}); threads = [int(name) for name in "
    "os.listdir('/proc/self/task')]; "
    "print(said, '|', *[(os.sched_getscheduler(t), os.getpriority(os.PRIO_PROCESS, t)) for t in "
    "threads], sep=';'); stay.set()"
)

may_hasten = pytest.mark.skipif(os.geteuid() != 0, reason="needs permission to be urgent")


def scheduled(cores: str = "pass", asked: str = "") -> tuple[str, set[str]]:
    done = subprocess.run(
        [sys.executable, "-c", SCHEDULING.format(cores=cores, asked=asked)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    said, threads = done.stdout.strip().split(";|;")
    return said, set(threads.split(";"))


@may_hasten
def test_where_processors_are_few_every_thread_of_a_loop_is_urgent_but_starves_nobody():
    said, threads = scheduled("os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})")
    assert said == f"urgent (nice {priority.URGENT})"
    assert threads == {str((os.SCHED_OTHER, priority.URGENT))}


@may_hasten
@pytest.mark.skipif(
    len(os.sched_getaffinity(0)) < priority.PROCESSORS, reason="needs processors to spare"
)
def test_where_processors_are_to_spare_every_thread_of_a_loop_is_real_time():
    said, threads = scheduled()
    assert said.startswith("real-time")
    assert {thread.partition(",")[0] for thread in threads} == {f"({os.SCHED_FIFO}"}


@may_hasten
@pytest.mark.skipif(
    len(os.sched_getaffinity(0)) < priority.PROCESSORS_OF_ONE, reason="needs two processors"
)
def test_the_one_loop_that_all_devices_wait_for_is_real_time_on_two_processors():
    two = "os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])"
    said, threads = scheduled(two, asked="processors=priority.PROCESSORS_OF_ONE")
    assert said.startswith("real-time")
    assert {thread.partition(",")[0] for thread in threads} == {f"({os.SCHED_FIFO}"}


@may_hasten
@pytest.mark.skipif(
    not Path("/proc/self/autogroup").exists(), reason="needs a kernel with autogroups"
)
@pytest.mark.parametrize(("leads", "nice"), [(True, "-12"), (False, "0")])
def test_a_process_ranks_the_session_it_leads_and_no_other(leads, nice):
    asked = (
        "import os; from xlvla.ros import priority; os.sched_setaffinity(0, "
        "{min(os.sched_getaffinity(0))}); priority.hasten(); "
    )
    command = [sys.executable, "-c", f"{asked} print(open('/proc/self/autogroup').read())"]
    shell = [
        *(["setsid", "--wait"] if leads else ["setsid", "--wait", "sh", "-c", '"$@"; true', "sh"]),
        *command,
    ]
    done = subprocess.run(shell, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split()[-1] == nice


def test_a_machine_that_stands_still_is_told_of():
    with machine_pauses.measured(200.0) as still:
        time.sleep(1.0)
        os.kill(watch(), signal.SIGSTOP)
        time.sleep(0.3)
        os.kill(watch(), signal.SIGCONT)
        time.sleep(0.2)
    assert any(pause > 0.25 for pause in still.pauses_s)
    assert "times for more than 50 ms" in str(still)
    assert 0.2 * 200 < still.missed < 1.5 * 200


def watch() -> int:
    """The process that watches for standstills."""
    mine = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return next(
        int(child)
        for child in mine
        if machine_pauses.__name__ in Path(f"/proc/{child}/cmdline").read_text()
    )
