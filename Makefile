# The two commands to know: `make demo` and `make test`. `make` lists the rest.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PREFIX ?= /usr/local
DESTDIR ?=
FUZZ_SECONDS ?= 60
BENCH_FLAGS ?=
RELEASE := build/release
JOBS := $(shell nproc)
CXX_SOURCES = $(shell find src include apps fuzz bench examples tests -name '*.h' -o -name '*.cc')

.PHONY: help
help:  ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

.PHONY: setup
setup:  ## Install what is missing from Debian (root or sudo)
	@scripts/setup

$(RELEASE)/build.ninja: CMakeLists.txt CMakePresets.json
	cmake --preset release

.PHONY: build
build: setup $(RELEASE)/build.ninja  ## Build everything, optimized
	cmake --build --preset release

.PHONY: demo
demo: setup  ## Build the program and walk through real files
	@cmake --preset demo >/dev/null
	cmake --build --preset demo --target kilter charlm
	@KILTER_PROGRAM=build/demo/apps/cli/kilter KILTER_CHARLM=build/demo/charlm scripts/demo

.PHONY: test
test:  ## All tests: C++ (ctest), the program and the oracles (pytest), fuzz corpora
	@scripts/setup --python
	@$(MAKE) --no-print-directory build
	scripts/wheel
	ctest --preset release -j $(JOBS) --no-tests=error
	.venv/bin/python -m pytest tests

.PHONY: wheel
wheel:  ## The Python package as a wheel, in build/wheels
	@scripts/setup --python
	scripts/wheel

.PHONY: bench
bench:  ## Measure against the alternatives (BENCH_FLAGS="--size 0.25" is quick)
	@scripts/setup --python
	@$(MAKE) --no-print-directory build
	scripts/wheel
	.venv/bin/python bench/run.py $(BENCH_FLAGS)

.PHONY: fuzz
fuzz:  ## Fuzz every parser for FUZZ_SECONDS (default 60) each
	@scripts/setup --fuzz
	scripts/fuzz all $(FUZZ_SECONDS)

.PHONY: format
format:  ## Format the C++ sources in place
	@scripts/setup --lint
	clang-format-19 -i $(CXX_SOURCES)

.PHONY: lint
lint:  ## Check formatting, then run clang-tidy
	@scripts/setup --lint
	clang-format-19 --dry-run --Werror $(CXX_SOURCES)
	scripts/lint

.PHONY: install
install: setup  ## Install program, library and CMake package to PREFIX (DESTDIR honoured)
	cmake --preset release -DCMAKE_INSTALL_PREFIX=$(PREFIX)
	cmake --build --preset release --target kilter kilter_library
	DESTDIR=$(DESTDIR) cmake --install $(RELEASE) --prefix $(PREFIX)

.PHONY: clean
clean:  ## Remove what was built; the Python environment stays
	rm -rf build
