# Everything there is to do here. Each target works alone on a fresh machine: it installs what it needs.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
PYTHON := $(VENV)/bin/python
CARGO := cargo
MVN := mvn --quiet --batch-mode
RELEASE := target/release

.PHONY: help demo servers tools test test-crates test-build check build bench lint docs clean packages test-rust test-c test-python test-java \
    test-docs conformance face-python lint-rust lint-python

include bindings/c/install.mk

help: ## List what there is to do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: face-python ## Run the main job on real processes: a kill, a restart, a registry outage; writes demo.html
	$(CARGO) build --release --quiet --package plumline-examples
	$(RELEASE)/demo

test: tools servers packages $(VENV)/.ready ## Pass every test, on a bare machine too; ends with a table of suites
	$(PYTHON) tests/run.py

check: tools servers ## The quick loop: format, clippy, unit and property tests, the scenarios in Rust
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --quiet -- --deny warnings
	$(CARGO) nextest run --workspace --filterset 'package(/^plumline(-(controller|cli|wire|bindings))?$$/)'
	target/debug/conformance-rust

servers: test-crates ## Build or download the real registries that tests start, once, into ~/.cache/plumline-servers
	target/debug/plumline-servers

NEXTEST := 0.9.151

tools:
	@cargo nextest --version 2>/dev/null | grep -q 'nextest $(NEXTEST)' || \
	    $(CARGO) install --quiet --locked --version $(NEXTEST) cargo-nextest

# Always the whole workspace: building a part of it selects other features, and compiles core again for them.
test-crates:
	$(CARGO) build --quiet --workspace --all-targets

# Everything that the suites of tests/run.py run.
test-build: test-crates $(VENV)/.ready
	$(MAKE) --silent --no-print-directory libplumline C_PROFILE=debug C_BUILD=
	python/tools/use-debug-build.sh
	$(MVN) -f java package -Ppackaged -Dplumline.profile=debug -Dexec.skip -DskipTests

test-rust: tools test-build servers ## The Rust tests, the documentation's code included
	$(PYTHON) tests/run.py rust rust-doc rust-timed

test-c: test-build packages ## The C and C++ suites: plain, sanitized, under valgrind, installed
	$(PYTHON) tests/run.py c-plain c-sanitize c-valgrind c-install

test-python: test-build ## The Python tests, against the real controller
	$(PYTHON) tests/run.py python

test-java: test-build ## The Java tests on 25 with checked JNI and on 17, and the jars as users get them
	$(PYTHON) tests/run.py java-25 java-17 java-packaged

test-docs: test-build packages ## Examples and blocks of the documentation, in every language
	$(PYTHON) tests/run.py docs rust-doc

conformance: test-build servers packages ## The scenarios in every language; the table is in target/conformance.md
	$(PYTHON) tests/run.py scenarios-rust scenarios-python scenarios-java scenarios-c scenarios-table

build: face-python libplumline ## Leave the command, libplumline, a .venv in which `import plumline` works, and the jar
	$(MVN) -f java package -DskipTests

# The command, and a .venv in which `import plumline` works.
face-python: $(VENV)/.ready
	$(CARGO) build --release --quiet --package plumline-cli --bin plumline
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
