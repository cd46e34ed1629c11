# The project's commands. `make` alone lists them.
#
# Nothing here needs root, or anything but make and Python >= 3.11; what needs Docker says so.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
PYTHON := $(VENV)/bin/python
READY := $(VENV)/.ready
TOOLS := $(VENV)/setup
RCA := .venv-rca

.PHONY: help setup lab exam-lab test verify verify-scenarios agents test-live scan run seed load bench rca clean up down logs ps chaos test-compose run-pipeline

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## Make .venv with everything pinned in requirements.lock (done by itself when needed)

lab: $(READY) ## Start the whole lab and stay with it; Ctrl-C ends it
	@exec $(VENV)/bin/lab up

exam-lab: $(READY) ## Start the lab for an exam: blind, and nothing breaks but what `lab exam start` breaks
	@LAB_BLIND=true SCENARIO=none exec $(VENV)/bin/lab up

test: $(READY) ## Run the tests; ARGS="-k name" runs some
	@exec $(PYTHON) -m pytest $(if $(strip $(ARGS)),$(ARGS),-n 2 --dist loadgroup)

verify: $(READY) ## Lint, formatting, types, tests
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy
	@$(MAKE) --no-print-directory test

verify-scenarios: $(READY) ## Prove on the lab that runs (SCENARIO=none make lab) what each scenario says
	@exec $(VENV)/bin/lab scenario verify all

agents: $(READY) ## Let the reference agent sit every scenario, and two that must fail; half an hour
	@AGENTS_SIT=all exec $(PYTHON) -m pytest tests/e2e/test_agents.py

test-live: $(READY) ## Test what `lab scenario verify` proves: minutes, on a machine that does nothing else
	@exec $(PYTHON) -m pytest tests/live

scan: $(READY) ## Audit the dependencies and the Dockerfile; what cannot be checked is named
	@exec $(PYTHON) -m scan

run: $(READY) ## The profile service alone, on SQLite, port 8000
	@exec $(PYTHON) -m services.profile

seed: $(READY) ## Fill the SQLite database of the profile service
	@$(PYTHON) -m services.profile.seed

load: $(READY) ## Send 50 requests to the profile service and sum up the answers
	@$(PYTHON) -m services.profile.load

bench: $(READY) ## Measure start time, memory, latency and overhead
	@$(PYTHON) -m bench

rca: $(RCA)/.ready ## Put RCAEval into .venv-rca, for `lab rca-baseline` (370 MB)

up: .env ## The whole lab on Docker, until every container is healthy
	@docker compose up -d --build --wait
	@for place in "console web-ui 8080" "Grafana grafana 3000" "logs dozzle 8080"; do \
	    set -- $$place; echo "$$1 http://$$(docker compose port $$2 $$3)"; \
	done

down: ## Take the lab on Docker down, with its data
	@docker compose --profile '*' down -v --remove-orphans

logs: ## Follow what the containers print; SERVICE=profile follows one
	@docker compose logs -f --tail 100 $(SERVICE)

ps: ## Show the containers
	@docker compose ps -a

chaos: .env ## Break the lab on Docker: SCENARIO=incident-b, payment-dns, inventory-timeout; none mends it
	@deploy/chaos "$(SCENARIO)"

test-compose: $(READY) ## Test the lab on Docker: scenarios, chaos, containers that are killed
	@docker compose --env-file .env.example build -q database
	@exec $(PYTHON) -m pytest -s tests/compose

run-pipeline: ## Build, test, scan, bring up, verify, report
	@exec ./run-pipeline.sh

# The example's passwords are known to everybody; the candidate's own is meant to be.
.env:
	@umask 077; while IFS= read -r line; do \
	    secret=$$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n'); \
	    case "$$line" in \
	        CANDIDATE_DB_PASSWORD=*) ;; \
	        *_PASSWORD=?*) line="$${line%%=*}=$$secret";; \
	        '# EXAMINER_TOKEN=') line="EXAMINER_TOKEN=$$secret";; \
	    esac; \
	    printf '%s\n' "$$line"; \
	done <.env.example >.env

clean: ## Stop the lab and remove its data, the caches and .venv
	@if [ -x $(VENV)/bin/lab ]; then $(VENV)/bin/lab erase --yes; fi
	@rm -rf .lab .mypy_cache .pytest_cache .ruff_cache .hypothesis .schemathesis $(VENV) $(RCA)
	@find . -type d -name __pycache__ -prune -exec rm -rf {} +

# uv lives in an environment of its own: what it installs must be the lock's content and nothing else.
# A mirror that pip is configured for serves uv too. The project itself is put on the path, not installed.
$(READY): requirements.lock pyproject.toml
	@set -e; \
	found=; \
	for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	    if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$name; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	    echo "Python 3.11 or newer is needed, and none of python3, python3.14 ... python3.11 is one." >&2; \
	    echo "Install it and run make again." >&2; \
	    exit 1; \
	fi; \
	if ! $$found -c 'import venv, ensurepip' 2>/dev/null; then \
	    version=$$($$found -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	    echo "$$found comes without venv and ensurepip, which Debian and Ubuntu keep in a package of their own:" >&2; \
	    echo "    apt install python$$version-venv" >&2; \
	    echo "Install it and run make again." >&2; \
	    exit 1; \
	fi; \
	echo "setting up $(VENV) with $$($$found --version)"; \
	rm -rf $(VENV); \
	$$found -m venv --without-pip $(VENV); \
	$$found -m venv $(TOOLS); \
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check uv; \
	mirror=$${PIP_INDEX_URL:-$$($(TOOLS)/bin/python -m pip config get global.index-url 2>/dev/null || true)}; \
	if [ -n "$$mirror" ] && [ -z "$$UV_DEFAULT_INDEX$$UV_INDEX_URL" ]; then export UV_DEFAULT_INDEX="$$mirror"; fi; \
	$(TOOLS)/bin/uv pip sync --quiet --python $(PYTHON) --require-hashes --compile-bytecode requirements.lock; \
	site=$$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
	echo "$(CURDIR)" > "$$site/firedrill.pth"; \
	printf '%s\n' '#!/bin/sh' 'exec "$(CURDIR)/$(PYTHON)" -P -m lab "$$@"' > $(VENV)/bin/lab; \
	chmod +x $(VENV)/bin/lab; \
	touch $@

# An environment of its own: RCAEval needs numpy, pandas and scikit-learn, the lab does not.
$(RCA)/.ready: requirements-rca.lock | $(READY)
	@rm -rf $(RCA)
	@$(PYTHON) -m venv --without-pip $(RCA)
	@set -e; \
	mirror=$${PIP_INDEX_URL:-$$($(TOOLS)/bin/python -m pip config get global.index-url 2>/dev/null || true)}; \
	if [ -n "$$mirror" ] && [ -z "$$UV_DEFAULT_INDEX$$UV_INDEX_URL" ]; then export UV_DEFAULT_INDEX="$$mirror"; fi; \
	$(TOOLS)/bin/uv pip sync --quiet --python $(RCA)/bin/python --require-hashes --compile-bytecode $<
	@touch $@
