"""Runs side by side: the table of one process after the other, a clean stop, and a real cluster on
this machine.
"""

import csv
import os
import re
import sys

import pytest

from vaelib.experiments import cli, workers
from vaelib.experiments.config import ConfigError

CONFIG = """
[configuration]
dataset = sprites
image_size = 32
[architecture]
conv_channels = [4]
z_dimension = 2
hidden = [8]
[hyperparameters]
steps = {steps}
batch_size = 8
beta = 1
"""


@pytest.fixture
def here(tmp_path, monkeypatch, one_thread):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (tmp_path / "tiny.cfg").write_text(CONFIG.format(steps=2))
    return tmp_path


def table(folder):
    return [
        {key: value for key, value in row.items() if key != "seconds"}
        for row in csv.DictReader((folder / "sweep.csv").read_text().splitlines())
    ]


def sweep(*options, status=0):
    grid = ["--grid", "hyperparameters.learning_rate=1e-3,1e30", "--device", "cpu"]
    assert cli.main(["sweep", "tiny.cfg", *grid, *options]) == status


def test_jobs_and_a_cluster_make_the_table_of_one_process(here, capsys):
    """The second learning rate fails, which is a row of the table and exit status 1; a finished
    sweep is not run again.
    """
    dask, distributed = map(pytest.importorskip, ("dask", "distributed"))
    # its workers, too, are forks of the process that --jobs has started, with PyTorch
    method = {"distributed.worker.multiprocessing-method": "forkserver"}
    sweep("--output", "one", status=1)
    sweep("--output", "two", "--jobs", "2", status=1)
    alone = {"threads_per_worker": 1, "dashboard_address": None}
    with dask.config.set(method), distributed.LocalCluster(2, **alone) as cluster:
        sweep("--output", "three", "--cluster", cluster.scheduler_address, status=1)
    rows = table(here / "one")
    assert [row["status"][:4] for row in rows] == ["done", "the "]
    assert table(here / "two") == table(here / "three") == rows
    before = (here / "two" / "sweep.csv").read_text()
    sweep("--output", "two", "--jobs", "2", "--resume", status=1)
    assert (here / "two" / "sweep.csv").read_text() == before


def test_processes_are_forks_where_a_fork_is_safe(monkeypatch):
    """Of one that has imported PyTorch and done nothing else; Apple's libraries do not bear it."""
    for platform, way in (("linux", "forkserver"), ("darwin", "spawn"), ("win32", "spawn")):
        monkeypatch.setattr(workers.sys, "platform", platform)
        assert workers._context().get_start_method() == way


def die(*arguments):
    os._exit(9)


def test_a_process_that_is_killed_is_one_line(here):
    with pytest.raises(workers.JobError, match="was killed"):
        workers.process_rows(die, [1], here, "cpu", 1, print)


def test_a_cluster_that_is_not_there_is_one_line(here, monkeypatch, capsys):
    pytest.importorskip("distributed")
    monkeypatch.setattr(workers, "SECONDS", 0.5)
    sweep("--cluster", "tcp://127.0.0.1:9", status=2)
    sweep("--cluster", "nonsense://1", status=2)
    sweep("--cluster", "tcp://127.0.0.1:9", "--jobs", "2", status=2)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigError, match=re.escape('pip install "vaelib[cluster]"')):
        workers.cluster_rows(die, [1], here, "cpu", "tcp://127.0.0.1:9", print)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3 and all(line.startswith("vaelib: ") for line in lines)
