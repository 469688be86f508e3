# `make` alone shows what there is.
.DEFAULT_GOAL := help
.PHONY: help setup demo up screenshots doctor test test-unit test-compose lint format audit sbom check-helm \
	bench bench-scale bench-ui migrate lock clean distclean

# Set it to choose the interpreter: make setup PYTHON=/path/to/python3.12
PYTHON ?=
BIN := .venv/bin
# What a shell may carry from elsewhere and what would put packages or imports in the wrong place.
unexport PYTHONPATH PYTHONHOME PYTHONSTARTUP VIRTUAL_ENV CONDA_PREFIX
unexport PIP_USER PIP_TARGET PIP_PREFIX PIP_CONSTRAINT PIP_REQUIREMENT PIP_NO_BINARY PIP_ONLY_BINARY
unexport UV_SYSTEM_PYTHON UV_PROJECT_ENVIRONMENT UV_CONSTRAINT UV_NO_BINARY
# Parts of Airflow are started by their bare name.
export PATH := $(CURDIR)/$(BIN):$(PATH)

SPELLED := $(wildcard README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md docs dags plugins include scripts tests .ci \
	Makefile pyproject.toml docker-compose.yaml Dockerfile .env.example deploy packages.txt airflow_settings.example.yaml)
SHELLS := .ci/run $(wildcard scripts/*.sh scripts/*/*.sh deploy/*/*.sh tests/compose/*.sh tests/compose/*/*.sh)
YAMLS := $(wildcard deploy docker-compose*.yaml airflow_settings.example.yaml .astro)
PYTHONS := $(wildcard dags plugins include scripts tests)

help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: ## make .venv with everything pinned (uv where it is there, pip otherwise)
	@PYTHON='$(PYTHON)' sh scripts/setup.sh

demo: setup ## the main job from nothing: Postgres, simulator, sign-in, one run of the DAG, the funnel
	@$(BIN)/python -m scripts.local_stack demo

up: setup ## Airflow with its UI, the DAGs unpaused; Ctrl-C stops all of it
	@$(BIN)/python -m scripts.local_stack up

screenshots: setup ## the pictures of docs/screenshots, anew, from Airflow over the simulator (needs Chromium)
	@$(BIN)/python -m scripts.local_stack screenshots

doctor: setup ## why the sync does not run: one line for each thing that it needs (ARGS='--json', '--offline')
	@$(BIN)/python -m scripts.local_stack.doctor $(ARGS)

# One pytest session, so that one line at the end tells the whole; tests/conftest.py puts the quick tests first.
test: setup ## all tests, the quick ones first
	@$(BIN)/python -m pytest -n 2 --dist loadgroup --no-loadscope-reorder tests $(ARGS)

test-unit: setup ## the unit tests alone: seconds
	@$(BIN)/python -m pytest tests/unit $(ARGS)

test-compose: setup ## the compose stack, deployed, broken and rolled back in docker (20 minutes; not in `make test`)
	@sh tests/compose/run.sh $(ARGS)

lint: setup ## formatter, linter, types, SQL, shell, Dockerfile, YAML, spelling, and the lock against the pins
	@$(BIN)/ruff format --check $(PYTHONS)
	@$(BIN)/ruff check $(PYTHONS)
	@$(BIN)/mypy
	@$(BIN)/sqlfluff lint --disable-progress-bar include/sql
	@$(BIN)/codespell $(SPELLED)
	@$(BIN)/python scripts/check_lock.py
	@shellcheck $(SHELLS)
	@hadolint Dockerfile
	@yamllint --strict $(YAMLS)

format: setup ## format Python and SQL, and repair what the linters can repair
	@$(BIN)/ruff check --fix --exit-zero --quiet $(PYTHONS)
	@$(BIN)/ruff format $(PYTHONS)
	-@$(BIN)/sqlfluff fix --disable-progress-bar include/sql

audit: setup ## known vulnerabilities of what the lock pins (says so where their data cannot be reached)
	@$(BIN)/python scripts/check_vulnerabilities.py

# One component is known to stand alone in it: our own, whose dependencies are the pins.
sbom: setup ## the bill of materials of the lock, CycloneDX 1.6: build/sbom.cdx.json
	@mkdir -p build
	@$(BIN)/python -W ignore::UserWarning -m cyclonedx_py requirements requirements.lock --pyproject pyproject.toml \
		--output-reproducible --output-format JSON --output-file build/sbom.cdx.json $(ARGS)
	@printf '%s\n' build/sbom.cdx.json

check-helm: setup ## the Helm values against the official chart: make check-helm CHART=path/of/airflow
	@$(BIN)/python scripts/check_helm_values.py $(CHART)

bench: setup ## the performance table
	@$(BIN)/python tests/bench/bench.py $(ARGS)

bench-scale: setup ## what an incremental run costs beside 10,000 to 1,000,000 stored referrals
	@$(BIN)/python tests/bench/scale.py $(ARGS)

bench-ui: setup ## how long the pages take at a million referrals
	@$(BIN)/python tests/bench/inbox.py $(ARGS)

migrate: setup ## bring the warehouse to the newest revision
	@$(BIN)/alembic upgrade head

lock: setup ## resolve the pins anew: requirements.lock and requirements-dev.lock
	@sh scripts/lock.sh

clean: ## remove what the commands wrote, but for .venv
	@rm -rf .local build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name .venv -prune -o -name __pycache__ -type d -exec rm -rf {} +

distclean: clean ## the same and .venv
	@rm -rf .venv plugins/*.egg-info
