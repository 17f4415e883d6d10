# A thin front for Meson, which does the work: `make`, `make test`, `make test-asan`, ...
BUILD ?= build

all: $(BUILD)/build.ninja
	ninja -C $(BUILD)

$(BUILD)/build.ninja:
	meson setup $(BUILD)

test: all
	meson test -C $(BUILD) --print-errorlogs

.PHONY: all test
