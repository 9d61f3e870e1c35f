# Everything there is to do here. Each target works alone on a fresh machine: it installs what it needs.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
PYTHON := $(VENV)/bin/python
CARGO := cargo
RELEASE := target/release

.PHONY: help demo test build bench lint docs test-rust test-python clean

help: ## List what there is to do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: build ## Run the main job on real processes: a kill, a restart, a registry outage; writes demo.html
	$(CARGO) run --release --quiet --package plumline-examples --bin demo

test: test-rust test-python ## Pass every test, on a bare machine too

test-rust: ## The Rust tests, the documentation's code included
	$(CARGO) test --workspace --quiet

test-python: $(VENV)/.ready ## The Python tests, against the real controller
	$(CARGO) build --quiet --package plumline-controller --bin plumline
	$(VENV)/bin/maturin develop --quiet --manifest-path bindings/python/Cargo.toml
	cd python && PLUMLINE_COMMAND=$(CURDIR)/target/debug/plumline ../$(PYTHON) -X dev -m pytest -q
	cd python && ../$(VENV)/bin/mypy --strict plumline && ../$(VENV)/bin/python -m mypy.stubtest plumline

build: $(VENV)/.ready ## Leave target/release/plumline and a .venv in which `import plumline` works
	$(CARGO) build --release --quiet --package plumline-controller --bin plumline
	$(VENV)/bin/maturin develop --release --quiet --manifest-path bindings/python/Cargo.toml

bench: build ## Measure side by side with the alternatives; writes target/bench/results.json
	$(CARGO) run --release --quiet --package plumline-benches -- $(GROUP)

lint: $(VENV)/.ready ## rustfmt, clippy, ruff, mypy, cargo-deny
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --quiet -- --deny warnings
	$(VENV)/bin/ruff check python benches examples
	$(VENV)/bin/ruff format --check python benches examples
	command -v cargo-deny >/dev/null || $(CARGO) install --quiet --locked cargo-deny
	$(CARGO) deny check bans licenses sources

docs: ## Build the API documentation and refresh the generated pages
	UPDATE=1 $(CARGO) test --quiet --package plumline-tests --test generated
	RUSTDOCFLAGS="--deny warnings" $(CARGO) doc --workspace --no-deps --quiet

clean: ## Remove what was built
	rm -rf target $(VENV) demo.html

$(VENV)/.ready: python/requirements-dev.txt
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	touch $@
