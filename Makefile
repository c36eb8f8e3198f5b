# Headroom. Run `make` or `make help` to see what there is.
#
# One set of build flags everywhere (build, test, run): Go's build cache is then
# shared by all of them. Only the last link step carries the version.

GO        ?= go
BIN       := bin
TOOLS     := $(BIN)/tools
VERSION   := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS   := -X main.version=$(VERSION)
PREFIX    ?= /usr/local

# make run: where it listens, what it keeps and what it starts with.
LISTEN    ?= 127.0.0.1:8080
DATA      ?= ./data
MANIFEST  ?= examples/local.yaml

# The race detector compiles everything anew; cloud SDKs would double the time
# and hold no code of ours.
SDK_FREE   = $(shell $(GO) list -f '{{.ImportPath}}' ./... 2>/dev/null | grep -v -e '/provider/all$$' -e '/test/e2e$$' -e '/docs$$')
SEEDS     ?= 50
DURATION  ?= 1h
BENCH     ?= .

# A test run on CI must not skip PostgreSQL without saying so.
ifeq ($(CI),true)
export HEADROOM_REQUIRE_POSTGRES := 1
endif

# CI starts the rigs that it tests against; without one, tests of its cloud fail.
ifeq ($(HEADROOM_RIGS),1)
export HEADROOM_REQUIRE_OPENSTACK := 1
export HEADROOM_REQUIRE_KUBE := 1
endif

.DEFAULT_GOAL := help
.PHONY: help rig-openstack rig-openstack-down rig-kube rig-kube-down rig-kube-restart build run test nodes chaos check race sim bench docs fmt clean install tools \
  check-format check-vet check-lint check-arch check-generated check-modules check-vulnerabilities check-shell

##@ Start here

help: ## Show this list.
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  %-22s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '\nVariables: LISTEN=%s DATA=%s MANIFEST=%s PREFIX=%s\n' '$(LISTEN)' '$(DATA)' '$(MANIFEST)' '$(PREFIX)'

run: build ## Build, then serve on LISTEN with the data in DATA, and apply MANIFEST. Ctrl-C ends it; the data stay.
	@exec ./$(BIN)/headroom serve --data-dir $(DATA) --listen $(LISTEN) --apply $(MANIFEST)

test: ## Run every test: units, the store on SQLite and PostgreSQL, and the real binary end to end.
	$(GO) test -timeout 20m ./...

rig-openstack: ## Bring a real OpenStack up on this host for the tests of its provider (Debian; installs packages as root, once).
	test/rigs/openstack/install.sh
	$(GO) run ./test/rigs/openstack/cmd up

rig-openstack-down: ## End that OpenStack and remove its data.
	$(GO) run ./test/rigs/openstack/cmd down

##@ Build

build: ## Build bin/headroom.
	@mkdir -p $(BIN)
	$(GO) build -ldflags '$(LDFLAGS)' -o $(BIN)/headroom ./cmd/headroom

install: build ## Copy bin/headroom to PREFIX/bin.
	install -D -m 0755 $(BIN)/headroom $(DESTDIR)$(PREFIX)/bin/headroom

clean: rig-kube-down ## Remove what was built. The data of `make run` stay.
	rm -rf $(BIN)

##@ Verify

check: check-format check-vet check-lint check-arch check-generated check-modules check-vulnerabilities check-shell ## Everything that CI wants besides the tests. Each part is a target of its own:
	@echo 'check: all parts passed'

check-format: tools ## ... gofumpt has nothing to change.
	@out=$$($(TOOLS)/gofumpt -l $$(git ls-files -co --exclude-standard '*.go')); \
	if [ -n "$$out" ]; then printf 'not formatted (make fmt mends it):\n%s\n' "$$out"; exit 1; fi
	@echo 'check-format: ok'

check-vet: ## ... go vet.
	$(GO) vet ./...

check-lint: tools ## ... golangci-lint; .golangci.yml gives the reasons.
	$(TOOLS)/golangci-lint run ./...

check-arch: ## ... packages import only what lies below them.
	$(GO) test ./test/arch

check-generated: ## ... the reference pages agree with the code.
	$(GO) test ./docs

check-modules: ## ... go.mod and go.sum are tidy and what was downloaded is what they name.
	$(GO) mod tidy -diff
	$(GO) mod verify
	$(GO) -C tools mod tidy -diff
	$(GO) -C test/rigs/kube mod tidy -diff
	$(GO) -C test/rigs/kube mod verify

check-vulnerabilities: tools ## ... govulncheck, where its database can be reached; says so where not.
	@hack/vulnerabilities.sh $(TOOLS)/govulncheck

check-shell: ## ... shellcheck on our scripts, where it is installed.
	@if command -v shellcheck >/dev/null; then shellcheck .ci/run hack/*.sh test/rigs/*/*.sh && echo 'check-shell: ok'; \
	else echo 'check-shell: SKIPPED, shellcheck is not installed'; fi

race: ## Tests under the race detector, without the cloud SDKs and the end-to-end tests.
	$(GO) test -race $(SDK_FREE)

rig-kube: ## Start a Kubernetes API server with KubeVirt for the tests that need it; the first build takes some minutes.
	test/rigs/kube/up.sh

rig-kube-down: ## End it.
	@test/rigs/kube/down.sh

rig-kube-restart: ## Restart its API server in the middle of a machine's life; nothing else may use the rig meanwhile.
	HEADROOM_RIG_KUBE_RESTART=1 $(GO) test ./test/kuberig -run '^TestRestartOfTheAPIServer$$' -count=1 -v

sim: ## Simulate whole installations with crashes and faults on virtual time: SEEDS weeks of each.
	SEEDS=$(SEEDS) $(GO) test ./test/sim -count=1 -timeout 120m

mutants: ## Plant defects into the code, one after the other: the simulation must find each (an hour).
	$(GO) run ./test/sim/mutants

nodes: ## Three controllers on one PostgreSQL, killed, stopped and cut off in turn; prints how long work rested. Part of `make test`.
	$(GO) test ./test/e2e -run '^TestNodes' -count=1 -v

chaos: ## Disturb real controllers, databases and machines at random for DURATION, then compare cloud, database and sessions.
	HEADROOM_CHAOS=$(DURATION) $(GO) test ./test/e2e -run '^TestChaos$$' -count=1 -v -timeout 24h

bench: ## Measure what docs/benchmarks.md tells of (BENCH selects); figures also go to bin/bench.json. Needs an idle machine.
	@mkdir -p $(BIN)
	$(GO) test ./internal/store -run='^$$' -bench='$(BENCH)' -benchtime=20000x -benchmem | tee $(BIN)/bench-store.txt
	HEADROOM_BENCH_JSON=$(CURDIR)/$(BIN)/bench.json HEADROOM_BENCH_MORE=$(CURDIR)/$(BIN)/bench-store.txt \
	  $(GO) test ./test/bench -run='^$$' -bench='$(BENCH)' -benchtime=1x -timeout 60m

##@ Write

fmt: tools ## Format all Go files.
	$(TOOLS)/gofumpt -w $$(git ls-files -co --exclude-standard '*.go')

docs: ## Write the reference pages under docs/reference anew from the code.
	$(GO) test ./docs -count=1 -update

tools: $(TOOLS)/.built ## Build the pinned tools into bin/tools, once per change of tools/go.mod.

$(TOOLS)/.built: tools/go.mod tools/go.sum
	@mkdir -p $(TOOLS)
	$(GO) -C tools build -o ../$(TOOLS)/ tool
	@touch $@
