"""The tests' own processes: interruptible however the test run was started, and gone afterwards."""

import signal
import subprocess
import time

import processes


def test_a_child_hears_ctrl_c_though_its_parent_ignores_it():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        child = processes.start(["sleep", "60"])
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN, (
            "the run's own answer is unchanged"
        )
        child.send_signal(signal.SIGINT)
        assert child.wait(10) == -signal.SIGINT
    finally:
        signal.signal(signal.SIGINT, before)


def test_nothing_of_a_process_is_left():
    """Neither its children nor those that began sessions of their own."""
    script = "sleep 60 & echo $!; setsid sleep 60 & echo $!; wait"
    child = processes.start(["bash", "-c", script], stdout=subprocess.PIPE)
    pids = [child.pid, *(int(child.stdout.readline()) for _ in range(2))]
    assert processes.started_by(child.pid) == set(pids)
    processes.end_all()
    command = ["ps", "-o", "stat=", "-p", ",".join(map(str, pids))]
    for _ in range(100):  # a busy machine takes a moment to end what it was told to kill
        states = subprocess.run(command, capture_output=True, text=True).stdout.split()
        if all(state.startswith("Z") for state in states):
            return
        time.sleep(0.1)
    raise AssertionError(states)
