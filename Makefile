# Every target does its own set-up; nothing is installed outside .venv but, where allowed, system
# packages that tests need.
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
STAMP   = $(VENV)/.stamp
# The versions of DEEPaaS that tests run for real, each in an environment of its own.
DEEPAAS = 2.5.2 2.6.0
PROBE   = $(wildcard tests/deepaas/pyproject.toml tests/deepaas/bi_probe/*.py)
# Tests wait about as long as they compute: two processes for each of two cores. A module is run by
# one of them, since it starts its services once. In the order of the folders: long modules first.
WORKERS ?= 4
PYTEST   = $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder
# Tests start interpreters by the thousand: they keep what they have compiled.
unexport PYTHONDONTWRITEBYTECODE
BROWSER = $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)

.PHONY: help setup deepaas supervisor services consumers peers browser sshfs demo test test-quick check format bench bench-quick bench-scale \
    bench-flow bench-cluster bench-results docs clean
.DEFAULT_GOAL := help

help:  ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

setup: $(STAMP)  ## Make .venv with everything needed

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "batchinfer needs Python 3.11 or newer: make PYTHON=/path/to/python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable '.[fast,local,demo,tables]' --group dev --group bench
	@touch $@

deepaas: $(DEEPAAS:%=.venv-deepaas-%/.stamp)  ## Install the real DEEPaaS, for tests

.venv-deepaas-%/.stamp: $(PROBE)
	rm -rf $(@D)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet deepaas==$* ./tests/deepaas
	@touch $@

supervisor: .venv-supervisor/.stamp  ## Install OSCAR's supervisor, for tests

.venv-supervisor/.stamp: Makefile
	rm -rf $(@D)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet faas-supervisor==1.5.2 webdavclient3 'setuptools<81'
	@touch $@

services: .venv-kserve/.stamp .venv-mlserver/.stamp  ## Install KServe and MLServer, for tests

.venv-kserve/.stamp:
	rm -rf $(@D)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet kserve==0.21.0
	@touch $@

.venv-mlserver/.stamp:
	rm -rf $(@D)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet mlserver==1.7.1
	@touch $@

consumers: $(VENV)/.consumers  ## Install the programs that read exports, for tests

$(VENV)/.consumers: $(STAMP)
	$(BIN)/python -m pip install --quiet --group consumers
	@touch $@

browser:  ## Install Chromium where it may (Debian, as root), for tests of the report
ifeq ($(BROWSER),)
	@if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	    export DEBIAN_FRONTEND=noninteractive; apt-get update -qq > /dev/null; \
	    apt-get install -qq --no-install-recommends chromium > /dev/null; \
	fi
endif

sshfs:  ## Install a network file system where it may (Debian, as root), for tests of shared runs
ifeq ($(shell command -v sshfs),)
	@if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	    export DEBIAN_FRONTEND=noninteractive; apt-get update -qq > /dev/null; \
	    apt-get install -qq --no-install-recommends sshfs openssh-sftp-server > /dev/null; \
	fi
endif

demo: setup  ## Run the main job on an embedded service: a real model, real photographs
	$(BIN)/python -m batchinfer.local.demo

test: setup consumers  ## All tests; without DEEPaaS, KServe, Chromium or sshfs, those that need it say so and (but in CI) are skipped
	-@$(MAKE) --no-print-directory -j 2 deepaas supervisor
	-@$(MAKE) --no-print-directory services
	-@$(MAKE) --no-print-directory browser
	-@$(MAKE) --no-print-directory sshfs
	$(PYTEST)

test-quick: setup  ## The fast tests of every package, for between two commits
	$(PYTEST) -m 'not slow' --hypothesis-profile quick tests/unit tests/contracts

check: setup  ## Format, lint, strict types, layers, names
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/structure

format: setup  ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

peers: .venv-peers/.stamp  ## Make .venv-peers with what is compared by bench; what cannot be had is said

.venv-peers/.stamp: benchmarks/peers/requirements.txt
	$(PYTHON) -m venv $(@D)
	@sed '/^#/d' $< | while read -r line; do \
	    $(@D)/bin/python -m pip install --quiet $$line < /dev/null || echo "cannot be had: $$line"; \
	done
	@touch $@

bench: setup peers  ## Compare with peers, side by side in one run (under 20 minutes)
	$(BIN)/python -m benchmarks

bench-quick: setup peers  ## The same rows with a tenth of the items, only once (two minutes)
	$(BIN)/python -m benchmarks --quick

bench-scale: setup peers  ## How costs grow up to 1,000,000 items and 10,000,000 rows (hours)
	$(BIN)/python -m benchmarks.scale --plots docs/images

bench-flow: setup  ## Compare flow controls on a simulated platform, in virtual time
	$(BIN)/python -m benchmarks.flow

bench-cluster: setup  ## Several processes beside one: workers, shards, Dask with a task per item
	$(BIN)/python -m benchmarks.cluster

bench-results: setup  ## Time and memory of reports and exports of long runs
	$(BIN)/python -m benchmarks.results

docs: setup  ## Write docs/reference from the docstrings
	$(BIN)/python docs/generate_reference.py

clean:  ## Remove what the targets made
	rm -rf $(VENV) .venv-deepaas-* .venv-supervisor .venv-kserve .venv-mlserver .venv-peers demo .mypy_cache .pytest_cache .ruff_cache .hypothesis
