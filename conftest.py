"""For the whole test run: quiet kernels, and the longest files first."""

import os

# a progress bar's timings could never match a stored output
os.environ["TQDM_DISABLE"] = "1"

# By seconds of a core, with what tests start: two workers that take file after file from here end
# together, and no core waits at the end for a long one. A file that is not listed takes less.
LONGEST = (
    "test_book.py",
    "test_live.py",
    "08-beta-vae.ipynb",
    "07-latent-dimension.ipynb",
    "05-vae.ipynb",
    "09-elbo-surgery.ipynb",
    "10-measuring.ipynb",
    "06-likelihoods.ipynb",
    "04-reparameterization.ipynb",
    "test_cli.py",
    "test_playground.py",
    "11-gallery.ipynb",
    "test_distributed.py",
    "12-your-own.ipynb",
    "03-elbo.ipynb",
    "test_faults.py",
    "test_fuzz.py",
    "02-gaussian-kl.ipynb",
    "01-latent-variables.ipynb",
    "test_workers.py",
    "test_explorer.py",
)


def pytest_collection_modifyitems(items):
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.name, len(place)))
