# Every target sets up .venv by itself from nothing, and does nothing where nothing changed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
# What needs neither a control plane nor a node, and trains nothing.
OTHERS := tests --ignore=tests/api --ignore=tests/wiring --ignore=tests/cluster

# Tests start hundreds of processes: what Python has compiled is kept, whatever the machine says.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-faults test-cluster browser testbed node image check docs bench fmt generate lock clean

help: ## Show the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Install everything into .venv (each other target does this by itself)

$(STAMP): pyproject.toml requirements/installer.lock requirements/dev.lock requirements/data.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name it with: make PYTHON=python3.12" >&2; exit 1; }
	@echo "Setting up $(VENV) (half a minute the first time, without the downloads) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install $(LOCKED) -r requirements/installer.lock
	@$(call install,requirements/dev.lock)
	@$(call install,requirements/data.lock)
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

LOCKED := --quiet --no-deps --require-hashes
# uv needs seconds for what takes pip two minutes; pip knows its own settings of a machine, such as an index.
install = $(BIN)/uv pip install --python $(BIN)/python --compile-bytecode $(LOCKED) -r $(1) || \
  { echo "uv could not install $(1): pip tries ..." >&2; $(PIP) install $(LOCKED) -r $(1); }

demo: $(STAMP) ## Train a real four-agent cascade on this machine: no cluster, no account
	@$(BIN)/cascade run examples/quickstart.yaml --retrain

test: $(STAMP) browser testbed ## Run the tests (all but the faults), in three processes
	@$(BIN)/python tests/side_by_side.py $(OTHERS) -- tests/api -m "not faults" -- tests/wiring -m "not faults"

test-faults: $(STAMP) testbed ## Run the faults: an operator killed fifty times, a run that loses its Redis, ...
	@$(BIN)/python tests/side_by_side.py tests/api -m faults -- tests/wiring -m faults

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

# The API server and what belongs to it are built from source, once, into the user's cache.
testbed: $(STAMP) ## Build the control plane that tests run against (once, some fifteen minutes)
	@command -v openssl >/dev/null || { \
	  [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && echo "Installing openssl ..." && \
	  { apt-get install -qq -y openssl || { apt-get update -qq && apt-get install -qq -y openssl; }; } >/dev/null; } || \
	  { echo "openssl is needed for the test bed's certificates: install it" >&2; exit 1; }
	@PYTHONPATH=tests:operator $(BIN)/python -m api build

node: $(STAMP) ## Build and fetch what that node is made of (once, some twenty minutes; root, Debian)
	@PYTHONPATH=tests:operator $(BIN)/python -m cluster setup

test-cluster: node ## Run the tests on a real node: kubelet, containers, Redis, models (root, Debian)
	@$(BIN)/python tests/side_by_side.py tests/cluster --timeout 1200

# BASE: an image with Python 3.11 or newer and its venv. IMAGE and TAG: what the two are called.
BASE ?= docker.io/library/python:3.11-slim-bookworm
IMAGE ?= localhost/cascade-operator
TAG ?= $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
CERT = $(or $(PIP_CERT),$(SSL_CERT_FILE))
# The host's package-client settings, where there are any, are seen by the steps that install.
SECRETS = $(if $(wildcard /etc/pip.conf),--secret id=pip_conf$(comma)src=/etc/pip.conf) \
  $(if $(wildcard $(CERT)),--secret id=pip_cert$(comma)src=$(CERT) --build-arg PIP_CERT=/run/secrets/pip_cert)
comma := ,

image: ## Build the operator's and the worker's image with docker, else buildah
	@if docker info >/dev/null 2>&1; then build="docker build"; \
	elif command -v buildah >/dev/null; then build="buildah bud --layers --isolation chroot"; \
	  export STORAGE_DRIVER="$${STORAGE_DRIVER:-vfs}"; \
	else echo "Neither docker nor buildah is here: install one of them" >&2; exit 1; fi; \
	for target in operator worker; do \
	  name=$(IMAGE); test $$target = operator || name=$(IMAGE)-worker; \
	  echo "Building $$name:$(TAG) ..."; \
	  $$build --network host $(SECRETS) --build-arg BASE=$(BASE) --build-arg VERSION=$(TAG) \
	    --build-arg REVISION="$$(git rev-parse HEAD 2>/dev/null)" \
	    --target $$target --tag $$name:$(TAG) . || exit 1; \
	done

check: $(STAMP) ## Lint, types, layers, generated files
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/cascade crd --check
	@$(BIN)/cascade rbac --check
	@$(BIN)/cascade chart --check
	@$(BIN)/python -m reference --check

docs: $(STAMP) ## Build the pages of docs/ into build/docs; a broken link or anchor fails
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --clean

bench: $(STAMP) ## Measure, and write bench/results.json
	@command -v redis-benchmark >/dev/null || command -v valkey-benchmark >/dev/null || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && echo "Fetching redis-benchmark ..." && \
	    apt-get update -qq && apt-get install -qq -y redis-tools >/dev/null; } || \
	  { echo "redis-benchmark is needed: apt-get install redis-tools (or valkey-tools)" >&2; exit 1; }
	@$(BIN)/python -m bench

fmt: $(STAMP) ## Format the code
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

generate: $(STAMP) ## Write the generated files anew (the CRD, the roles, the chart's, the reference)
	@$(BIN)/cascade crd
	@$(BIN)/cascade rbac
	@$(BIN)/cascade chart
	@$(BIN)/python -m reference

LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-header
lock: $(STAMP) ## Write the locks anew
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --all-extras --generate-hashes \
	  --no-emit-index-url --no-header pyproject.toml -o requirements/dev.lock
	@$(BIN)/uv pip compile --quiet --upgrade --no-deps --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header requirements/data.in -o requirements/data.lock
	@$(LOCK) --constraints requirements/dev.lock --extra operator pyproject.toml -o requirements/operator.lock
	@$(LOCK) --constraints requirements/dev.lock --extra worker pyproject.toml -o requirements/worker.lock
	@$(LOCK) --constraints requirements/dev.lock requirements/build.in -o requirements/build.lock
	@$(LOCK) --upgrade requirements/installer.in -o requirements/installer.lock
	@$(LOCK) --constraints requirements/data.lock --no-deps requirements/traces.in -o requirements/traces.lock

clean: ## Remove .venv and the local state
	rm -rf $(VENV) .cascade
