"""What the LaTeX sources say of themselves: macros, chapters and the number of every label.

Equations, boxes, figures and subsections are numbered `chapter.n` by counting them in their file,
as LaTeX does, so that the book and the PDF agree wherever a derivation is rendered.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

BOXES = ("theorem", "lemma", "proposition", "corollary", "definition", "assumption", "remark", "example", "algorithm")
COMMENT = re.compile(r"(?<!\\)%.*")
MACRO = re.compile(r"^\\newcommand\{\\(\w+)\}(?:\[(\d)\])?\{(.*)\}\s*$", re.M)
CHAPTER = re.compile(r"\\derivation\{(\d+)\}\{([\w-]+)\}")
LANDMARK = re.compile(r"\\(section|subsection)\{|\\begin\{(equation|figure|%s)\}|\\label\{([^}]+)\}" % "|".join(BOXES))


@dataclass(frozen=True)
class Label:
    kind: str
    number: str
    derivation: str


@dataclass
class Notes:
    chapters: dict[str, int] = field(default_factory=dict)
    labels: dict[str, Label] = field(default_factory=dict)


def macros(style: str) -> dict[str, str | list]:
    """The \\newcommand lines of notation.sty, as MathJax wants them."""
    tall = {
        name: (int(count or 0), body.replace(r"\middle\|", r"\vphantom{(}\middle\|"))  # else MathJax draws a short one
        for name, count, body in MACRO.findall(style)
    }
    return {name: [body, count] if count else body for name, (count, body) in tall.items()}


def number_labels(text: str, chapter: int, derivation: str) -> dict[str, Label]:
    """Every label of one derivation; boxes share one counter, labelled equations and figures have their own."""
    labels, counts = {}, dict.fromkeys(("subsection", "equation", "figure", "box"), 0)
    kind = counter = None
    for section, environment, label in LANDMARK.findall(COMMENT.sub("", text)):
        if label:
            if kind == "equation":
                counts["equation"] += 1
            number = f"{chapter}.{counts[counter]}" if counter in counts else str(chapter)
            labels[label] = Label("section" if counter in ("section", "subsection") else kind, number, derivation)
            continue
        kind = section or environment
        counter = "box" if kind in BOXES else kind
        if counter in counts and kind != "equation":
            counts[counter] += 1
    return labels


def read_notes(latex: Path) -> Notes:
    """The notes as `vae_maths.tex` assembles them."""
    notes, frame = Notes(), latex / "vae_maths.tex"
    if frame.is_file():
        notes.chapters = {name: int(n) for n, name in CHAPTER.findall(COMMENT.sub("", frame.read_text("utf8")))}
    for name, chapter in notes.chapters.items():
        source = latex / "derivations" / f"{name}.tex"
        if source.is_file():
            notes.labels |= number_labels(source.read_text("utf8"), chapter, name)
    return notes
