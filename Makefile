# recapito: make help

SHELL       := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Tools live in a cache folder outside the tree, one file a version.
CACHE         := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/recapito
LINT_VERSION  := v2.15.0
export GOLANGCI_LINT ?= $(CACHE)/tools/golangci-lint-$(LINT_VERSION)

# The binary and the tests need no C compiler; only -race does.
export CGO_ENABLED := 0

# Settings of the targets below, e.g. make test PKG=./domain/... RUN=TestDecide
PKG       ?= ./...
RUN       ?= .
FUZZTIME  ?= 20s
BENCHTIME ?= 1s
SEED      ?=
SEEDS     ?=
FULL      ?=
EVENTS    ?=
KILLS     ?= 50
OUTAGE    ?= 1h
ARGS      ?=
TEST_TIMEOUT := 30m

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/recapito
	go build -trimpath -o bin/recapito .

.PHONY: run
run: build clickhouse-library ## build, then run everything on this machine with simulators of an SMSC and a mail server (ARGS=… adds flags)
	bin/recapito sandbox $(ARGS)

.PHONY: clickhouse-library
clickhouse-library: ## fetch the ClickHouse engine's library by npm into the cache, check its hash
	deploy/clickhouse-library.sh

.PHONY: test
test: clickhouse-library ## run all tests (PKG=./domain/... RUN=TestName narrow it down)
	go test -timeout $(TEST_TIMEOUT) -run '$(RUN)' $(PKG)

.PHONY: race
race: clickhouse-library ## run the tests in their short form under the race detector, those with engines outside left out (needs a C compiler)
	CGO_ENABLED=1 go test -race -short -timeout $(TEST_TIMEOUT) -run '$(RUN)' -skip '/^outside$$|^TestTwoInstances' $(PKG)

.PHONY: check
check: $(GOLANGCI_LINT) ## formatting, vet, linters with the import table, go.mod, documents
	@unformatted=$$(gofmt -l .); \
	if [ -n "$$unformatted" ]; then echo "not formatted by gofmt:"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	go mod tidy -diff
	$(GOLANGCI_LINT) run ./...
	CI=1 go test -count=1 .

.PHONY: test-peers
test-peers: clickhouse-library ## test against independent peers: npm's smpp, express with standardwebhooks, and @eventstore/db-client, Postfix, dkimpy, PostgreSQL, a real Apache Kafka, ClickHouse's clients for Java and Python (needs Java 17, Maven, Python 3)
	RECAPITO_TEST_PEERS=1 go test -count=1 -timeout $(TEST_TIMEOUT) -run Npm ./adapters/smpp ./adapters/rest/npmpeer ./adapters/eventlog/esdbserver/npmclient
	RECAPITO_TEST_PEERS=1 go test -count=1 -timeout $(TEST_TIMEOUT) -run 'Peer|Postfix' ./adapters/smtp
	RECAPITO_TEST_PEERS=1 go test -count=1 -timeout $(TEST_TIMEOUT) -run Peer ./adapters/clickhouse
	go run ./adapters/kafka/kafkapeer go test -count=1 -timeout $(TEST_TIMEOUT) ./adapters/kafka/...
	RECAPITO_TEST_PEERS=1 go test -count=1 -timeout $(TEST_TIMEOUT) ./adapters/postgres/...
	RECAPITO_TEST_PEERS=1 go test -count=1 -timeout $(TEST_TIMEOUT) -run 'TestKilledThreeTimes/outside|TestWiped.*/outside|TestTwoInstances' ./cmd

.PHONY: test-esdb-client
test-esdb-client: build ## run the official EventStoreDB client's own tests against recapito eventlog serve
	adapters/eventlog/esdbserver/clientsuite/run.sh bin/recapito

.PHONY: test-eventlog-full
test-eventlog-full: test-esdb-client clickhouse-library ## the event store's fault tests in full (half an hour; SEED=n replays one), the client's suite, and end to end over engines outside
	go test -count=1 -timeout 90m -v -run '^Test(Crash|Faults|Damage|Kill)$$' ./adapters/eventlog \
		-eventlog.crashes=1000 -eventlog.faults=1000 -eventlog.damages=2000 -eventlog.kills=100 $(if $(SEED),-eventlog.seed=$(SEED))
	RECAPITO_TEST_FULL=1 go test -count=1 -timeout 60m ./cmd
	RECAPITO_TEST_FULL=1 go test -count=1 -timeout 10m -run Killed ./adapters/clickhouse

.PHONY: test-readmodels-full
test-readmodels-full: clickhouse-library ## the read models' fault tests in full (hours; KILLS=n of the ledger and of ClickHouse each, OUTAGE=1h): zero differences after kills, both at once, outages, rebuilds under load, deduplication windows overrun
	RECAPITO_TEST_KILLS=$(KILLS) go test -count=1 -timeout 90m -v -run '^TestKilledThreeTimes$$/^embedded$$' ./cmd
	RECAPITO_TEST_OUTAGE=$(OUTAGE) go test -count=1 -timeout 180m -v -run '^TestClickHouseAway$$' ./cmd
	RECAPITO_TEST_FULL=1 go test -count=1 -timeout 30m -run 'Killed|Memory' ./adapters/clickhouse
	RECAPITO_TEST_FULL=1 go test -count=1 -timeout 60m ./projections/... ./readmodels

.PHONY: test-full
test-full: test-eventlog-full test-readmodels-full ## everything in its heavy form (hours): the two above, 10,000 seeds of the simulation, and new seeds of the properties
	RECAPITO_SIM_SEEDS=10000 go test -count=1 -timeout 60m -run '^TestSim' ./commands/delivery
	RECAPITO_TEST_FULL=1 go test -count=1 -timeout 60m -rapid.checks=3000 $$(grep -rl --include=*_test.go domaintest/seeds domain commands | xargs -n1 dirname | sort -u | sed 's|^|./|')

.PHONY: sim
sim: ## drive the real code on fake time through random faults (SEED=n replays one, SEEDS=n runs so many)
	RECAPITO_SIM_SEED='$(SEED)' RECAPITO_SIM_SEEDS='$(SEEDS)' go test -count=1 -v -timeout 60m -run '^TestSim' ./commands/...

.PHONY: bench
bench: clickhouse-library ## run the benchmarks (PKG=… BENCHTIME=… narrow them down)
	go test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) $(PKG)

.PHONY: bench-eventlog
bench-eventlog: ## measure the event store against raw Pebble, bbolt and a plain file in one run (FULL=1: 10 million events)
	RECAPITO_BENCH_FULL='$(FULL)' go test -run '^$$' -bench . -benchtime $(BENCHTIME) -timeout 120m ./adapters/eventlog/bench

.PHONY: bench-readmodels
bench-readmodels: clickhouse-library ## measure projecting, rebuilding, lag and queries on the embedded engines (FULL=1: 10 million events, or EVENTS=n, and three times as many; 100 million attempts)
	RECAPITO_BENCH_FULL='$(FULL)' RECAPITO_BENCH_EVENTS='$(EVENTS)' go test -run '^$$' -bench . -benchtime 1x -timeout 300m ./projections/bench

.PHONY: fuzz
fuzz: ## fuzz everything that parses bytes from outside, FUZZTIME each
	@go list -f '{{$$d := .Dir}}{{range .TestGoFiles}}{{$$d}}/{{.}} {{end}}{{range .XTestGoFiles}}{{$$d}}/{{.}} {{end}}' $(PKG) \
	| tr ' ' '\n' | grep . | xargs grep -Ho '^func Fuzz[A-Za-z0-9_]*' | sort \
	| while IFS=: read -r file func; do \
		echo "== $${func#func } in $$(realpath --relative-to=. "$$(dirname "$$file")")"; \
		go test -run '^$$' -fuzz "^$${func#func }$$" -fuzztime $(FUZZTIME) "$$(dirname "$$file")" </dev/null; \
	done

.PHONY: model
model: ## explore the delivery protocol's model exhaustively (minutes)
	cd docs/model && go run .

.PHONY: clean
clean: ## remove what was built (bin/); data/ and the cache stay
	rm -rf bin

$(CACHE)/tools/golangci-lint-$(LINT_VERSION):
	@echo "fetching golangci-lint $(LINT_VERSION) into $(@D)"
	@mkdir -p '$(@D)/new'
	GOBIN='$(@D)/new' go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	@mv '$(@D)/new/golangci-lint' '$@' && rmdir '$(@D)/new'
