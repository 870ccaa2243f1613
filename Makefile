# Three commands for a newcomer: `make demo`, `make test` and `make docs`. PYTHON is any Python 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt --config-settings editable_mode=compat

.PHONY: demo test check docs bench clean

demo: .venv/installed
	$(BIN)/superpose run intro
	@echo "The picture is at results/intro/figure.png"

# ARGS=--browser makes tests that need Chromium fail, rather than be skipped, where there is none.
test: .venv/installed-dev
	$(BIN)/python -m pytest -m "not slow" --numprocesses auto --dist loadfile $(ARGS)

# Format, lint, types, those of the explorer's JavaScript too, and the examples in docstrings. One file needs PyTorch.
check: .venv/installed-dev node_modules/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	node_modules/.bin/tsc
	$(BIN)/python -m pytest --numprocesses auto --doctest-modules --doctest-glob=README.md --ignore=superpose/torch/_module.py superpose README.md

# The site, for any static host: docs/_build/html/index.html. With the pages of REPORT, or of all experiments in their small versions.
REPORT ?= report-quick
EXTRA := docs/_build/extra
docs: .venv/installed-docs $(REPORT)/index.html
	rm -rf $(EXTRA) && mkdir -p $(EXTRA)/papers $(EXTRA)/explore
	cp $(REPORT)/*.html $(EXTRA)/papers
	$(BIN)/superpose explore --no-open --out $(EXTRA)/explore/index.html
	$(BIN)/sphinx-build --jobs auto --quiet --fail-on-warning --keep-going --fresh-env docs docs/_build/html
	$(BIN)/python docs/links.py

report-quick/index.html: | .venv/installed
	$(BIN)/superpose reproduce --quick || test $$? = 1

# Side by side with PyTorch, occhio and SAELens; an hour and a quarter on an idle machine. Writes benchmarks/README.md.
bench: .venv/installed-bench
	$(BIN)/python benchmarks/bench.py

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PIP) --editable .
	@touch $@

.venv/installed-dev: .venv/installed
	$(PIP) --editable ".[dev]"
	@touch $@

.venv/installed-docs: .venv/installed
	$(PIP) --editable ".[docs]"
	@touch $@

.venv/installed-bench: .venv/installed
	$(PIP) --editable ".[bench]"
	@touch $@

node_modules/installed: package.json
	npm install --no-audit --no-fund --silent
	@touch $@

clean:
	rm -rf .venv node_modules results
