"""For the whole test run: quiet kernels, and the longest files first."""

import os

import pytest

# a progress bar's timings could never match a stored output
os.environ["TQDM_DISABLE"] = "1"

# By seconds, with what tests start: workers that take file after file from here end together, and
# no core waits at the end for a long one. A file that is not listed takes less.
LONGEST = (
    "test_book.py",
    "test_live.py",
    "08-beta-vae.ipynb",
    "test_playground.py",
    "05-vae.ipynb",
    "test_cli.py",
    "06-likelihoods.ipynb",
    "test_faults.py",
    "09-elbo-surgery.ipynb",
    "07-latent-dimension.ipynb",
    "test_variants.py",
    "test_readme.py",
    "test_explorer.py",
    "12-your-own.ipynb",
    "11-gallery.ipynb",
    "01-latent-variables.ipynb",
    "test_distributed.py",
    "10-measuring.ipynb",
    "test_download.py",
    "test_gallery_and_configuration.py",
    "test_pretrained.py",
    "03-elbo.ipynb",
    "02-gaussian-kl.ipynb",
    "04-reparameterization.ipynb",
    "test_export.py",
    "test_make.py",
    "test_initial_weights.py",
    "test_pictures.py",
    "test_workers.py",
    "test_workflows.py",
    "test_tex_to_myst.py",
)


@pytest.hookimpl(optionalhook=True)  # xdist may be away
def pytest_xdist_auto_num_workers(config):
    """Three workers on two cores: a third of the time a test waits, for a browser or a process."""
    return max(1, (os.cpu_count() or 1) * 3 // 2)


def pytest_collection_modifyitems(items):
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.name, len(place)))
