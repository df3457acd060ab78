# The two commands a newcomer needs are `make demo` and `make test`. Everything else is a habit of the people who work on it.

SHELL := /bin/bash
DATA ?=

.DEFAULT_GOAL := help
.PHONY: help demo test build model held-out experiments lookalikes lint bench bench-stages bench-detect bench-proxy soak fuzz onnxruntime preflight

help: ## this list
	@echo "Weir: an inline web application firewall whose detector is an autoencoder"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "Start with: make demo"

demo: onnxruntime ## build, then a shop with Weir in front of it, customers and attackers, for about a minute
	@scripts/demo.sh

test: onnxruntime ## every test, on a fresh machine
	@scripts/test.sh

build: onnxruntime ## target/release/weir and target/release/weir-train
	cargo build --release -p weir-waf -p weir-train --bin weir --bin weir-train

model: ## train models/base from public sets: make model DATA=FOLDER (without DATA: where they come from)
	@if [ -n "$(DATA)" ]; then $(MAKE) --no-print-directory build; fi
	@scripts/base-model.sh $(DATA)

held-out: build ## measure on sites and payload sources left out of training: make held-out DATA=FOLDER
	@scripts/held-out.sh $(DATA)

experiments: build ## every published figure, trained anew (hours): make experiments DATA=FOLDER [NAMES="csic sites"]
	@scripts/experiments.sh "$(DATA)" "$(or $(OUT),target/experiments)" $(NAMES)

lookalikes: build ## harmless requests that look like attacks: how many are flagged and blocked: make lookalikes DATA=FOLDER [BUNDLE=FOLDER]
	@scripts/lookalikes.sh $(DATA) $(BUNDLE)

lint: ## formatting, clippy, documentation and licences, warnings denied
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
	@if cargo deny --version >/dev/null 2>&1; then cargo deny --workspace check licenses bans sources; \
	else echo "note: cargo-deny is not installed, licences not checked (cargo install cargo-deny --locked)"; fi

bench: onnxruntime ## what Weir costs beside nginx, a plain proxy and ModSecurity: make bench [ARGS="--rounds 1"] [REPLAY=CAPTURE]
	@scripts/bench.sh $(ARGS)
ifeq ($(filter --only% --samples% --document% --print-only -h --help,$(ARGS)),)
	@REPLAY="$(REPLAY)" scripts/bench-instructions.sh --docs
	@REPLAY="$(REPLAY)" scripts/bench-samples.sh
endif

bench-stages: onnxruntime ## what extraction, decoding and scoring cost on this machine
	cargo bench -p weir-waf --bench detection

bench-detect: onnxruntime ## two attack collections through the running proxy: make bench-detect DATA=FOLDER [ARGS=--verbose]
	@scripts/bench-detect.sh "$(DATA)" $(ARGS)

bench-proxy: onnxruntime ## long uploads, WebSocket and event streams beside nginx: make bench-proxy [ARGS="--rounds 1"]
	@scripts/bench-proxy.sh $(ARGS)

soak: onnxruntime ## ten minutes of mixed load, upstream restarts and reloads, every answer checked: make soak [SECONDS=60]
	@scripts/soak.sh $(if $(SECONDS),--seconds $(SECONDS)) $(ARGS)

fuzz: ## 20 seconds of fuzzing a target
	@scripts/fuzz.sh

onnxruntime: preflight ## fetch the pinned ONNX Runtime into .onnxruntime/ (does nothing when it is there)
	@scripts/onnxruntime.sh

preflight: ## check the tools a build needs
	@scripts/preflight.sh
