"""For every test: no process that it started is left, however it ends."""

import processes
import pytest


@pytest.fixture(autouse=True)
def no_process_is_left():
    yield
    processes.end_all()
