# The two commands: `make demo` and `make test`. Everything else serves them.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
COMPILE := uv pip compile pyproject.toml requirements.in --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-strip-extras --quiet
# A file of tests on one worker, so that what it builds is built once; the long ones first.
APART := -n auto --dist loadfile --no-loadscope-reorder
# Where tests write: memory, where it has a folder with room, since SQLite waits for a disk at each commit. Kept where one fails.
ROOM := $(shell df --output=avail -k /dev/shm 2>/dev/null | tail -1)
SCRATCH := $(shell [ "$(or $(ROOM),0)" -gt 4000000 ] 2>/dev/null && ! grep -q ' /dev/shm .*noexec' /proc/mounts && echo /dev/shm/nba-tests-$$PPID)
DEMO ?= demo$(if $(DATA),-own)
DATA ?=
MAPPING ?=
AS_OF ?=
SERVE ?= 1
CLIENTS ?= build/clients

.PHONY: demo test coverage check proof clients lock format clean
.DEFAULT_GOAL := help

help: ## Say what there is to do
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(BIN)/nba: requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

$(VENV)/dev: requirements-dev.lock $(BIN)/nba
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

demo: $(BIN)/nba ## A shop, the nightly job, one clerk's list, then the API (DATA=folder MAPPING=name for your own tables, SERVE=0 to stop after the list)
	$(BIN)/nba --project $(DEMO) demo $(if $(DATA),--data $(DATA)) $(if $(MAPPING),--mapping $(MAPPING)) $(if $(AS_OF),--as-of $(AS_OF)) $(if $(filter 0,$(SERVE)),--no-serve)

check: $(VENV)/dev ## Format, lint, types, imports, docs (generated pages, and the site built strictly)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m nba.jobs.docs --check
	$(BIN)/python -m nba.serving.document --check
	site=$$(mktemp -d); NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --site-dir $$site; failed=$$?; rm -rf $$site; exit $$failed

test: $(VENV)/dev ## All tests, doctests and the walk-through in examples/; a missing server or Java is a skip that names it (NBA_REQUIRE=all: a failure)
	$(BIN)/python -m pytest -m "not proof" $(APART) $(if $(SCRATCH),--basetemp=$(SCRATCH))
	$(if $(SCRATCH),rm -rf $(SCRATCH))

coverage: $(VENV)/dev ## The same, and which lines no test runs
	$(BIN)/python -m pytest -m "not proof" $(APART) --cov --cov-report=term:skip-covered

proof: $(VENV)/dev ## The long statistical, kill and scale suites; date and result of each go to experiments/proof
	$(BIN)/python -m pytest -m proof -p tests.proof_record --record experiments/proof

format: $(VENV)/dev ## Format and sort what can be
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clients: ## A Python and a TypeScript client of the API, generated from docs/openapi.json into CLIENTS (needs npm)
	$(PYTHON) -m venv $(CLIENTS)/tools
	$(CLIENTS)/tools/bin/pip install --quiet --disable-pip-version-check "openapi-python-client>=0.29,<0.30" ruff
	PATH="$(abspath $(CLIENTS))/tools/bin:$$PATH" openapi-python-client generate --path docs/openapi.json --output-path $(CLIENTS)/python --overwrite
	$(CLIENTS)/tools/bin/pip install --quiet --disable-pip-version-check --no-deps $(CLIENTS)/python
	npm install --silent --no-audit --no-fund --prefix $(CLIENTS)/typescript typescript@5 openapi-typescript@7 openapi-fetch@0.17 @types/node@20
	$(CLIENTS)/typescript/node_modules/.bin/openapi-typescript docs/openapi.json --output $(CLIENTS)/typescript/api.ts

lock: ## Resolve both lock files anew after a change in pyproject.toml or requirements.in (needs uv; see CONTRIBUTING.md)
	$(COMPILE) --all-extras --group dev -o requirements-dev.lock
	$(COMPILE) -c requirements-dev.lock -o requirements.lock

clean: ## Remove the environment and the demo
	rm -rf $(VENV) demo demo-own $(CLIENTS)
