# Front door: meson does the work. `make` builds build/ringwall. The targets that need more than the compiler install what
# is missing from Debian first (tools/setup says what it does); ringwall itself never installs anything.
BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
JOBS ?= $(shell nproc)
NINJA = ninja -j$(JOBS)
# Optional libraries may have come with the last package that was installed: look again then.
PACKAGES = $(wildcard /var/lib/dpkg/status)

.PHONY: all demo check check-long unit asan cov fuzz bench install clean setup-build setup-test setup-bench

all: $(BUILD)/build.ninja
	@$(NINJA) -C $(BUILD)

$(BUILD)/build.ninja: $(PACKAGES)
	@command -v meson >/dev/null || tools/setup build
	@if [ -e $@ ]; then meson setup --reconfigure $(BUILD) >/dev/null; \
	else meson setup --prefix=$(PREFIX) $(BUILD) >/dev/null; fi || { tail -5 $(BUILD)/meson-logs/meson-log.txt; \
	echo "the build cannot be set up; 'tools/setup build' installs what it needs from Debian" >&2; exit 1; }
	@touch $@

setup-build:
	@tools/setup build
setup-test:
	@tools/setup build test
setup-bench:
	@tools/setup build bench

# The same program behind every wall that works on this host, in one table.
demo: setup-build
	@$(MAKE) --no-print-directory all
	@tools/demo

# Everything that keeps the promises, the second host included; ends with the count of tests.
check: setup-test
	@$(MAKE) --no-print-directory all
	@tests/check

# As check, plus: all system calls failed one after the other, sanitizers, fuzzing, validation programs, a bare root.
check-long: setup-test setup-bench
	@$(MAKE) --no-print-directory all
	@tests/check --long

unit: all
	@meson test -C $(BUILD) --no-rebuild --suite unit --suite lint --print-errorlogs

asan: setup-test
	@tests/sanitize build-asan

cov: setup-test
	@tests/coverage build-cov

# FUZZ_SECONDS for each target, new inputs are kept in build-fuzz/corpus.
fuzz: setup-test
	@tests/fuzz/run build-fuzz

bench: setup-bench
	@$(MAKE) --no-print-directory all
	@bench/container

install: all
	@DESTDIR=$(DESTDIR) meson install -C $(BUILD) --no-rebuild

clean:
	rm -rf build build-asan build-cov build-fuzz
