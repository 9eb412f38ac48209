# Every path is relative: make takes a space in a name for the end of it.
PYTHON ?= python3
PY := .venv/bin/python
LOCAL := .venv/installed-local
DEV := .venv/installed-dev
MARKETS := demo demo_id
SHELL := /bin/sh
MAKEFLAGS += --no-print-directory --no-builtin-rules

.DEFAULT_GOAL := help
.PHONY: help run test lint format types imports ussd-check check phone reset bench profile torture torture-small storm clean

help: ## this list
	@printf 'Kibanda: a USSD/SMS mobile-money server. Targets:\n\n'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 24
	@printf '\nPORT (8000) and SANDBOX_PORT (8001) choose the ports of `make run`.\n'

run: $(LOCAL) ## install, start the servers, migrate, load the demo, run everything until Ctrl-C
	@exec $(PY) -m launcher run

test: $(DEV) ## all tests, on embedded servers of their own
	@exec $(PY) -m pytest -n auto --dist worksteal $(ARGS)

check: lint types imports ussd-check ## everything that needs no server: lint types imports ussd-check

lint: $(DEV) ## ruff: rules and format
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

format: $(DEV) ## let ruff rewrite what lint complains about
	@$(PY) -m ruff check --fix-only .
	@$(PY) -m ruff format .

types: $(DEV) ## mypy, strict
	@$(PY) -m mypy

imports: $(DEV) ## import-linter: imports point down only
	@.venv/bin/lint-imports

ussd-check: $(LOCAL) ## walk the whole USSD menu of both demo markets without running it
	@for market in $(MARKETS); do \
	  KIBANDA_MARKET=$$market $(PY) -m flask --app app.factory ussd check || exit 1; done

phone: $(LOCAL) ## the phone in a terminal (`make run` must be running in another)
	@exec $(PY) -m sandbox.terminal

reset: $(LOCAL) ## drop the demo's data
	@exec $(PY) -m launcher reset

bench: $(DEV) ## measure everything, beside plain Flask and pgbench: one table (about an hour)
	@exec $(PY) -m bench $(ARGS)

profile: $(DEV) ## where the time of a hop and of a payment goes, by py-spy
	@exec $(PY) -m bench.profiling

torture-small: $(DEV) ## kill -9 at every failpoint, judged from outside (about 2 minutes)
	@exec $(PY) -m tests.torture

torture: torture-small storm ## torture-small, then storm (about 7 minutes)

storm: $(DEV) ## 200 people in a storm of faults drawn from a seed (ARGS="--seed 7 --minutes 60")
	@exec $(PY) -m tests.torture.storm $(ARGS)

clean: ## drop the virtual environment and every cache, keep the data
	@rm -rf .venv .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps: a second run finds them newer than the requirements and installs nothing.
$(LOCAL): requirements.txt requirements-local.txt | .venv/made
	@$(PY) -m launcher.install requirements-local.txt
	@touch $@

$(DEV): requirements-dev.txt $(LOCAL)
	@$(PY) -m launcher.install requirements-dev.txt
	@touch $@

.venv/made:
	@command -v $(PYTHON) >/dev/null || { \
	  echo 'kibanda: there is no $(PYTHON) here: install Python 3.11 or newer.' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "kibanda: $$($(PYTHON) --version) is too old: give a Python of 3.11 or newer, e.g. \`make run PYTHON=python3.12\`." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo 'kibanda: $(PYTHON) cannot make virtual environments: on Debian, install python3-venv.' >&2; exit 1; }
	@echo 'creating the virtual environment…'
	@$(PYTHON) -m venv .venv
	@touch $@
