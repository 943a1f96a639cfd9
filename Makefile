# Every door of the project; `make` alone lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# a lock for the interpreters we support; hashes make a tampered download fail
LOCK := requirements.lock

.DEFAULT_GOAL := help
.PHONY: help setup check lint types imports unit slow golden golden-update screenshots schema schema-check integration test \
        demo demo-shell demo-down bench images lock build clean new-service

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: $(VENV)/.ready ## make the virtual environment from the lock

$(VENV)/.ready: $(LOCK) pyproject.toml hatch_build.py
	$(PYTHON) tests/tools/interpreter.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r $(LOCK)
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

lint: setup ## ruff: style and formatting
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: setup ## mypy, strict
	$(BIN)/mypy

imports: setup ## who may import whom
	$(BIN)/lint-imports

unit: setup ## what needs neither an engine nor minutes
	$(BIN)/pytest -q -n auto -m "not engine and not slow"

slow: setup ## fuzzing, crash points, real servers on loopback
	$(BIN)/pytest -q -n auto -m "slow and not engine"

golden: setup ## rendered bundles against the reviewed ones
	$(BIN)/pytest -q tests/golden

golden-update: setup ## accept the rendered bundles; review the diff
	$(BIN)/python -m tests.golden.render

screenshots: setup ## pictures of every screen into docs/screens, and their texts for the tests
	mkdir -p docs/screens
	$(BIN)/python -m tests.tui.screens
	$(BIN)/python -m tests.tui.screens docs/screens

schema: setup ## write the generated schemas
	$(BIN)/devplat-install answers schema > docs/answers.schema.json
	$(BIN)/devplat-install events schema > docs/events.schema.json

schema-check: setup ## fail when a schema is not the generated one
	$(BIN)/devplat-install answers schema | diff -u docs/answers.schema.json -
	$(BIN)/devplat-install events schema | diff -u docs/events.schema.json -

check: lint types imports schema-check unit ## all of it without an engine, under a minute

integration: setup ## the run against a real engine
	$(BIN)/pytest -q -m engine

test: check ## the whole gate
	$(BIN)/python -m tests.testbed prepare
	DEVPLAT_REQUIRE_ENGINE=1 $(MAKE) slow
	DEVPLAT_REQUIRE_ENGINE=1 $(BIN)/pytest -q -m engine

demo: setup ## install the small profile on a throw-away host
	$(BIN)/python -m tests.demo up

demo-shell: setup ## a shell on the rehearsal host
	$(BIN)/python -m tests.demo shell

demo-down: setup ## remove the rehearsal host
	$(BIN)/python -m tests.demo down

bench: setup ## start-up, screens, render and shipping as ratios to the plainest way
	$(BIN)/python -m tests.bench

lock: ## resolve dependencies anew
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --extra dev pyproject.toml -o $(LOCK)

build: setup ## the wheel
	$(BIN)/python -m build --wheel --no-isolation

new-service: ## a service folder to start from: make new-service name=x
	@test -n "$(name)" || { echo "usage: make new-service name=x"; exit 2; }
	@test ! -e stacks/compose/$(name) || { echo "stacks/compose/$(name) exists"; exit 2; }
	cp -r stacks/_skeleton stacks/compose/$(name)
	sed -i 's/SERVICE_UNDERSCORED/$(subst -,_,$(name))/g; s/SERVICE/$(name)/g' stacks/compose/$(name)/*

clean: ## remove what the build made
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
