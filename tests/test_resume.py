"""A run stopped anywhere goes on to the same weights, bit for bit; a real process is killed a few
times.
"""

import random
import signal
import sys
import time

import forks
import pytest
import torch

import vaelib
from vaelib import VAE, CheckpointError, ConvSpec, fit

RUN = """
import sys, torch, vaelib
from vaelib import VAE, ConvSpec, fit
torch.manual_seed(0)
generator = torch.Generator().manual_seed(1)
images = torch.randint(0, 256, (120, 1, 8, 8), dtype=torch.uint8, generator=generator)
labels = torch.zeros(120, dtype=torch.int64)
data = vaelib.ImageData("noise", images, images[:20], labels, labels[:20], binarize=True)
model = VAE((1, 8, 8), 3, [ConvSpec(4)], hidden=8)
print("ready", flush=True)
fit(model, data, epochs=60, batch_size=8, beta=4.0, seed=3, device="cpu", checkpoint=sys.argv[1],
    on_record=lambda model, history: print(len(history), flush=True))
vaelib.save_model(model, sys.argv[2])
"""


def start(folder, name):
    return forks.start([folder / f"{name}.pt", folder / f"{name}.safetensors"], RUN)


def in_this_process(folder, name, monkeypatch, capsys):
    """RUN without the seconds that another process takes to import PyTorch; the epochs it says."""
    arguments = ["run", *(str(folder / f"{name}.{kind}") for kind in ("pt", "safetensors"))]
    monkeypatch.setattr(sys, "argv", arguments)
    exec(compile(RUN, "run", "exec"), {})
    return capsys.readouterr().out.split()[1:]


@pytest.mark.parametrize(
    "kills", [(17,), pytest.param((1, 17, 20), marks=pytest.mark.nightly)], ids=["one", "three"]
)
def test_a_killed_run_ends_at_the_same_weights(tmp_path, monkeypatch, capsys, one_thread, kills):
    in_this_process(tmp_path, "whole", monkeypatch, capsys)
    chance = random.Random(0)
    for epochs in kills:
        process = start(tmp_path, "killed")
        assert process.stdout.readline() == "ready\n"
        for _ in range(epochs):
            assert process.stdout.readline() != "", "it ended before it could be killed"
        time.sleep(
            chance.uniform(0, 0.02)
        )  # anywhere in an epoch, or while the checkpoint is written
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert not (tmp_path / "killed.safetensors").exists()
    done = in_this_process(tmp_path, "killed", monkeypatch, capsys)
    assert int(done[0]) > sum(kills) - len(kills), "the last start went on, it did not begin again"
    whole, killed = (
        vaelib.load_model(tmp_path / f"{name}.safetensors") for name in ("whole", "killed")
    )
    assert all(
        torch.equal(a, b) for a, b in zip(whole.state_dict().values(), killed.state_dict().values())
    )
    assert [p.name for p in tmp_path.glob(".*") if ".partial" not in p.name] == []


class Stream:
    def sample(self, n, generator):
        return torch.randint(0, 256, (n, 1, 8, 8), dtype=torch.uint8, generator=generator), None


def trained(steps, path=None, **arguments):
    torch.manual_seed(0)
    model = VAE((1, 8, 8), 3, [ConvSpec(4)], hidden=8)
    history = fit(
        model,
        Stream(),
        steps=steps,
        batch_size=4,
        device="cpu",
        progress=False,
        checkpoint=path,
        **arguments,
    )
    return torch.cat([p.detach().flatten() for p in model.parameters()]), history


def test_a_stream_goes_on_and_can_be_made_longer(tmp_path):
    whole, history = trained(450)
    trained(200, tmp_path / "run.pt")
    longer, resumed = trained(450, tmp_path / "run.pt")
    assert torch.equal(longer, whole)
    assert resumed.steps == history.steps == [100, 200, 300, 400, 450]
    assert resumed.train == history.train and resumed.kl_per_dimension == history.kl_per_dimension
    _, odd = trained(520, tmp_path / "run.pt")
    assert odd.steps == [100, 200, 300, 400, 450, 520]
    again, _ = trained(520, tmp_path / "run.pt")
    assert torch.equal(again, trained(520, tmp_path / "run.pt")[0]), (
        "a finished run is left as it is"
    )


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    path = tmp_path / "run.pt"
    trained(100, path, beta=4.0)
    with pytest.raises(CheckpointError, match=r"run\.pt: of a run with beta 4\.0, not 1\.0"):
        trained(200, path)
    with pytest.raises(CheckpointError, match="seed 0, not 1"):
        trained(200, path, beta=4.0, seed=1)
    with pytest.raises(CheckpointError, match="of another model"):
        fit(
            VAE((1, 8, 8), 2),
            Stream(),
            steps=200,
            batch_size=4,
            beta=4.0,
            progress=False,
            checkpoint=path,
        )


@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"not a checkpoint"]
)
def test_a_damaged_checkpoint_is_named(tmp_path, damage):
    path = tmp_path / "run.pt"
    trained(100, path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(
        CheckpointError, match=r"run\.pt: not a whole checkpoint of vaelib; delete it"
    ):
        trained(200, path)
