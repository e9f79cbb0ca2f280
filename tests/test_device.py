"""Memory that stays with the process, and a GPU's settings that are left as they were found."""

import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

import vaelib
from vaelib import VAE, ConvSpec, device, fit
from vaelib.conv_transpose import ConvTransposeToOne

FAULTS = """
import resource, torch
from vaelib.device import keep_heap
print(keep_heap())
for warm_up in range(3):
    torch.zeros(2**23), torch.zeros(2**22)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for step in range(10):
    torch.zeros(2**23), torch.zeros(2**22)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def kept_and_page_faults(**environment):
    run = [sys.executable, "-c", FAULTS]
    out = subprocess.run(
        run, env={**os.environ, **environment}, capture_output=True, text=True, check=True
    ).stdout
    kept, faults = out.split()
    return kept == "True", int(faults)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_freed_memory_is_kept_unless_the_environment_says_no():
    assert kept_and_page_faults(VAELIB_KEEP_HEAP="0")[0] is False
    kept, faults = kept_and_page_faults()
    if kept:
        assert faults < 30_000, (
            "ten times 48 MB are 120,000 pages when they come from the kernel each time"
        )


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(device.sys, "platform", "darwin")
    assert device.keep_heap.__wrapped__() is False


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux says what is free")
def test_memory_that_others_hold_is_not_free(monkeypatch):
    """Asked for more, Linux ends the process without a word."""
    assert 0 < device.free_memory() < device.physical_memory()
    files = {"/proc/meminfo": "MemTotal: 9 kB\nMemAvailable:    5000 kB\n"}
    files["/sys/fs/cgroup/memory.max"] = "max\n"
    monkeypatch.setattr(device.Path, "read_text", lambda path: files[str(path)])
    assert device.free_memory() == 5000 * 1024
    files["/sys/fs/cgroup/memory.max"] = "1048576\n"
    assert device.free_memory() == 2**20


def test_cudnn_stays_on_and_is_left_as_it_was():

    def settings() -> tuple[bool, bool, bool]:
        cudnn = torch.backends.cudnn
        return cudnn.enabled, cudnn.deterministic, cudnn.benchmark

    before, seen = settings(), []
    images = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)
    model = VAE((1, 8, 8), 2, [], hidden=4)
    fit(
        model,
        images,
        epochs=1,
        device="cpu",
        progress=False,
        on_record=lambda *_: seen.append(settings()),
    )
    assert seen == [(True, True, before[2])] and settings() == before


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "output_padding"),
    [
        (4, 2, 1, 0),
        (3, 2, 0, 1),
        (7, 1, 1, 0),
        ((7, 5), (2, 1), (1, 3), (1, 0)),
        (1, 1, 0, 0),
        (2, 3, 0, 2),
    ],
)
def test_a_transposed_convolution_to_one_channel_is_torchs(
    kernel, stride, padding, output_padding, memory_format
):
    torch.manual_seed(0)
    layer = ConvTransposeToOne(6, 1, kernel, stride, padding, output_padding).double()
    x = (
        torch.randn(3, 6, 5, 7, dtype=torch.float64)
        .to(memory_format=memory_format)
        .requires_grad_()
    )
    theirs = F.conv_transpose2d(x, layer.weight, layer.bias, stride, padding, output_padding)
    torch.testing.assert_close(layer(x), theirs)
    weights = (x, *layer.parameters())
    probe = torch.randn_like(theirs)
    gradients = [torch.autograd.grad((y * probe).sum(), weights) for y in (layer(x), theirs)]
    torch.testing.assert_close(*gradients)


def test_grey_models_keep_the_names_of_their_weights():
    names = VAE((1, 8, 8), 2, [ConvSpec(4)], hidden=()).state_dict().keys()
    assert names == VAE((3, 8, 8), 2, [ConvSpec(4)], hidden=()).state_dict().keys()
    assert vaelib.load_pretrained("sprites-beta-vae").decoder[-1].weight.shape[1] == 1
