# The two commands of the README are `make run` and `make test`; `make help` lists the rest.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: help setup run test test-all test-thorough check docs fuzz chaos bench lock audit clean

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: $(STAMP) ## make the environment in .venv (quick when nothing changed)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || \
	    { echo "Python 3.11 is needed: install it, or say 'make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)'." >&2; exit 2; }
	@echo "Making the environment in .venv (once, about a minute) ..." >&2
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# As it was typed: neither make nor the shell may read anything into a file name or a URL.
export INGEST_SOURCE := $(value SOURCE)

run: setup ## start everything and ingest SOURCE (default: the bundled clip); Ctrl-C stops it
	@if [ -n "$$INGEST_SOURCE" ]; then exec $(BIN)/narralytica-ingest up --submit "$$INGEST_SOURCE"; \
	else exec $(BIN)/narralytica-ingest up --sample; fi

check: setup ## lint and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Tests go side by side; those of a running stack by file, since each has a stack of its own. The one that breaks
# everything needs the machine for itself.
PARTS := -n 2 narralytica_ingest_tests/unit narralytica_ingest_tests/integration
BREAKING := narralytica_ingest_tests/e2e/test_chaos.py
STACK := -n 2 --dist loadfile narralytica_ingest_tests/e2e --ignore $(BREAKING)

test: setup ## the fast tests, with real servers (under 10 minutes)
	$(BIN)/pytest -m "not slow and not thorough" $(PARTS)
	$(BIN)/pytest -m "not slow and not thorough" $(STACK)

test-all: setup ## the slow tests, too, as CI runs them (under 30 minutes)
	$(BIN)/pytest -m "not thorough" $(PARTS)
	$(BIN)/pytest -m "not thorough" $(STACK)
	$(BIN)/pytest $(BREAKING)

test-thorough: setup ## what CI has no time for: the other crash points
	$(BIN)/pytest -m thorough $(PARTS)

docs: setup ## write docs/failure-codes.md and docs/data-model.md anew, after a change of failures or tables
	$(BIN)/python -m narralytica_ingest.failure_table > docs/failure-codes.md.new
	mv docs/failure-codes.md.new docs/failure-codes.md
	$(BIN)/python -m narralytica_ingest.data_model > docs/data-model.md.new
	mv docs/data-model.md.new docs/data-model.md

fuzz: setup ## throw hostile input at what reads it, guided by coverage (TARGET=identity SECONDS=600; default: all, 60)
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-fuzz.lock
	$(BIN)/python -W ignore -m narralytica_ingest_tests.fuzz $(or $(TARGET),all) --seconds $(or $(SECONDS),60)

chaos: setup ## break the running stack on purpose and count what that does (SEED=N repeats a schedule)
	$(BIN)/python -m narralytica_ingest_tests.chaos $(if $(SEED),--seed $(SEED))

bench: setup ## how long ingesting and audio extraction take, against a shell script and a bare ffmpeg
	$(BIN)/python -W ignore -m bench.against_script
	$(BIN)/python -W ignore -m bench.audio_extraction

COMPILE := uv pip compile --quiet --python-version 3.11 --generate-hashes --no-strip-extras --no-annotate --no-header

lock: setup ## pin the dependencies of pyproject.toml anew (needs uv)
	$(COMPILE) --extra dev --extra pot pyproject.toml -o requirements.lock
	echo 'atheris==3.0.0' | $(COMPILE) - -o requirements-fuzz.lock

audit: ## which pinned dependencies have known vulnerabilities (needs uv and the internet, so CI does without)
	uvx pip-audit --strict --disable-pip --require-hashes -r requirements.lock -r requirements-fuzz.lock

clean: ## remove the environment; .narralytica, with what was ingested, stays
	rm -rf .venv
