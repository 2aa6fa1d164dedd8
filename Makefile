# make install, demo, test, test-minimum, lint, faults, bench, misp-modules, clean
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MINIMUM := .venv-minimum

.PHONY: demo install test test-minimum lint faults bench misp-modules clean

demo: $(VENV)/.installed
	$(BIN)/misp-playbook run create_custom_misp_warninglist -f playbooks/examples/campaign-zn03.yaml --sandbox

install: $(VENV)/.installed

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto tests

# What pyproject.toml promises: the tests pass with the oldest version that it allows of each package it names.
test-minimum: $(MINIMUM)/.dev
	$(MINIMUM)/bin/python -m pytest -n auto -m "not browser" tests

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/nbstripout --verify playbooks/*.ipynb
	$(BIN)/codespell

# Everything that can go wrong, cell by cell: twenty minutes; a tenth of it is in `make test`.
faults: $(VENV)/.dev
	$(BIN)/python -m tests.faults

bench: $(VENV)/.dev $(VENV)/bench-peers
	$(BIN)/python -m tests.benchmarks

# Peers of the benchmarks, apart: one of their dependencies brings a package named `tests`, which would hide ours.
$(VENV)/bench-peers: $(VENV)/.dev
	$(BIN)/pip install --quiet --disable-pip-version-check --target $@ ioc-finder iocsearcher
	rm -rf $@/tests

# The real misp-modules, for its licence and its pins in an environment of its own: tests and sandbox run it as a process.
misp-modules:
	$(PYTHON) -m venv .misp-modules
	.misp-modules/bin/pip install --quiet --disable-pip-version-check -r tests/contract/misp-modules.txt

clean:
	rm -rf $(VENV) $(MINIMUM) .misp-modules reports dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What make cannot install is said in one line, before anything is made.
$(VENV)/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "Python is missing: apt-get install python3 python3-venv"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$$($(PYTHON) --version) is too old: install Python 3.11 or later, then make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python's venv module is missing: apt-get install python3-venv"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.installed pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

$(MINIMUM)/.dev: $(VENV)/bin/python pyproject.toml
	rm -rf $(MINIMUM)
	$(BIN)/python -m venv $(MINIMUM)
	grep -Eo '"[A-Za-z0-9_-]+>=[0-9.]+"' pyproject.toml | tr -d '"' | sed 's/>=/==/' | sort -u >$(MINIMUM)/constraints.txt
	$(MINIMUM)/bin/pip install --quiet --disable-pip-version-check --constraint $(MINIMUM)/constraints.txt --editable '.[dev]'
	@touch $@
