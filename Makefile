# Everything here is a short name for a command that can be typed as it is. With nothing but Go: `go run ./cmd/verdict demo` and `go run ./deploy/dev/test`.
# CI calls the same targets (.ci/run).

SHELL       := bash
.SHELLFLAGS := -eu -o pipefail -c

LINT_VERSION := v2.15.0
LINT         := bin/golangci-lint-$(LINT_VERSION)
VULN_VERSION := v1.1.4
SBOM_VERSION := v1.9.0

# For one package, one test, one minute: make race PKG=./consumer/... · make bench BENCH=Step · make fuzz FUZZ=30s
PKG   ?= ./...
BENCH ?= .
FUZZ  ?= 20s
# What `make broker` runs: the packages whose tests use VERDICT_KAFKA and VERDICT_REDIS.
BROKER_PKG ?= ./cmd/verdict/... ./consumer/kafka/... ./preprocess/redisstore/...
# How many orders `make campaign` makes each fault over, and which fault alone.
CAMPAIGN ?= 100000
FAULT    ?=

.DEFAULT_GOAL := help
.PHONY: help demo test check fmt lint tools race bench fuzz golden virtual planted broker campaign up down build image vuln sbom

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## watch orders being decided: Kafka, store, generator and API in one process (Ctrl-C ends it)
	go run ./cmd/verdict demo

test: ## all tests that need nothing but Go
	go run ./deploy/dev/test

check: fmt lint test ## what a change must pass: format, lint, test

fmt: $(LINT) ## write every file in its form (gofumpt, gci)
	$(LINT) fmt

lint: $(LINT) ## lint, import graph included; the formatters' differences are findings too
	$(LINT) run

tools: $(LINT) ## install the pinned linter into bin/

race: ## tests under the race detector, in random order (the seed is printed; needs a C compiler)
	go test -race -shuffle=on -timeout 20m $(PKG)

bench: ## benchmarks; .bench/new.txt is kept for benchstat (copy it to .bench/old.txt before a change)
	@mkdir -p .bench
	go test -run '^$$' -bench '$(BENCH)' -benchmem -count 6 -timeout 60m $(PKG) | tee .bench/new.txt
	@if [ -f .bench/old.txt ] && command -v benchstat >/dev/null; then benchstat .bench/old.txt .bench/new.txt; fi

fuzz: ## each fuzz target for FUZZ (default 20s)
	@for dir in $$(grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -rn1 dirname | sort -u); do \
		for target in $$(go test -list '^Fuzz' $$dir | grep '^Fuzz'); do \
			echo "== $$dir $$target"; go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZ) $$dir; \
		done; \
	done

golden: ## rewrite the golden files under testdata; review them as a diff
	@for dir in $$(grep -rlE 'flag\.Bool\("rewrite"' --include='*_test.go' . | xargs -rn1 dirname | sort -u); do \
		echo "== $$dir"; go test -count=1 $$dir -rewrite; \
	done
	@git diff --stat -- '*testdata*'

# How many seeds, and how long the faults of each last: make virtual SEEDS=100 · VERDICT_SEED=17 make virtual (that seed alone) · VERDICT_VIRTUAL=24h make virtual
SEEDS ?= 20

virtual: ## the whole of verdict on virtual time, with faults everywhere: SEEDS seeds (default 20), or the one that VERDICT_SEED names
	VERDICT_SEEDS=$${VERDICT_SEEDS:-$(SEEDS)} go test -tags synctests -count=1 -timeout 60m -run '^TestVirtual' -v ./cmd/verdict

planted: ## builds the virtual layer with each planted bug (bug_*) and wants to see it red: some minutes
	VERDICT_PLANTED=1 go test -tags synctests -count=1 -timeout 60m -run '^TestVirtualIsRedWithEachPlantedBug$$' -v ./cmd/verdict

broker: ## the tests that want a real Kafka and a real Redis (deploy/dev/broker.sh starts and ends them, or says what is missing)
	deploy/dev/broker.sh go test -count=1 -timeout 20m $(BROKER_PKG)

campaign: ## each fault over real processes with CAMPAIGN orders (100000), judged by the oracle: some minutes a fault. One alone: make campaign FAULT=F01
	VERDICT_CAMPAIGN=$(CAMPAIGN) deploy/dev/broker.sh go test -count=1 -timeout 6h -run 'TestCampaign/$(FAULT)' -v ./cmd/verdict

up: ## Kafka, Redis, schema registry, verdict (scorer and api), Prometheus, Grafana in containers
	docker compose up --build --detach --wait
	@echo 'API http://localhost:8080 · Grafana http://localhost:3000 · Prometheus http://localhost:9090 · Kafka localhost:9092'

down: ## end them and delete their data
	docker compose down --volumes

build: ## one static binary: bin/verdict
	CGO_ENABLED=0 go build -trimpath -o bin/verdict ./cmd/verdict

image: ## the container image verdict:dev
	docker build --file deploy/Dockerfile --tag verdict:dev .

vuln: ## known vulnerabilities in what we call (asks vuln.go.dev, or GOVULNDB=file:///a/copy of it)
	go run golang.org/x/vuln/cmd/govulncheck@$(VULN_VERSION) $(if $(GOVULNDB),-db $(GOVULNDB)) ./...

sbom: $(if $(BINARY),,build) ## what the binary is made of: bin/verdict.cdx.json (CycloneDX), held against what the binary itself says
	@mkdir -p bin
	go run github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@$(SBOM_VERSION) bin -json -output bin/verdict.cdx.json $(or $(BINARY),bin/verdict)
	@go version -m $(or $(BINARY),bin/verdict) | awk '$$1 == "dep" {print $$2 "@" $$3}' >bin/verdict.modules
	@while read -r module; do \
		grep -qF "\"bom-ref\": \"pkg:golang/$$module?" bin/verdict.cdx.json || { echo "sbom: $$module is missing"; exit 1; }; \
	done <bin/verdict.modules; echo "sbom: $$(wc -l <bin/verdict.modules) modules"

# Pinned, built from source, kept in bin/ under its version: another version is another file.
$(LINT):
	GOBIN=$(CURDIR)/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	mv bin/golangci-lint $(LINT)
