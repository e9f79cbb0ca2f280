"""The built book: equations shown once and marked, links alive, nothing loaded from elsewhere."""

import contextlib
import html.parser
import re
import subprocess
import sys
import urllib.parse
from collections import Counter
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from main_path import main_path
from test_labels import written

from notebooks import NOTEBOOKS, ROOT
from vaelib import pretrained

pytestmark = pytest.mark.timeout(900)  # the first test builds the book


@pytest.fixture(scope="session")
def book(tmp_path_factory) -> Path:
    """The book as `make book` builds it, warnings as errors, but in a folder of the test's own."""
    out = tmp_path_factory.mktemp("book")
    command = [
        Path(sys.executable).parent / "jupyter-book",
        "build",
        ROOT,
        "-W",
        "--keep-going",
        "-n",
        "--path-output",
        out,
    ]
    run = subprocess.run(command, capture_output=True, text=True, cwd=out)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    return out / "_build" / "html"


class Page(html.parser.HTMLParser):
    """A page's ids, links and loaded resources, and the images without alternative text."""

    def __init__(self, path: Path):
        super().__init__()
        self.ids, self.links, self.loads, self.images_without_alt = set(), [], [], []
        self.text = path.read_text()
        self.feed(self.text)

    def handle_starttag(self, tag, attributes):
        a = dict(attributes)
        self.ids |= {a[name] for name in ("id", "name") if a.get(name)}
        if tag == "a" and a.get("href"):
            self.links.append(a["href"])
        if tag == "link" and a.get("rel") in ("stylesheet", "preload", "icon", "shortcut icon"):
            self.loads.append(a["href"])
        if tag in ("script", "img", "iframe", "source", "video", "object") and (
            a.get("src") or a.get("data")
        ):
            self.loads.append(a.get("src") or a["data"])
        if tag == "img" and not (a.get("alt") or "").strip():
            self.images_without_alt.append(a.get("src"))


class Contents(html.parser.HTMLParser):
    """The right-hand contents of a page: (depth, title) of each entry, the outermost of depth 1."""

    def __init__(self, text: str):
        super().__init__()
        self.entries, self.inside, self.depth, self.title = [], False, 0, None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag == "nav" and "page-toc" in (dict(attributes).get("class") or ""):
            self.inside = True
        if self.inside and tag == "ul":
            self.depth += 1
        if self.inside and tag == "a":
            self.title = ""

    def handle_data(self, data):
        if self.title is not None:
            self.title += data

    def handle_endtag(self, tag):
        if self.title is not None and tag == "a":
            self.entries.append((self.depth, " ".join(self.title.split())))
            self.title = None
        if self.inside and tag == "ul":
            self.depth -= 1
        if tag == "nav":
            self.inside = False


@pytest.fixture(scope="session")
def pages(book) -> dict[Path, Page]:
    return {path: Page(path) for path in book.rglob("*.html") if "_static" not in path.parts}


def test_every_label_is_rendered_on_exactly_one_page(pages):
    rendered = Counter(
        "eq:" + label
        for page in pages.values()
        for label in re.findall(r'id="equation-eq-([^"]+)"', page.text)
    )
    assert rendered == Counter(written())


def test_exercises_are_counted_on_their_own_page(pages):
    counted = 0
    for path, page in pages.items():
        found = re.findall(r'caption-number">Exercise ([\d.]+) ', page.text)
        chapter = f"{int(path.stem[:2])}." if path.stem[:2].isdigit() else ""
        assert found == [f"{chapter}{n}" for n in range(1, len(found) + 1)], path.name
        counted += len(found)
    assert counted > 60


def test_a_pages_contents_keep_its_own_headings_and_the_derivations_side_by_side(book, pages):
    """In the order in which they are written, and under a heading only what is written under it."""
    for source in sorted((ROOT / "book").glob("[0-9][0-9]-*.md")):
        text = re.sub(
            r"^```\{derivation\} (\w+)\n```$",
            lambda found: (ROOT / "latex" / "derivations" / f"{found[1]}.tex").read_text(),
            source.read_text(),
            flags=re.M,
        )
        text = re.sub(r"^(`{3,}|:{3,})(?=\S).*?^\1$", "", text, flags=re.M | re.S)
        headings = re.findall(r"^(##+ |\\(?:sub)?section\{)(.*)$", text, re.M)
        depths = [2 if kind in ("### ", "\\subsection{") else 1 for kind, _ in headings]
        entries = Contents(pages[book / "book" / f"{source.stem}.html"].text).entries
        assert [depth for depth, _ in entries] == depths, source.name
        for (_, title), (_, heading) in zip(entries, headings):
            first = re.match(r"[\w ]*", heading)[0]
            assert title.startswith(first), f"{source.name}: {title!r}, not {heading!r}"


def test_every_equation_has_a_mark_that_leads_to_its_check(book, pages):
    for label in written():
        name = label.removeprefix("eq:")
        (path,) = [p for p, page in pages.items() if f"equation-eq-{name}" in page.ids]
        marks = [link for link in pages[path].links if link.endswith(f"#check-eq-{name}")]
        assert marks, f"{label} has no mark on {path.name}"
        target = (path.parent / marks[0].partition("#")[0]).resolve()
        assert target.parent.name == "notebooks" and f"check-eq-{name}" in pages[target].ids


def test_every_link_within_the_book_is_alive(book, pages):
    dead = []
    for path, page in pages.items():
        for link in page.links:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (
                (path.parent / urllib.parse.unquote(parts.path)).resolve() if parts.path else path
            )
            fragment = urllib.parse.unquote(parts.fragment)
            if not target.exists() or (
                fragment and target in pages and fragment not in pages[target].ids
            ):
                dead.append(f"{path.relative_to(book)}: {link}")
    assert dead == []


def test_nothing_is_loaded_from_another_origin(book, pages):
    for path, page in pages.items():
        for load in page.loads:
            parts = urllib.parse.urlsplit(load)
            assert parts.scheme in ("", "data") and not parts.netloc, f"{path.name} loads {load}"
            if parts.path and not parts.scheme:
                assert (path.parent / urllib.parse.unquote(parts.path)).exists(), (
                    f"{path.name}: no {load}"
                )


def test_no_absolute_path_of_this_machine(book):
    for path in book.rglob("*"):
        if path.suffix in (".html", ".js", ".txt", ".ipynb", ".md", ".inv"):
            text = path.read_text(errors="ignore")
            for needle in {str(ROOT), str(Path.home()) + "/", "/tmp/pytest"} - {"//"}:
                assert needle not in text, f"{path.relative_to(book)} has {needle}"


def test_the_modules_pages_say_what_a_field_is_or_nothing(pages):
    """Of a named tuple's, autodoc has but a number to tell."""
    text = {path.name: page.text for path, page in pages.items() if path.name.startswith("api")}
    assert len(text) == 4 and not any("Alias for field" in page for page in text.values())
    assert 'id="vaelib.losses.KLTerms"' in text["api-core.html"]
    plain = re.sub(r"</?span[^>]*>", "", text["api.html"])
    assert all(f">{name}<" in plain for name in pretrained.names())


def test_no_number_is_left_as_its_name(pages):
    """A substitution between backquotes is text, and shows as it was written."""
    written = [path for path in pages if path.parent.name == "book"]  # TeX elsewhere has braces
    assert [path.name for path in written if "{{" in pages[path].text] == []


def test_every_picture_has_alternative_text(pages):
    for path, page in pages.items():
        assert page.images_without_alt == [], path.name


def test_addresses_follow_the_one_setting(pages):
    import yaml

    config = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]
    for path, page in pages.items():
        for link in page.links:
            if re.match(r"https://(github\.com|colab\.research\.google\.com/github)/", link):
                assert config["url"].removeprefix("https://github.com/") in link, (
                    f"{path.name}: {link}"
                )


def test_every_page_offers_the_notes(book, pages):
    assert (book / "vae_maths.pdf").read_bytes() == (ROOT / "latex" / "vae_maths.pdf").read_bytes()
    for path in (p for p in pages if p.parent.name in ("book", "notebooks")):
        assert any(link.endswith("vae_maths.pdf") for link in pages[path].links), path.name


def test_notebook_pages_launch_colab_and_download(pages):
    for notebook in NOTEBOOKS:
        (path,) = [p for p in pages if p.parent.name == "notebooks" and p.stem == notebook.stem]
        assert any(
            "colab.research.google.com" in link and notebook.name in link
            for link in pages[path].links
        )
        assert any(
            link.endswith(f"_sources/notebooks/{notebook.name}") for link in pages[path].links
        )


@contextlib.contextmanager
def opened(tabs):
    """A fresh page, and what went wrong on it: errors, failed requests, requests off the disk."""
    wrong, ours = [], ("file:", "data:", "blob:")
    heard = {
        # the theme says so itself, on every reader's first visit, and then picks the system's mode
        "console": lambda m: (
            m.type == "error" and "theme mode" not in m.text and wrong.append(m.text)
        ),
        "pageerror": lambda e: wrong.append(str(e)),
        "requestfailed": lambda r: wrong.append(f"failed: {r.url}"),
        "request": lambda r: r.url.startswith(ours) or wrong.append(f"left: {r.url}"),
    }
    with tabs.lent(heard=heard) as page:
        yield page, wrong


@pytest.fixture
def seen(tabs):
    with opened(tabs) as page_and_wrong:
        yield page_and_wrong


# every page but the root, which only leads to the front page
PAGES = [
    *("book/index", "genindex", "py-modindex", "search"),
    *re.findall(r"file: (\S+)", (ROOT / "_toc.yml").read_text()),
]
every_page = pytest.mark.parametrize("shown", PAGES, indirect=True, scope="module")


def test_every_page_is_looked_at(book, pages):
    found = {str(path.relative_to(book)) for path in pages} - {"index.html"}
    assert found == {f"{name}.html" for name in PAGES}


class Shown:
    """A page as a reader has it, formulas typeset and live figures open, and what went wrong."""

    def __init__(self, page, wrong: list[str], book: Path, name: str):
        self.page, self.wrong, self.name = page, wrong, name
        page.set_default_timeout(120_000)
        page.goto(f"file://{book}/{name}.html", wait_until="load")
        page.wait_for_function("!window.MathJax || window.MathJax.startup?.promise")
        page.evaluate("window.MathJax?.startup.promise.then(() => null)")
        for figure in page.locator("figure.live").all():
            figure.scroll_into_view_if_needed()
            page.wait_for_function("(figure) => figure.get", arg=figure.element_handle())

    def layout(self, width: int, height: int, media: str = "screen") -> dict:
        """With what is folded away open: so a browser prints it, and so a reader looks at it."""
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.emulate_media(media=media)
        self.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        found = self.page.evaluate(LAYOUT)
        self.page.evaluate("dispatchEvent(new Event('afterprint'))")
        return found


@pytest.fixture(scope="module")
def shown(request, book, tabs):
    """Loaded once for all its tests, which pytest runs page by page: to typeset takes seconds."""
    with opened(tabs) as (page, wrong):
        yield Shown(page, wrong, book, request.param)


@every_page
def test_a_page_reads_from_the_folder_itself(shown):
    page = shown.page
    assert shown.wrong == []
    assert page.locator("mjx-merror, .system-message, .problematic").count() == 0
    if re.match(r"book/\d\d-", shown.name):
        fewest = 15 if "/12-" in shown.name else 20  # the last has commands, and few formulas
        assert page.locator("mjx-container").count() > fewest, "MathJax did not typeset"
        assert page.locator("article .math:not(:has(mjx-container))").count() == 0
    raw = "".join(page.locator("article").all_inner_texts())
    assert not re.search(r"\\(begin|frac|mathbb|E\b|KL\b)|\{(eq|prf:ref|cite(:\w+)?)\}", raw)


# what is wider than its place and does not show it all; of a formula, what is drawn of it counts
LAYOUT = """async () => {
  const frame = () => new Promise(requestAnimationFrame);
  await frame(); await frame();
  const clips = (e) => /auto|scroll|hidden|clip/.test(getComputedStyle(e).overflowX);
  const drawn = (e) => e.querySelector("mjx-math")?.getBoundingClientRect().width;
  const formula = "span.math, mjx-container";
  const wide = [...document.querySelectorAll("body *:not(mjx-container *)")].filter((e) =>
    clips(e) && e.clientWidth > 1 && !e.closest(".live-said") &&
    (e.matches(formula) && drawn(e) || e.scrollWidth) > e.clientWidth + 1);
  const say = (e) => `${e.tagName}.${e.className}: ${e.textContent.slice(0, 60)}`;
  const says = (all) => all.map(say);
  const tabs = "[tabindex='0']";
  const reached = (e) => e.matches(formula) ? e.closest(tabs) ?? e.querySelector(tabs)
    : e.tabIndex === 0 && e.getAttribute("role") === "group" && e.getAttribute("aria-label");
  const skip = document.querySelector(".skip-link");
  return {
    folded: document.querySelectorAll(".toggle-hidden").length,
    excess: document.documentElement.scrollWidth - innerWidth,
    clipped: says(wide),
    tables: says(wide.filter((e) => e.querySelector("table"))),
    unreachable: says(wide.filter((e) => !reached(e))),
    skip: skip !== null && skip.checkVisibility(),
  };
}"""


@every_page
def test_what_is_wider_than_its_window_scrolls_inside_itself_by_keyboard(shown):
    laptop, phone = shown.layout(1280, 800), shown.layout(320, 640)
    for found in (laptop, phone):
        assert found["folded"] == 0 and found["excess"] <= 0 and found["unreachable"] == []
    assert laptop["tables"] == [], "a small laptop shows every table whole"
    assert phone["skip"], "nothing for paper to hide"


@every_page
def test_paper_cuts_nothing_off_and_offers_no_skip_link(shown):
    paper = shown.layout(717, 1000, "print")  # 210 mm less Chromium's margins
    assert paper["folded"] == 0 and paper["clipped"] == [] and not paper["skip"]


# a page's structure is the same in the dark, so there only its colours are looked at
RULES = {
    "light": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"],
    "dark": {"type": "rule", "values": ["color-contrast"]},
}
# axe takes minutes over thousands of elements that look alike: of a formula, all in one colour, one
# letter stands for the rest, and of a page's code the first token of each kind. What is written
# around them, and the containers that scroll, stay; the notation page keeps its formulas whole.
ABBREVIATE = """(formulas) => {
  if (formulas)
    document.querySelectorAll("mjx-container").forEach((e) => e.replaceChildren("x"));
  const seen = new Set();
  for (const token of document.querySelectorAll(".highlight pre span")) {
    const kind = `${token.className} in ${token.closest(".highlight").parentElement.className}`;
    if (seen.has(kind)) token.remove();
    seen.add(kind);
  }
}"""


# a page of each kind; `make nightly` looks at the others
OF_EACH_KIND = {"search", *(f"book/{name}" for name in ("index", "05-vae", "notation"))}
OF_EACH_KIND |= {"book/playground", "book/command-line", "notebooks/05-vae"}


@pytest.mark.parametrize(
    "shown",
    [n if n in OF_EACH_KIND else pytest.param(n, marks=pytest.mark.nightly) for n in PAGES],
    indirect=True,
    scope="module",
)
def test_axe_finds_nothing_on_a_page_in_light_or_dark(shown):
    """axe-core's rules for WCAG 2.1, A and AA; the page's last test, which it does not survive."""
    page, found = shown.page, []
    page.set_viewport_size({"width": 1360, "height": 900})
    page.emulate_media(media="screen", reduced_motion="reduce")
    # what is wide on the screen, and was not on paper, is marked anew
    page.evaluate("() => dispatchEvent(new Event('resize'))")
    page.evaluate(ABBREVIATE, shown.name != "book/notation")
    # a colour on its way from one mode to the other is neither's
    page.add_style_tag(content="*, ::before, ::after { transition: none !important }")
    for mode, rules in RULES.items():
        page.evaluate("(mode) => document.documentElement.dataset.theme = mode", mode)
        options = {"runOnly": rules, "resultTypes": ["violations"], "preload": False}
        for violation in Axe().run(page, options=options).response["violations"]:
            for node in violation["nodes"]:
                found.append((mode, violation["id"], node["html"][:200]))
    assert found == []


def test_a_number_in_the_texts_own_brackets_has_none_of_its_own(pages):
    link = re.compile(r'\(<a class="reference internal" href="[^"]*#equation-[^"]*">([^<]*)</a>')
    numbers = [(path.name, n) for path, page in pages.items() for n in link.findall(page.text)]
    assert [found for found in numbers if found[1].startswith("(")] == []
    assert sum(re.fullmatch(r"\d+\.\d+", number) is not None for _, number in numbers) > 5


def test_search_works_without_a_server(book, seen):
    page, wrong = seen
    page.goto(f"file://{book}/search.html?q=minibatch", wait_until="load")
    page.wait_for_selector("#search-results ul.search li a")
    hrefs = page.eval_on_selector_all(
        "#search-results ul.search li a", "links => links.map(a => a.getAttribute('href'))"
    )
    assert any("05-vae" in href for href in hrefs)
    # a browser forbids a file to fetch its neighbours, so the results stand without summaries;
    # nothing else may go wrong
    refused = re.compile(r"CORS|Failed to (fetch|load resource)|^Fetch API|^failed: file:.*\.html")
    assert [message for message in wrong if not refused.search(message)] == []


def test_the_root_leads_to_the_front_page(book, seen):
    page, wrong = seen
    page.goto(f"file://{book}/index.html")
    page.wait_for_url("**/book/index.html")
    assert (
        page.locator("article h1").inner_text().startswith("Variational autoencoders")
        and wrong == []
    )


# chapters that show first and prove after, each in at most so many words on the main path
SHOWING_FIRST = [
    # one a line
    "01-latent-variables",
    "02-gaussian-kl",
    "03-elbo",
    "04-reparameterization",
    "05-vae",
    "06-likelihoods",
    "07-latent-dimension",
    "08-beta-vae",
    "09-elbo-surgery",
    "10-measuring",
    "11-gallery",
    "12-your-own",
]
WORDS = 3000


@pytest.mark.parametrize("stem", SHOWING_FIRST)
def test_a_chapter_shows_first_and_its_main_path_is_short(book, stem):
    text = (book / "book" / f"{stem}.html").read_text("utf8")
    assert main_path(text).words <= WORDS
    live, box, code = (text.find(f'class="{kind}') for kind in ("live", "box ", "beside"))
    assert 0 < live < (box if box > 0 else len(text)), "a live figure before anything is proved"
    assert code > 0, "vaelib's lines beside their symbols"
