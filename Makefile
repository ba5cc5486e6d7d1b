# make demo    train a streaming recogniser from scratch and watch it work (about 10 minutes on 2 cores)
# make test    lint, then all tests but the fuzzing
# make lint    ruff, ruff format, mypy
# make fuzz    the long randomised tests
# make clean   remove everything made here except results/
#
# Each target sets up what it needs in .venv first. `make demo PYTHON=python3.12` chooses the interpreter,
# `make test PYTEST_FLAGS="-x tests/nn"` passes options on, and pip reads its own PIP_* variables.

PYTHON ?= python3
VENV ?= .venv
DEMO_FLAGS ?=
PYTEST_FLAGS ?=
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest -n 2 --dist worksteal
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test lint fuzz clean
.DELETE_ON_ERROR:

help:
	@sed -n 's/^# \{0,1\}//p;/^$$/q' Makefile

demo: $(VENV)/.demo
	@$(BIN)/sb-alexa demo $(DEMO_FLAGS)

# Two processes of one thread each: OpenMP threads that compete with another process spin.
test fuzz: export OMP_NUM_THREADS := 1

test: lint
	$(PYTEST) -m "not fuzz" $(PYTEST_FLAGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

fuzz: $(VENV)/.dev
	$(PYTEST) -m fuzz $(PYTEST_FLAGS)

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "$(PYTHON) is missing or older than 3.10; name another: make PYTHON=python3.12"; exit 1; }
	@echo "Creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear $(VENV) || \
	  { echo "no virtual environment could be made; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@$(PIP_INSTALL) --upgrade pip
	@touch $@

# The clone itself is installed, so that the recipes in place are the ones that run. pip runs again
# when the dependencies change.
$(VENV)/.%: pyproject.toml $(VENV)/.created
	@echo "Installing sb-alexa[$*] and PyTorch into $(VENV) (once, some minutes)"
	@$(PIP_INSTALL) --editable '.[$*]'
	@touch $@
