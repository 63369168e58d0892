# The front door. `make` alone lists what there is.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup test-long cpt sweep corpus parallel tell pivot tokens tokenizer where mixture mixdiff export languages calibrate whatif explain audit scurve stopwords kenlm lmplz language sample test test-all lint format types bench clean

# LANG is also the locale variable of every shell. As the language of a job it counts only when it stands on make's own
# command line; what make starts gets the locale that make itself was started with.
ifeq ($(origin LANG),command line)
  LANGUAGES := $(LANG)
endif
unexport LANG
MAKEOVERRIDES :=
LOCALE := $(shell printf '%s' "$$LANG")
WITH_LOCALE := env $(if $(LOCALE),LANG=$(LOCALE),-u LANG)

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
TORCH := $(shell sed -n 's/^torch==//p' requirements.txt)

WORKERS ?=
CONFIG ?=
SKIP ?=
AGAINST ?=
OUT ?= corpora
PROFILES ?= profiles
TEXT ?=
CODE ?=
NAME ?=
ISO3 ?=
SET ?=
SAMPLE_SIZE ?=
URL ?=
PAIR ?=
LASER ?=
FROM ?=
CORPUS ?=
TOKENS ?= tokens
TOKEN ?=
MIX ?=
MIXTURES ?= mixtures
CHECK ?=
TRAINER ?=
CHECKPOINTS ?=
RUN ?=
RUNS ?= runs
CHANGED ?=
NPROC ?= 1
SWEEP ?=
SWEEPS ?= sweeps
A ?=
B ?=
RENDER ?=
METHOD ?=
REFERENCE ?=
TOKENIZER ?=
SAMPLE := samples/build
# The default folder need not be there; one that is named has to be.
WITH_PROFILES = $(if $(filter file,$(origin PROFILES)),$(if $(wildcard $(PROFILES)),--profiles '$(PROFILES)'),--profiles '$(PROFILES)')
INPUT ?= $(SAMPLE)

help:
	@echo "make corpus LANG=el                         the bundled sample crawl -> corpora/el"
	@echo "make corpus LANG=el,tr INPUT='crawl/*.warc.gz' OUT=corpora [WORKERS=8] [CONFIG=my.yaml] [SKIP=minhash]"
	@echo "make languages                              the languages that LANG may name"
	@echo "make explain URL=https://...                the whole story of one record"
	@echo "make whatif LANG=el SET=words.min=30        what another threshold would change, without reading the crawl again"
	@echo "make corpus LANG=el INPUT=new/ OUT=corpora-2 AGAINST=corpora   only what an earlier job has not kept already"
	@echo "make audit LANG=el                          precision and recall of deduplication, on a sample by brute force"
	@echo "make scurve [CONFIG=my.yaml]                how surely MinHash finds which similarity"
	@echo "make parallel PAIR=de-en INPUT=opus.zip OUT=corpora [LASER=off]   parallel corpora -> corpora/parallel/de-en"
	@echo "make tell PAIR=de-en [RENDER=my.yaml]       its pairs told as text anew, with other templates or lengths"
	@echo "make pivot PAIR=de-fr FROM=corpora/parallel/de-en,corpora/parallel/en-fr   candidates by their shared English"
	@echo "make tokens CORPUS=corpora/el,corpora/parallel/el-en [TOKENIZER=tokenizer.json] [TOKENS=tokens]   -> .bin/.idx shards"
	@echo "make mixture MIX=configs/mixtures/sample.yaml [TOKENS=tokens] [MIXTURES=mixtures] [CHECK=yes]   -> manifest.json, report"
	@echo "make mixdiff A=mixtures/a B=mixtures/b      what differs between two mixtures"
	@echo "make export MIX=mixtures/sample TRAINER=megatron   the same mixture for Megatron-LM or nanotron"
	@echo "make cpt [RUN=configs/pretrain/my.yaml] [MIX=mixtures/a] [RUNS=runs] [NPROC=8]   a mixture -> runs/<name>; without RUN, a tiny one of the sample"
	@echo "make sweep [SWEEP=configs/sweeps/my.yaml] [TOKENS=tokens] [SWEEPS=sweeps]   which mixture to train, from many small runs -> sweeps/<name>; without SWEEP, a tiny one of the sample"
	@echo "make where TOKEN=<source>/<shard>:<offset>  from a training token back to its document and crawl record"
	@echo "make calibrate LANG=el [METHOD=percentile|tail|quantile|sigma] [REFERENCE=corpora/en]   thresholds -> profiles/el"
	@echo "make calibrate PAIR=de-en                    the same for a language pair -> profiles/parallel/de-en"
	@echo "make kenlm LANG=el TEXT=wiki.txt            a perplexity model -> profiles/el"
	@echo "make stopwords LANG=el TEXT=wiki.txt        function words -> profiles/el"
	@echo "make language CODE=sw NAME=Swahili ISO3=swa TEXT=wiki.txt   all of these, for a new language"
	@echo "make test | test-all | test-long | lint | bench | clean"

setup: $(STAMP)

$(STAMP): requirements.txt requirements-dev.txt requirements-files.txt constraints.txt setup.cfg
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check torch==$(TORCH) -c constraints.txt  # first: nothing else picks a build
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-dev.txt -c constraints.txt
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-files.txt
	@touch $@

# The sample is packed anew only when its sources change.
$(SAMPLE)/.packed: $(shell find samples -name build -prune -o -name parallel -prune -o -type f -print 2>/dev/null) | $(STAMP)
	@$(WITH_LOCALE) $(PY) -m samples.pack --out $(SAMPLE)
	@touch $@

sample: $(SAMPLE)/.packed

corpus: $(STAMP) $(if $(filter $(SAMPLE),$(INPUT)),$(SAMPLE)/.packed)
ifndef LANGUAGES
	@echo "usage: make corpus LANG=<code>[,<code>...] [INPUT=...] [OUT=corpora] [WORKERS=n] [CONFIG=file.yaml] [SKIP=stage,...] [AGAINST=corpora]" >&2
	@$(WITH_LOCALE) $(PY) -m curation languages --short >&2
	@exit 2
else
	@$(WITH_LOCALE) $(PY) -m curation corpus --lang '$(LANGUAGES)' --input '$(INPUT)' --out '$(OUT)' \
		$(if $(CONFIG),--config '$(CONFIG)') $(if $(WORKERS),--workers '$(WORKERS)') $(if $(SKIP),--skip '$(SKIP)') \
		$(if $(AGAINST),--against '$(AGAINST)') \
		$(WITH_PROFILES)
endif

languages: $(STAMP)
	@$(WITH_LOCALE) $(PY) -m curation languages

# verbatim(VARIABLE): what stands on the command line as one word of the shell; addresses hold quotes and dollars.
verbatim = '$(subst ','\'',$(value $(1)))'

# need(VARIABLES, usage): stop with the usage when one of them is empty.
need = @$(foreach name,$(1),test -n $(call verbatim,$(name)) &&) true || { echo "usage: make $@ $(2)" >&2; exit 2; }

tokens: $(STAMP)
	$(call need,CORPUS,CORPUS=<finished corpora by comma, name=folder, or a glob> [TOKENIZER=tokenizer.json] [TOKENS=tokens] [WORKERS=n] [CONFIG=file.yaml])
	@$(WITH_LOCALE) $(PY) -m mixing tokens --corpus $(call verbatim,CORPUS) --out $(call verbatim,TOKENS) $(if $(TOKENIZER),--tokenizer $(call verbatim,TOKENIZER)) \
		$(if $(WORKERS),--workers $(call verbatim,WORKERS)) $(if $(CONFIG),--config $(call verbatim,CONFIG))

tokenizer: $(STAMP)
	$(call need,CORPUS $(if $(filter file,$(origin OUT)),NO_OUT,OUT),CORPUS=<finished corpora by comma or a glob> OUT=<folder> [CONFIG=file.yaml])
	@$(WITH_LOCALE) $(PY) -m mixing tokenizer --corpus $(call verbatim,CORPUS) --out $(call verbatim,OUT) $(if $(CONFIG),--config $(call verbatim,CONFIG))

where: $(STAMP)
	$(call need,TOKEN,TOKEN=<source>/<shard>:<offset> [TOKENS=tokens] [CORPUS=corpora/el])
	@$(WITH_LOCALE) $(PY) -m mixing where --token $(call verbatim,TOKEN) --tokens $(call verbatim,TOKENS) $(if $(CORPUS),--corpus $(call verbatim,CORPUS))

mixture: $(STAMP)
	$(call need,MIX,MIX=<mixture.yaml> [TOKENS=tokens] [MIXTURES=mixtures] [CHECK=yes])
	@$(WITH_LOCALE) $(PY) -m mixing mixture --mix $(call verbatim,MIX) --tokens $(call verbatim,TOKENS) --out $(call verbatim,MIXTURES) $(if $(CHECK),--check)

export: $(STAMP)
	$(call need,MIX TRAINER,MIX=<mixture folder> TRAINER=megatron|nanotron [OUT=<folder>] [CHECKPOINTS=<folder>])
	@$(WITH_LOCALE) $(PY) -m mixing export --mix $(call verbatim,MIX) --trainer $(call verbatim,TRAINER) \
		$(if $(filter file,$(origin OUT)),,--out $(call verbatim,OUT)) $(if $(CHECKPOINTS),--checkpoints $(call verbatim,CHECKPOINTS))

# Without RUN, the tiny run: its corpora, tokens and mixture are made of the sample crawl first, in folders of their own.
TINY := runs/sample
TINY_MIXTURE := $(TINY)/mixtures/tiny/manifest.json
$(TINY_MIXTURE): configs/mixtures/tiny.yaml configs/tokens/sample.yaml $(SAMPLE)/.packed | $(STAMP)
	@$(WITH_LOCALE) $(PY) -m curation corpus --lang de,el,en,kk,th,tr,zh --input $(SAMPLE) --out $(TINY)/corpora
	@$(WITH_LOCALE) $(PY) -m mixing tokens --corpus '$(TINY)/corpora/[a-z][a-z]' --out $(TINY)/tokens --config configs/tokens/sample.yaml
	@$(WITH_LOCALE) $(PY) -m mixing mixture --mix configs/mixtures/tiny.yaml --tokens $(TINY)/tokens --out $(TINY)/mixtures

# One process, or one on each of NPROC devices of this machine; for several machines, see the README. Ranks that were asked
# to stop get ten minutes for their checkpoint, not half of one.
CPT := $(if $(filter-out 1,$(NPROC)),TORCH_ELASTIC_SHUTDOWN_TIMEOUT=600 $(VENV)/bin/torchrun --standalone --nproc-per-node=$(call verbatim,NPROC) -m,$(PY) -m)
cpt: $(STAMP) $(if $(RUN),,$(TINY_MIXTURE))
	@$(WITH_LOCALE) $(CPT) pretrain cpt --config $(if $(RUN),$(call verbatim,RUN),configs/pretrain/tiny.yaml) --runs $(call verbatim,RUNS) \
		$(if $(MIX),--mixture $(call verbatim,MIX)) $(if $(FROM),--from $(call verbatim,FROM)) $(if $(CHANGED),--changed-mixture)

sweep: $(STAMP) $(if $(SWEEP),,$(TINY_MIXTURE))
	@$(WITH_LOCALE) $(PY) -m pretrain sweep --config $(if $(SWEEP),$(call verbatim,SWEEP),configs/sweeps/tiny.yaml) --out $(call verbatim,SWEEPS) \
		$(if $(filter file,$(origin TOKENS)),,--tokens $(call verbatim,TOKENS))

mixdiff: $(STAMP)
	$(call need,A B,A=<mixture> B=<mixture>)
	@$(WITH_LOCALE) $(PY) -m mixing mixdiff --a $(call verbatim,A) --b $(call verbatim,B)

# `INPUT` of this job has no default: the sample crawl holds no pairs.
parallel: $(STAMP)
	$(call need,PAIR $(if $(filter file,$(origin INPUT)),NO_INPUT,INPUT),PAIR=<src>-<tgt> INPUT=<files or folder or glob> [OUT=corpora] [LASER=off] [WORKERS=n] [CONFIG=file.yaml] [RENDER=file.yaml] [SKIP=stage])
	@$(if $(RENDER),$(WITH_LOCALE) $(PY) -m mixing tell --check --pair $(call verbatim,PAIR) --render $(call verbatim,RENDER))
	@$(WITH_LOCALE) $(PY) -m curation parallel --pair $(call verbatim,PAIR) --input $(call verbatim,INPUT) --out $(call verbatim,OUT) \
		$(if $(LASER),--laser $(call verbatim,LASER)) $(if $(CONFIG),--config $(call verbatim,CONFIG)) $(if $(WORKERS),--workers $(call verbatim,WORKERS)) \
		$(if $(SKIP),--skip $(call verbatim,SKIP)) $(WITH_PROFILES)
	@$(WITH_LOCALE) $(PY) -m mixing tell --pair $(call verbatim,PAIR) --out $(call verbatim,OUT) \
		$(if $(RENDER),--render $(call verbatim,RENDER)) $(if $(WORKERS),--workers $(call verbatim,WORKERS))

pivot: $(STAMP)
	$(call need,PAIR FROM,PAIR=de-fr FROM=<finished de-en and en-fr by comma> [OUT=corpora] [WORKERS=n] [CONFIG=file.yaml])
	@$(WITH_LOCALE) $(PY) -m curation pivot --pair $(call verbatim,PAIR) --from $(call verbatim,FROM) --out $(call verbatim,OUT) \
		$(if $(CONFIG),--config $(call verbatim,CONFIG)) $(if $(WORKERS),--workers $(call verbatim,WORKERS))

tell: $(STAMP)
	$(call need,PAIR,PAIR=<src>-<tgt> [OUT=corpora] [RENDER=file.yaml])
	@$(WITH_LOCALE) $(PY) -m mixing tell --pair $(call verbatim,PAIR) --out $(call verbatim,OUT) \
		$(if $(RENDER),--render $(call verbatim,RENDER)) $(if $(WORKERS),--workers $(call verbatim,WORKERS))

calibrate: $(STAMP)
ifneq ($(PAIR),)
	$(if $(LANGUAGES),@echo "make calibrate takes either LANG=<code> or PAIR=<src>-<tgt>" >&2; exit 2)
	@$(WITH_LOCALE) $(PY) -m curation calibrate-pair --pair '$(PAIR)' --out '$(OUT)' --profiles '$(PROFILES)' \
		$(if $(METHOD),--method '$(METHOD)') $(if $(REFERENCE),--reference '$(REFERENCE)') $(if $(CONFIG),--config '$(CONFIG)')
else
	$(call need,LANGUAGES,LANG=<code> or PAIR=<src>-<tgt> [OUT=corpora] [METHOD=percentile|tail|quantile|sigma] [REFERENCE=corpora/en or corpora/parallel/en-fr] [CONFIG=file.yaml])
	@$(WITH_LOCALE) $(PY) -m curation calibrate --lang '$(LANGUAGES)' --out '$(OUT)' --profiles '$(PROFILES)' \
		$(if $(METHOD),--method '$(METHOD)') $(if $(REFERENCE),--reference '$(REFERENCE)') $(if $(CONFIG),--config '$(CONFIG)')
endif

whatif: $(STAMP)
	$(call need,LANGUAGES SET,LANG=<code> SET=<measure>.min=<number> (several by comma) [OUT=corpora] [TOKENIZER=tokenizer.json])
	@$(WITH_LOCALE) $(PY) -m curation whatif --lang '$(LANGUAGES)' --set '$(SET)' --out '$(OUT)' \
		$(if $(TOKENIZER),--tokenizer '$(TOKENIZER)')

audit: $(STAMP)
	$(call need,LANGUAGES,LANG=<code> [OUT=corpora] [SAMPLE_SIZE=1000])
	@$(WITH_LOCALE) $(PY) -m curation audit --lang '$(LANGUAGES)' --out '$(OUT)' $(if $(SAMPLE_SIZE),--sample '$(SAMPLE_SIZE)') --profiles '$(PROFILES)'

scurve: $(STAMP)
	@$(WITH_LOCALE) $(PY) -m curation scurve $(if $(CONFIG),--config '$(CONFIG)')

explain: $(STAMP)
	$(call need,URL,URL=<address or a part of it> [LANG=<code>] [OUT=corpora])
	@$(WITH_LOCALE) $(PY) -m curation explain --url $(call verbatim,URL) --out '$(OUT)' $(if $(LANGUAGES),--lang '$(LANGUAGES)')

stopwords: $(STAMP)
	$(call need,LANGUAGES TEXT,LANG=<code> TEXT=<file, folder or glob> [PROFILES=profiles])
	@$(WITH_LOCALE) $(PY) -m curation stopwords --lang '$(LANGUAGES)' --text '$(TEXT)' --profiles '$(PROFILES)'

# KenLM's own programs, built once from its sources: needs a C++ compiler and the package registry.
lmplz: $(STAMP)
	@$(WITH_LOCALE) $(PY) -m curation lmplz

kenlm: $(STAMP)
	$(call need,LANGUAGES TEXT,LANG=<code> TEXT=<file, folder or glob> [PROFILES=profiles] [CONFIG=file.yaml])
	@$(WITH_LOCALE) $(PY) -m curation kenlm --lang '$(LANGUAGES)' --text '$(TEXT)' --profiles '$(PROFILES)' \
		$(if $(CONFIG),--config '$(CONFIG)')

language: $(STAMP)
	$(call need,CODE TEXT,CODE=<ISO 639-1> TEXT=<file, folder or glob> [NAME=<English name> ISO3=<ISO 639-3>] [PROFILES=profiles])
	@$(WITH_LOCALE) $(PY) -m curation language --code '$(CODE)' --text '$(TEXT)' --profiles '$(PROFILES)' \
		$(if $(NAME),--name '$(NAME)') $(if $(ISO3),--iso3 '$(ISO3)')

# A file of tests stays in one process: its tests share finished jobs.
IN_PARALLEL := -n 2 --dist loadfile

test: $(STAMP) $(SAMPLE)/.packed
	$(WITH_LOCALE) $(PY) -m pytest $(IN_PARALLEL)

test-all: $(STAMP) $(SAMPLE)/.packed
	$(WITH_LOCALE) $(PY) -m pytest $(IN_PARALLEL) -m "not long"

test-long: $(STAMP)
	$(WITH_LOCALE) $(PY) -m pytest -m long

lint: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: $(STAMP)
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

bench: $(STAMP)
	$(WITH_LOCALE) $(PY) -m benchmarks

clean:
	rm -rf $(VENV) $(SAMPLE) .pytest_cache .mypy_cache .ruff_cache .hypothesis
