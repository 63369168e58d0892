# The front door. `make` alone lists what there is.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup corpus languages sample test test-all lint format types bench clean

# LANG is also the locale variable of every shell. As the language of a job it counts only when it stands on make's own
# command line; what make starts gets the locale that make itself was started with.
ifeq ($(origin LANG),command line)
  LANGUAGES := $(LANG)
endif
unexport LANG
MAKEOVERRIDES :=
LOCALE := $(shell printf '%s' "$$LANG")
RUN := env $(if $(LOCALE),LANG=$(LOCALE),-u LANG)

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed

WORKERS ?=
CONFIG ?=
SKIP ?=
OUT ?= corpora
SAMPLE := samples/build
INPUT ?= $(SAMPLE)

help:
	@echo "make corpus LANG=el                         the bundled sample crawl -> corpora/el"
	@echo "make corpus LANG=el,tr INPUT='crawl/*.warc.gz' OUT=corpora [WORKERS=8] [CONFIG=my.yaml] [SKIP=minhash]"
	@echo "make languages                              the languages that LANG may name"
	@echo "make test | test-all | lint | bench | clean"

setup: $(STAMP)

$(STAMP): requirements.txt requirements-dev.txt requirements-files.txt constraints.txt setup.cfg
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-dev.txt -c constraints.txt
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-files.txt
	@touch $@

# The sample is packed anew only when its sources change.
$(SAMPLE)/.packed: $(shell find samples -name build -prune -o -type f -print 2>/dev/null) | $(STAMP)
	@$(RUN) $(PY) -m samples.pack --out $(SAMPLE)
	@touch $@

sample: $(SAMPLE)/.packed

corpus: $(STAMP) $(if $(filter $(SAMPLE),$(INPUT)),$(SAMPLE)/.packed)
ifndef LANGUAGES
	@echo "usage: make corpus LANG=<code>[,<code>...] [INPUT=...] [OUT=corpora] [WORKERS=n] [CONFIG=file.yaml] [SKIP=stage,...]" >&2
	@$(RUN) $(PY) -m curation languages --short >&2
	@exit 2
else
	@$(RUN) $(PY) -m curation corpus --lang '$(LANGUAGES)' --input '$(INPUT)' --out '$(OUT)' \
		$(if $(CONFIG),--config '$(CONFIG)') $(if $(WORKERS),--workers '$(WORKERS)') $(if $(SKIP),--skip '$(SKIP)')
endif

languages: $(STAMP)
	@$(RUN) $(PY) -m curation languages

test: $(STAMP) $(SAMPLE)/.packed
	$(RUN) $(PY) -m pytest

test-all: $(STAMP) $(SAMPLE)/.packed
	$(RUN) $(PY) -m pytest -m "slow or not slow"

lint: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: $(STAMP)
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

bench: $(STAMP)
	$(RUN) $(PY) -m benchmarks

clean:
	rm -rf $(VENV) $(SAMPLE) .pytest_cache .mypy_cache .ruff_cache .hypothesis
