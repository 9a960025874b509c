# `make help` explains itself.
.DEFAULT_GOAL := help
SHELL := /bin/bash
CARGO ?= cargo
IMAGE ?=
SEED ?= 1
SECONDS ?= 30
JOBS ?= 300
TOPOLOGY ?= plain
.PHONY: help demo gallery screenshots chaos fuzz test golden bench lint docs settings chart clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'
	@echo
	@echo "  make demo IMAGE=my.tif      runs the demo on an image of your own"
	@echo "  make demo PAGE=1            opens the web page when the job is done"
	@echo "  make demo MODEL=classical   with filters and thresholds in place of the trained network"

demo: redis ## Run a real image through the whole system on this machine and draw the result
	$(CARGO) build --release --locked --package redis-consumer --package redis-consumer-demo
	target/release/redis-consumer-demo run $(if $(MODEL),--model $(MODEL)) $(if $(PAGE),--page) $(IMAGE)

gallery: ## Draw the pictures of docs/images/gallery anew
	$(CARGO) run --release --locked --quiet --package redis-consumer-demo -- gallery

screenshots: redis chromium ## Draw the pictures of docs/images/dashboard anew
	SCREENSHOTS=1 $(CARGO) test --release --locked --workspace --all-features --test it -- dashboard::screenshots

test: redis servers model-servers onnxruntime azurite interpreters chromium ## Run every test against real peers
	$(CARGO) test --release --locked --workspace --all-features

golden: ## Run the golden cases and print a line per area
	$(CARGO) test --release --locked --workspace --all-features golden -- --nocapture

chaos: redis ## Kill, stop, cut off and bother everything while jobs run: SEED=… SECONDS=… JOBS=… TOPOLOGY=plain|sentinel
	@SEED=$(SEED) SECONDS=$(SECONDS) JOBS=$(JOBS) TOPOLOGY=$(TOPOLOGY) $(CARGO) test --release --locked --workspace --all-features --quiet --test chaos

fuzz: ## Search for inputs that break a parser, a minute for each
	scripts/fuzz 60

bench: ## Time every kernel (benches/README.md says how to compare with Python)
	$(CARGO) build --release --locked --package redis-consumer-demo
	$(CARGO) bench --locked --all-features

lint: ## Format, lints, docs: what CI checks beside the tests
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --locked --workspace --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --document-private-items

settings: ## Show every setting in force
	$(CARGO) run --release --locked --quiet -- settings

chart: ## Check chart, compose file and Dockerfile (scripts/chart/tools brings the tools)
	scripts/check-chart

clean: ## Remove what was built
	$(CARGO) clean

.PHONY: redis servers model-servers onnxruntime azurite interpreters chromium
redis:
	@scripts/need-redis

servers:
	@scripts/need-other-servers

model-servers:
	@scripts/need-model-servers

onnxruntime:
	@scripts/need-onnxruntime

azurite:
	@scripts/need-azurite

interpreters:
	@scripts/need-interpreters

chromium:
	@scripts/need-chromium
