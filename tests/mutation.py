"""Plant wrong formulas in vaelib, one at a time, and see that the test suite catches each.

make mutation    about 5 minutes; prints a table, exits with status 1 if any variant survives

The variants are in mutation.toml; each is made in a copy of the package that comes first on
PYTHONPATH. The notebooks' formulas have their own wrong variants, variants/*.toml, which run with
every `make test`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = {
    "losses": ("test_losses.py", "test_likelihoods.py", "test_objectives.py", "test_iwae.py"),
    "metrics": ("test_metrics.py", "test_likelihoods.py", "test_objectives.py"),
    "layers": ("test_models.py",),
    "models": ("test_models.py", "test_iwae.py"),
    "train": ("test_train.py", "test_iwae.py"),
    "history": ("test_train.py", "test_iwae.py"),
    "schedules": ("test_train.py", "test_objectives.py", "test_iwae.py"),
    "objectives": ("test_train.py", "test_objectives.py", "test_iwae.py"),
    "disentanglement": ("test_disentanglement.py",),
    "factor_vae": ("test_separating.py",),
    "dip_vae": ("test_separating.py",),
    "ada_gvae": ("test_separating.py",),
    "initial_weights": ("test_initial_weights.py",),
}
VARIANTS = tomllib.loads((ROOT / "tests" / "mutation.toml").read_text())["variant"]


def caught(module: str, before: str, after: str) -> bool:
    """Whether the tests of ``module`` fail when ``before`` is replaced in a copy of the package."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(
            ROOT / "vaelib", Path(folder) / "vaelib", ignore=shutil.ignore_patterns("__pycache__")
        )
        path = Path(folder) / "vaelib" / f"{module}.py"
        text = path.read_text()
        assert text.count(before) == 1, (
            f"{module}.py: {before!r} is there {text.count(before)} times"
        )
        path.write_text(text.replace(before, after))
        tests = [ROOT / "tests" / name for name in TESTS[module]]
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-x",
            "-q",
            "-p",
            "no:cacheprovider",
            "--noconftest",
            *tests,
        ]
        run = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": folder, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
    if run.returncode not in (0, 1):  # 1: tests failed; anything else: they did not run
        raise SystemExit(run.stdout + run.stderr)
    return run.returncode == 1


def main() -> int:
    print("| module | mistake | caught |\n| --- | --- | --- |", flush=True)
    survivors = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        verdicts = pool.map(lambda v: caught(v["module"], v["before"], v["after"]), VARIANTS)
        for variant, found in zip(VARIANTS, verdicts):
            survivors += not found
            print(
                f"| {variant['module']} | {variant['why']} | {'yes' if found else '**NO**'} |",
                flush=True,
            )
    print(f"\n{len(VARIANTS)} variants, {survivors} survived")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
