"""The page "Start here": what its 20 lines say and draw.

python book/studies/start.py    some seconds

Runs book/start.py, and writes book/results/start.json and book/images/start.png.
"""

import contextlib
import io
import re
import runpy

import torch
from reporting import ROOT, image_path, machine, write_results

from vaelib import plots

PROGRAM = ROOT / "book" / "start.py"
DRAWS = 100  # of each z: one draw of each moves the mean by a sixth of a nat


@torch.no_grad()
def bound(names: dict) -> float:
    """The mean ELBO of the test digits in nats, of `DRAWS` draws of each z, not of one."""
    torch.manual_seed(0)
    x = names["data"].test / 255
    return sum(names["elbo"](x).item() for _ in range(DRAWS)) / DRAWS


def main() -> None:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        names = runpy.run_path(str(PROGRAM))
    printed = re.search(r"test ELBO (\S+)", said.getvalue())
    assert printed is not None, said.getvalue()
    plots.image_grid(names["samples"].detach(), columns=12).savefig(image_path("start.png"))
    results = {"draws": DRAWS, "elbo": round(bound(names), 2), "printed": float(printed[1])}
    write_results("start", {"setting": machine("cpu"), **results})


if __name__ == "__main__":
    main()
