# `make help` lists what there is.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: run test lint bench help

run: ## Build Headgate and start it on 127.0.0.1 with its data in ./data
	cargo run --locked --release -p headgate -- serve

test: ## Install what the tests need into .tools and run every test
	tests/tools/install.sh
	cargo build --locked --workspace --all-targets
	cargo test --locked --workspace
	tests/tools/topologies.sh

lint: ## Formatting, clippy, buf and cargo-deny
	tests/tools/install.sh lint
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	.tools/venv/bin/buf lint proto
	.tools/bin/cargo-deny --all-features --config .deny.toml check bans licenses sources

bench: ## Measure Headgate against nginx and no gateway at all, on this machine
	tests/tools/install.sh
	tests/bench/run.py

help: ## Show this
	@sed -n 's/^\([a-z]*\): ## \(.*\)/make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14
