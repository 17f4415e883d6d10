# A thin front for Meson, which does the work. Nothing here installs but `make install`.
BUILD ?= build
SECONDS ?= 60
SANITIZE = -Db_lundef=false -Dc_args=-fno-sanitize-recover=all

all: $(BUILD)/build.ninja
	ninja -C $(BUILD)

%/build.ninja:
	@command -v meson >/dev/null || { echo "meson is missing: run ./bootstrap build"; exit 1; }
	meson setup $* $(SETUP)

test: all
	meson configure $(BUILD) -Dtests=enabled
	meson test -C $(BUILD) --print-errorlogs

# Every test under AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer.
test-asan: SETUP = -Db_sanitize=address,undefined $(SANITIZE) -Dtests=enabled
test-asan: build-asan/build.ninja
	meson test -C build-asan --print-errorlogs --timeout-multiplier 5

# The tests that use several threads, under ThreadSanitizer.
test-tsan: SETUP = -Db_sanitize=thread $(SANITIZE) -Dtests=enabled
test-tsan: build-tsan/build.ninja
	meson test -C build-tsan --print-errorlogs --timeout-multiplier 10 --suite threads

lint: $(BUILD)/build.ninja
	meson test -C $(BUILD) --print-errorlogs --suite lint

bench: all
	$(BUILD)/tests/kernels/checkkernels --bench

# Every fuzz target for SECONDS, from its corpus in fuzz/corpus.
fuzz: export CC = clang
fuzz: SETUP = -Dfuzz=true -Db_sanitize=address,undefined $(SANITIZE)
fuzz: build-fuzz/build.ninja
	ninja -C build-fuzz
	scripts/fuzz.sh build-fuzz $(SECONDS)

install: all
	meson install -C $(BUILD)

clean:
	rm -rf $(BUILD) build-asan build-tsan build-fuzz

.PHONY: all test test-asan test-tsan lint bench fuzz install clean
.PRECIOUS: %/build.ninja
