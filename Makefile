# Everything here runs with Go and a C compiler; what else a target needs it installs where it may, or names.
GO      ?= go
BIN     := bin/ihyid
SOURCES := $(shell find . -name '*.go' -not -path './node_modules/*') go.mod go.sum

.PHONY: build demo test test-tools bench quality lint fuzz clean

build: $(BIN)

$(BIN): $(SOURCES)
	$(GO) build -trimpath -o $(BIN) ./cmd/ihyid

demo: build
	$(BIN) demo

# The tests, with the race detector, after the programs they need have been put there.
test: test-tools
	$(GO) vet ./...
	$(GO) test -race ./...

test-tools:
	@sh test/tools.sh

lint: test-tools
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$unformatted" ] || { echo "gofmt would change: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

# The benchmarks that docs/performance.md quotes.
bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...

# How well contacts are matched: the table and the plots of docs/matching.md.
quality:
	$(GO) run ./test/quality/cmd/measure -plots docs

# A minute for each fuzz target.
fuzz:
	@sh test/fuzz.sh

clean:
	rm -rf bin
	$(GO) clean -testcache
