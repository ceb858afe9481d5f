# Two commands: `make run` measures this machine, `make test` checks the project; `make quick` checks it in
# less than a minute.
# Each makes the environment it needs; nothing has to be installed beforehand but Python.

PYTHON ?= python3
VENV ?= .venv
# A CPU build of torch is smaller than the default build with CUDA; where the default index has
# only the latter, point pip to another: TORCH_ARGS="--index-url https://download.pytorch.org/whl/cpu"
TORCH ?= torch==2.13.0
TORCH_ARGS ?=

BIN := $(VENV)/bin
READY := $(VENV)/ready

.PHONY: run ascend test quick checks docs format clean
.DELETE_ON_ERROR:

run: $(READY)
	$(BIN)/bench run smoke --backend cpu

# The Ascend backend with the real torch-npu over a stand-in for CANN, which measures nothing.
ascend: $(READY)
	PYTHON=$(BIN)/python tests/simulators/with-cann bench run tests/simulators/smoke.yaml --backend ascend

test: checks
	$(BIN)/pytest --numprocesses 2 --dist worksteal

# No whole command, no report and no test marked slow: what is left takes less than a minute on two cores.
quick: checks
	$(BIN)/pytest --numprocesses 2 --dist worksteal -m "not slow and not whole"

checks: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(READY): setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -c "import torch" 2>/dev/null || \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH_ARGS) "$(TORCH)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[cpu,dev]"
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
