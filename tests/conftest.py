"""For every test: no process that it started is left; for those that need one, a browser."""

import os
import shutil

import processes
import pytest
import torch
from browsing import Pages

# the first is Chromium without its windows, which saves a quarter of the time in a browser
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
# headless, and silent: Chromium's own background requests are none of the book's
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-sync",
]


@pytest.fixture(autouse=True)
def no_process_is_left():
    yield
    processes.end_all()


@pytest.fixture
def one_thread():
    """As in the processes that tests start, for the same numbers in this one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def browser():
    if BROWSER is None:
        assert not os.environ.get("CI"), "CI must have a browser: .ci/run installs it"
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def tabs(browser, tmp_path_factory):
    return Pages(browser, tmp_path_factory.mktemp("blank"))
