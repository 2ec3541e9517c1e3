# `make help` lists the targets. They create a virtual environment in .venv if there is none.
PYTHON ?= python3
DATASET ?= demo
DATA_DIR ?=
ARGS ?=
PORT ?= 8000

BIN := .venv/bin
READY := .venv/.ready
DATASETS := $(patsubst conf/%.yaml,%,$(wildcard conf/*.yaml))
# Exactly one of these names: `filter` alone would also accept a list, or the wildcard %.
SWEEPS := $(patsubst conf/sweep/%.yaml,%,$(wildcard conf/sweep/*.yaml))
CONFIG := $(if $(filter 1,$(words $(DATASET))),$(filter $(subst %,\%,$(DATASET)),$(DATASETS)))
ROOT := $(if $(DATA_DIR),--data.root '$(subst ','\'',$(DATA_DIR))')
YAML_FILES = $(shell find conf $(wildcard docs) .github .pre-commit-config.yaml CITATION.cff -name '*.y*ml' -o -name '*.cff')

# Checked while this file is read, so that a wrong name fails before the installation.
ifneq ($(filter train,$(MAKECMDGOALS)),)
ifeq ($(CONFIG),)
$(error Expected DATASET to be one of: $(DATASETS) (from conf/*.yaml), but got '$(DATASET)')
endif
endif

ifneq ($(filter sweep,$(MAKECMDGOALS)),)
ifeq ($(if $(filter 1,$(words $(DATASET))),$(filter $(subst %,\%,$(DATASET)),$(SWEEPS))),)
$(error Expected DATASET to be one of: $(SWEEPS) (from conf/sweep/*.yaml), but got '$(DATASET)')
endif
endif

.DEFAULT_GOAL := help
.PHONY: help install train sweep study-demo test test-fast test-slow lint lint-style lint-spelling lint-types \
	lint-yaml format docs docs-serve bench clean

help:  ## Show this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'
	@echo
	@echo "  make train DATASET=NAME DATA_DIR=folder ARGS='--trainer.max_epochs 5'"
	@echo "  with NAME one of: $(DATASETS); for make sweep: $(SWEEPS)"

install: $(READY)  ## Create .venv with all dependencies (the other targets do so too)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert (3, 11) <= sys.version_info < (3, 14), f"vitatt needs Python 3.11 to 3.13, but {sys.executable} is {sys.version.split()[0]}: make PYTHON=python3.11"'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@

train: $(READY)  ## Train on the embedded demo, or on DATASET=NAME in DATA_DIR
ifeq ($(DATASET),demo)
	$(BIN)/vitatt demo-data demo-data --num_cases 1600 --image_size 128
else ifeq ($(DATASET),demo_views)
	$(BIN)/vitatt demo-data demo-views --dataset derm7pt --num_cases 1600 --image_size 128
endif
	$(BIN)/vitatt fit --config 'conf/$(CONFIG).yaml' $(ROOT) $(ARGS)

# An agent of W&B starts `vitatt fit` by its name.
sweep: $(READY)  ## Search hyperparameters by a W&B sweep with an agent here, as for train
ifeq ($(DATASET),demo)
	$(BIN)/vitatt demo-data demo-data --num_cases 1600 --image_size 128
endif
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/vitatt sweep --config 'conf/sweep/$(DATASET).yaml' --engine wandb $(ROOT) $(ARGS)

# Data and model of an earlier call are used again; the study is made anew.
study-demo: $(READY)  ## A reader study with simulated readers: design, readings, report (minutes)
	test -d demo-data || $(BIN)/vitatt demo-data demo-data --num_cases 1600 --image_size 128
	test -f study-demo/model/best.ckpt || { $(BIN)/vitatt fit --config conf/demo.yaml --trainer.max_epochs 5 $(ARGS) \
		&& mkdir -p study-demo/model && cp "$$(ls -t runs/vitatt/*/checkpoints/best.ckpt | head -n 1)" study-demo/model/; }
	rm -rf study-demo/study study-demo/readings
	$(BIN)/vitatt study design --ckpt_path study-demo/model/best.ckpt --data.root demo-data --data.cache_dir demo-data/.cache \
		--cases 24 --readers 12 --output study-demo/study
	$(BIN)/vitatt study simulate study-demo/study --output study-demo/readings
	$(BIN)/vitatt study analyse study-demo/readings

test: $(READY)  ## Run the tests (minutes)
	$(BIN)/python -m pytest -n logical --dist loadfile --no-loadscope-reorder --durations=15 -m "not slow and not bench" $(ARGS)

test-fast: $(READY)  ## Run the fast tests (seconds), for use after every change
	$(BIN)/python -m pytest -n logical --dist loadfile -m "not long and not slow and not bench" $(ARGS)

test-slow: $(READY)  ## Run the tests that take minutes each or need the real data (VITATT_DATA)
	$(BIN)/python -m pytest -m "slow" $(ARGS)

lint: lint-style lint-spelling lint-yaml lint-types  ## Check format, style, spelling, YAML, types

# The parts of `lint`. The hooks in .pre-commit-config.yaml call them one by one.
lint-style: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

lint-spelling: $(READY)
	$(BIN)/codespell

lint-yaml: $(READY)
	@$(BIN)/python -c 'import sys, yaml; [list(yaml.safe_load_all(open(path, encoding="utf-8"))) for path in sys.argv[1:]]' $(YAML_FILES)

lint-types: $(READY)
	$(BIN)/mypy

format: $(READY)  ## Format the code and apply the fixes that ruff offers
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY)  ## Build the documentation in build/docs; warnings are errors
	$(BIN)/sphinx-build -W --keep-going -b html -d build/doctrees docs build/docs $(ARGS)

docs-serve: docs  ## Build the documentation and serve it on localhost (PORT)
	@echo "The documentation is at http://127.0.0.1:$(PORT) until Ctrl-C."
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory build/docs $(PORT)

bench: $(READY)  ## Measure speed and memory, as ratios
	$(BIN)/python -m pytest -m bench -s tests/performance $(ARGS)

clean:  ## Remove all generated files except the runs
	rm -rf .venv build demo-data study-demo .pytest_cache .mypy_cache .ruff_cache *.egg-info
