# Postroom from a clone: needs Python 3.11 or later with venv, and make. `make` alone lists the targets.
# Everything is installed into .venv from hash-pinned locks; a lock that changed is installed again.

PYTHON ?= python3
ARGS ?=
FAULTS ?= 900
CI ?=
BENCH ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq install
BUILD := build
NEEDS_MORE := slow or postfix or chromium or strace or spamassassin or rspamd or prometheus or alertmanager
PYTEST := $(BIN)/python -m pytest --dist loadgroup -rs
THOROUGH := --hypothesis-profile thorough

# What pytest makes of the tests' assertions is kept for the next run, which else makes it anew for 20 s.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test check bench faults docs lock clean
.DELETE_ON_ERROR:

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

run: $(VENV)/.installed  ## set up when needed and start `postroom serve` (ARGS="--http 127.0.0.1:8600")
	@exec $(BIN)/postroom serve $(ARGS)

test: $(VENV)/.installed-dev  ## set up when needed and run every test (CI=1: install Debian packages, no skips)
ifeq ($(CI),1)
	@.ci/system-packages
endif
	@failed=0; \
	$(PYTEST) -n 2 -m "not ($(NEEDS_MORE))" --junitxml $(BUILD)/tests-fast.xml || failed=1; \
	$(PYTEST) -n 2 -m "$(NEEDS_MORE) or hypothesis" $(THOROUGH) --junitxml $(BUILD)/tests-rest.xml || failed=1; \
	exit $$failed

check: $(VENV)/.installed-dev  ## format, lint, types, layers, fast tests, documents, locks
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) -n 2 -m "not ($(NEEDS_MORE))" --junitxml $(BUILD)/tests-check.xml
	@.ci/check-locks

bench: $(VENV)/.installed-dev  ## Postfix and Postroom on the same work (BENCH="--help" for its options)
	PYTHONPATH=tests $(BIN)/python -m bench $(BENCH)

faults: $(VENV)/.installed-dev  ## kills, power cuts, broken disks and wires: FAULTS seconds of them, and a report
	timeout --kill-after 30 $$(($(FAULTS) + 1200)) $(BIN)/python -m pytest tests/faults $(THOROUGH) -rs --faults $(FAULTS) --junitxml $(BUILD)/tests-faults.xml

docs: $(VENV)/.installed-dev  ## draw the generated parts of docs/ again and check the documents
	$(BIN)/python tools/draw_states.py
	$(BIN)/python tools/draw_metrics.py
	$(BIN)/python tools/draw_openapi.py
	$(BIN)/python tools/compile_catalogues.py
	$(BIN)/python -m pytest tests/structure

lock:  ## write the locks again (needs uv)
	uv lock
	.ci/check-locks --write

clean:  ## remove what the other targets made, except data
	rm -rf $(VENV) $(BUILD) .bench .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Postroom needs Python 3.11 or later; name one: make run PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "python's venv is missing; on Debian: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/.installed: requirements.lock pyproject.toml | $(BIN)/python
	@echo "setting up $(VENV) (once, and when the lock changes)"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	@$(PIP) --require-hashes -r requirements.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock pyproject.toml clients/python/pyproject.toml | $(BIN)/python
	@echo "setting up $(VENV) with the tools for development (once, and when the lock changes)"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	@$(PIP) --require-hashes -r requirements-dev.lock
	@$(PIP) --no-deps --no-build-isolation --editable . --editable clients/python
	@touch $(VENV)/.installed $@
