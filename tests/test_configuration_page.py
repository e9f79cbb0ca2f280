"""The configuration reference says what `vaelib.experiments.schema` says: every key, in order, what
it allows, and its default.
"""

import re
from dataclasses import MISSING, fields

from notebooks import ROOT
from vaelib.choices import DATASETS, SCHEDULES
from vaelib.experiments.config import text_of
from vaelib.experiments.schema import SECTIONS

PAGE = (ROOT / "book" / "configuration.md").read_text()


def rows(section):
    """The cells of the table under a heading."""
    (text,) = re.findall(rf"^## {re.escape(section)}\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
    table = [line for line in text.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]


def test_every_key_is_there_with_what_it_allows_and_its_default():
    for section, kind in SECTIONS.items():
        expected = [
            [
                f"`{f.name}`",
                f.metadata["allowed"],
                "**needed**"
                if f.default is MISSING
                else ""
                if f.default is None
                else f"`{text_of(f.default)}`",
            ]
            for f in fields(kind)
        ]
        assert [row[:3] for row in rows(f"[{section}]")] == expected
        assert all(len(row) == 4 and len(row[3]) > 10 for row in rows(f"[{section}]"))


def test_every_data_set_and_every_schedule_is_there():
    first = " ".join(row[0] for row in rows("Data sets"))
    names = re.findall(r"`([^`]+)`", first)
    assert sorted(names) == sorted(choice.display_name for choice in DATASETS.values())
    listed = {row[0].strip("`") for row in rows("Schedules") if not row[0].startswith("`tc`")}
    assert listed == {" ".join([kind, *numbers]) for kind, numbers in SCHEDULES.items()}
