"""Other versions than the pinned ones: the oldest and newest that vaelib takes, and Colab's.

    python tests/environments.py matrix oldest|newest [PYTEST ARGUMENT ...]
    python tests/environments.py colab [NOTEBOOK ...]

Each makes an environment of its own under _build/environments, once. `matrix` runs the tests that
need no book; `colab` executes notebooks as Colab would: from an empty folder, with Colab's
versions, the set-up cell installing vaelib from a clone of what is committed here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / "_build" / "environments"
TOOLS = ["hypothesis", "nbformat", "nbval", "pytest", "pytest-timeout", "pytest-xdist", "pyyaml"]
# those of the book, of the notebooks' outputs and of the pinned tools are for the pinned versions
TESTS = [
    *("arguments", "cli", "config", "data", "device", "disentanglement", "distributed"),
    *("docstrings", "download", "exercises", "explore", "export", "faults", "folder", "fuzz"),
    *("initial_weights", "iwae", "labels", "likelihoods", "losses", "metrics", "models"),
    *("numerics", "objectives", "plots", "pretrained", "processes", "resume", "separating"),
    *("sprites", "train", "workers"),
]
# as published in August 2026, as far as PyPI has them
COLAB = [
    "torch==2.11.0",
    "torchvision==0.26.0",
    "numpy==2.0.2",
    "matplotlib==3.10.0",
    "ipython==7.34.0",
    "ipykernel==6.17.1",
    "ipywidgets==7.7.1",
    "scikit-learn==1.6.1",
    *("mlxtend", "safetensors", "tqdm", "scipy", "sympy", "pandas", "setuptools"),
]
REMOTE = "git+https://github.com/AndrewSpano/Disentangled-Variational-Autoencoder@main"
# run inside the environment: one notebook, told that it is on Colab
EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient
path, remote, clone = sys.argv[1:]
notebook = nbformat.read(path, as_version=4)
cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
assert cells[0].source.count(remote) == 1, "the first cell is not the set-up"
# with a host, for pip takes no address without one
cells[0].source = cells[0].source.replace(remote, f"git+file://localhost{clone}")
colab = 'import sys, types; sys.modules["google.colab"] = types.ModuleType("google.colab")'
notebook.cells.insert(0, nbformat.v4.new_code_cell(colab))
NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
"""


def oldest() -> list[str]:
    """The lower bounds of pyproject.toml, each taken exactly."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    bounds = [*project["dependencies"], *(bound for extra in extras for bound in extra)]
    return [re.sub(r">=", "==", bound) + ".*" for bound in bounds]


def newest() -> list[str]:
    """The same packages without a bound."""
    return [re.split("=", bound)[0] for bound in oldest()]


def environment(name: str, packages: list[str]) -> Path:
    """The Python of an environment with these packages, made where it is not there."""
    folder = ENVIRONMENTS / f"{name}-{sys.version_info.major}.{sys.version_info.minor}"
    python = folder / "bin" / "python"
    stamp = folder / "packages"
    if not stamp.exists() or stamp.read_text().split() != packages:
        print(f"Setting up {folder.relative_to(ROOT)}: {' '.join(packages)}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, *packages], check=True)
        stamp.write_text("\n".join(packages))
    return python


def matrix(cell: str, *arguments: str) -> int:
    packages = {"oldest": oldest, "newest": newest}[cell]()
    python = environment(cell, [*packages, *TOOLS])
    files = [f"tests/test_{name}.py" for name in TESTS]
    paths = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [python, "-m", "pytest", "-q", *(arguments or ["-n", "auto", *files])]
    return subprocess.run(command, cwd=ROOT, env=paths).returncode


def colab(*notebooks: str) -> int:
    python = environment("colab", [*COLAB, "nbclient", "nbformat"])
    failed = []
    with tempfile.TemporaryDirectory() as temporary:
        clone, here = Path(temporary) / "clone", Path(temporary) / "empty"
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        for path in sorted(notebooks or map(str, (ROOT / "notebooks").glob("*.ipynb"))):
            subprocess.run([python, "-m", "pip", "uninstall", "-q", "-y", "vaelib"], check=True)
            shutil.rmtree(here, ignore_errors=True)
            here.mkdir()
            bin_first = f"{python.parent}:{os.environ['PATH']}"
            variables = {**os.environ, "PATH": bin_first, "TQDM_DISABLE": "1"}
            variables.pop("PYTHONPATH", None)
            command = [python, "-c", EXECUTE, Path(path).resolve(), REMOTE, clone]
            ended = subprocess.run(command, cwd=here, env=variables)
            failed += [path] * (ended.returncode != 0)
            print(f"{path}: {'failed' if ended.returncode else 'ran to its end'}", flush=True)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit({"matrix": matrix, "colab": colab}[sys.argv[1]](*sys.argv[2:]))
