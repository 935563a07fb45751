# `make` prints this menu: every target with "## what it does" behind its name.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# As many test processes as there are usable cores (control groups and affinity count), at most 8.
WORKERS ?= $(shell c=$$(nproc 2>/dev/null || echo 2); [ $$c -gt 8 ] && c=8; echo $$c)
SECONDS ?= 20

# Threads of `make bench`, one run for each number.
THREADS ?= 2

.DEFAULT_GOAL := menu
.PHONY: menu setup demo test fuzz lint proto bench bench-layers gpu gpu-plans bench-gpu layer pycaffe-suite clean

menu: ## this menu
	@echo "make TARGET"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Made anew when the dependencies change; the last step is the stamp, so an interrupted set-up starts again.
$(VENV)/ready: setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "LayerForge needs Python 3.10 or newer; name one: make PYTHON=python3.12"; exit 1; }
	@$(BIN)/python -m pip --version > /dev/null 2>&1 || $(PYTHON) -m venv $(VENV) || \
		{ echo "Python's venv module is missing (Debian, Ubuntu: apt install python3-venv)"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

setup: $(VENV)/ready ## makes .venv with the project (editable) and its test tools
	@echo "ready: $(BIN)/layerforge"

demo: $(VENV)/ready ## trains a small net on real handwritten digits and shows how good it is
	$(BIN)/layerforge demo --out runs/digits

test: $(VENV)/ready ## runs the test suite
	OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

fuzz: $(VENV)/ready ## feeds damaged files to every reader, SECONDS=20 each
	FUZZ_SECONDS=$(SECONDS) OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest tests/fuzz -n $(WORKERS) $(ARGS)

lint: $(VENV)/ready ## ruff and mypy
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy

proto: $(VENV)/ready ## generates layerforge/schema/_generated from proto/layerforge.proto
	$(BIN)/python proto/generate.py

bench: $(VENV)/ready ## times whole nets beside others, THREADS=1,2, and compares with docs/benchmarks.md
	@$(BIN)/python -c 'import torch, onnxruntime, openvino' 2> /dev/null || \
		echo "what is missing beside LayerForge is left out; all comes with: $(BIN)/python -m pip install -e '.[bench]'"
	$(BIN)/python tests/bench/whole_nets.py --threads $(THREADS) $(ARGS)

bench-layers: $(VENV)/ready ## times layers, updates, data sources, Python's cost, beside PyTorch where it is installed
	$(BIN)/python -m pytest tests/bench -o python_files='bench_*.py' -s $(ARGS)

gpu: $(VENV)/ready ## runs what only a GPU can tell: kernels, recorded cases, replays, a leak check
	PYTHONPATH=tests $(BIN)/python -m pytest -p time_limit --seconds 460 -m gpu -p no:cacheprovider -rs \
		tests/gpu/test_on_device.py tests/gpu/test_cudnn_on_device.py tests/backends/cupy \
		tests/gpu/test_recorded_cases.py $(ARGS)

gpu-plans: $(VENV)/ready ## builds every cuDNN graph of the zoo for a Hopper GPU; needs the libraries, no GPU
	LAYERFORGE_PLANS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) tests/engines/cudnn/test_plans.py -rs $(ARGS)

bench-gpu: $(VENV)/ready ## times nets on a GPU, beside PyTorch where it is installed
	$(BIN)/python tests/gpu/bench_gpu.py $(ARGS)

layer: $(VENV)/ready ## writes a layer to start from, and its test: make layer NAME=Swish2
	@$(BIN)/python -m layerforge.testing.skeleton "$(NAME)" layerforge/layers tests/layers

pycaffe-suite: $(VENV)/ready ## runs pycaffe's own tests: CAFFE=DIR names a folder with the sources of BVLC/caffe
	@test -d "$(CAFFE)/python/caffe/test" || \
		{ echo "say where the sources of BVLC/caffe are: make pycaffe-suite CAFFE=DIR"; exit 1; }
	$(BIN)/layerforge run -m pytest -p no:cacheprovider --rootdir "$(CAFFE)" $(ARGS) "$(CAFFE)/python/caffe/test"

clean: ## removes caches and what the demo made; .venv stays
	rm -rf runs build dist .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
