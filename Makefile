# Tollhouse. `make` lists the targets. Needs: make, and Python 3.11 or later with its venv module.
.DEFAULT_GOAL := help
SHELL := /bin/sh

PORT ?= 8080
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
	command -v $$name && break; done)
VENV := .venv
BIN := $(VENV)/bin
# Its age against pyproject.toml and constraints.txt says whether the environment is current.
INSTALLED := $(VENV)/.installed
# The SDKs of tests/clients: their dependencies are not ours, so they have environments of their own.
CLIENTS := tests/clients
CLIENTS_PYTHON := $(CLIENTS)/.venv-shared/.installed $(CLIENTS)/.venv-pydantic-ai/.installed
CLIENTS_NODE := $(CLIENTS)/node/node_modules/.installed
# What docker-compose.yml renders with, so that the example reads as it runs there.
EXAMPLE := --seen-as /etc/tollhouse/envoy --listen 0.0.0.0:8443 --admin 127.0.0.1:9901 \
	--authz unix:/run/tollhouse/authz.sock --ratelimit unix:/run/tollhouse/ratelimit.sock \
	--console unix:/run/tollhouse/console.sock \
	--access-log /var/log/tollhouse/access.json \
	--tls-cert /certs/tls.crt --tls-key /certs/tls.key

EXAMPLE_DIR ?= envoy/example

.PHONY: help up install clients test lint check schema screenshots bench bench-growth bench-soak bench-policy bench-audit guard guard-baseline example clean

help:  ## This list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 22

up: install  ## Run the whole gateway here: make up [PORT=8080]; Ctrl-C stops it
	@exec $(BIN)/tollhouse up --port $(PORT)

install: $(INSTALLED)  ## Prepare .venv, and nothing else

$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" && "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Tollhouse needs Python 3.11 or later; found: $(or $(PYTHON),none)." >&2; \
		echo "Install it (Debian: apt install python3.11 python3.11-venv)," \
			"or name it: make install PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) has no venv module (Debian: apt install python3-venv)." >&2; exit 1; }
	@echo "1/2 the virtual environment $(VENV), from $(PYTHON)"
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	@echo "2/2 the packages, at the versions of constraints.txt (a minute or two the first time)"
	@$(BIN)/python -m pip install --quiet --progress-bar on --disable-pip-version-check \
		-c constraints.txt -e '.[dev]'
	@touch $@

clients: $(CLIENTS_PYTHON) $(CLIENTS_NODE)  ## Install the SDKs that tests/clients drives

$(CLIENTS)/.venv-%/.installed: $(CLIENTS)/requirements-%.txt | install
	@echo "$<, into $(@D) (some minutes the first time)"
	@test -x $(@D)/bin/python || "$(PYTHON)" -m venv $(@D)
	@$(@D)/bin/python -m pip install --quiet --progress-bar on --disable-pip-version-check \
		--no-deps -r $<
	@touch $@

# Without npm the tests of the Node.js clients are skipped; in CI, they fail.
$(CLIENTS_NODE): $(CLIENTS)/node/package.json $(CLIENTS)/node/package-lock.json
	@command -v npm >/dev/null || { echo "npm is missing (Debian: apt install nodejs npm):" \
		"the Node.js clients are not installed" >&2; exit 0; }; \
	npm ci --prefix $(CLIENTS)/node --silent --no-audit --no-fund && touch $@

test: install clients  ## All tests, through the real Envoy and the real Redis
	@$(BIN)/pytest

lint: install  ## Style, types, and which module may import which
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

check: install  ## Check the policy tree with the services' own loader, and run its tests
	@$(BIN)/tollhouse check policies
	@$(BIN)/tollhouse test --policies policies --demo-keys

schema: install  ## Write policies/schema again, from the loader's own models
	@$(BIN)/tollhouse schema --out policies/schema

screenshots: install  ## Take the pictures of docs/console.md again, in a real Chromium
	@$(BIN)/python -m tests.screenshots

bench: install  ## The whole road beside a bare Envoy, LiteLLM and Portkey: 10 minutes (needs wrk, npm)
	@$(BIN)/python -m bench.run $(BENCH)

bench-growth: install  ## How cost grows with scopes, keys, bodies, streams, replicas: 5 minutes
	@$(BIN)/python -m bench.growth $(BENCH)

bench-soak: install  ## Ten minutes at half load: does memory grow?
	@$(BIN)/python -m bench.soak $(BENCH)

bench-policy: install  ## A policy of 100,000 keys: loading, reloading, and calls meanwhile
	@$(BIN)/python -m bench.policy_scale

bench-audit: install  ## Search in 10 million lines of access log (needs 15 GB in /tmp)
	@$(BIN)/python -m bench.audit_search

guard: install  ## Count instructions on the hot paths against bench/guard/baseline.json (needs valgrind)
	@$(BIN)/python -m bench.guard

guard-baseline: install  ## Write that baseline anew, after a change that is meant
	@$(BIN)/python -m bench.guard --write

example: install  ## Render envoy/example again, from policies/
	@rm -rf $(EXAMPLE_DIR)
	@$(BIN)/tollhouse render --policies policies --out $(EXAMPLE_DIR) $(EXAMPLE)
	@rm -r $(EXAMPLE_DIR)/lua

clean:  ## Remove the environment, caches and the run directory
	rm -rf $(VENV) $(CLIENTS)/.venv-* $(CLIENTS)/node/node_modules bench/peers/.venv-* bench/peers/node_modules .run .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
