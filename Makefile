# Everything there is to do here. Each target works alone on a fresh machine: it installs what it needs.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
PYTHON := $(VENV)/bin/python
CARGO := cargo
RELEASE := target/release

.PHONY: help demo test build bench lint docs test-rust test-python lint-rust lint-python clean

help: ## List what there is to do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: build ## Run the main job on real processes: a kill, a restart, a registry outage; writes demo.html
	$(CARGO) build --release --quiet --package plumline-examples
	$(RELEASE)/demo

test: test-rust test-python ## Pass every test, on a bare machine too

test-rust: ## The Rust tests, the documentation's code included
	$(CARGO) test --workspace --quiet

test-python: $(VENV)/.ready ## The Python tests, against the real controller
	$(CARGO) build --quiet --package plumline-controller --bin plumline
	cd python && ../$(VENV)/bin/maturin develop --quiet
	cd python && PLUMLINE_COMMAND=$(CURDIR)/target/debug/plumline ../$(PYTHON) -X dev -m pytest -q

build: $(VENV)/.ready ## Leave target/release/plumline and a .venv in which `import plumline` works
	$(CARGO) build --release --quiet --package plumline-controller --bin plumline
	cd python && ../$(VENV)/bin/maturin develop --release --quiet

bench: build ## Measure side by side with the alternatives; writes target/bench/results.json
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --requirement benches/requirements.txt
	$(CARGO) build --release --quiet --package plumline-benches --package plumline-tests --bins
	$(RELEASE)/plumline-benches $(GROUP)

lint: lint-rust lint-python ## rustfmt, clippy, ruff and cargo-deny; mypy and stubtest run with the tests

lint-rust:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --quiet -- --deny warnings
	command -v cargo-deny >/dev/null || $(CARGO) install --quiet --locked cargo-deny
	$(CARGO) deny check bans licenses sources

lint-python: $(VENV)/.ready
	$(VENV)/bin/ruff check python examples
	$(VENV)/bin/ruff format --check python examples

docs: $(VENV)/.ready ## Build the API documentation and refresh what is generated from the configuration
	UPDATE=1 $(CARGO) test --quiet --package plumline-tests --test generated
	cd python && ../$(VENV)/bin/maturin develop --quiet
	$(PYTHON) python/tools/generate_config.py
	RUSTDOCFLAGS="--deny warnings" $(CARGO) doc --workspace --no-deps --quiet

clean: ## Remove what was built
	rm -rf target $(VENV) demo.html

$(VENV)/.ready: python/requirements-dev.txt
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	touch $@
