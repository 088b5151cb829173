# `make run` and `make test` are all the set-up a fresh machine needs (Python 3.11 or later).
PYTHON ?= python3
CONTENT ?=
PORT ?= 8025
WORKERS ?= auto
SEED ?= 20261124
SLICE ?= 1/1
ONLY ?=
unexport PYTHONDONTWRITEBYTECODE # else each worker and each command that a test starts compiles all modules anew
COMPILE = .venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-header

.PHONY: run write test test-fast test-slow check chaos mutants format lock licences schema bench catalogues clean help

help: ## Say what can be made
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

run: .venv/run.stamp ## Start everything on this machine (CONTENT=path, PORT=8025)
	@.venv/bin/python -m mailer.cli up --port $(PORT) $(if $(CONTENT),--content "$(CONTENT)")

write: .venv/run.stamp ## A live preview of what you write (FILE=content/issues/…)
	@.venv/bin/python -m mailer.cli write $(FILE)

test: .venv/dev.stamp ## Run the tests, on real Postgres and Valkey
	.venv/bin/pytest -n $(WORKERS) --dist worksteal -m "not slow"

test-fast: .venv/dev.stamp ## Run the unit tests and those of the store (under a minute)
	.venv/bin/pytest -q -n $(WORKERS) --dist worksteal -m "not slow" tests/unit tests/integration/sending/test_ledger.py \
		tests/integration/sending/test_locks.py tests/integration/publishing/test_publish.py

test-slow: .venv/dev.stamp ## Run what is slow by nature: browsers, whole stacks, killed processes, floods, the real archive
	.venv/bin/pytest -n $(WORKERS) --dist worksteal -m slow

check: .venv/dev.stamp ## Linters, types, layers, dead code, vocabulary, catalogues, migrations
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/vulture
	.venv/bin/python -m bench.dead_code
	.venv/bin/python -m bench.prose
	.venv/bin/python -m bench.catalogues --check
	@command -v msgfmt >/dev/null || { echo "msgfmt is missing: on Debian and Ubuntu run apt install gettext."; exit 1; }
	for file in mailer/locale/*.po*; do msgfmt --check -o /dev/null $$file || exit 1; done
	.venv/bin/python -m pip check
	.venv/bin/zizmor --quiet --offline --no-progress .github
	.venv/bin/squawk --assume-in-transaction --pg-version=16.0 --exclude=prefer-bigint-over-int,prefer-bigint-over-smallint mailer/migrations/*.sql

chaos: .venv/dev.stamp ## Fifty random faults while real processes send (SEED=20261124)
	.venv/bin/python -m bench.chaos --faults 50 --seed $(SEED)

mutants: .venv/dev.stamp ## Make small changes to the code and see whether the tests fail (SLICE=1/4, ONLY=checkout)
	.venv/bin/python -m bench.mutants --slice $(SLICE) $(addprefix --only ,$(ONLY))

format: .venv/dev.stamp ## Format the Python code
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

lock: .venv/dev.stamp ## Pin the dependencies of pyproject.toml and requirements-dev.in with hashes
	$(COMPILE) --all-extras pyproject.toml -o requirements.txt
	$(COMPILE) pyproject.toml -c requirements.txt -o requirements-server.txt
	$(COMPILE) requirements-dev.in -o requirements-dev.txt

catalogues: .venv/dev.stamp ## Bring the translations up to date with the texts in the code
	.venv/bin/python -m bench.catalogues

licences: .venv/run.stamp ## List the licences of the pinned requirements
	.venv/bin/python -m bench.licences

schema: .venv/dev.stamp ## Write mailer/schema.sql from the migrations
	.venv/bin/python -m tests.schema

clean: ## Remove what builds and runs made (the database of `make run` too)
	rm -rf build .postmerge .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed: set PYTHON=/path/to/python3.11."; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "Python's venv module is missing: on Debian and Ubuntu run apt install python3-venv."; exit 1; }

.venv/run.stamp: requirements.txt | .venv/bin/python
	@echo "Installing the pinned requirements into .venv (once)…"
	@.venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

.venv/dev.stamp: requirements-dev.txt .venv/run.stamp
	@.venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@
