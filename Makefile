# The commands of LLM Studio. `make studio` is the only one a new user needs.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed-$(shell cat requirements.lock pyproject.toml | cksum | cut -d' ' -f1)
STAMP_DEV := $(STAMP)-dev
STAMP_BENCH := $(STAMP)-bench
TORCH  := $(shell grep '^torch==' requirements.lock)
PIP    := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.PHONY: studio setup setup-dev test check bench bench-gpu docs image clean

studio: $(STAMP)  ## start the studio and print its address
	@exec $(BIN)/llm-studio studio $(ARGS)

setup: $(STAMP)  ## make .venv and install the studio from the lock

setup-dev: $(STAMP_DEV)  ## the same, with the tools for tests and checks

$(VENV)/bin/python:
	@echo "Making a Python environment in $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "LLM Studio needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 studio"; exit 2; }
	@$(PYTHON) -m venv $(VENV)

# torch first and alone, so that pip takes the build that fits this machine; the rest is held to the lock.
$(STAMP): $(VENV)/bin/python
	@echo "Installing $(TORCH) (1 of 2)"
	@$(PIP) '$(TORCH)'
	@echo "Installing LLM Studio and what it needs (2 of 2)"
	@$(PIP) --constraint requirements.lock --editable .
	@rm -f $(VENV)/.installed-* && touch $@

$(STAMP_DEV): $(STAMP)
	@echo "Installing the tools for tests and checks"
	@$(PIP) --constraint requirements.lock --editable '.[dev]'
	@touch $@

# trl, which we measure ourselves against: the tests do without it
$(STAMP_BENCH): $(STAMP_DEV)
	@echo "Installing what the benchmarks compare with"
	@$(PIP) --constraint requirements.lock --editable '.[bench]'
	@touch $@

test: $(STAMP_DEV) check  ## check, then every test; in a browser where there is one
	@./tests/end_to_end/install_browser.sh
	@./tests/end_to_end/install_servers.sh
	@$(BIN)/python -m pytest -q $(ARGS)

check: $(STAMP_DEV)  ## style, types, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache --no-logo
	@$(BIN)/hadolint Dockerfile

bench: $(STAMP_BENCH)  ## print the measured figures of the README
	@$(BIN)/python -m tests.benchmarks $(ARGS)

bench-gpu:  ## compare training on a GPU, with the packages that PYTHON has; nothing is installed
	@$(PYTHON) -m tests.benchmarks.gpu $(ARGS)

docs: $(STAMP)  ## write the reference pages from the code
	@$(BIN)/python -m llm_studio.config.reference docs/settings.md

image:  ## build the container image
	docker build --tag llm-studio .

clean:  ## remove what make made
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
