# `make demo` and `make test` do all the set-up they need; nothing outside this folder changes but missing graphics packages.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTHON ?= python3
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
LIBRARIES := libegl1 libegl-mesa0 libgl1 libgl1-mesa-dri libgles2 libgomp1
export MUJOCO_GL ?= egl

# Where a ROS 2 is sourced its rclpy, messages and pinocchio must win, so no wheels of them.
ifdef ROS_DISTRO
VENV_FLAGS := --system-site-packages
INSTALL = $(PIP) install --no-deps -r ros2_ws/requirements-no-deps.txt \
	&& $(PIP) install -r ros2_ws/requirements.txt pytest pytest-xdist ruff 'pyright[nodejs]' hatchling editables \
	&& $(PIP) install --no-deps --no-build-isolation -e .
else
TORCH := $(shell grep '^torch==' constraints.txt)
# openpi's client says that it wants numpy below 2, and works with ours: tests ask our server with it.
INSTALL = $(PIP) install -c constraints.txt '$(TORCH)' && $(PIP) install -c constraints.txt -e '.[all,dev]' \
	&& $(PIP) install --no-deps openpi-client==0.1.2
endif

.PHONY: help demo evidence test test-long test-all check format docs findings clean setup

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 16

demo: $(READY)  ## five simulated episodes on the real ROS graph; results in out/demo
	@$(BIN)/xlvla demo

# OPTIONS='--quick' for a thin slice, '--plan' for what would be done.
OPTIONS ?=

evidence: $(READY)  ## from nothing to every table of the ten tasks: hours; OPTIONS=--quick a thin slice
	@$(BIN)/xlvla evidence $(OPTIONS)

# Tests share the processors, but for those of devices and graphs that must answer in time, which
# run afterwards and alone. TOGETHER=1 runs both at once, the first only while a processor idles.
# Tests start many processes: none of them compiles again what another has compiled.
unexport PYTHONDONTWRITEBYTECODE
BESIDE = $(BIN)/python -m pytest -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder
ALONE = $(BIN)/python -m pytest
TOGETHER ?=

define run_tests
@if [ -z "$(TOGETHER)" ]; then \
	$(BESIDE) -m "$(1) and not realtime" && $(ALONE) -m "$(1) and realtime"; \
else \
	log=$$(mktemp); chrt --idle 0 $(BESIDE) -m "$(1) and not realtime" >$$log 2>&1 & beside=$$!; \
	alone=0; $(ALONE) -m "$(1) and realtime" || alone=$$?; \
	code=0; wait $$beside || code=$$?; \
	cat $$log; rm -f $$log; exit $$((alone ? alone : code)); \
fi
endef

test: $(READY)  ## the tests: every behaviour, rows instead of every combination
	$(call run_tests,not long)

test-long: $(READY)  ## the combinations that `make test` leaves out
	$(call run_tests,long)

test-all: test test-long  ## all tests

check: $(READY)  ## lint, format and types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check --quiet || { echo "make format mends the files named by: $(BIN)/ruff format --check"; exit 1; }
	@$(BIN)/pyright --pythonpath $(BIN)/python --warnings

format: $(READY)  ## let ruff mend what it can
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

docs: $(VENV)/.docs  ## the documentation in out/docs, warnings are errors
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "written: out/docs/index.html; \`$(PYTHON) -m http.server -d out/docs\` serves it with its search"

findings:  ## scripts that show faults of packages we use, with what each shows; not part of CI
	@$(PYTHON) findings/table.py

clean:  ## remove what was built, the environment too; keeps out/
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache ros2_ws/build ros2_ws/install ros2_ws/log
	find src tests launch -name __pycache__ -type d -prune -exec rm -rf {} +

setup: $(READY)  ## the environment in .venv, without running anything

$(READY): pyproject.toml constraints.txt Makefile
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' \
		|| { echo "xlvla needs Python 3.10 to 3.13, $(PYTHON) is $$($(PYTHON) -V 2>&1): make PYTHON=python3.x chooses another"; exit 1; }
	@echo "Setting up $(VENV) (a few minutes the first time) ..."
	@$(PYTHON) -m venv $(VENV_FLAGS) $(VENV) >/dev/null \
		|| { echo "$(PYTHON) cannot make a virtual environment: sudo apt-get install python3-venv"; exit 1; }
	@$(INSTALL)
	@$(MAKE) --no-print-directory graphics
	@touch $(READY)

# Only what the documentation needs beside the rest, so that `make demo` and `make test` do not wait for it.
DOCS := $(shell sed -n 's/^docs = \[\(.*\)\]/\1/p' pyproject.toml | tr -d ',')

$(VENV)/.docs: $(READY)
	@$(PIP) install -c constraints.txt $(DOCS)
	@touch $@

# What a demo imports must load before the environment counts as ready, and rendering without a display needs EGL from the system.
# A MuJoCo that was upgraded in place from 3 to 4 cannot be imported: then it is installed anew.
IMPORTS := av, cv2, matplotlib, mujoco, pinocchio, rclpy, ruckig, sentencepiece, torch

.PHONY: graphics
graphics:
	@loads() { $(BIN)/python -c 'import $(IMPORTS)' 2>&1; }; \
	draws() { $(BIN)/python -c 'import mujoco; mujoco.GLContext(64, 64).make_current()' >/dev/null 2>&1; }; \
	if loads >/dev/null && draws; then exit 0; fi; \
	if ! $(BIN)/python -c 'import mujoco' >/dev/null 2>&1; then \
		$(PIP) install --force-reinstall --no-deps $$($(PIP) freeze | grep '^mujoco'); \
	fi; \
	if loads >/dev/null && draws; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ]; then root=""; elif sudo -n true 2>/dev/null; then root="sudo -n"; else root=none; fi; \
	if [ "$$root" != none ] && command -v apt-get >/dev/null; then \
		echo "Installing $(LIBRARIES) ..."; \
		$$root apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$root apt-get install -y -qq --no-install-recommends $(LIBRARIES) >/dev/null; \
	fi; \
	why="$$(loads)" || { echo "$$(tail -1 <<< "$$why"): sudo apt-get install $(LIBRARIES), then run make again"; exit 1; }; \
	draws || { echo "MuJoCo cannot render here; it needs EGL: sudo apt-get install $(LIBRARIES), then run make again"; exit 1; }

# The lowest version of everything that pyproject.toml allows, in an environment of its own.
OLDEST := $(VENV)-oldest

.PHONY: test-oldest
test-oldest:  ## the quick tests with the lowest versions that are allowed
	@$(PYTHON) -m venv $(OLDEST)
	@$(OLDEST)/bin/python -m pip --disable-pip-version-check -qq install uv
	@$(OLDEST)/bin/uv pip install --quiet --python $(OLDEST)/bin/python --resolution lowest-direct -e '.[all,dev]'
	@$(OLDEST)/bin/python -m pytest -m "not long and not realtime"
