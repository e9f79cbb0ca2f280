"""The README's promises: its code runs as written, its tables and addresses are true."""

import json
import re
import subprocess
import sys
import tomllib

import numpy as np
import pytest
import yaml
from common import results, type_in_shell
from PIL import Image

from notebooks import NOTEBOOKS, ROOT, read

README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
REPOSITORY = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]


def test_the_ten_lines_run_as_written(tmp_path):
    (code,) = re.findall(r"^```python\n(.*?)^```$", README, re.M | re.S)
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    elbo = int(re.fullmatch(r"test ELBO (-\d+) nats an image", run.stdout.strip()).group(1))
    assert -215 < elbo < -150
    assert sorted(p.name for p in tmp_path.iterdir()) == ["manifold.png", "model.safetensors"]


def site() -> str:
    """Where GitHub Pages serves the book of the repository in _config.yml."""
    owner, name = REPOSITORY["url"].removeprefix("https://github.com/").split("/")
    return f"https://{owner.lower()}.github.io/{name}"


def colab(stem: str) -> str:
    url = REPOSITORY["url"].replace(
        "https://github.com", "https://colab.research.google.com/github"
    )
    return f"{url}/blob/{REPOSITORY['branch']}/notebooks/{stem}.ipynb"


def chapter_rows() -> list[list[str]]:
    (text,) = re.findall(r"^## The chapters\n(.*?)^## ", README, re.M | re.S)
    table = [line for line in text.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]


def test_the_table_of_chapters_leads_to_each_page_notebook_and_colab():
    rows = chapter_rows()
    assert len(rows) == len(NOTEBOOKS)
    for path, row in zip(NOTEBOOKS, rows, strict=True):
        title = (ROOT / "book" / f"{path.stem}.md").read_text().splitlines()[0].removeprefix("# ")
        assert row[0] == title and len(row[1]) > 30
        assert row[2:5] == [
            f"[page]({site()}/book/{path.stem}.html)",
            f"[notebook](notebooks/{path.name})",
            f"[Open in Colab]({colab(path.stem)})",
        ]


def test_the_front_page_says_where_the_book_is_and_how_long_it_takes():
    page = (ROOT / "book" / "index.md").read_text()
    assert f"<{site()}/>" in page
    start, picture = page.index("**Start here:**"), page.index("```{live} plane")
    chapters, known = page.index("\n## The chapters\n"), page.index("\n## What you should know\n")
    assert start < picture < chapters < known
    assert "A chapter takes about an hour to read, at 100 words a minute" in page
    hours = [words(path.stem) / 100 / 60 for path in NOTEBOOKS]
    assert 0.75 < sum(hours) / len(hours) < 1.25


def words(stem: str) -> int:
    """How many words a reader of a chapter's page meets, its derivations included."""
    page = (ROOT / "book" / f"{stem}.md").read_text()
    derivations = re.findall(r"^```\{derivation\} (\S+)", page, re.M)
    texts = [(ROOT / "latex/derivations" / f"{name}.tex").read_text() for name in derivations]
    return sum(len(re.sub(r"\{\{.*?\}\}", "x", text).split()) for text in [page, *texts])


def seconds(stem: str) -> int:
    """What a notebook says that it takes."""
    source = "".join(cell.source for cell in read(ROOT / "notebooks" / f"{stem}.ipynb").cells[:2])
    said = re.search(r"\*\*Takes\*\* (?:about|under) (.*?) on two processor cores", source)[1]
    words_said = {"a minute and a half": 90, "a minute": 60}
    return words_said.get(said) or int(said.removesuffix(" seconds"))


def test_the_times_of_the_chapters_are_those_of_their_texts_and_notebooks():
    for path, row in zip(NOTEBOOKS, chapter_rows(), strict=True):
        minutes, run = map(int, re.fullmatch(r"(\d+) min \+ (\d+) s", row[5]).groups())
        assert abs(minutes - words(path.stem) / 100) <= 10, path.stem
        assert run == seconds(path.stem), path.stem


def test_the_first_links_lead_to_the_book_to_chapter_1_and_down_the_page():
    top = README[: README.index("## ")]
    assert f"[Read online]({site()}/)" in top
    assert f"[Open chapter 1 in Colab]({colab(NOTEBOOKS[0].stem)})" in top
    assert "[Run it here](#run-it-here)" in top and "\n## Run it here\n" in README
    (picture,) = re.findall(r"^!\[.{40,}\]\((\S+)\)$", top, re.M)
    assert (ROOT / picture).exists()
    for workflow in re.findall(r"/actions/workflows/([\w.]+)", top):
        assert (ROOT / ".github/workflows" / workflow).exists()


def test_the_first_block_clones_this_repository_and_opens_the_notebooks():
    clone, enter, make = shell_blocks()[0].splitlines()
    assert clone == f"git clone {REPOSITORY['url']}"
    assert enter == f"cd {REPOSITORY['url'].rsplit('/', 1)[1]}"
    assert make == "make lab"


def shell_blocks() -> list[str]:
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.M | re.S)
    return [text for language, text in blocks if not language]


def type_commands(folder, name, wanted=lambda line: True, epochs=None):
    """The README's commands on a configuration as written, in a shell that has no vaelib."""
    (cfg,) = re.findall(rf"^```ini\n# {re.escape(name)}\n(.*?)^```$", README, re.M | re.S)
    cfg, times = re.subn(r"(?<=^epochs = )\d+", lambda was: str(epochs or was[0]), cfg, flags=re.M)
    assert times == 1
    (folder / name).write_text(cfg)
    (block,) = [block for block in shell_blocks() if f"\nvaelib -c {name} " in block]
    assert block.startswith(". .venv/bin/activate\n")
    typed = "".join(line for line in block.splitlines(keepends=True) if wanted(line))
    type_in_shell(folder, typed)


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_your_own_pictures_train_as_the_readme_says(tmp_path):
    (tmp_path / "pictures" / "noise").mkdir(parents=True)
    for i in range(60):
        pixels = np.random.default_rng(i).integers(0, 256, (40, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / "noise" / f"{i}.jpg")
    type_commands(tmp_path, "pictures.cfg")
    assert (tmp_path / "runs/pictures-vae/report.html").exists()
    assert (tmp_path / "runs/pictures-vae/samples-seed1.png").exists()
    report = (tmp_path / "runs/photographs-vae/report.html").read_text()
    assert "Trained on 5" in report and "test ELBO" in report


def test_the_commands_about_one_model_run_in_a_shell_that_has_no_vaelib(tmp_path):
    """All that the text has on my.cfg but the sweep, after one epoch instead of three."""
    others = ("vaelib -c mnist-5k ", "vaelib sweep ")
    type_commands(tmp_path, "my.cfg", lambda line: not line.startswith(others), epochs=1)
    assert (tmp_path / "runs/mine/export/explorer.html").exists()
    assert json.loads((tmp_path / "runs/mine/results.json").read_text())["evaluation"]


@pytest.mark.nightly
@pytest.mark.timeout(900)  # it trains six models
def test_the_commands_run_as_written_in_a_shell_that_has_no_vaelib(tmp_path):
    type_commands(tmp_path, "my.cfg")
    assert (tmp_path / "runs/mine/export/explorer.html").exists()
    assert (tmp_path / "runs/mnist-5k-vae/report.html").exists()
    assert json.loads((tmp_path / "runs/mine/results.json").read_text())["elbo"] > -230
    table = (tmp_path / "runs/my-sweep/sweep.csv").read_text().splitlines()
    assert len(table) == 1 + 2 * 2


def test_the_three_results_are_those_of_the_studies():
    (text,) = re.findall(r"^## Three results\n(.*?)^## ", README, re.M | re.S)
    assert [name for name in re.findall(r"`book/results/(\S+)\.json`", text)] == [
        "literature",
        "08-beta-vae",
        "peers",
    ]
    (vae,) = [run for run in results("literature")["nll"] if (run["k"], run["epochs"]) == (1, 800)]
    assert vae["finished"] and vae["hardware"].startswith("1 of ")
    assert f"{vae['nll']:.1f} ± {vae['nll_error']:.1f} nats" in text
    assert f"after {vae['epochs']} epochs, {vae['seconds'] / 60:.0f} minutes" in text
    assert f"estimated with {vae['nll_samples']:,} samples each" in text
    published = f"report {vae['published']}, by the same estimate"
    assert f"{published}, after {vae['published_epochs']:,} epochs" in text

    sprites = results("08-beta-vae")["sprites"]
    falling, constant = sprites["falling4"], sprites["constant4"]
    assert f"its own in {falling['own_scale']} of {falling['runs']} seeds" in text
    assert f"x and y in {falling['own_place']} of {falling['runs']}" in text
    assert f"gives scale one in {constant['own_scale']} of {constant['runs']}" in text

    codes = {name: code for name, code in results("peers").items() if name != "setting"}
    assert len(codes) == 7 and "On seven codes" in text
    for score in ("MIG", "SAP", "SAP, R2"):
        for code in codes.values():
            assert abs(code[score]["vaelib"] - code[score]["disent"]) < 1e-13
    apart = max(
        abs(code[f"{score}, trees"]["vaelib"] - code[f"{score}, trees"]["disent"])
        for score in "DC"
        for code in codes.values()
    )
    assert f"move it by up to {apart:.2f}" in text
    took = {
        who: sum(code["seconds"][who] for code in codes.values()) for who in ("vaelib", "disent")
    }
    assert f"took {took['vaelib']:.0f} seconds, and `disent` {took['disent']:.0f}" in text


def test_as_many_wrong_variants_are_tried_as_the_readme_says():
    (said,) = re.findall(r"More than (\d+) wrong variants", README)
    files = (ROOT / "tests" / "variants").glob("*.toml")
    assert sum(len(tomllib.loads(path.read_text())["variant"]) for path in files) > int(said)


def test_every_target_that_the_readme_names_exists():
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.M)):
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_every_file_that_readme_and_layout_name_exists():
    text = README + CONTRIBUTING
    for name in (
        "requirements.txt",
        "_config.yml",
        "_toc.yml",
        ".ci/run",
        "latex/README.md",
        "LICENSE",
        "latex/vae_maths.pdf",
    ):
        assert name in text and (ROOT / name).exists(), name
    folders = re.findall(r"^(\w+)/  ", CONTRIBUTING, re.M)
    assert len(folders) == 6
    for folder in folders:
        assert (ROOT / folder).is_dir(), folder


def test_where_everything_is_and_how_to_add_to_it_stands_in_contributing():
    assert "## Layout" in CONTRIBUTING and "## Recipes" in CONTRIBUTING
    for word in ("## Layout", "## Recipes", "\nvaelib/\n"):
        assert word not in README, word


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
