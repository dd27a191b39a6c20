# The environment lives in .venv. What is installed is remembered in stamps, so only the first
# call installs. Settings: PYTHON=python3.12, VENV=folder, SECONDS=60, JAMMING=none|light|heavy,
# DATA=folder of pictures, OUT=folder for the contact sheet.

SHELL := /bin/bash
VENV ?= .venv
BIN := $(VENV)/bin
SECONDS ?= 60
JAMMING ?= light
PYTHONS ?= python3.11 python3.13
OUT ?= demo-output

RUN_STAMP := $(VENV)/.installed-run
ALL_STAMP := $(VENV)/.installed-all
PARALLEL := --numprocesses auto --maxprocesses 4 --dist loadfile
DECLARED := pyproject.toml constraints.txt tools/environment.sh

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-slow test-matrix test-qemu lint format bench train-belt env env-run constraints clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(RUN_STAMP): $(DECLARED)
	@PYTHON="$(PYTHON)" tools/environment.sh $(VENV) device,server
	@touch $@

$(ALL_STAMP): $(DECLARED)
	@PYTHON="$(PYTHON)" tools/environment.sh $(VENV) device,server,train,dev
	@touch $(RUN_STAMP) $@

env-run: $(RUN_STAMP)  ## Install what the programs need (no TensorFlow)
env: $(ALL_STAMP)  ## Install everything: programs, training, development

demo: $(RUN_STAMP)  ## Camera, jammed radio and edge server at work on this machine
	$(BIN)/pnc demo --seconds $(SECONDS) --jamming $(JAMMING) --out $(OUT) $(if $(DATA),--data "$(DATA)")

test: lint  ## Lint, types, all tests but the slow ones, coverage gates
	$(BIN)/python -m pytest $(PARALLEL) --cov --cov-report=json:.coverage.json --cov-report=
	$(BIN)/python tools/coverage_gates.py .coverage.json

test-fast: $(ALL_STAMP)  ## The tests that start no processes, without coverage
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow and not e2e"

test-slow: $(ALL_STAMP)  ## The slow tests only: minutes each
	$(BIN)/python -m pytest -m slow --timeout 1800

test-matrix:  ## Golden streams on other Pythons and the oldest numpy; PYTHONS="python3.11 ..."
	tools/golden_matrix.sh .cache/matrix $(PYTHONS)

test-qemu: $(ALL_STAMP)  ## Replug a real CDC-ACM port in QEMU; KERNEL=folder of an unpacked linux-image
	tests/qemu/replug.sh "$(KERNEL)" 20

lint: $(ALL_STAMP)  ## ruff check, ruff format --check, mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict

format: $(ALL_STAMP)  ## Let ruff repair what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(ALL_STAMP)  ## Measure again what the README says
	$(BIN)/python -m benchmarks all --out benchmarks/results

train-belt: $(ALL_STAMP)  ## Train the checkpoint `belt` from nothing
	$(BIN)/pnc train belt

constraints: $(ALL_STAMP)  ## Write constraints.txt from what is installed
	$(BIN)/python tools/freeze_constraints.py > constraints.new && mv constraints.new constraints.txt

clean:  ## Remove caches, builds and outputs; keep .venv and runs/
	rm -rf build dist htmlcov $(OUT) .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -path './.venv*' -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf
