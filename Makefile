# Everything a person does here is one of these verbs; each sets up what it needs, and does nothing twice.
# The first run compiles llama.cpp, some four minutes on two cores.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BUNDLE := $(VENV)/share/gpt4roi/bundles/embedded
WEIGHTS := .cache/weights
HEADERS := .cache/tensorrt-headers
RTX := .cache/tensorrt-rtx
# pip shows its progress to a person, and is quiet in a log.
QUIET := $(shell test -t 2 || echo --quiet)
PIP := $(BIN)/python -m pip --disable-pip-version-check $(QUIET) install --constraint constraints.txt

PHOTO := runtime/gpt4roi_runtime/samples/astronaut.jpg
SHUTTLE := 360,5,460,280
HELMET := 280,345,512,512

# Two pips in one environment at the same time would break it.
.NOTPARALLEL:
.PHONY: help setup llama bundle demo app app-setup app-menu screenshot translations test test-slow test-native test-engines \
	lint format bench bench-llama import-7b clean
.DEFAULT_GOAL := help

help: ## show these verbs
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
		|| { echo "Python 3.10 or newer is needed; name one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# llama-cpp-python first, with our flags: pip would otherwise build it plainly, which crashes on some processors.
$(VENV)/.llama: $(BIN)/python $(wildcard runtime/native/*)
	@$(PIP) rich platformdirs
	@$(BIN)/python runtime/native/install_llama_cpp.py
	@touch $@

$(VENV)/.base: $(VENV)/.llama pyproject.toml constraints.txt
	@echo "installing gpt4roi-edge into $(VENV)"
	@$(PIP) --editable '.[cpu,assemble]'
	@touch $@

# Qt's wheel brings Qt, but not these libraries of the system; where this is allowed to add them, it does.
QT_LIBRARIES = $(BIN)/python -m gpt4roi_desktop.system_libraries
QT_RUNS = $(BIN)/python -c 'import PySide6.QtWidgets' 2>/dev/null
QT_SHOWS = $(QT_LIBRARIES) 2>/dev/null
ADD_QT_LIBRARIES = { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq \
	&& DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends $$($(QT_LIBRARIES) --names) >/dev/null; }

$(VENV)/.dev: $(VENV)/.base
	@echo "installing the tools for tests into $(VENV)"
	@$(PIP) --editable '.[cpu,openvino,export,app,dev,app-dev]'
	@$(QT_RUNS) || { $(ADD_QT_LIBRARIES) && $(QT_RUNS); } \
		|| echo "the tests of the window will be skipped; to run them: apt install $$($(QT_LIBRARIES) --names)" >&2
	@touch $@

$(VENV)/.app: $(VENV)/.base
	@echo "installing the desktop app into $(VENV)"
	@$(PIP) --editable '.[cpu,app]'
	@$(QT_SHOWS) || { $(ADD_QT_LIBRARIES) && $(QT_SHOWS); } || { $(QT_LIBRARIES); exit 1; }
	@touch $@

# Without those libraries pytest-qt would end every test run; the tests of the window say themselves why they are skipped.
PYTEST = $(BIN)/pytest $$($(QT_RUNS) || echo '-p no:pytest-qt')

$(BUNDLE)/manifest.json: $(VENV)/.base $(wildcard export/gpt4roi_export/*.py export/gpt4roi_export/skeletons/* export/gpt4roi_export/embedded_model/* export/gpt4roi_export/vocabulary/* export/gpt4roi_export/nanodet/*) | $(WEIGHTS)
	@$(BIN)/gpt4roi-export embedded --cache $(WEIGHTS) --force

# The tests read the packages too, so they have to be there even if the bundle already is.
$(WEIGHTS): $(VENV)/.base
	@$(BIN)/gpt4roi-export embedded --cache $(WEIGHTS) --force

llama: $(BIN)/python ## compile llama.cpp, unless the right build is there
	@$(PIP) rich platformdirs
	@$(BIN)/python runtime/native/install_llama_cpp.py

bundle: $(BUNDLE)/manifest.json ## assemble the embedded model

setup: bundle ## all that the demo needs

demo: setup ## ask two questions about two boxes in a photo
	$(BIN)/gpt4roi ask $(PHOTO) --region $(SHUTTLE) "Which object is <region1>?"
	$(BIN)/gpt4roi ask $(PHOTO) --region $(SHUTTLE) --region $(HELMET) --save-overlay demo.png \
		"What are <region1> and <region2>?"
	@echo "the boxes are drawn in demo.png"

app-setup: setup $(VENV)/.app ## all that the desktop app needs

IMAGE ?=
app: app-setup ## open the desktop app; IMAGE=PHOTO opens that photo
	$(BIN)/gpt4roi app $(IMAGE)

screenshot: app-setup ## take the README's picture of the app; needs a screen, or xvfb
	$(BIN)/python desktop_app/screenshot.py

app-menu: app-setup ## put the app into this user's menu of programs
	desktop_app/linux/install.sh

WORDS := desktop_app/gpt4roi_desktop/translations
translations: app-setup ## collect the window's words, compile what is translated
	cd $(WORDS) && $(CURDIR)/$(BIN)/pyside6-lupdate -tr-function-alias translate+=say -locations none -no-obsolete \
		../views/*.py -ts gpt4roi.ts $(notdir $(wildcard $(WORDS)/gpt4roi_*.ts))
	@for words in $(wildcard $(WORDS)/gpt4roi_*.ts); do $(BIN)/pyside6-lrelease $$words; done

lint: $(VENV)/.dev ## style, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy bench/*.py
	$(BIN)/lint-imports

test: setup lint $(HEADERS) ## lint, types, import contracts and every test that needs no GPU
	$(PYTEST) -m "not slow"

test-slow: setup $(VENV)/.dev ## the tests of minutes and full sizes
	$(PYTEST) -m slow

# TensorRT's headers, to compile its plugin in the tests; where they cannot be had, those tests say why they are skipped.
$(HEADERS): tests/runtime/native/tensorrt_headers.txt | $(BIN)/python
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps --require-hashes --upgrade --target $@ \
		--requirement $< && touch $@ || echo "no TensorRT headers: the tests of the plugin will be skipped" >&2

test-native: $(VENV)/.dev $(HEADERS) ## the CUDA kernel and TensorRT plugin, as far as a machine without a GPU can
	$(PYTEST) tests/runtime/native

# In an environment of its own, because nothing but these tests needs it here: TensorRT for RTX, whose parser opens its
# library by a name without a version, which the wheel lacks; and the compiler library of CUDA 12.6, JetPack 6's.
$(RTX)/.ready: | $(BIN)/python
	@echo "installing TensorRT for RTX, NVRTC and CUDA's bindings into $(RTX): a download of 160 MB"
	@$(BIN)/python -m venv $(RTX)
	@$(RTX)/bin/python -m pip --disable-pip-version-check $(QUIET) install tensorrt-rtx==1.7.1.116 \
		nvidia-cuda-nvrtc-cu12==12.6.85 --constraint constraints.txt numpy onnx cuda-bindings
	@cd $(RTX)/lib/python3*/site-packages/tensorrt_rtx_libs && ln -sf libtensorrt_rtx.so.1 libtensorrt_rtx.so
	@touch $@

test-engines: setup $(VENV)/.dev $(HEADERS) $(RTX)/.ready ## plans with the plugin for every RTX GPU, cubins for JetPack 6
	$(PYTEST) -m gpu_wheels

format: $(VENV)/.dev ## put the code into the project's form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup ## measure what the README shows; docs/benchmarks.md explains the rows
	$(BIN)/gpt4roi bench
	$(BIN)/python bench/start.py

LLAMA_BENCH ?= .cache/llama-bench
bench-llama: setup ## our decoder against llama-bench, run in turn; compiles that first, some minutes
	$(BIN)/python bench/against_llama_bench.py --build $(LLAMA_BENCH)

WORK ?= .cache/import-7b
import-7b: setup $(VENV)/.dev ## import a checkpoint of GPT4RoI-7B's size and measure it: 45 GB of disk; WORK=FOLDER
	$(BIN)/python bench/import_7b.py --work $(WORK)

clean: ## remove what the verbs made
	rm -rf $(VENV) .cache demo.png
