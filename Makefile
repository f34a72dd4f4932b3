# make demo   install, then the main job on the simulated shop, offline, into runs/demo
# make test   install, then linting, types and the quick tests
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed

.PHONY: install demo test test-slow lint bench pins clean

install: $(STAMP)

$(STAMP): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "ecellm needs Python 3.11 or later: name one with make PYTHON=python3.11 ..." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $(STAMP)

demo: install
	$(BIN)/ecellm demo --out runs/demo

lint: install
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest

test-slow: install
	$(BIN)/python -m pytest -m slow

bench: install
	for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python "$$script" || exit 1; done

# After changing dependencies in pyproject.toml and installing them by hand, write down what is installed.
pins:
	$(BIN)/python -m pip freeze --exclude-editable --exclude ecellm --all | grep -v '@ file' | grep -v '^pip==' \
		| sed 's/+cpu$$//' | sort --ignore-case > requirements.txt

clean:
	rm -rf .venv runs
