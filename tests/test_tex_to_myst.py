"""The book's LaTeX reader: each construct of latex/README.md gives exactly this MyST text; anything else warns."""

import io
import re

import pytest
from course.latex_labels import Label, Notes, macros, number_labels, read_notes
from course.tex_to_myst import Walk
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

from notebooks import ROOT

NOTES = Notes(
    labels={
        "thm:gibbs": Label("theorem", "2.2", "gaussian_kl"),
        "prop:size": Label("proposition", "5.1", "vae"),
        "fig:net": Label("figure", "5.1", "vae"),
        "sec:kl": Label("section", "2", "gaussian_kl"),
        "alg:train": Label("algorithm", "5.3", "vae"),
        "eq:elbo": Label("equation", "3.2", "elbo"),
    }
)


def read(text: str) -> tuple[str, list[str]]:
    warnings = []
    return Walk(NOTES, 5, warnings.append).convert(text).strip(), warnings


CONSTRUCTS = {
    "section": (r"\section{A title}\label{sec:a}", "(sec:a)=\n## A title"),
    "subsection": (r"\subsection{Step $\x$}", "### Step $\\x$"),
    "inline maths": (
        r"Let $\x \in \R^D$, and $\KL{q}{p}$.",
        r"Let $\x \in \R^D$, and $\KL{q}{p}$.",
    ),
    "text styles": (r"\emph{a} \textbf{b} \texttt{log\_var}", "*a* **b** `log_var`"),
    "punctuation": (
        "``One'' -- it's 5\\% of a_b~c.".replace("a_b", r"a\_b"),
        "“One” – it’s 5% of a\\_b\u00a0c.",
    ),
    "a paragraph like a list": ("1. is odd", r"1\. is odd"),
    "labelled equation": (
        "\\begin{equation}\n  \\label{eq:a}\n  x = 1.\n\\end{equation}",
        "```{math}\n:label: eq:a\n\nx = 1.\n```",
    ),
    "label at the end": (
        "\\begin{equation} x \\label{eq:a} \\end{equation}",
        "```{math}\n:label: eq:a\n\nx\n```",
    ),
    "aligned": (
        "\\begin{equation}\\label{eq:a}\n\\begin{aligned}\na &= b \\\\\n&= c\n\\end{aligned}\n\\end{equation}",
        "```{math}\n:label: eq:a\n\n\\begin{aligned}\na &= b \\\\\n&= c\n\\end{aligned}\n```",
    ),
    "display in a paragraph": (
        "As \\[ a = b, \\] so $c$.",
        "As\n\n```{math}\na = b,\n```\n\nso $c$.",
    ),
    "eqref": (r"by \eqref{eq:elbo}", "by {eq}`eq:elbo`"),
    "cref": (
        r"\cref{thm:gibbs}, \cref{fig:net}, \Cref{sec:kl}, \cref{alg:train}",
        "{ref}`Theorem 2.2 <thm:gibbs>`, {ref}`Figure 5.1 <fig:net>`, {ref}`Section 2 <sec:kl>`, {ref}`Algorithm 5.3 <alg:train>`",
    ),
    "cref of two": (
        r"\cref{thm:gibbs,prop:size}",
        "{ref}`Theorem 2.2 <thm:gibbs>` and {ref}`Proposition 5.1 <prop:size>`",
    ),
    "citet": (r"\citet{kingma2014auto}", "{cite:t}`kingma2014auto`"),
    "citep": (
        r"\citep{kingma2014auto,rezende2014stochastic}",
        "{cite:p}`kingma2014auto,rezende2014stochastic`",
    ),
    "citep with a note": (
        r"\citep[Section~3]{kingma2014auto}",
        "{cite:p}`kingma2014auto{Section 3}`",
    ),
    "theorem": (
        "\\begin{theorem}[Gibbs' inequality]\\label{thm:gibbs}\nLet $q$.\n\\end{theorem}",
        "::::{theorem} Gibbs’ inequality\n:label: thm:gibbs\n:number: 5.1\n\nLet $q$.\n::::",
    ),
    "boxes share a counter": (
        "\\begin{lemma}A\\end{lemma}\n\n\\begin{remark}B\\end{remark}",
        "::::{lemma}\n:number: 5.1\n\nA\n::::\n\n::::{remark}\n:number: 5.2\n\nB\n::::",
    ),
    "an equation in a box": (
        "\\begin{definition}\\label{def:a}\nIt is\n\\begin{equation}\\label{eq:a} x \\end{equation}\n\\end{definition}",
        "::::{definition}\n:label: def:a\n:number: 5.1\n\nIt is\n\n```{math}\n:label: eq:a\n\nx\n```\n::::",
    ),
    "a title with maths": (
        "\\begin{example}[The case $x=[0,1]$]\\label{ex:a}Yes.\\end{example}".replace(
            "[0,1]", "\\{0\\}"
        ),
        "::::{example} The case $x=\\{0\\}$\n:label: ex:a\n:number: 5.1\n\nYes.\n::::",
    ),
    "proof": ("\\begin{proof}\nClear.\n\\end{proof}", "::::{proof}\n\nClear.\n::::"),
    "proof of": (
        "\\begin{proof}[Proof of \\cref{thm:gibbs}]\nClear.\n\\end{proof}",
        "::::{proof} Proof of {ref}`Theorem 2.2 <thm:gibbs>`\n\nClear.\n::::",
    ),
    "a long proof is folded": (
        "\\begin{proof}\n" + "word $x y$ " * 61 + "\n\\end{proof}",
        "::::{proof}\n:class: dropdown\n\n" + " ".join(["word $x y$"] * 61) + "\n::::",
    ),
    "a proof of a screen is not": (
        "\\begin{proof}\n" + "word $x y$ " * 60 + "\n\\end{proof}",
        "::::{proof}\n\n" + " ".join(["word $x y$"] * 60) + "\n::::",
    ),
    "detour": (
        "\\begin{detour}[Two routes]\nOne. \\[ x \\]\n\\begin{remark}\\label{rem:a}\nTwo.\n"
        "\\end{remark}\n\\end{detour}",
        "::::::{detour} Two routes\n:class: dropdown\n\nOne.\n\n```{math}\nx\n```\n\n"
        "::::{remark}\n:label: rem:a\n:number: 5.1\n\nTwo.\n::::\n::::::",
    ),
    "algorithm": (
        "\\begin{algorithm}[Training]\\label{alg:a}\n\\begin{enumerate}\n\\item Draw.\n\\item Step.\n\\end{enumerate}\n\\end{algorithm}",
        "::::{algorithm} Training\n:label: alg:a\n:number: 5.1\n\n1. Draw.\n\n2. Step.\n::::",
    ),
    "itemize": (
        "\\begin{itemize}\n\\item one\n\\item two \\[ x \\] three\n\\end{itemize}",
        "- one\n\n- two\n\n  ```{math}\n  x\n  ```\n\n  three",
    ),
    "figure": (
        '\\begin{figure}\\centering\\includegraphics[alt={A "net": boxes}]{net}\\caption{See $\\z$.}\\label{fig:net}\\end{figure}',
        ':::{figure} /latex/figures/net.svg\n:name: fig:net\n:alt: "A \\"net\\": boxes"\n\nSee $\\z$.\n:::',
    ),
}


@pytest.mark.parametrize("name", CONSTRUCTS)
def test_construct_gives_exactly_this(name):
    latex, myst = CONSTRUCTS[name]
    assert read(latex) == (myst, [])


PAGE = """# Page

## Before

Why.

```{derivation} tiny
```

Afterwards.

## After

So.
"""


def parsed(folder, page: str) -> tuple[nodes.document, str]:
    """A book of one page, through the extension itself: the page's tree, and the warnings."""
    (folder / "latex" / "derivations").mkdir(parents=True)
    (folder / "book").mkdir()
    for name, text in {
        "index.md": page,
        "book/glossary.md": "```{glossary}\ncode\n```\n",
        "latex/notation.sty": "\\newcommand{\\x}{\\mathbf{x}}\n",
        "latex/vae_maths.tex": "\\derivation{7}{tiny}\n",
        "latex/derivations/tiny.tex": "\\section{Title}\\label{sec:t}\nOne.\n"
        "\\subsection{Step}\n\\begin{lemma}\\label{lem:a}Two.\\end{lemma}\nThree.\n",
    }.items():
        (folder / name).write_text(text)
    settings = {
        "extensions": ["myst_parser", "course"],
        "myst_enable_extensions": ["colon_fence", "dollarmath"],
        "exclude_patterns": ["book", "latex"],
    }
    warnings = io.StringIO()
    out = folder / "_build"
    with docutils_namespace():  # else Sphinx's directives stay, and the next book warns of them
        app = Sphinx(folder, None, out, out / "trees", "dummy", settings, None, warnings)
        app.build()
        return app.env.get_doctree("index"), warnings.getvalue()


def outline(element: nodes.Element) -> list:
    """[title, [what it contains]] of each section."""
    sections = [child for child in element.children if isinstance(child, nodes.section)]
    return [[section[0].astext(), outline(section)] for section in sections]


def test_a_derivation_stands_beside_the_sections_of_its_page(tmp_path):
    page, warnings = parsed(tmp_path, PAGE)
    assert warnings == ""
    assert outline(page) == [["Page", [["Before", []], ["Title", [["Step", []]]], ["After", []]]]]
    texts = [p.astext() for p in page.findall(nodes.paragraph)]
    assert texts == ["Why.", "One.", "Two.", "Three.", "Afterwards.", "So."]
    (box,) = page.findall(nodes.admonition)
    assert box[0].astext() == "Lemma 7.1" and box["ids"] == ["lem-a"]


@pytest.mark.parametrize(
    "page, words",
    {
        "# A\n\n:::{note}\n```{derivation} tiny\n```\n:::\n": "stands in the page itself",
        "# A\n\n```{derivation} none\n```\n": "no derivation 'none'",
    }.items(),
)
def test_a_derivation_that_cannot_stand_there_is_one_warning(tmp_path, page, words):
    _, warnings = parsed(tmp_path, page)
    assert (
        re.search(words, warnings) and warnings.count("WARNING") + warnings.count("ERROR") == 1
    ), warnings


OUTSIDE = {
    r"\vspace{1cm}": "\\vspace{1cm}",
    r"a \footnote{b}": "Note",
    r"\begin{align} a &= b \label{eq:q} \end{align}": "align",
    r"\begin{equation} a = b \end{equation}": "without a label",
    "\\begin{tabular}{l} a \\end{tabular}": "Table",
    "\\begin{conjecture} a \\end{conjecture}": "conjecture",
    r"see \ref{thm:gibbs}": "\\ref{thm:gibbs}",
    r"see \cref{thm:none}": "no such label",
    r"see \cref{eq:elbo}": "\\eqref",
    r"\citeyear{kingma2014auto}": "citeyear",
    r"\paragraph{Note} text": "Header",
    r"\begin{figure}\includegraphics{net}\caption{c}\end{figure}": "alternative text",
}


@pytest.mark.parametrize("latex", OUTSIDE)
def test_anything_else_warns(latex):
    _, warnings = read(latex)
    assert any(OUTSIDE[latex] in warning for warning in warnings), warnings


def test_macros_reach_mathjax():
    style = "% a comment\n\\newcommand{\\x}{\\mathbf{x}}\n\\newcommand{\\norm}[1]{\\left\\lVert #1 \\right\\rVert}\n"
    assert macros(style) == {"x": r"\mathbf{x}", "norm": [r"\left\lVert #1 \right\rVert", 1]}


def test_labels_are_numbered_as_latex_does():
    text = (
        r"\section{S}\label{sec:s} \begin{equation}\label{eq:a}\end{equation} % \begin{equation}\label{eq:no}\end{equation}"
        "\n"
        r"\begin{lemma}\end{lemma} \begin{theorem}\label{thm:t}\begin{equation}\label{eq:b}\end{equation}\end{theorem}"
        r"\begin{figure}\label{fig:f}\end{figure}\subsection{T}\label{sec:t}"
    )
    assert {k: (v.kind, v.number) for k, v in number_labels(text, 7, "x").items()} == {
        "sec:s": ("section", "7"),
        "eq:a": ("equation", "7.1"),
        "thm:t": ("theorem", "7.2"),
        "eq:b": ("equation", "7.2"),
        "fig:f": ("figure", "7.1"),
        "sec:t": ("section", "7.1"),
    }


def test_a_chapters_second_derivation_counts_on(tmp_path):
    (tmp_path / "derivations").mkdir()
    box = r"\begin{lemma}\label{lem:%s}\end{lemma}\begin{equation}\label{eq:%s}\end{equation}"
    for name in "abc":
        (tmp_path / "derivations" / f"{name}.tex").write_text(box % (name, name))
    frame = "\n".join(
        rf"\derivation{{{n}}}{{{name}}}" for n, name in ((8, "a"), (8, "b"), (9, "c"))
    )
    (tmp_path / "vae_maths.tex").write_text(frame)
    notes = read_notes(tmp_path)
    assert {k: v.number for k, v in notes.labels.items()} == {
        **{"lem:a": "8.1", "eq:a": "8.1", "lem:b": "8.2", "eq:b": "8.2"},
        **{"lem:c": "9.1", "eq:c": "9.1"},
    }
    assert notes.boxes_before == {"a": 0, "b": 1, "c": 0}
    text = Walk(notes, 8, pytest.fail, 1).convert((tmp_path / "derivations" / "b.tex").read_text())
    assert ":number: 8.2\n" in text


@pytest.mark.parametrize(
    "source", sorted((ROOT / "latex" / "derivations").glob("*.tex")), ids=lambda p: p.stem
)
def test_the_derivations_keep_to_the_subset(source):
    notes, warnings = read_notes(ROOT / "latex"), []
    chapter, before = notes.chapters[source.stem], notes.boxes_before[source.stem]
    text = Walk(notes, chapter, warnings.append, before).convert(source.read_text("utf8"))
    assert not warnings
    for label, known in notes.labels.items():
        if known.derivation == source.stem and known.kind not in ("equation", "figure", "section"):
            assert f":label: {label}\n:number: {known.number}\n" in text
