"""The directive `{beside} vaelib.losses.kl_standard`: lines of vaelib beside what they stand for.

The code is read from the source when the book is built, without its docstring; a module's name,
`book.start`, stands for all of it. Each line of the content is `a part of one line of the code ::
the symbol or words that stand beside it`. With `from` and `to`, parts of two lines, only what lies
between them is shown.
"""

import ast
import textwrap
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

Definition = ast.FunctionDef | ast.ClassDef
SEPARATOR = " :: "


def source_of(root: Path, name: str) -> tuple[Path, int, list[str]]:
    """The file, the number of the first line, and the lines as written.

    Of a function, a class or a module.

    Raises:
        ValueError: there is no such function.
    """
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        path = root.joinpath(*parts[:length]).with_suffix(".py")
        if path.is_file():
            break
    else:
        raise ValueError(f"{name!r}: no module {parts[0]}")
    text = path.read_text("utf8")
    found: ast.Module | Definition = ast.parse(text)
    for part in parts[length:]:
        inside = [n for n in found.body if isinstance(n, Definition) and n.name == part]
        if not inside:
            raise ValueError(f"{name!r}: {path.name} has no {part!r}")
        found = inside[0]
    first, last = (found.lineno, found.end_lineno) if isinstance(found, Definition) else (1, None)
    lines = text.splitlines()[first - 1 : last]
    if ast.get_docstring(found) is not None:
        docstring = found.body[0]
        assert docstring.end_lineno is not None
        del lines[docstring.lineno - first : docstring.end_lineno - first + 1]
    return path, first, textwrap.dedent("\n".join(lines)).splitlines()


def line_with(lines: list[str], part: str) -> int:
    """The index of the only line that contains `part`.

    Raises:
        ValueError: none does, or several do.
    """
    found = [i for i, line in enumerate(lines) if part in line]
    if len(found) != 1:
        raise ValueError(f"{part!r} stands in {len(found)} lines of the code, not in one")
    return found[0]


class Beside(SphinxDirective):
    """Refuses a part of the code that does not stand there exactly once."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar = {"from": directives.unchanged, "to": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        try:
            path, first, lines = source_of(Path(self.env.srcdir), self.arguments[0])
            if "from" in self.options:
                start = line_with(lines, self.options["from"])
                lines = lines[start:]
            if "to" in self.options:
                lines = lines[: line_with(lines, self.options["to"]) + 1]
            lines = textwrap.dedent("\n".join(lines)).splitlines()
            rows = self.rows(lines)
        except ValueError as error:
            raise self.error(f"beside: {error}") from None
        self.env.note_dependency(str(path))
        where = path.relative_to(self.env.srcdir).as_posix()
        head = nodes.paragraph("", "", nodes.literal("", self.arguments[0]), nodes.Text(", "))
        head += [nodes.literal("", where), nodes.Text(f", from line {first}")]
        # a whole module's lines are long, so that what they mean stands below each
        whole = where == f"{self.arguments[0].replace('.', '/')}.py"
        classes = ["beside", *["beside-whole"] * whole]
        return [nodes.container("", head, *rows, classes=classes)]

    def rows(self, lines: list[str]) -> list[nodes.Node]:
        notes: dict[int, str] = {}
        for note in filter(str.strip, self.content):
            part, separator, words = note.partition(SEPARATOR)
            if not separator:
                raise ValueError(f"{note!r} lacks {SEPARATOR.strip()!r}: code :: its symbol")
            notes[line_with(lines, part.strip())] = words.strip()
        starts = sorted({0, *notes})
        rows: list[nodes.Node] = []
        for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
            code = "\n".join(lines[start:end])
            said, problems = self.state.inline_text(notes.get(start, ""), self.lineno)
            row = nodes.container("", nodes.literal_block(code, code, language="python"))
            row["classes"] = ["beside-row"]
            row += nodes.paragraph("", "", *said)
            rows += [row, *problems]
        return rows


def setup(app: Sphinx) -> None:
    app.add_directive("beside", Beside)
