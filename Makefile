# Bellhop's front door. Each target installs what a Debian machine with a Swift toolchain lacks, and says what it does.
#
#   make build        release binaries in .build/release/
#   make run          a broker on PORT (4222) with monitoring on MONITOR_PORT (8222), and a demonstration
#   make test         the whole suite; its parts also run alone:
#   make unit interop protocol jetstream-api conformance crash simulate keyed-simulation keyed-pool fuzz sanitize soak onewrite
#   make bench lint format
SHELL := /bin/sh
PORT ?= 4222
MONITOR_PORT ?= 8222
PYTHON := .venv/bin/python
SWIFT_BUILD := swift build -c release --static-swift-stdlib

.PHONY: help build run test unit interop protocol jetstream-api conformance crash simulate keyed-simulation keyed-pool fuzz sanitize tsan asan \
	soak onewrite bench lint format packages test-packages

help:
	@sed -n '2,/^SHELL/{/^#/s/^# \{0,1\}//p}' Makefile

packages:
	@scripts/bootstrap.sh build

test-packages:
	@scripts/bootstrap.sh test

build: packages
	$(SWIFT_BUILD)

run: test-packages
	@scripts/run.sh "$(PORT)" "$(MONITOR_PORT)"

# The whole suite. A part that fails does not stop the others; the end names it.
test: test-packages
	@CI=1 scripts/test.sh

unit: packages
	CI=1 swift build --build-tests
	swift test --skip-build

# Our own tests with stock clients, against brokerd (or BROKER=nats-server). ONLY=text picks tests.
interop: test-packages build
	@$(PYTHON) Tests/Interop/run.py $(if $(ONLY),--only '$(ONLY)')

# Raw bytes to nats-server and to brokerd; the replies must be the same.
protocol: test-packages build
	@$(PYTHON) Tests/Interop/protocol.py $(if $(ONLY),--only '$(ONLY)')

# JetStream API requests to nats-server and to brokerd; the replies must be the same.
jetstream-api: test-packages build
	@$(PYTHON) Tests/Interop/jetstream_api.py $(if $(ONLY),--only '$(ONLY)')

# Other people's client test suites: SUITE=, TEST=, FRESH=1, UPDATE=1, BROKER=; see Tests/Conformance/conformance.py.
conformance: test-packages build
	@$(PYTHON) Tests/Conformance/conformance.py $(if $(SUITE),--suite '$(SUITE)') $(if $(TEST),--test '$(TEST)') \
		$(if $(FRESH),--fresh) $(if $(UPDATE),--update)

# SIGKILL at random moments, CYCLES times on one store, and POINTS power failures (100,000) on a disk that forgets: nothing
# acked lost, doubled, reordered or back from the dead. Without its syncs the store must fail.
crash: test-packages build
	@scripts/crash.sh $(or $(POINTS),100000); power=$$?; \
	$(PYTHON) Tests/Crash/crash.py $(if $(CYCLES),--cycles $(CYCLES)) $(if $(SEED),--seed $(SEED)) && exit $$power

# Keyed consumers with clients and brokers that crash, simulated; DELIVERIES=100000000 is the full length, and goes on where it
# stopped; `rm .build/simulate/keyed-progress` begins anew.
keyed-simulation: packages
	@scripts/keyed_simulation.sh --deliveries $(if $(DELIVERIES),$(DELIVERIES) --progress .build/simulate/keyed-progress,1000000)

# Four processes of stock clients over BOOKINGS bookings with 20 events each, killed at random as the broker is.
keyed-pool: test-packages build
	@KEYED_BOOKINGS=$(or $(BOOKINGS),10000) INTEROP_SLOW=12 $(PYTHON) Tests/Interop/run.py --label keyed-pool --only test_a_pool

# Streams and consumers for a simulated day a seed, beside a model: SEEDS=1..10000, or one with SEED=. It goes on where it
# stopped; another range, or `rm .build/simulate/progress`, begins anew.
simulate: packages
	@scripts/simulate.sh $(if $(SEED),--seed $(SEED) --trace,--seeds $(or $(SEEDS),1..10000) \
		--progress .build/simulate/progress)

fuzz: packages
	@scripts/fuzz.sh

# The thread sanitizer and the address sanitizer, over the unit tests and the interoperation tests.
sanitize: tsan asan

tsan: test-packages
	@scripts/sanitize.sh thread

asan: test-packages
	@scripts/sanitize.sh address

# Clients that connect, publish, stall, vanish and send rubbish; DURATION_S=480 is the full length.
soak: test-packages build
	@$(PYTHON) Tests/Soak/soak.py $(if $(DURATION_S),--seconds $(DURATION_S))

# SUB inbox and PUB in one write, ROUNDS times: no reply lost.
onewrite: test-packages build
	@Tests/Soak/onewrite.sh $(if $(ROUNDS),$(ROUNDS))

bench: build
	@.build/release/bench $(ARGS)

lint: packages
	@scripts/format.sh lint

format: packages
	@scripts/format.sh format
