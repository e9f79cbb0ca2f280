"""Labels in latex/ are those that notebook cells check; that pages show them is test_book.py's."""

import hashlib
import re
from collections import Counter

from notebooks import NOTEBOOKS, ROOT, checked_labels

NOTES = (ROOT / "latex" / "vae_maths.tex").read_text()
DERIVATIONS = sorted((ROOT / "latex" / "derivations").glob("*.tex"))
# fixed by the syllabus: everything may cite them
SYLLABUS = {
    "marginal_likelihood": "marginal naive-mc posterior",
    "gaussian_kl": "kl-def kl-nonneg gauss-logpdf quadratic-expectation kl-gauss kl-standard",
    "elbo": "elbo-identity elbo-jensen elbo neg-elbo iwae-bound",
    "gradients": "grad-theta score-function reparam grad-phi mc-estimator",
    "vae": "encoder decoder conv-size deconv-size minibatch-elbo",
    "likelihoods": "bernoulli-ll gaussian-ll optimal-sigma continuous-bernoulli bits-per-dim",
    "rate_distortion": "rate-distortion active-units is-loglik",
    "beta_vae": "constrained lagrangian beta-elbo capacity",
    "elbo_surgery": "aggregate-posterior kl-decomposition tc mws beta-tc",
    "metrics": "mig sap dci",
}


def labels(text: str) -> list[str]:
    return re.findall(r"\\label\{(eq:[^}]+)\}", text)


def written() -> list[str]:
    return [label for path in DERIVATIONS for label in labels(path.read_text())]


def test_no_label_is_written_twice():
    assert [label for label, n in Counter(written()).items() if n > 1] == []


def test_every_label_is_checked_and_every_check_has_its_label():
    checked = [label for path in NOTEBOOKS for label in checked_labels(path)]
    assert set(written()) - set(checked) == set(), (
        "written in latex/, but no cell is tagged checks:..."
    )
    assert set(checked) - set(written()) == set(), (
        "a cell is tagged checks:..., but latex/ has no such label"
    )
    assert [label for label, n in Counter(checked).items() if n > 1] == [], (
        "checked twice: which one does a page link to?"
    )


def test_the_syllabus_labels_are_there():
    texts = {path.stem: path.read_text() for path in DERIVATIONS}
    for stem, names in SYLLABUS.items():
        expected = {f"eq:{name}" for name in names.split()}
        assert expected <= set(labels(texts[stem])), stem


def test_every_derivation_is_in_the_notes_and_on_exactly_one_page():
    in_notes = re.findall(r"^\\derivation\{\d+\}\{(\w+)\}", NOTES, re.M)
    pages = "\n".join(p.read_text() for p in (ROOT / "book").glob("*.md"))
    on_pages = re.findall(r"^```\{derivation\} (\w+)$", pages, re.M)
    assert sorted(in_notes) == sorted(on_pages) == [p.stem for p in DERIVATIONS]


def test_the_committed_notes_are_made_from_these_sources():
    """`make notes` makes the PDF, the SVGs and the digest; changed sources ask for it again."""
    latex = ROOT / "latex"
    sources = [latex / "vae_maths.tex", latex / "notation.sty", ROOT / "book" / "references.bib"]
    sources += sorted((latex / "derivations").glob("*.tex")) + sorted(
        (latex / "figures").glob("*.tex")
    )
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    assert (latex / "vae_maths.sha256").read_text().strip() == digest, "run make notes"
    assert {p.stem for p in (latex / "figures").glob("*.tex")} == {
        p.stem for p in (latex / "figures").glob("*.svg")
    }


def test_every_citation_has_an_entry_and_every_entry_is_cited():
    keys = set(re.findall(r"^@\w+\{([^,]+),", (ROOT / "book" / "references.bib").read_text(), re.M))
    cited = set()
    for path in DERIVATIONS:
        for group in re.findall(r"\\cite[tp](?:\[[^]]*\])*\{([^}]+)\}", path.read_text()):
            cited |= {key.strip() for key in group.split(",")}
    for path in (ROOT / "book").glob("*.md"):
        for group in re.findall(r"\{cite:[tp]s?\}`([^`]+)`", path.read_text()):
            cited |= {key.strip() for key in group.split(",")}
    assert cited - keys == set()
    assert keys - cited == set()
