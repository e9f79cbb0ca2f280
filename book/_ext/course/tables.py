"""A table as a part of the extension makes it."""

from collections.abc import Iterable, Mapping

from docutils import nodes


def table(columns: Mapping[str, int], rows: Iterable[Iterable[nodes.Node]]) -> nodes.table:
    """A table of ``rows`` of cells; ``columns`` are the heads, each with its share of the width."""
    group = nodes.tgroup("", *(nodes.colspec(colwidth=w) for w in columns.values()))
    group["cols"] = len(columns)
    head, body = nodes.thead(), nodes.tbody()
    head += _row(map(nodes.Text, columns))
    for cells in rows:
        body += _row(cells)
    group += head
    group += body
    return nodes.table("", group)


def _row(cells: Iterable[nodes.Node]) -> nodes.row:
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", cell)) for cell in cells))
