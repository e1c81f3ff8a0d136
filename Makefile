# make run and make test are all one needs; make help lists the rest.

GO      ?= go
VERSION ?=
LDFLAGS := $(if $(VERSION),-X main.version=$(VERSION))

# The packages whose tests run in process. The tests in e2e start the built server.
UNIT = $(shell $(GO) list ./... 2>/dev/null | grep -v '/e2e')

.NOTPARALLEL:
.PHONY: help run build test deps lint unit race e2e conformance compat clients fuzz-smoke stress bench bench-traces soak bench-connections clean

help: ## list the targets
	@grep -E '^[a-z0-9-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

run: build ## build and start the server, data in ./data
	bin/pgcache serve --data-dir ./data

build: ## build bin/pgcache
	$(GO) build -ldflags '$(LDFLAGS)' -o bin/pgcache ./cmd/pgcache

test: deps lint unit race e2e ## everything CI runs; installs what it needs (Debian)

deps: ## install what the tests need
	scripts/install-test-deps.sh

lint: ## go vet, and the rules of the house (layout_test.go)
	$(GO) vet ./...
	$(GO) test -count=1 .

# Go's own limit of ten minutes a package is too short for a busy machine.
unit: ## tests in process
	$(GO) test -timeout 60m $(UNIT)

race: ## the same with the race detector
	$(GO) test -race -timeout 60m $(UNIT)

e2e: deps ## the built server driven by psql, pgx, psycopg and node-postgres; restarts and crashes
	$(GO) test -count=1 -timeout 60m ./e2e/...

conformance: deps ## wire transcripts against pgcache and against a real PostgreSQL
	$(GO) test -count=1 -v -run '^TestWire' ./e2e

compat: build ## statements of clients (CORPUS=folder) against pgcache and PostgreSQL (make deps installs 17): a table
	$(GO) run ./e2e/compat -server bin/pgcache -corpus $(or $(CORPUS),testdata/clients) $(COMPATFLAGS)

clients: deps ## the matrix of clients, written to docs/clients.md
	CLIENTS_MD=$(CURDIR)/docs/clients.md $(GO) test -count=1 -v -run '^TestClients' ./e2e

fuzz-smoke: ## every fuzz target for a few seconds
	scripts/fuzz-smoke.sh

# Each of some 400 operations on the disk fails in turn. Five minutes; the same with -race takes
# half an hour. make unit and make race leave most of them out.
EACH_FAULT = ^(TestWriteErrors|TestReopenAfterEachError)$$

stress: ## model, crash and race tests again and again
	PGCACHE_STRESS=1 $(GO) test -race -count=10 -timeout 60m -skip '$(EACH_FAULT)' $(UNIT)
	PGCACHE_STRESS=1 $(GO) test -timeout 60m -run '$(EACH_FAULT)' ./l2
	$(GO) test -race -timeout 60m -run "TestModel|TestHistory" ./cache -seeds=2000 -histories=200
	PGCACHE_STRESS=1 E2E_RACE=1 $(GO) test -count=3 -timeout 60m ./e2e

bench: build ## speed, memory, disk, restarts, beside other servers; BENCHFLAGS="--parts …" for one of them
	$(GO) run ./e2e/bench $(BENCHFLAGS)

bench-traces: ## hit ratios of the eviction policies on traces in TRACES=dir, else on generated ones
	$(GO) run ./e2e/traces -traces '$(TRACES)'

SOAK_MINUTES ?= 1
soak: build ## hostile clients for SOAK_MINUTES, then: is anything left?
	$(GO) run ./e2e/soak -minutes $(SOAK_MINUTES)

bench-connections: build ## what 10,000 idle connections cost, plain and over TLS (ulimit -n above 10,100)
	$(GO) run ./e2e/soak -connections 10000
	$(GO) run ./e2e/soak -connections 10000 -tls

clean: ## remove what make built (not ./data)
	rm -rf bin e2e/node/node_modules e2e/clients/node/node_modules e2e/realpostgres/node/node_modules
