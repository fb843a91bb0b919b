# Meadow. Everything sets itself up: only Python 3.11, make and git are needed. `make help` lists the targets.

PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
NODE_PACKAGES := tests/interop/node tests/interop/node2021
SOURCES := core feedagg userpeer templates tools tests bench

.DEFAULT_GOAL := help
.PHONY: help run demo test lint format bench pictures node-packages lock clean clean-data

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ---- the two commands -------------------------------------------------------------------------------------------

run: $(VENV)/.runtime ## Start an aggregator and your own peer; prints where to look
	@$(BIN)/python -m tools.run

demo: $(VENV)/.runtime ## The same with two more people and a few hundred records (joins a running `make run`)
	@$(BIN)/python -m tools.demo

# ---- checks -----------------------------------------------------------------------------------------------------

test: $(VENV)/.dev node-packages lint ## Everything that must hold: lint, types, import contracts, tests
	$(BIN)/pytest

lint: $(VENV)/.dev ## ruff, mypy (strict for core) and the import contracts
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## Format the code and mend what ruff can mend
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

bench: $(VENV)/.dev node-packages ## Our speed beside the official packages' on Node, in one run
	$(BIN)/python -m bench

pictures: $(VENV)/.dev ## Take the pictures in docs/screenshots again (needs Chromium)
	$(BIN)/python -m tests.support.pictures

# The official packages, for interoperability tests and benchmarks only; both say so when they are missing. Those of 2021
# write the folders that `hyp import` reads.
node-packages:
	@if command -v node >/dev/null && command -v npm >/dev/null; then \
	  for folder in $(NODE_PACKAGES); do \
	    if [ ! -e $$folder/node_modules/.package-lock.json ] || \
	       [ $$folder/package-lock.json -nt $$folder/node_modules/.package-lock.json ]; then \
	      echo "Installing the official Node packages of $$folder …"; \
	      (cd $$folder && npm ci --no-audit --no-fund && touch node_modules/.package-lock.json) || exit 1; \
	    fi; \
	  done; \
	else echo "Node.js and npm are not installed: what compares with them is skipped."; fi

# ---- the environment --------------------------------------------------------------------------------------------

$(BIN)/python:
	@echo "Making a virtual environment in $(VENV) …"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name yours with: make PYTHON=/path/to/python3.11 …"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "Python's venv module is missing; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }

$(VENV)/.runtime: $(BIN)/python requirements/runtime.txt pyproject.toml
	@echo "Installing what Meadow runs on (once; about a minute) …"
	$(PIP) install --require-hashes --only-binary :all: -r requirements/runtime.txt
	$(PIP) install --no-deps --no-build-isolation --quiet -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements/dev.txt
	@echo "Installing the tools for tests and checks …"
	$(PIP) install --require-hashes --only-binary :all: -r requirements/dev.txt
	@touch $@

# Needs pip-tools, in an environment of its own so that it disturbs no other.
COMPILE = $(VENV)/lock/bin/pip-compile --generate-hashes --no-emit-index-url --no-emit-trusted-host \
  --no-emit-find-links --no-header --strip-extras --allow-unsafe --all-build-deps --quiet
lock: $(BIN)/python ## Renew requirements/*.txt from pyproject.toml (Python 3.11 on Linux)
	$(PYTHON) -m venv $(VENV)/lock && $(VENV)/lock/bin/pip install --quiet pip-tools
	$(COMPILE) -o requirements/runtime.txt pyproject.toml
	$(COMPILE) --all-extras -c requirements/runtime.txt -o requirements/dev.txt pyproject.toml

clean: ## Remove what was built and installed here; your peers' data stays
	rm -rf $(VENV) $(addsuffix /node_modules,$(NODE_PACKAGES)) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis \
	  .import_linter_cache *.egg-info
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

clean-data: ## Remove the peers and the aggregator of `make run` and `make demo`, and their secret keys, for good
	rm -rf .meadow
