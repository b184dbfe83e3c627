# Everything a fresh machine needs: `make demo` and `make test`. Both set up .venv by themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# one process for each core, each with one thread
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

.PHONY: demo test check bench starter clean

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

# the starter models again, from the icons up: hours; a stopped run goes on when this is called again
ICONS := @iconify-json/noto@1.2.9 @iconify-json/noto-v1@1.2.5 \
	@iconify-json/fluent-emoji-flat@1.2.6 @iconify-json/fluent-emoji-high-contrast@1.2.6
RECIPES := vae/vae checkpoint/base-64 checkpoint/base-128 checkpoint/starter-noto vae/warmth \
	lora/inkline lora/blobby embedding/polarbear embedding/jackolantern hypernetwork/night

starter: $(VENV)/test runs/data/base.safetensors
	@set -e; for recipe in $(RECIPES); do \
		echo "== $$recipe"; \
		$(BIN)/sfumato train $${recipe%/*} --config recipes/$${recipe#*/}.toml; \
	done
	$(BIN)/python scripts/starter/ship.py runs runs/data

runs/data/base.safetensors:
	npm install --prefix runs/packages --ignore-scripts --no-audit --no-fund $(ICONS)
	$(BIN)/python -m pip install -q --disable-pip-version-check resvg-py
	$(BIN)/python scripts/starter/build.py runs/packages/node_modules runs/data

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
