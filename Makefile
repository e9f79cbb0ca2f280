# make book | serve | test | lab | train | notes | outputs | studies | bench | lint | clean
# make nightly | mutation | fuzz | kills | matrix | colab | links
# Each target sets up .venv when it is missing or when requirements.txt or pyproject.toml changed.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.ready
BOOK := _build/html
FIGURES := $(patsubst latex/figures/%.tex,_build/figures/%.pdf,$(wildcard latex/figures/*.tex))
NOTES := latex/vae_maths.tex latex/notation.sty book/references.bib $(sort $(wildcard latex/derivations/*.tex latex/figures/*.tex))
LATEX_PACKAGES := latexmk texlive-latex-recommended texlive-latex-extra texlive-fonts-recommended lmodern cm-super poppler-utils
# nothing here is to phone home, or to depend on the clock
export JUPYTER_PLATFORM_DIRS := 1
export SOURCE_DATE_EPOCH := 1700000000
export FORCE_SOURCE_DATE := 1
# a container may forbid it, but then every process of the tests compiles vaelib anew
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help book serve test lab train notes figures outputs studies bench nightly mutation fuzz kills matrix colab links lint clean
.DELETE_ON_ERROR:

help:
	@echo "make book    render the book into $(BOOK)"
	@echo "make serve   render it and serve it on http://localhost:8000"
	@echo "make test    run every notebook, and every test but the longest (six to nine minutes)"
	@echo "make lab     open the notebooks in JupyterLab"
	@echo "make train   train a small model into runs/ and write its report; CONFIG=FILE VARIATION=B-VAE for another"
	@echo "make notes   typeset the derivations into latex/vae_maths.pdf (needs LaTeX)"
	@echo "make outputs run the notebooks and store their outputs"
	@echo "make studies measure the numbers that the book quotes (an hour)"
	@echo "make bench   measure how fast training is, and how time and memory grow (half an hour)"
	@echo "make nightly run the longest tests, which make test leaves out (a quarter of an hour)"
	@echo "make mutation plant wrong formulas in vaelib and see that a test catches each (minutes)"
	@echo "make fuzz    10,000 hostile configurations, command lines, files and arguments (minutes)"
	@echo "make kills   kill a hundred runs, go on with each, and compare the weights bit for bit (minutes)"
	@echo "make matrix  run the tests with the oldest versions that vaelib takes; CELL=newest with the newest"
	@echo "make colab   run the notebooks as Colab does, with its versions; NOTEBOOKS=FILES for some"
	@echo "make links   ask every address that the course links to whether it answers"
	@echo "make lint    check the Python code's style and types"
	@echo "make clean   remove what make brings back in minutes: not .venv, your runs, the studies' runs"

$(STAMP): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "This course needs Python 3.11 or newer; $(PYTHON) is `$(PYTHON) --version`. Try: make PYTHON=python3.12" >&2; exit 1; }
	@echo "Setting up .venv (once; torch is large, so this takes a few minutes) ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

book: $(STAMP)
	@$(BIN)/jupyter-book build . -W --keep-going -n --quiet
	@echo "The book is in $(BOOK): open $(CURDIR)/$(BOOK)/index.html"

serve: book
	@$(BIN)/python book/serve.py $(BOOK)

# one thread a worker: notebooks side by side are done sooner than one after the other; how many, says conftest.py
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder
test: $(STAMP)
	@$(PYTEST) --nbval notebooks tests -m "not nightly"

# in a container one is root, which JupyterLab refuses; it listens on loopback, behind its token
lab: $(STAMP)
	@$(BIN)/jupyter lab --notebook-dir=notebooks --allow-root

CONFIG ?= mnist-5k
VARIATION ?= VAE
train: $(STAMP)
	@$(BIN)/python -m vaelib -c $(CONFIG) -v $(VARIATION) --resume

notes: figures
	@cd latex && latexmk -pdf -quiet -outdir=../_build/notes vae_maths.tex > ../_build/notes.log 2>&1 || \
		{ tail -n 30 ../_build/notes.log >&2; exit 1; }
	@cp _build/notes/vae_maths.pdf latex/vae_maths.pdf
	@cat $(NOTES) | sha256sum | cut -c 1-64 > latex/vae_maths.sha256
	@echo "The notes are in latex/vae_maths.pdf"

# a figure is drawn once, in TikZ: as PDF for the notes, as SVG (committed) for the book
figures: have-latex $(FIGURES)

.PHONY: have-latex
have-latex:
	@for tool in latexmk pdflatex pdftocairo; do command -v $$tool > /dev/null || \
		{ echo "make notes needs $$tool: on Debian or Ubuntu, apt-get install $(LATEX_PACKAGES)" >&2; exit 1; }; done

_build/figures/%.pdf: latex/figures/%.tex latex/notation.sty
	@mkdir -p _build/figures
	@cd latex/figures && latexmk -pdf -quiet -outdir=../../_build/figures $*.tex > ../../_build/figures/$*.out 2>&1 || \
		{ tail -n 30 ../../_build/figures/$*.out >&2; exit 1; }
	@pdftocairo -svg $@ latex/figures/$*.svg

outputs: $(STAMP)
	@TQDM_DISABLE=1 $(BIN)/jupyter nbconvert --to notebook --execute --inplace notebooks/*.ipynb
	@$(BIN)/python tests/notebooks.py notebooks/*.ipynb

# a chapter's study that lacks what a long one makes says so, and the others still run
studies: $(STAMP)
	@left=; for script in book/studies/[0-9]*.py; do echo "$$script"; $(BIN)/python $$script || left="$$left $$script"; done; \
		test -z "$$left" || { echo "not measured:$$left" >&2; exit 1; }

bench: $(STAMP)
	@for script in speed growth sprites_speed write_readme; do echo "benchmarks/$$script.py"; \
		$(BIN)/python benchmarks/$$script.py || exit 1; done

nightly: $(STAMP)
	@$(PYTEST) tests -m nightly

mutation: $(STAMP)
	@$(BIN)/python tests/mutation.py

FUZZ ?= 10000
fuzz: $(STAMP)
	@FUZZ=$(FUZZ) OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/test_fuzz.py --timeout 3600

KILLS ?= 100
kills: $(STAMP)
	@OMP_NUM_THREADS=1 $(BIN)/python tests/kills.py $(KILLS)

CELL ?= oldest
matrix:
	@$(PYTHON) tests/environments.py matrix $(CELL)

colab:
	@$(PYTHON) tests/environments.py colab $(NOTEBOOKS)

links:
	@$(PYTHON) tests/links.py

lint: $(STAMP)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

# not all of _build: the studies' folders there hold hours of runs, _build/peers and _build/pythae
# environments
MINUTES := $(addprefix _build/,html jupyter_execute figures notes notes.log .doctrees .jupyter_cache)

clean:
	@rm -rf $(MINUTES) .pytest_cache .ruff_cache .mypy_cache .hypothesis build dist
	@find . -path ./.venv -prune -o -name __pycache__ -print0 | xargs -0 rm -rf
