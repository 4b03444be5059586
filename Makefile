# Two commands do everything themselves: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test lint builtin clean

demo: $(READY)
	$(BIN)/edgeskin demo --out demo --force

test: $(READY)
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf build/types && mkdir -p build/types/edgeskin
	ln -s $(CURDIR)/edgeskin/* $(CURDIR)/calibration $(CURDIR)/converters \
	    $(CURDIR)/benchmarks build/types/edgeskin/
	cd build/types && ../../$(BIN)/mypy --config-file ../../pyproject.toml -p edgeskin

# The built-in model, trained again from its recipe (about 20 minutes on 2 cores).
builtin: $(READY)
	$(BIN)/python -m edgeskin.training.builtin

$(READY): pyproject.toml constraints.txt setup.py $(wildcard edgeskin/native/*.* edgeskin/native/src/*)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip setuptools -c constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[all,dev]'
	touch $(READY)

clean:
	rm -rf .venv build demo *.egg-info
