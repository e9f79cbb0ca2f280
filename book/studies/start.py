"""The page "Start here": what its 20 lines say and draw.

python book/studies/start.py    some seconds

Runs book/start.py, and writes book/results/start.json and book/images/start.png.
"""

import contextlib
import io
import re
import runpy

from reporting import ROOT, image_path, machine, write_results

from vaelib import plots

PROGRAM = ROOT / "book" / "start.py"


def main() -> None:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        names = runpy.run_path(str(PROGRAM))
    elbo = re.search(r"test ELBO (\S+)", said.getvalue())
    assert elbo is not None, said.getvalue()
    plots.image_grid(names["samples"].detach(), columns=12).savefig(image_path("start.png"))
    write_results("start", {"setting": machine("cpu"), "elbo": float(elbo[1])})


if __name__ == "__main__":
    main()
