# Each target is a script of its own: read scripts/NAME to see what it does. Variables given to make reach it as environment.

.PHONY: help demo build test test-all soak fuzz bench fmt lint setup

help: ## what you can type here
	@sed -n 's/^\([a-z-]*\):.* ## /  make \1\t/p' Makefile | expand -t 20

demo: ## start Theatrum and publish a video; FILE=my.mp4 for your own, DEMO_ONCE=1 to stop afterwards
	@scripts/demo

build: ## the release binary: target/release/theatrum
	@scripts/build

test: ## format, lints, licences, unit and integration tests, the page in a real browser
	@scripts/test

test-all: ## the same, with every sample and every kill point; takes long
	@scripts/test --all

soak: ## publish while the server is killed at random, for SOAK_MINUTES (10)
	@scripts/soak

fuzz: ## every fuzz target for FUZZ_MINUTES (10); TARGETS="nal probe" for some
	@scripts/fuzz

bench: ## publish times against hand-tuned ffmpeg, medians of RUNS (5)
	@scripts/bench

fmt: ## format Rust
	@cargo fmt --all

lint: ## rustfmt, clippy and tidy only
	@scripts/lint

setup: ## install what the targets above need, or say what to install
	@scripts/setup test
