"""The page of the command line has every command and option of the parsers that read it."""

import argparse
import subprocess
import sys

import pytest
from course import command_line
from docutils import nodes

from notebooks import ROOT
from vaelib.experiments import cli

PARSERS = cli.parsers("vaelib")


def test_training_and_every_command_have_a_parser_and_the_page_has_the_directive():
    assert list(PARSERS) == ["", *cli.COMMANDS]
    assert "```{command-line}\n```" in (ROOT / "book" / "command-line.md").read_text()
    assert "      - file: book/command-line\n" in (ROOT / "_toc.yml").read_text()


@pytest.mark.parametrize("parser", PARSERS.values(), ids=lambda parser: parser.prog)
def test_a_section_has_every_option_with_its_help(parser):
    section = command_line.section(parser)
    assert section[0].astext() == parser.prog
    (table,) = section.findall(nodes.table)
    rows = [[cell.astext() for cell in row] for row in table.findall(nodes.row)][1:]
    assert len(rows) == len(parser._actions) > 1
    for action, (typed, help_) in zip(parser._actions, rows, strict=True):
        for name in action.option_strings or [action.metavar]:
            assert name in typed.replace(",", " ").split()
        assert help_ and " ".join(help_.split()) in " ".join(parser.format_help().split())


def test_what_an_option_takes_stands_behind_it_and_a_switch_takes_nothing():
    parser = argparse.ArgumentParser(prog="p", add_help=False)
    parser.add_argument("run", metavar="RUN", help="a folder")
    parser.add_argument("-c", "--config", metavar="FILE", help="50 %% of it")
    parser.add_argument("--number", type=int)
    parser.add_argument("--html", action="store_true")
    typed = [command_line.called(action) for action in parser._actions]
    assert typed == ["RUN", "-c FILE, --config FILE", "--number NUMBER", "--html"]
    assert command_line.explained(parser._actions[1]) == "50 % of it"


def test_the_width_of_a_terminal_changes_nothing(monkeypatch):
    wide = {name: command_line.usage(parser) for name, parser in PARSERS.items()}
    monkeypatch.setenv("COLUMNS", "40")
    assert {name: command_line.usage(parser) for name, parser in PARSERS.items()} == wide


def test_the_parsers_are_made_without_torch():
    code = "import sys; from vaelib.experiments.cli import parsers; parsers('vaelib')"
    code += "; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
