"""A derivation's LaTeX as MyST text: the subset of latex/README.md, a warning for all else."""

import io
import json
import re
from collections.abc import Callable, Iterable, Sequence
from types import UnionType

import panflute as pf
import pypandoc

from .latex_labels import BOXES, Notes

ENVIRONMENT = re.compile(
    r"\\begin\{(?P<kind>\w+)\}\s*(?:\[(?P<title>(?:[^][{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\])?"
    r"\s*(?:\\label\{(?P<label>[^}]+)\})?(?P<body>.*)\\end\{(?P=kind)\}",
    re.S,
)
BARE_EQUATION = re.compile(
    r"\\begin\{equation\}(?:(?!\\label|\\end\{equation\}).)*\\end\{equation\}", re.S
)
NUMBERED_ENVIRONMENT = re.compile(
    r"\\begin\{(?!aligned|alignedat|gathered|split|cases)"
    r"(align|alignat|gather|multline|eqnarray|equation)\*?\}"
)
REFERENCE = re.compile(r"\\([cC]ref|eqref)\{([^}]+)\}")
# a proof of more words than a screen takes is folded (a formula is a word)
SCREEN = 120
FORMULA = re.compile(r"\\\[.*?\\\]|\\begin\{equation\}.*?\\end\{equation\}|\$[^$]*\$", re.S)
QUOTES = {"DoubleQuote": "“{}”", "SingleQuote": "‘{}’"}
LAYOUT = {r"\centering"}


# an environment that nobody knows, and so a raw block of its own
PARTING = "\n\n\\begin{parting}\\end{parting}\n\n"


def pandoc(texts: Sequence[str]) -> list[list[pf.Element]]:
    """The blocks of each text, of one start of pandoc, which takes longer than they do.

    Macros stay as written, and what pandoc does not know stays as raw LaTeX.
    """
    tree = pypandoc.convert_text(PARTING.join(texts), "json", format="latex+raw_tex-latex_macros")
    found: list[list[pf.Element]] = [[]]
    for block in pf.load(io.StringIO(tree)).content:
        if isinstance(block, pf.RawBlock) and block.text == PARTING.strip():
            found.append([])
        else:
            found[-1].append(block)
    return found


def escape(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>$#|~^])", r"\\\1", text)


def at_line_start(text: str) -> str:
    """Keep a paragraph a paragraph when it begins like a list, a comment or a fence."""
    return re.sub(r"^([-+:%=])", r"\\\1", re.sub(r"^(\d+)([.)])", r"\1\\\2", text))


def indent(text: str, prefix: str) -> str:
    return "\n".join(prefix + line if line else line for line in text.split("\n"))


def found_in(elements: Iterable[pf.Element], kind: type | UnionType) -> list[pf.Element]:
    """The elements of a kind, at any depth, in reading order."""
    found: list[pf.Element] = []

    def look(element: pf.Element, _: pf.Doc) -> None:
        if isinstance(element, kind):
            found.append(element)

    for element in elements:
        element.walk(look)
    return found


def is_long(latex: str) -> bool:
    return len(FORMULA.sub(" x ", latex).split()) > SCREEN


class Walk:
    """Turns pandoc's tree into MyST text, one derivation at a time."""

    def __init__(
        self, notes: Notes, chapter: int | None, warn: Callable[[str], None], boxes: int = 0
    ) -> None:
        self.notes, self.chapter, self.warn = notes, chapter, warn
        self.boxes = boxes  # so many has the chapter so far
        self.parts: dict[str, list[pf.Element]] = {}  # environments' titles and bodies, parsed

    def convert(self, text: str) -> str:
        for bare in BARE_EQUATION.findall(text):
            self.warn(f"equation without a label (write \\[ \\]): {' '.join(bare.split())}")
        # pandoc would decorate a proof; under another name it comes untouched, as the boxes do
        renamed = re.sub(r"\\(begin|end)\{proof\}", r"\\\1{Proof}", text)
        return self.blocks(pandoc([renamed])[0]) + "\n"

    def unknown(self, what: str, element: pf.Element) -> str:
        found = getattr(element, "text", None) or pf.stringify(element)
        self.warn(f"outside the subset of latex/README.md: {what} {' '.join(found.split())[:80]!r}")
        return ""

    # ---- blocks

    def blocks(self, elements: Sequence[pf.Element], tight: bool = False) -> str:
        self.parse_inside(elements)
        return ("\n" if tight else "\n\n").join(filter(None, map(self.block, elements)))

    def parse_inside(self, elements: Sequence[pf.Element]) -> None:
        """Put the titles and bodies of the environments among ``elements`` into `parts`."""
        raws = (el.text.strip() for el in elements if isinstance(el, pf.RawBlock))
        environments = filter(None, map(ENVIRONMENT.fullmatch, raws))
        parts = (part for found in environments for part in found.group("title", "body"))
        texts = [part.strip() for part in parts if part is not None]
        if texts:
            self.parts |= dict(zip(texts, pandoc(texts), strict=True))

    def block(self, el: pf.Element) -> str:
        match el:
            case pf.Header() if el.level <= 2:
                anchor = f"({el.identifier})=\n" if el.identifier.startswith("sec:") else ""
                return f"{anchor}{'#' * (el.level + 1)} {self.inlines(el.content)}"
            case pf.Para() | pf.Plain():
                return self.paragraph(el.content)
            case pf.BulletList():
                return self.items(el, lambda n: "- ")
            case pf.OrderedList():
                return self.items(el, lambda n: f"{el.start + n}. ")
            case pf.Figure():
                return self.figure(el)
            case pf.RawBlock():
                return self.raw_block(el)
        return self.unknown(type(el).__name__, el)

    def paragraph(self, elements: Iterable[pf.Element]) -> str:
        """Text, cut where a display stands: MyST's displays are blocks."""
        parts: list[str] = []
        text = ""
        for el in elements:
            if isinstance(el, pf.Math) and el.format == "DisplayMath":
                parts, text = [*parts, at_line_start(text.strip()), self.display(el.text)], ""
            else:
                text += self.inline(el)
        return "\n\n".join(filter(None, [*parts, at_line_start(text.strip())]))

    def items(self, el: pf.Element, marker: Callable[[int], str]) -> str:
        tight = all(
            isinstance(block, pf.Plain | pf.BulletList | pf.OrderedList)
            for item in el.content
            for block in item.content
        )
        texts = []
        for n, item in enumerate(el.content):
            mark = marker(n)
            body = indent(self.blocks(item.content, tight), " " * len(mark))
            texts.append(mark + body[len(mark) :])
        return ("\n" if tight else "\n\n").join(texts)

    def display(self, text: str) -> str:
        inside = re.fullmatch(r"\s*\\begin\{equation\}(.*)\\end\{equation\}\s*", text, re.S)
        body = (inside[1] if inside else text).strip()
        labels = re.findall(r"\\label\{([^}]+)\}", body)
        if NUMBERED_ENVIRONMENT.search(body) or len(labels) > 1:
            self.unknown("display", pf.Str(body))
        body = re.sub(r"\s*\\label\{[^}]+\}", "", body).strip()
        label = f":label: {labels[0]}\n\n" if labels else ""
        return f"```{{math}}\n{label}{body}\n```"

    def raw_block(self, el: pf.Element) -> str:
        found = ENVIRONMENT.fullmatch(el.text.strip())
        if el.text.strip() in LAYOUT:
            return ""
        if not found or found["kind"] not in (*BOXES, "Proof", "detour"):
            return self.unknown("block", el)
        kind, options = found["kind"].lower(), ""
        if kind == "detour" or (kind == "proof" and is_long(found["body"])):
            options += ":class: dropdown\n"
        if found["label"]:
            options += f":label: {found['label']}\n"
        if kind not in ("proof", "detour"):
            self.boxes += 1
            if self.chapter is not None:
                options += f":number: {self.chapter}.{self.boxes}\n"
        title = (
            self.inlines(self.parts[found["title"].strip()][0].content) if found["title"] else ""
        )
        body = self.blocks(self.parts[found["body"].strip()])
        fence = "::::::" if kind == "detour" else "::::"  # a detour may hold boxes
        return f"{fence}{{{kind}}} {title}".rstrip() + f"\n{options}\n{body}\n{fence}"

    def figure(self, el: pf.Element) -> str:
        images = found_in([el], pf.Image)
        raws = (e.text.strip() for e in found_in(el.content, pf.RawInline | pf.RawBlock))
        for raw in (text for text in raws if text not in LAYOUT):
            self.unknown("in a figure", pf.Str(raw))
        if len(images) != 1 or not el.caption.content:
            return self.unknown("figure without exactly one picture and a caption", el)
        image, alt = images[0], pf.stringify(images[0]).strip()
        if not alt or alt == "image":
            self.warn(f"figure without alternative text: {image.url}")
        caption = " ".join(self.paragraph(block.content) for block in el.caption.content)
        name = f":name: {el.identifier}\n" if el.identifier else ""
        return (
            f":::{{figure}} /latex/figures/{image.url}.svg\n{name}"
            f":alt: {json.dumps(alt, ensure_ascii=False)}\n\n{caption}\n:::"
        )

    # ---- inlines

    def inlines(self, elements: Iterable[pf.Element]) -> str:
        return "".join(map(self.inline, elements)).strip()

    def inline(self, el: pf.Element) -> str:
        match el:
            case pf.Str():
                return escape(el.text)
            case pf.Space() | pf.SoftBreak():
                return " "
            case pf.Emph():
                return f"*{self.inlines(el.content)}*"
            case pf.Strong():
                return f"**{self.inlines(el.content)}**"
            case pf.Code():
                return f"`{el.text}`"
            case pf.Quoted():
                return QUOTES[el.quote_type].format(self.inlines(el.content))
            case pf.Math() if el.format == "InlineMath":
                text = " ".join(el.text.split())
                return f"{{math}}`{text}`" if "$" in text else f"${text}$"
            case pf.Cite():
                return self.cite(el)
            case pf.RawInline():
                return self.raw_inline(el)
        return self.unknown(type(el).__name__, el)

    def cite(self, el: pf.Element) -> str:
        command = re.match(r"\\(citet|citep)(?![a-zA-Z*])", el.content[0].text)
        if not command:
            return self.unknown("citation", el.content[0])
        keys = []
        for citation in el.citations:
            before = " ".join(pf.stringify(pf.Span(*citation.prefix)).split())
            after = " ".join(pf.stringify(pf.Span(*citation.suffix)).split()).lstrip(", ")
            keys.append(
                (f"{{{before}}}" if before else "")
                + citation.id
                + (f"{{{after}}}" if after else "")
            )
        return f"{{cite:{command[1][-1]}}}`{','.join(keys)}`"

    def raw_inline(self, el: pf.Element) -> str:
        found = REFERENCE.fullmatch(el.text.strip())
        if not found:
            return self.unknown("command", el)
        labels = [label.strip() for label in found[2].split(",")]
        by_number = found[1] == "eqref"
        texts = [f"{{eq}}`{label}`" if by_number else self.cref(label) for label in labels]
        return texts[0] if len(texts) == 1 else ", ".join(texts[:-1]) + " and " + texts[-1]

    def cref(self, label: str) -> str:
        known = self.notes.labels.get(label)
        if known is None or known.kind == "equation":
            why = "no such label in the notes" if known is None else "cite equations with \\eqref"
            self.warn(f"\\cref{{{label}}}: {why}")
            return escape(label)
        return f"{{ref}}`{known.kind.capitalize()} {known.number} <{label}>`"
