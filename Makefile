# One command a task. `make demo` and `make test` do all of their own set-up: Python 3.10 to 3.13 and make are enough.
#
#   make setup      .venv with everything that the tests need
#   make demo       one click on a phantom CT: 3D mask, montage, report, in demo/
#   make demo VOLUME=ct.nii.gz POINT=i,j,k     the same on your own volume
#   make app        the Slicer module in SlicerHost, a stand-in for 3D Slicer; VOLUME=ct.nii.gz opens a volume
#   make package    the extension as Slicer would install it, in build/package, and a click in it; needs no Slicer
#   make test       lint, types and the everyday tests (15 to 20 minutes on 2 cores)
#   make test-long  everything slower
#   make lint, make format, make benchmark, make clean

SHELL := /bin/bash
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
EXTRAS := host,dicom,evaluation,training,test,parity
VOLUME ?=
POINT ?=

export OMP_NUM_THREADS ?= 1
export OMP_WAIT_POLICY ?= passive
export GOMP_SPINCOUNT ?= 0
# Python compiles what is imported when it is imported: a small part of what is installed.
export PIP_NO_COMPILE ?= 1

.PHONY: setup demo app package test test-long lint format benchmark clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt tools/find_python.sh
	@python=$$(bash tools/find_python.sh) || exit 1; \
	 echo "using $$python ($$($$python --version))"; \
	 test -x $(BIN)/python || $$python -m venv $(VENV) || { \
	   echo "make setup: this Python cannot make virtual environments; on Debian or Ubuntu: sudo apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --upgrade pip setuptools wheel
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt --no-build-isolation -e ".[$(EXTRAS)]"
	SAM2_BUILD_CUDA=0 $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -c constraints.txt sam2
	$(BIN)/python -m pip install --quiet --no-deps --target $(VENV)/highdicom-0.27 --upgrade highdicom==0.27.0
	@test -x $(BIN)/medsam2 && touch $@

demo: setup
	$(BIN)/medsam2 demo --folder demo $(if $(VOLUME),--volume "$(VOLUME)") $(if $(POINT),--point "$(POINT)")

app: setup
	$(BIN)/python -m SlicerHost --module MedSAM2Slicer $(if $(VOLUME),"$(VOLUME)")

package: setup
	$(BIN)/python tools/package.py
	$(BIN)/python -m pytest Testing/panel/test_setup_packaging.py Testing/panel/test_setup_layouts.py

test: setup lint
	$(BIN)/python -m pytest -m "not long" -n 2 --dist worksteal

test-long: setup
	$(BIN)/python -m pytest -m long

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python tools/package_lists.py

benchmark: setup
	for name in network_speed predictor_speed peak_memory real_ct; do \
	  $(BIN)/python -m Testing.benchmarks.$$name || exit 1; done

clean:
	rm -rf $(VENV) build dist demo *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
