"""The reference of the command line, written from the parsers that read it.

`{command-line}` on a page puts in, for each command, how it is called and a table of its options.
"""

import argparse

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

from vaelib.experiments.cli import parsers

from .tables import table


def called(action: argparse.Action) -> str:
    """An option as it is typed, such as `-c FILE, --config FILE`."""
    if not action.option_strings:
        return str(action.metavar or action.dest)
    value = "" if action.nargs == 0 else f" {action.metavar or action.dest.upper()}"
    return ", ".join(name + value for name in action.option_strings)


def explained(action: argparse.Action) -> str:
    """Its help, in which argparse has `%` twice."""
    return (action.help or "").replace("%%", "%")


def usage(parser: argparse.ArgumentParser) -> str:
    """How it is called, in lines whose width is not that of whoever builds the book."""
    lines = argparse.HelpFormatter(prog=parser.prog, width=88)
    lines.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups, prefix="")
    return lines.format_help().rstrip()


class CommandLine(SphinxDirective):
    """A section for each command."""

    def run(self) -> list[nodes.Node]:
        return [section(parser) for parser in parsers("vaelib").values()]


def section(parser: argparse.ArgumentParser) -> nodes.section:
    about, _, more = (parser.description or "").partition("\n\n")
    rows = [(called(action), explained(action)) for action in parser._actions]
    made = nodes.section(ids=[nodes.make_id(f"command-{parser.prog}")])
    made += nodes.title("", "", nodes.literal(parser.prog, parser.prog))
    made += nodes.paragraph("", about)
    made += nodes.literal_block(usage(parser), usage(parser), language="text")
    made += table(
        {"option": 35, "what it does": 65},
        ((nodes.literal(option, option), nodes.Text(what)) for option, what in rows),
    )
    if more:
        made += nodes.literal_block(more, more, language="text")
    if parser.epilog:
        made += nodes.paragraph("", parser.epilog)
    return made


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_directive("command-line", CommandLine)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
