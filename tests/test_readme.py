"""The README's promises: its code runs as written, its tables and addresses are true."""

import re
import subprocess
import sys

import yaml

from notebooks import NOTEBOOKS, ROOT

README = (ROOT / "README.md").read_text()
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text())


def test_the_ten_lines_run_as_written(tmp_path):
    (code,) = re.findall(r"^```python\n(.*?)^```$", README, re.M | re.S)
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    elbo = int(re.fullmatch(r"test ELBO (-\d+) nats an image", run.stdout.strip()).group(1))
    assert -215 < elbo < -150
    assert sorted(p.name for p in tmp_path.iterdir()) == ["manifold.png", "model.safetensors"]


def test_the_colab_table_lists_every_notebook():
    repository = CONFIG["repository"]
    branch = repository["branch"]
    colab = repository["url"].replace(
        "https://github.com", "https://colab.research.google.com/github"
    )
    for path in NOTEBOOKS:
        title = (ROOT / "book" / f"{path.stem}.md").read_text().splitlines()[0].removeprefix("# ")
        assert (
            f"| {title} | [Open in Colab]({colab}/blob/{branch}/notebooks/{path.name}) |" in README
        )
    assert README.count("[Open in Colab]") == len(NOTEBOOKS)


def test_every_target_that_the_readme_names_exists():
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"`?make ([a-z]+)", README)) - {"built", "made"}:
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_every_file_that_the_readme_names_exists():
    for name in (
        "requirements.txt",
        "_config.yml",
        "_toc.yml",
        ".ci/run",
        "latex/README.md",
        "LICENSE",
        "latex/vae_maths.pdf",
    ):
        assert name in README and (ROOT / name).exists(), name
    for folder in re.findall(r"^(\w+)/  ", README, re.M):
        assert (ROOT / folder).is_dir(), folder


def test_requirements_pin_every_direct_dependency_exactly():
    lines = [
        line
        for line in (ROOT / "requirements.txt").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert len(lines) > 20 and all(re.fullmatch(r"[\w-]+==[\w.]+", line) for line in lines)


def test_the_tables_of_the_benchmarks_are_those_of_their_results():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import write_readme

    text = write_readme.README.read_text()
    assert {name for name in write_readme.TABLES if f"<!-- {name} -->" in text} == set(
        write_readme.TABLES
    )
    assert write_readme.fill_tables(text) == text, "run python benchmarks/write_readme.py"
    assert write_readme.fill_tables(text.replace("| plain | ", "| plain | 1")) == text
