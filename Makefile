# Every target sets up .venv by itself from nothing, and does nothing where nothing changed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input

.DEFAULT_GOAL := help
.PHONY: help setup demo test browser check bench fmt generate lock clean

help: ## Show the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Install everything into .venv (each other target does this by itself)

$(STAMP): pyproject.toml requirements/dev.lock requirements/data.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name it with: make PYTHON=python3.12" >&2; exit 1; }
	@echo "Setting up $(VENV) (about two minutes the first time) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --quiet --no-deps --require-hashes -r requirements/dev.lock
	@$(PIP) install --quiet --no-deps --require-hashes -r requirements/data.lock
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP) ## Train a real four-agent cascade on this machine: no cluster, no account
	@$(BIN)/cascade run examples/quickstart.yaml --retrain

test: $(STAMP) browser ## Run every test
	@$(BIN)/python -m pytest

# A test opens reports in the machine's own Chromium; without one it fails and says so.
browser:
	@test -z "$$CHROME" || exit 0; \
	for name in chromium chromium-browser google-chrome google-chrome-stable chrome; do \
	  command -v $$name >/dev/null && exit 0; done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing Chromium, in which a test opens reports ..."; \
	  export DEBIAN_FRONTEND=noninteractive; \
	  install="apt-get install --yes --quiet --quiet --no-install-recommends chromium"; \
	  { $$install || { apt-get update --quiet --quiet && $$install; }; } >/dev/null 2>&1 && exit 0; \
	fi; \
	echo "No Chromium: install the package chromium, or set CHROME=/path/to/chrome" >&2

check: $(STAMP) ## Lint, types, layers, generated files
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/cascade crd --check

bench: $(STAMP) ## Measure, and write bench/results.json
	@command -v redis-benchmark >/dev/null || command -v valkey-benchmark >/dev/null || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && echo "Fetching redis-benchmark ..." && \
	    apt-get update -qq && apt-get install -qq -y redis-tools >/dev/null; } || \
	  { echo "redis-benchmark is needed: apt-get install redis-tools (or valkey-tools)" >&2; exit 1; }
	@$(BIN)/python -m bench

fmt: $(STAMP) ## Format the code
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

generate: $(STAMP) ## Write the generated files anew (the CRD)
	@$(BIN)/cascade crd

lock: $(STAMP) ## Write the locks anew
	@$(PIP) install --quiet uv
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --all-extras --generate-hashes \
	  --no-emit-index-url --no-header pyproject.toml -o requirements/dev.lock
	@$(BIN)/uv pip compile --quiet --upgrade --no-deps --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header requirements/data.in -o requirements/data.lock

clean: ## Remove .venv and the local state
	rm -rf $(VENV) .cascade
