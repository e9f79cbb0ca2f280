"""What the LaTeX sources say of themselves: macros, chapters and the number of every label.

Equations, boxes, figures and subsections are numbered `chapter.n` by counting them, as LaTeX does,
so that the book and the PDF agree wherever a derivation is rendered. Where a chapter has more than
one derivation, the count goes on.
"""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from sphinx.environment import BuildEnvironment

BOXES = (
    "theorem",
    "lemma",
    "proposition",
    "corollary",
    "definition",
    "assumption",
    "remark",
    "example",
    "algorithm",
)
COUNTED = ("subsection", "equation", "figure", "box")
COMMENT = re.compile(r"(?<!\\)%.*")
MACRO = re.compile(r"^\\newcommand\{\\(\w+)\}(?:\[(\d)\])?\{(.*)\}\s*$", re.M)
CHAPTER = re.compile(r"\\derivation\{(\d+)\}\{([\w-]+)\}")
LANDMARK = re.compile(
    r"\\(section|subsection)\{|\\begin\{(equation|figure|"
    + "|".join(BOXES)
    + r")\}|\\label\{([^}]+)\}"
)


@dataclass(frozen=True)
class Label:
    kind: str
    number: str
    derivation: str


@dataclass
class Notes:
    chapters: dict[str, int] = field(default_factory=dict)
    labels: dict[str, Label] = field(default_factory=dict)
    # of each derivation, the boxes that its chapter has before it
    boxes_before: dict[str, int] = field(default_factory=dict)


def macros(style: str) -> dict[str, str | list[str | int]]:
    """The \\newcommand lines of notation.sty, as MathJax wants them."""
    found: dict[str, str | list[str | int]] = {}
    for name, count, body in MACRO.findall(style):
        # else MathJax draws a short one
        tall = body.replace(r"\middle\|", r"\vphantom{(}\middle\|")
        found[name] = [tall, int(count)] if count else tall
    return found


def number_labels(
    text: str, chapter: int, derivation: str, counts: Counter[str] | None = None
) -> dict[str, Label]:
    """Every label of one derivation; ``counts`` is what its chapter has so far, and grows.

    Boxes share one counter; subsections, labelled equations and figures have their own.
    """
    labels: dict[str, Label] = {}
    counts = Counter() if counts is None else counts
    kind = counter = ""
    for section, environment, label in LANDMARK.findall(COMMENT.sub("", text)):
        if label:
            if kind == "equation":
                counts["equation"] += 1
            number = f"{chapter}.{counts[counter]}" if counter in COUNTED else str(chapter)
            labels[label] = Label("section" if kind == "subsection" else kind, number, derivation)
            continue
        kind = section or environment
        counter = "box" if kind in BOXES else kind
        if counter in COUNTED and kind != "equation":
            counts[counter] += 1
    return labels


def read_notes(latex: Path) -> Notes:
    """The notes as `vae_maths.tex` assembles them."""
    notes, frame = Notes(), latex / "vae_maths.tex"
    if frame.is_file():
        text = COMMENT.sub("", frame.read_text("utf8"))
        notes.chapters = {name: int(number) for number, name in CHAPTER.findall(text)}
    counts: dict[int, Counter[str]] = defaultdict(Counter)
    for name, chapter in notes.chapters.items():
        source = latex / "derivations" / f"{name}.tex"
        if source.is_file():
            notes.boxes_before[name] = counts[chapter]["box"]
            text = source.read_text("utf8")
            notes.labels |= number_labels(text, chapter, name, counts[chapter])
    return notes


def keep_notes(env: BuildEnvironment, notes: Notes) -> bool:
    """Keep ``notes`` for the other parts and the next build; true if they are not as before."""
    if getattr(env, "course_notes", None) == notes:
        return False
    # Sphinx lets an extension keep its state as an attribute of the environment
    env.course_notes = notes  # type: ignore[attr-defined]
    return True


def notes_of(env: BuildEnvironment) -> Notes:
    notes = env.course_notes  # type: ignore[attr-defined]  # as above
    assert isinstance(notes, Notes)
    return notes
