# Everything a fresh machine needs: `make demo` and `make test`. Both set up .venv by themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# one process for each core, each with one thread
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

.PHONY: demo test check bench clean

demo: $(VENV)/core
	@$(BIN)/python scripts/demo.py $(FILE)

test: $(VENV)/test
	$(BIN)/ruff format --check src tests scripts benchmarks
	$(BIN)/ruff check src tests scripts benchmarks
	$(BIN)/basedpyright --level error
	$(PYTEST)

check: $(VENV)/test
	$(BIN)/ruff format --check src tests scripts benchmarks
	$(BIN)/ruff check src tests scripts benchmarks
	$(BIN)/basedpyright --level error
	$(PYTEST) -m "not slow"

bench: $(VENV)/test
	$(BIN)/python benchmarks/run.py

$(VENV)/core: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check torch -c constraints.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[generate]'
	@touch $@

$(VENV)/test: pyproject.toml constraints.txt $(VENV)/core
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[test]'
	# open_clip's tokenizer is compared with ours; its own dependencies (torchvision) are not needed
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps open_clip_torch
	@touch $@

clean:
	rm -rf $(VENV) dist build
