# Two commands do everything themselves: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# A process for each core, and a thread for each process; files in the order of tests/conftest.py.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses logical --dist loadfile \
    --no-loadscope-reorder

.PHONY: demo test check coverage lint types docs builtin fuzz fuzz-readers clean

demo: $(READY)
	$(BIN)/edgeskin demo --out demo --force

test: $(READY)
	$(PYTEST)

# Lint, types, and the tests that need no conversion, no device and no torch: under two minutes.
check: lint
	$(PYTEST) @tests/core.txt tests/test_house.py

# Which lines the tests run; TESTS is what is run, such as TESTS=tests/native or TESTS=@tests/core.txt.
TESTS ?= tests
coverage: $(READY)
	$(PYTEST) --cov --cov-report=term:skip-covered $(TESTS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(MAKE) types

types: $(READY)
	rm -rf build/types && mkdir -p build/types/edgeskin
	ln -s $(CURDIR)/edgeskin/* $(CURDIR)/calibration $(CURDIR)/converters \
	    $(CURDIR)/benchmarks build/types/edgeskin/
	cd build/types && ../../$(BIN)/mypy --config-file ../../pyproject.toml -p edgeskin
	cd build/types && ../../$(BIN)/mypy --config-file ../../pyproject.toml $(CURDIR)/tests/typing/users.py

# The site, into build/site; a broken link is an error. Building and reading need no network.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

# The built-in model, trained again from its recipe (about 20 minutes on 2 cores).
builtin: $(READY)
	$(BIN)/python -m edgeskin.training.builtin

# libFuzzer on every entry point of the native core, SECONDS each (needs clang; none: apt install clang).
SECONDS ?= 150
FUZZ := tests/native/fuzz
FUZZ_CXX ?= clang++
fuzz: $(foreach target,preprocess numbers masks spec,fuzz-$(target))
fuzz-%:
	mkdir -p build/fuzz/$*
	$(FUZZ_CXX) -std=c++17 -g -O1 -ffp-contract=off -fsanitize=fuzzer,address,undefined \
		-fno-sanitize-recover=all $(FUZZ)/$*.cpp edgeskin/native/src/*.cpp -o build/fuzz/fuzz_$*
	build/fuzz/fuzz_$* -max_total_time=$(SECONDS) -max_len=2048 -timeout=20 \
		-artifact_prefix=build/fuzz/$*- build/fuzz/$* $(FUZZ)/corpus/$*

# Damaged model files by the thousand through `edgeskin inspect`; what crashes is kept.
CASES ?= 2000
SEED ?= 0
fuzz-readers: $(READY)
	$(BIN)/python tests/converters/fuzz_readers.py --cases $(CASES) --seed $(SEED) --keep build/fuzz/readers

$(READY): pyproject.toml constraints.txt setup.py edgeskin/native/build.py \
    $(wildcard edgeskin/native/*.h edgeskin/native/src/*)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip setuptools -c constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[all,dev,docs]'
	touch $(READY)

clean:
	rm -rf .venv build demo *.egg-info
