# `make help` lists the targets. The first that needs it makes a virtual environment in .venv.
PYTHON ?= python3
DATASET ?= demo
DATA_DIR ?=
ARGS ?=

BIN := .venv/bin
READY := .venv/.ready
CONFIG := $(filter $(DATASET),demo pad isic2019)
ROOT := $(if $(DATA_DIR),--data.root "$(DATA_DIR)",)

.DEFAULT_GOAL := help
.PHONY: help install train test test-slow lint bench clean

help:  ## Show this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'
	@echo
	@echo "  make train DATASET=demo|pad|isic2019 DATA_DIR=folder ARGS='--trainer.max_epochs 5'"

install: $(READY)  ## Make .venv with everything in it (the other targets do this too)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert (3, 11) <= sys.version_info < (3, 14), f"vitatt needs Python 3.11 to 3.13, but {sys.executable} is {sys.version.split()[0]}: make PYTHON=python3.11"'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@

train: $(READY)  ## Train: the embedded demo, or DATASET=pad|isic2019 with DATA_DIR
	@test -n "$(CONFIG)" || { echo "error: Expected DATASET to be demo, pad or isic2019, but got '$(DATASET)'." >&2; exit 2; }
ifeq ($(DATASET),demo)
	$(BIN)/vitatt demo-data demo-data --num_cases 1600 --image_size 128
endif
	$(BIN)/vitatt fit --config conf/$(CONFIG).yaml $(ROOT) $(ARGS)

test: $(READY)  ## Run the tests (minutes)
	$(BIN)/python -m pytest -n logical --dist loadfile --no-loadscope-reorder -m "not slow and not bench" $(ARGS)

test-slow: $(READY)  ## Run the tests that take long or need the real data (VITATT_DATA)
	$(BIN)/python -m pytest -m "slow" $(ARGS)

lint: $(READY)  ## Check format, style, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(READY)  ## Measure speed and memory, as ratios
	$(BIN)/python -m pytest -m bench -s tests/benchmarks $(ARGS)

clean:  ## Remove what the targets made, except runs
	rm -rf .venv demo-data .pytest_cache .mypy_cache .ruff_cache *.egg-info
