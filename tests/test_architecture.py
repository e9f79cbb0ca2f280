"""The house: which modules there are, what each may import, and how long the core is."""

import ast
import re

import pytest

from notebooks import NOTEBOOKS, ROOT

# Every module, from the bottom up: each may import those above it in this list, and no others.
ORDER = [
    "choices",
    "checks",
    "device",
    "losses",
    "conv_transpose",
    "initial_weights",
    "layers",
    "models",
    "saving",
    "distributed",
    "metrics",
    "schedules",
    "objectives",
    "factor_vae",
    "dip_vae",
    "data.images",
    "data.factors",
    "ada_gvae",
    "data.download",
    "data.cifar",
    "data.standard",
    "data.sprites",
    "data.dsprites",
    "data.tree",
    "data.pictures",
    "data.folder",
    "data.load",
    "data",
    "history",
    "train",
    "disentanglement",
    "plots",
    "explore",
    "live",
    "pretrained",
    "",  # the front, vaelib/__init__.py: all that a chapter uses, and nothing of the program
    "exercises",
    *(f"exercises.chapter{number:02}" for number in range(1, len(NOTEBOOKS) + 1)),
    "experiments",
    "experiments.schema",
    "experiments.config",
    "experiments.arguments",
    "experiments.signals",
    "experiments.from_config",
    "experiments.run_folder",
    "experiments.measure",
    "experiments.report",
    "experiments.workers",
    "experiments.run",
    "experiments.finished_run",
    "experiments.export",
    "experiments.sweep_table",
    "experiments.sweep",
    "experiments.cli",
    "__main__",
]
GROUPS = (
    "the core",
    "what separates",
    "looking and scoring",
    "plumbing",
    "data",
    "pretrained",
    "experiments",
    "exercises",
)
CORE = ("losses", "layers", "models", "objectives", "train", "metrics")
MOST_CORE_LINES = 1100


def module_name(path) -> str:
    """The module's name below vaelib, with dots; "" is vaelib/__init__.py."""
    return (
        ".".join(path.relative_to(ROOT / "vaelib").with_suffix("").parts)
        .replace("__init__", "")
        .rstrip(".")
    )


MODULES = {module_name(path): path for path in sorted((ROOT / "vaelib").rglob("*.py"))}


def imported(source: str) -> set[str]:
    """The modules of vaelib that ``source`` imports, at any depth of nesting."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            full = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            # `from package import name`: the module of that name, else what the package defines
            full = [
                f"{node.module}.{alias.name}"
                if f"{node.module}.{alias.name}".removeprefix("vaelib.") in MODULES
                else node.module
                for alias in node.names
            ]
        else:
            continue
        found |= {
            n.removeprefix("vaelib").removeprefix(".") for n in full if n.split(".")[0] == "vaelib"
        }
    return found


def layout_map() -> dict[str, list[str]]:
    """The map of vaelib in CONTRIBUTING.md: for each heading the modules below it."""
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    (text,) = re.findall(r"^vaelib/\n(.*?)^```$", contributing, re.M | re.S)
    groups: dict[str, list[str]] = {}
    heading = ""
    for line in text.splitlines():
        if module := re.match(r" {2}(\S+\.py) +\S", line):
            groups[heading].append(module.group(1))
        elif not line.startswith(" "):
            heading = line.split(":")[0]
            groups[heading] = []
    return groups


def test_every_module_has_its_place_in_the_order():
    assert sorted(ORDER) == sorted(MODULES)


@pytest.mark.parametrize("module", ORDER, ids=lambda module: module or "vaelib")
def test_a_module_imports_only_from_those_below_it(module):
    """With `test_every_module_has_its_place_in_the_order`: no circle, and no import upwards."""
    used = imported(MODULES[module].read_text())
    assert used <= set(ORDER[: ORDER.index(module)])


def test_nested_conditional_and_plain_imports_are_all_read():
    source = """
import vaelib.plots
if TYPE_CHECKING:
    from vaelib import __version__, train
def f():
    def g():
        from vaelib.data import load, ImageData, sprites
"""
    assert imported(source) == {"plots", "", "train", "data.load", "data", "data.sprites"}


def test_only_the_fronts_of_packages_import_by_a_name_made_at_run_time():
    """What `ast` can't follow is where it can be seen at a glance."""
    dynamic = {n for n, path in MODULES.items() if "import_module(" in path.read_text()}
    assert dynamic == {"", "exercises"}


def test_the_core_never_uses_the_experiments():
    """The program uses the core; only it and `python -m vaelib` know that there is a program."""
    users = {
        name
        for name, path in MODULES.items()
        if any(used.split(".")[0] == "experiments" for used in imported(path.read_text()))
    }
    assert {name for name in users if not name.startswith("experiments")} == {"__main__"}


def test_the_core_is_an_evenings_reading():
    core = layout_map()["the core"]
    lines = {name: len((ROOT / "vaelib" / name).read_text().splitlines()) for name in core}
    assert set(core) >= {f"{name}.py" for name in CORE}
    assert sum(lines.values()) <= MOST_CORE_LINES, lines


def test_the_readmes_map_is_the_folder():
    """One line a module, in the rooms of the house; the exercises' chapters share a line."""
    groups = layout_map()
    assert tuple(groups) == GROUPS
    listed = [name for names in groups.values() for name in names]
    there = {
        re.sub(r"chapter\d\d", "chapterNN", str(path.relative_to(ROOT / "vaelib")))
        for path in MODULES.values()
    }
    assert sorted(listed) == sorted(there)
    for group in ("data", "pretrained", "experiments", "exercises"):
        assert all(name.startswith(f"{group}/") for name in groups[group])
