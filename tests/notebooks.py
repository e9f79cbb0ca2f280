"""Notebooks as data: where they are, their cells, and what a committed one must look like.

Run as `python tests/notebooks.py FILE ...` it brings freshly executed notebooks into that form:
what differs from run to run and says nothing (timestamps, kernel details, where a printed text was
cut in two on its way) is taken out, so that a change in a notebook is a change.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
KERNEL = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
CHECK_TAG = "checks:"


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def tags(cell) -> list[str]:
    return cell.metadata.get("tags", [])


def checked_labels(path: Path) -> list[str]:
    """The equation labels that a notebook's cells are tagged to check."""
    return [
        tag.removeprefix(CHECK_TAG)
        for cell in code_cells(path)
        for tag in tags(cell)
        if tag.startswith(CHECK_TAG)
    ]


def whole_streams(outputs: list) -> list:
    """The outputs, with what was printed in one go in one piece."""
    whole = []
    for output in outputs:
        last = whole[-1] if whole else {}
        if output.output_type == last.get("output_type") == "stream" and output.name == last.name:
            last.text += output.text
        else:
            whole.append(output)
    return whole


def normalise(path: Path) -> None:
    notebook = read(path)
    notebook.metadata = KERNEL
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02d}"
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = whole_streams(cell.outputs)
    nbformat.validate(notebook)
    nbformat.write(notebook, path)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        normalise(Path(name))
