# Everything there is to do here. Each target works alone on a fresh machine: it installs what it needs.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
PYTHON := $(VENV)/bin/python
CARGO := cargo
MVN := mvn --quiet --batch-mode
RELEASE := target/release

.PHONY: help demo servers test build bench lint docs clean packages test-rust test-c test-python test-java test-docs lint-rust \
    lint-python conformance face-python forget-conformance

include bindings/c/install.mk

help: ## List what there is to do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: face-python ## Run the main job on real processes: a kill, a restart, a registry outage; writes demo.html
	$(CARGO) build --release --quiet --package plumline-examples
	$(RELEASE)/demo

test: forget-conformance test-rust test-c test-python test-java test-docs conformance ## Pass every test, on a bare machine too

servers: ## Have the real registries that tests start, once: built or downloaded into ~/.cache/plumline-servers
	$(CARGO) run --quiet --package plumline-servers

forget-conformance:
	rm -rf target/conformance

test-rust: servers ## The Rust tests, the documentation's code included
	$(CARGO) test --workspace --quiet

test-c: packages servers ## The C and C++ suites: plain, sanitized, under valgrind, installed, and the scenarios
	tests/c/run.sh

test-python: $(VENV)/.ready servers ## The Python tests, against the real controller
	$(CARGO) build --quiet --package plumline-controller --package plumline-testbed --bins
	cd python && ../$(VENV)/bin/maturin develop --quiet
	cd python && PLUMLINE_COMMAND=$(CURDIR)/target/debug/plumline ../$(PYTHON) -X dev -m pytest -q

test-java: servers ## The Java tests, on 17 and 25, with checked JNI, as a fat jar, in two class loaders, by jlink
	$(CARGO) build --quiet --package plumline-controller --package plumline-testbed --bins
	PLUMLINE_COMMAND=$(CURDIR)/target/debug/plumline $(MVN) -f java verify -Ppackaged -Dplumline.profile=debug
	PLUMLINE_COMMAND=$(CURDIR)/target/debug/plumline java/tools/runs.sh -Dplumline.profile=debug

test-docs: $(VENV)/.ready packages ## Examples and blocks of the documentation, in every language
	$(CARGO) build --quiet --package plumline-controller --package plumline-examples --bins
	cd python && ../$(VENV)/bin/maturin develop --quiet
	$(MAKE) --silent --no-print-directory libplumline C_PROFILE=debug
	$(MVN) -f java package -Dplumline.profile=debug -DskipTests
	$(PYTHON) -m pytest -q -c python/pyproject.toml --rootdir=. -p no:cacheprovider tests/documentation

conformance: ## The table of scenarios and languages, as the tests have left it: target/conformance.md
	$(CARGO) run --quiet --package plumline-testbed -- --table

build: face-python libplumline ## Leave the command, libplumline, a .venv in which `import plumline` works, and the jar
	$(MVN) -f java package -DskipTests

# The command, and a .venv in which `import plumline` works.
face-python: $(VENV)/.ready
	$(CARGO) build --release --quiet --package plumline-controller --bin plumline
	cd python && ../$(VENV)/bin/maturin develop --release --quiet

bench: build packages ## Measure side by side with the alternatives; writes target/bench/results.json
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --requirement benches/requirements.txt
	$(CARGO) build --release --quiet --package plumline-benches --package plumline-examples --package plumline-tests \
	    --bin plumline-benches --bin register --bin scale
	$(MVN) -f java install -DskipTests
	$(MVN) -f benches/java package
	mkdir -p target/bench
	cc -std=c99 -O2 -Wall -Wextra -Wpedantic -Werror -Iinclude -o target/bench/bench-c benches/c/bench.c \
	    -L$(RELEASE) -lplumline -Wl,-rpath,$(CURDIR)/$(RELEASE) -lcurl
	$(RELEASE)/plumline-benches $(GROUP)

lint: lint-rust lint-python ## rustfmt, clippy, ruff and cargo-deny; mypy and stubtest run with the tests

lint-rust:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --quiet -- --deny warnings
	command -v cargo-deny >/dev/null || $(CARGO) install --quiet --locked cargo-deny
	$(CARGO) deny check bans licenses sources

lint-python: $(VENV)/.ready
	$(VENV)/bin/ruff check python examples tests benches/python
	$(VENV)/bin/ruff format --check python examples tests benches/python

docs: $(VENV)/.ready ## Build the API documentation and refresh what is generated from the configuration
	UPDATE=1 $(CARGO) test --quiet --package plumline-tests --test generated
	UPDATE=1 $(CARGO) test --quiet --package plumline-testbed --test schema
	UPDATE=1 $(CARGO) test --quiet --package plumline-c --test header
	UPDATE=1 $(CARGO) test --quiet --package plumline-java
	cd python && ../$(VENV)/bin/maturin develop --quiet
	$(PYTHON) python/tools/generate_config.py
	RUSTDOCFLAGS="--deny warnings" $(CARGO) doc --workspace --no-deps --quiet

clean: ## Remove what was built
	rm -rf target java/target benches/java/target $(VENV) demo.html

# What the C suites and the benches are built with, from Debian.
PACKAGES := clang libclang-rt-14-dev cmake libcjson-dev libcurl4-openssl-dev locales openssl pkg-config valgrind

packages:
	@dpkg --status $(PACKAGES) >/dev/null 2>&1 || { \
	    apt-get update --quiet=2 && apt-get install --quiet=2 --yes --no-install-recommends $(PACKAGES) >/dev/null; }

$(VENV)/.ready: python/requirements-dev.txt
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	touch $@
