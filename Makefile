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

# Kernels, arithmetic, weights and golden traces of AArch64, under qemu-user where this machine is of
# another kind: the tests that take an emulated processor less than a minute and a half.
NEON_TESTS = kernels-cpu kernels-neon base-json base-nearest quant-half quant-dequantize quant-quantize \
    compute-arena compute-narrow compute-ops compute-pool compute-rng compute-time_conv compute-lstm weights-blocks \
    weights-detect weights-dtype weights-gguf weights-gguf_values weights-onnx weights-onnx_tensor \
    weights-protobuf weights-pickle weights-safetensors weights-table weights-torch \
    weights-torch_tensor weights-zip models-trace piper-decoder piper-session kokoro-layout kokoro-text_side
test-neon: SETUP = --cross-file cross/aarch64.txt -Dtests=enabled -Despeak=disabled -Dicu=disabled \
    -Dsndfile=disabled -Dsoxr=disabled -Dportaudio=disabled -Dcli=false
test-neon: build-neon/build.ninja
	meson test -C build-neon --print-errorlogs --timeout-multiplier 4 $(NEON_TESTS)

# Uninitialised memory, in what needs no library that clang has not built. Without _FILE_OFFSET_BITS, which
# gives functions other names than the sanitizer knows (clang 14: fstat64).
test-msan: export CC = clang
test-msan: SETUP = -Db_sanitize=memory -Db_lundef=false -Dc_args='-fno-sanitize-recover=all -U_FILE_OFFSET_BITS' \
	-Dcli=false -Despeak=disabled -Dicu=disabled -Dsndfile=disabled -Dsoxr=disabled -Dportaudio=disabled -Dtests=enabled
test-msan: build-msan/build.ninja
	meson test -C build-msan --print-errorlogs --timeout-multiplier 5 --no-suite lint

# The program with the tiny models under memcheck.
test-valgrind: all
	scripts/memcheck.sh $(BUILD)

# What was attacked, how often, and what broke: docs/reliability.md. PIECES="fuzz asan", OPTIONS="--full --write"
scoreboard: all
	scripts/scoreboard.py --build $(BUILD) $(OPTIONS) $(PIECES)

lint: $(BUILD)/build.ninja
	meson test -C $(BUILD) --print-errorlogs --suite lint

bench: all
	$(BUILD)/tests/kernels/checkkernels --bench

# Every fuzz target for SECONDS, from its corpus in fuzz/corpus.
fuzz-programs: export CC = clang
fuzz-programs: SETUP = -Dfuzz=true -Db_sanitize=address,undefined $(SANITIZE)
fuzz-programs: build-fuzz/build.ninja
	ninja -C build-fuzz fuzzers

fuzz: fuzz-programs
	scripts/fuzz.sh build-fuzz $(SECONDS)

install: all
	meson install -C $(BUILD)

clean:
	rm -rf $(BUILD) build-asan build-coverage build-fuzz build-msan build-tsan build-neon

.PHONY: all test test-asan test-tsan test-neon test-msan test-valgrind scoreboard lint bench fuzz fuzz-programs install clean
.PRECIOUS: %/build.ninja
