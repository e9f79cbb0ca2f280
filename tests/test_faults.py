"""What breaks while a run is written or read: kills, signals, a full disk, damaged files.

Whatever is still good is used, a person gets one line, and the weights are in the end those of a
run that nothing happened to.
"""

import contextlib
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path

import forks
import numpy as np
import processes
import pytest
import torch
from common import TINY
from PIL import Image

import vaelib
from vaelib import saving
from vaelib.experiments import cli, config, run, run_folder, signals

COMMAND = ["-c", "tiny.cfg", "-v", "B-VAE", "--device", "cpu", "--output", "out"]
RUN = Path("out")
PATHS = {
    name: RUN / name
    for name in (
        run_folder.CHECKPOINT,
        run_folder.MODEL,
        run_folder.RESULTS,
        run_folder.METRICS,
        run_folder.CONFIG,
    )
}
FINAL = [PATHS[run_folder.MODEL], PATHS[run_folder.METRICS]]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with pictures, tiny.cfg, and a finished run, out, of three epochs."""
    folder, patch = tmp_path_factory.mktemp("made"), pytest.MonkeyPatch()
    generator = np.random.default_rng(0)
    (folder / "images").mkdir()
    for i in range(40):
        pixels = generator.integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{i}.png")
    (folder / "tiny.cfg").write_text(TINY.format(images=folder / "images", epochs=3))
    with patch.context() as here:
        here.chdir(folder)
        here.setenv("TQDM_DISABLE", "1")
        here.setattr(run, "pictures", lambda model, images: {})
        assert cli.main(COMMAND) == 0
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """A copy of it to damage, and the current folder."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    monkeypatch.setattr(run, "pictures", lambda model, images: {})
    return tmp_path


def kept():
    """What a finished run is judged by: its model and its metrics, as bytes."""
    return [path.read_bytes() for path in FINAL]


def one_line(capsys, *words):
    err = capsys.readouterr().err
    assert err.startswith("vaelib: ") and err.count("\n") == 1, err
    assert all(word in err for word in words), err


def damages(content, chance, number):
    """``number`` ways in which a file's bytes may be spoilt: cut short, or one bit turned."""
    for _ in range(number):
        where = chance.randrange(len(content))
        if chance.random() < 0.25:
            yield content[:where]
        else:
            flipped = bytes([content[where] ^ (1 << chance.randrange(8))])
            yield content[:where] + flipped + content[where + 1 :]


def test_five_kills_and_the_same_bytes():
    """`make kills` does it a hundred times."""
    killed = forks.start([], "import kills; kills.main(5, 1)")
    out, err = killed.communicate()
    assert killed.returncode == 0, err
    assert out.endswith("\n5 of 5 kills survived\n")


def test_a_damaged_checkpoint_is_not_used_but_the_one_before_it(here, capsys):
    """At any byte; the run then learns its last epoch again, to the same weights."""
    before = kept()
    path = PATHS[run_folder.CHECKPOINT]
    good = path.read_bytes()
    for content in damages(good, random.Random(0), 300):
        path.write_bytes(content)
        assert saving._state(path) is None
    for content in damages(good, random.Random(1), 2):
        path.write_bytes(content)
        PATHS[run_folder.RESULTS].unlink(missing_ok=True)
        assert cli.main([*COMMAND, "--resume"]) == 0
        one_line(capsys, "checkpoint.pt: damaged; going on from", "checkpoint.previous.pt")
        assert kept() == before
        assert saving._state(path) is not None and saving._state(saving.previous(path)) is not None


def test_a_damaged_checkpoint_never_takes_the_place_of_a_good_one(here, monkeypatch, capsys):
    """Killed before the next is whole, the run still has one to go on from."""
    before = kept()
    path = PATHS[run_folder.CHECKPOINT]
    PATHS[run_folder.RESULTS].unlink()
    path.write_bytes(path.read_bytes()[:-1])
    good = saving.previous(path).read_bytes()

    def stop(descriptor):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(saving.os, "fsync", stop)
        assert cli.main([*COMMAND, "--resume"]) == 130
    assert saving.previous(path).read_bytes() == good
    assert cli.main([*COMMAND, "--resume"]) == 0
    assert kept() == before


def test_without_a_whole_checkpoint_it_is_one_line(here, capsys):
    PATHS[run_folder.RESULTS].unlink()
    path = PATHS[run_folder.CHECKPOINT]
    for broken in (path, saving.previous(path)):
        broken.write_bytes(b"")
    assert cli.main([*COMMAND, "--resume"]) == 2
    one_line(capsys, "checkpoint.pt: not a whole checkpoint", "delete both to start again")


def test_a_damaged_model_does_not_load(here):
    """One bit anywhere: the same weights, or one line; never others."""
    path = PATHS[run_folder.MODEL]
    good, model = path.read_bytes(), vaelib.load_model(path)
    refused = 0
    for content in damages(good, random.Random(0), 200):
        path.write_bytes(content)
        try:
            found = vaelib.load_model(path)
        except ValueError as error:
            assert str(path) in str(error) and "\n" not in str(error)
            refused += 1
        else:
            assert found.config == model.config
            for one, other in zip(found.state_dict().values(), model.state_dict().values()):
                assert torch.equal(one, other)
    assert refused > 180


def test_damaged_results_and_configurations_are_not_believed(here):
    """One bit anywhere: what was written, or one line."""
    results, kept_config = run_folder.results(RUN), run_folder.kept_config(RUN)
    chance, refused = random.Random(0), 0
    for name, read, good in (
        (run_folder.RESULTS, run_folder.results, results),
        (run_folder.CONFIG, run_folder.kept_config, kept_config),
    ):
        path = PATHS[name]
        content = path.read_bytes()
        for damaged in damages(content, chance, 300):
            path.write_bytes(damaged)
            try:
                assert read(RUN) == good, damaged
            except config.ConfigError as error:
                assert name in str(error) and "\n" not in str(error)
                refused += 1
        path.write_bytes(content)
    assert refused > 500


@pytest.mark.parametrize("name", PATHS)
def test_what_is_damaged_is_made_anew(here, capsys, name):
    """By the command that trained, with --resume; of the checkpoint see above."""
    if name == run_folder.CHECKPOINT:
        PATHS[run_folder.RESULTS].unlink()
    before, path = kept(), PATHS[name]
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert cli.main([*COMMAND, "--resume"]) == 0
    out, err = capsys.readouterr()
    assert f"{path}: damaged; " in (err if name == run_folder.CHECKPOINT else out)
    assert kept() == before
    if name != run_folder.RESULTS and name != run_folder.CHECKPOINT:  # they hold the seconds
        assert path.read_bytes() == content
    assert cli.main([*COMMAND, "--resume"]) == 0
    assert "this run is finished" in capsys.readouterr().out


@pytest.mark.parametrize("name", [run_folder.MODEL, run_folder.RESULTS, run_folder.CONFIG])
def test_a_damaged_run_is_not_measured(here, capsys, name):
    path = PATHS[name]
    path.write_bytes(path.read_bytes()[:-2])
    for command in ("evaluate", "sample", "export"):
        assert cli.main([command, "out"]) == 2
        one_line(capsys, str(path))


def failing(call, number, error):
    """``call``, but for the ``number``-th time, when ``error`` is raised."""
    left = [number]

    def instead(*arguments):
        left[0] -= 1
        if not left[0]:
            raise error
        return call(*arguments)

    return instead


@pytest.mark.parametrize("what", ["full", "stopped"])
def test_a_write_that_fails_loses_nothing(here, monkeypatch, capsys, what):
    """The first, the second, and so on to the last; the run goes on to the same weights."""
    before, number, status = kept(), 0, 1
    shutil.rmtree(RUN)
    error, ends = {
        "full": (OSError(28, "No space left on device"), 2),
        "stopped": (KeyboardInterrupt(), 130),
    }[what]
    while status and number < 30:
        number += 1
        with monkeypatch.context() as patch:
            patch.setattr(saving.os, "fsync", failing(os.fsync, number, error))
            status = cli.main([*COMMAND, "--resume"])
        if status:
            assert status == ends
            one_line(capsys, "No space left on device" if what == "full" else "stopped")
            assert not list(here.rglob("*.partial"))
    assert status == 0 and number > 5
    assert kept() == before


@contextlib.contextmanager
def files_of_at_most(kilobytes):
    """As on a disk that is full then."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024 * kilobytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_one_line(here, capsys):
    before = kept()
    PATHS[run_folder.RESULTS].unlink()
    PATHS[run_folder.CHECKPOINT].unlink()
    with files_of_at_most(8):
        assert cli.main([*COMMAND, "--resume"]) == 2
    one_line(capsys, "vaelib: out/checkpoint.pt: File too large\n")
    assert cli.main([*COMMAND, "--resume"]) == 0
    assert kept() == before


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 256 kB, a third of which the run's files take."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only Linux's root may mount a small disk; see the limit on files above")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_small_disk_that_is_full_is_one_line_and_nothing_is_lost(here, small_disk, capsys):
    """Full from the beginning, after an epoch, and at the end, where the report is written."""
    before, run_there = kept(), small_disk / "out"
    there = [*COMMAND[:-1], str(run_there), "--resume"]
    filler, left, lines = small_disk / "filler", 250, 0
    while left > 0:
        filler.write_bytes(bytes(1024 * left))
        status = cli.main(there)
        err = capsys.readouterr().err
        if status == 0:
            break
        assert status == 2 and err.startswith("vaelib: ") and err.count("\n") == 1, err
        assert "No space left on device" in err
        assert not list(small_disk.rglob("*.partial"))
        left, lines = left - 40, lines + 1
    assert lines >= 2 and status == 0
    assert [(run_there / path.relative_to(RUN)).read_bytes() for path in FINAL] == before


FORBIDDING = """
import ctypes, os
# of root this process keeps the name and not the right to write everywhere (CAP_DAC_OVERRIDE, 1),
# nor to read (CAP_DAC_READ_SEARCH, 2)
if os.geteuid() == 0:
    system, version = ctypes.CDLL(None), (ctypes.c_uint32 * 2)(0x20080522, 0)
    rights = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; and those above 31
    assert system.capget(version, rights) == 0
    for which in range(3):
        rights[which] &= ~0b110
    assert system.capset(version, rights) == 0, "the rights were not given up"
"""
TYPING = """
import contextlib, io, json, os, sys
from vaelib.experiments import cli, run
run.pictures = lambda model, images: {}
said = []
for path, mode, arguments in json.loads(sys.argv[1]):
    before = os.stat(path).st_mode
    os.chmod(path, mode)
    with contextlib.redirect_stderr(io.StringIO()) as err:
        status = cli.main(arguments)
    os.chmod(path, before)
    said.append((status, err.getvalue()))
sys.__stdout__.write(chr(10) + json.dumps(said))
"""


@pytest.fixture
def as_anyone(here):
    """Type (path, its mode meanwhile, arguments) as one who is not root; (status, err) of each."""
    if os.name != "posix" or (os.geteuid() == 0 and sys.platform != "linux"):
        pytest.skip("of root only Linux takes away the right to write everywhere")

    def run(*typed):
        ended = forks.start([json.dumps(typed)], FORBIDDING + TYPING)
        out, err = ended.communicate()
        assert ended.returncode == 0, err
        return [tuple(said) for said in json.loads(out.splitlines()[-1])]

    return run


def test_a_folder_that_may_not_be_written_is_one_line(here, as_anyone):
    """And the run in it is as it was, to be gone on with."""
    before, final = everything(here), kept()
    new = ["-c", "tiny.cfg", "-v", "VAE", "--device", "cpu", "--output", "new/of/mine"]
    said = as_anyone(
        ("out", 0o555, ["evaluate", "out", "--device", "cpu", "--samples", "1"]),
        ("out", 0o555, ["sample", "out", "--device", "cpu"]),
        ("out", 0o555, ["export", "out"]),
        (".", 0o555, new),
        (".", 0o555, ["sweep", "tiny.cfg", "--seeds", "1", "--device", "cpu"]),
    )
    assert everything(here) == before
    names = ["out/results.json", "out/samples-seed0.png", "out/export", "new", "runs"]
    assert said == [(2, f"vaelib: {name}: Permission denied\n") for name in names]
    PATHS[run_folder.RESULTS].unlink()
    go_on = [*COMMAND, "--resume"]
    (status, err), after = as_anyone(("out", 0o555, go_on), ("out", 0o755, go_on))
    assert status == 2 and err.count("\n") == 1
    assert err.startswith("vaelib: out/") and err.endswith(": Permission denied\n")
    assert after == (0, "") and kept() == final


def test_what_may_not_be_read_is_one_line(here, made, as_anyone):
    before = everything(here)
    again = ["-c", "tiny.cfg", *COMMAND[2:-1], "new"]
    typed = {
        "out/model.safetensors": ["sample", "out"],
        "out/results.json": ["sample", "out"],
        "out/config.cfg": ["sample", "out"],
        "out/pictures.json": ["evaluate", "out", "--device", "cpu"],
        "tiny.cfg": again,
        str(made / "images"): again,
    }
    said = as_anyone(*((path, 0o000, arguments) for path, arguments in typed.items()))
    *of_files, of_folder = (f"{path}: Permission denied\n" for path in typed)
    lines = [*of_files, f"folder: {of_folder}"]
    assert said == [(2, f"vaelib: {line}") for line in lines]
    assert everything(here) == before


def everything(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_stops_a_run_which_then_goes_on(here, monkeypatch, capsys, name):
    """Sent in its third epoch; a person is told where the first two are."""
    before, number, keep = kept(), getattr(signal, name), run.write_progress
    shutil.rmtree(RUN)

    def signalled(config, folder, history):
        if len(history) == 3:
            signal.raise_signal(number)
        keep(config, folder, history)

    with monkeypatch.context() as patch:
        patch.setattr(run, "write_progress", signalled)
        # a test run in the background of a script has SIGINT ignored
        handler = signal.signal(number, signal.default_int_handler)
        try:
            assert cli.main(COMMAND) == 128 + number
        finally:
            signal.signal(number, handler)
    again = "vaelib --resume --output out"
    one_line(capsys, "stopped; saved in out/checkpoint.pt; go on with: ", again)
    assert not list(RUN.glob(".*.partial"))
    assert cli.main([*COMMAND, "--resume"]) == 0
    assert kept() == before


def test_a_signal_that_is_ignored_stays_so(here):
    """As nohup has it; and outside the program the handlers are what they were."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert cli.main(["--help"]) == 0
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_not_lost_where_python_drops_exceptions(number):
    """In a weakref's callback, of which training runs thousands: sweeps went on after SIGTERM."""

    class Thing:
        pass

    before, hook = signal.signal(number, signal.default_int_handler), sys.unraisablehook
    try:
        with pytest.raises(signals.Stopped) as stopped, signals.stoppable():
            thing = Thing()
            kept = weakref.ref(thing, lambda _: signal.raise_signal(number))
            del thing
            assert kept() is None
            end = time.monotonic() + 10
            while time.monotonic() < end:
                time.sleep(0.001)
    finally:
        signal.signal(number, before)
    assert stopped.value.status == 128 + number
    assert sys.unraisablehook is hook


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_sweeps_workers_end_with_it(here, number):
    """However it ends: before, they went on training."""
    (here / "tiny.cfg").write_text(TINY.format(images=here / "images", epochs=10**6))
    sweep = forks.start(["sweep", "tiny.cfg", "--seeds", "2", "--jobs", "2", "--device", "cpu"])
    runs = here / "runs" / "tiny-sweep"
    wait_for(lambda: len(list(runs.glob("*/checkpoint.pt"))) == 2, sweep)
    workers = processes.started_by(sweep.pid) - {sweep.pid}
    assert len(workers) >= 2
    os.kill(sweep.pid, number)
    _, err = sweep.communicate(timeout=60)
    assert sweep.returncode == (143 if number == signal.SIGTERM else -number)
    if number == signal.SIGTERM:
        assert err == "vaelib: stopped; the same command with --resume goes on\n"
    wait_for(lambda: not any(alive(worker) for worker in workers))


def alive(pid):
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def wait_for(condition, process=None):
    end = time.monotonic() + 150
    while not condition():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_model_from_before_the_digests_loads(here, tmp_path):
    """As the shipped ones are."""
    path = PATHS[run_folder.MODEL]
    content = path.read_bytes()
    header = re.search(rb'"sha256":"[0-9a-f]{64}"', content).group()
    other = content.replace(header, header.replace(b"sha256", b"ahs652"))
    path.write_bytes(other)
    assert vaelib.load_model(path).latent_dim == 2
