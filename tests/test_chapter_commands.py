"""Chapter 12's commands run in the order and as it has them, in a shell that has no vaelib."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import processes
import pytest
from common import type_in_shell

from notebooks import ROOT
from vaelib.experiments import cli

PAGE = (ROOT / "book" / "12-your-own.md").read_text()
SHELL = r"^```\n((?:vaelib|torchrun) .*?)^```$"


def commands() -> list[str]:
    return "".join(re.findall(SHELL, PAGE, re.M | re.S)).splitlines()


def blocks(language: str, first: str) -> list[str]:
    return re.findall(rf"^```{language}\n({re.escape(first)}\n.*?)^```$", PAGE, re.M | re.S)


def type_all(folder: Path, typed: list[str]) -> None:
    """What the chapter has, after one epoch instead of fifteen, where its text says to type it."""
    (activation,) = re.findall(r"`(\. \S+/activate)` makes `vaelib` a command", PAGE)
    (cfg,) = blocks("ini", "# my.cfg")
    cfg, times = re.subn(r"^epochs = \d+$", "epochs = 1", cfg, flags=re.M)
    assert times == 1
    (folder / "my.cfg").write_text(cfg)
    type_in_shell(folder, "\n".join([activation, *typed]))


def test_every_command_is_one_that_the_parsers_take_and_no_two_sweeps_share_a_folder():
    parsers, sweeps = cli.parsers("vaelib"), []
    for line in commands():
        words = shlex.split(line.rpartition("vaelib ")[2])
        name = words.pop(0) if words[0] in parsers else ""
        options = parsers[name].parse_args(words)
        if name == "sweep":
            sweeps.append(options.output)
    assert len(commands()) >= 9 and len(set(sweeps)) == len(sweeps) == 3


@pytest.mark.nightly
@pytest.mark.timeout(1800)  # it trains 61 models
def test_all_commands_run_in_the_chapters_order(tmp_path):
    """The cluster's address is what a reader fills in; here it is this machine's."""
    pytest.importorskip("distributed")
    port = 8786
    dask = Path(sys.prefix) / "bin" / "dask"
    address = f"tcp://127.0.0.1:{port}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    server = ["scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
    worker = ["worker", address, "--nthreads", "1", "--nworkers", "2", "--no-dashboard"]
    for arguments in (server, worker):
        processes.start(
            [dask, *arguments],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    typed = [line.replace("tcp://ADDRESS:8786", address) for line in commands()]
    assert sum(address in line for line in typed) == 1
    (code,) = blocks("python", "import torch")
    type_all(tmp_path, [*typed, f"python -c '{code}print(images.shape)'"])
    run = tmp_path / "runs" / "mine"
    assert (run / "samples-seed1.png").exists() and (run / "export" / "explorer.html").exists()
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 1
    tables = {p.parent.name: p.read_text() for p in (tmp_path / "runs").glob("*/sweep.csv")}
    rows = {name: len(table.splitlines()) - 1 for name, table in tables.items()}
    assert rows == {"my-sweep": 30, "side-by-side": 15, "cluster": 15}
    assert (tmp_path / "runs" / "my-b-vae" / "report.html").exists()
