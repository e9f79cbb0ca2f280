"""Two real processes, started by torchrun, train as one does: the same weights to rounding, one set
of files, one voice.
"""

import os
import socket
import subprocess
import sys

import forks
import processes
import pytest
import torch
from common import weights

import vaelib
from vaelib import VAE, ConvSpec, distributed, fit, objectives

CONFIG = """
[configuration]
dataset = sprites
image_size = 32
[architecture]
conv_channels = [4]
z_dimension = 3
hidden = [8]
[hyperparameters]
steps = {steps}
batch_size = 9
beta = 4
"""
FIT = """
import torch, torch.distributed as dist
from test_distributed import trained, weights
dist.init_process_group("gloo")
torch.manual_seed(dist.get_rank())  # each process begins with other weights, and gets the first's
state = [weights(trained(epochs, {folder!r} + "/fit.pt")) for epochs in (1, 2)]
both = [torch.empty_like(state[1]) for _ in range(2)]
dist.all_gather(both, state[1])
assert torch.equal(*both), "the processes went apart"
torch.save(state, {folder!r} + f"/state-{{dist.get_rank()}}.pt")
dist.destroy_process_group()
"""


def trained(epochs, checkpoint=None):
    """With a loss that couples all the images of a minibatch (beta-TCVAE), and minibatches that do
    not divide evenly.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (64, 1, 8, 8), dtype=torch.uint8, generator=generator)
    data = vaelib.ImageData(
        "noise", images, images[:8], torch.zeros(64), torch.zeros(8), binarize=True
    )
    model = VAE((1, 8, 8), 3, [ConvSpec(4)], hidden=8)
    loss = objectives.beta_tcvae(6.0, 64)
    fit(
        model,
        data,
        epochs=epochs,
        batch_size=9,
        objective=loss,
        device="cpu",
        progress=False,
        checkpoint=checkpoint,
    )
    return model


def torchrun(folder, *command):
    """``command`` in two processes with one thread each: its exit status, stdout and stderr."""
    run = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        *command,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = processes.start(run, cwd=folder, env=environment, **pipes)
    out, err = process.communicate(timeout=200)
    return process.returncode, out, err


def forked(folder, arguments=(), code=""):
    """As `torchrun`, whose part this plays: it tells two processes who they are."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        told = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    told |= {"WORLD_SIZE": "2", "TQDM_DISABLE": "1"}
    both = [
        forks.start(arguments, code, folder, RANK=rank, LOCAL_RANK=rank, **told) for rank in "01"
    ]
    out, err = map("".join, zip(*(process.communicate() for process in both)))
    return max(process.returncode for process in both), out, err


def test_two_processes_train_as_one_and_go_on_from_a_checkpoint(tmp_path):
    status, _, err = forked(tmp_path, code=FIT.format(folder=str(tmp_path)))
    assert status == 0, err
    for epochs, two in enumerate(torch.load(tmp_path / "state-0.pt"), start=1):
        torch.manual_seed(0)
        torch.testing.assert_close(two, weights(trained(epochs)), rtol=1e-4, atol=1e-5)
    assert {path.name for path in tmp_path.iterdir()} == {
        "fit.pt",
        "fit.previous.pt",
        "state-0.pt",
        "state-1.pt",
    }


def test_the_command_line_under_torchrun_writes_and_speaks_once(tmp_path):
    config, command = (
        tmp_path / "tiny.cfg",
        ["-m", "vaelib", "-c", "tiny.cfg", "-v", "VAE", "--device", "cpu"],
    )
    config.write_text(CONFIG.format(steps=2))
    status, out, err = torchrun(tmp_path, *command)
    assert status == 0, err
    assert "; 2 processes\n" in out and out.count("ELBO ") == 1
    run = tmp_path / "runs" / "tiny-vae"
    written = {path.name for path in run.iterdir()}
    assert {"results.json", "report.html", "model.safetensors"} <= written and not [
        n for n in written if "partial" in n
    ]
    status, _, err = forked(tmp_path, command[2:])
    assert (
        status == 2
        and err.count("vaelib: ") == err.count("vaelib: runs/tiny-vae: there is a run already") == 1
    )


@pytest.mark.nightly  # one line from two processes is seen above, this refusal below
def test_the_command_line_under_torchrun_refuses_a_scale_of_the_whole_minibatch_in_one_line(
    tmp_path,
):
    optimal = "hidden = [8]\nlikelihood = gaussian\nsigma = optimal"
    (tmp_path / "tiny.cfg").write_text(CONFIG.format(steps=2).replace("hidden = [8]", optimal))
    status, _, err = torchrun(
        tmp_path, "-m", "vaelib", "-c", "tiny.cfg", "-v", "VAE", "--device", "cpu"
    )
    assert (
        status != 0
        and err.count("vaelib: tiny.cfg: [architecture] sigma = optimal: ")
        == err.count("vaelib: ")
        == 1
    )
    assert (
        "ValueError" not in err and not (tmp_path / "runs").exists()
    )  # the traceback is torchrun's own


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_the_rows_of_all_processes_are_the_minibatch(size):
    for n in (1, 4, 7, 128):
        rows = [torch.arange(n)[distributed.Team(rank, size).rows(n)] for rank in range(size)]
        assert torch.cat(rows).tolist() == list(range(n))
        assert max(map(len, rows)) - min(map(len, rows)) <= 1


def test_a_model_that_needs_the_whole_minibatch_is_refused():
    model = VAE((1, 8, 8), 3, likelihood="gaussian", sigma="optimal")
    with pytest.raises(ValueError, match="in one process"):
        distributed.Team(0, 2).broadcast_weights(model)
