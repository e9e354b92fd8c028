# Front door: meson does the work. `make` builds build/ringwall; `make demo` and `make check` also install what is missing.
BUILD ?= build

.PHONY: all
all: $(BUILD)/build.ninja
	ninja -C $(BUILD)

$(BUILD)/build.ninja:
	meson setup $(BUILD)
