# SPDX-License-Identifier: GPL-2.0-only
#
# Every target does its own set-up: packages, kernel source, tree, kernels.
# Variables: LINUX_SRC=DIR builds from a Linux 7.3 tree of your own. ARCH=arm64 makes kernels
# and runs tests for that architecture. KCONFIG=FILE is the configuration for make deb.

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
S := scripts
export BUILD ?= $(CURDIR)/build
export LINUX_SRC KERNEL TEST PATCHES KCONFIG
unexport DIR

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | \
		while IFS='	' read -r t d; do printf '  make %-14s %s\n' "$$t" "$$d"; done

demo: kernel ## SQLite, memcached and an operator's commands survive a real kexec
	@$S/demo

check: deps ## all tests; KERNEL=normal|stock|debug|... or TEST=NAME for a part
	@$S/check

check-long: deps ## the long forms of the tests, before a larger change lands: hours
	@$S/check long

check-native: deps ## the map's tests and the scripts' own, without a VM: seconds
	@$S/check native

check-configs: ## our files and the hooked ones under many configurations, gcc and clang
	@$S/deps clang
	@$S/check-configs

check-series: deps ## each patch of the series builds
	@$S/check-series

check-arm64: ## thirteen VM tests on an emulated arm64 machine; TEST=NAME for another
	@$S/deps arm64
	@ARCH=arm64 $S/check $(if $(TEST),vm,arm64)

check-system: ## Debian 12 and sid with systemd keep their memory over two kexecs; as root
	@$S/deps system deb
	@$S/check-system

check-style: deps ## checkpatch --strict, sparse, layers, kernel-doc, codespell
	@$S/check style

kernel: deps ## our kernel: build/bzImage
	@$S/build-kernel normal

kernel-debug: deps ## with KASAN, lockdep, fault injection: build/debug/bzImage
	@$S/build-kernel debug

stock: deps ## the same source and configuration without our code: build/stock/bzImage
	@$S/build-kernel stock

older: deps ## Linux 7.2 without our code, to update from and go back to: build/older/bzImage
	@$S/build-kernel older

deb: deps ## Debian packages of kernel, library and command: build/deb; KCONFIG=/boot/config-...
	@$S/deps deb
	@$S/deb

tree: deps ## the kernel tree with our files and hooks: build/linux
	@$S/tree

bench: kernel stock ## the figures: the map, memfds, the pool, trees, a server, beside stock and peers
	@bench/report

bench-compare: ## OLD=... [NEW=...] two runs of bench side by side, fails if one is worse
	@bench/compare "$(or $(OLD),$(error say what: make bench-compare OLD=FILE))" \
		"$(or $(NEW),$(BUILD)/results/bench)"

series: deps ## DIR=... exports hooks and files as patches for git am
	@$S/series "$(or $(DIR),$(error say where to: make series DIR=...))"

docs: deps ## kernel-doc and pages to build/docs, a warning is an error
	@$S/docs

clean: ## removes what was built; the kernel source and the compiler cache stay
	rm -rf "$(BUILD)"

distclean: clean ## removes the cache of this user too: source, downloads, objects
	rm -rf "$${PRESERVE_CACHE:-$${XDG_CACHE_HOME:-$$HOME/.cache}/preserve}"

deps:
	@$S/deps

.PHONY: help demo check check-long check-native check-configs check-series check-arm64 \
	check-system check-style kernel kernel-debug stock older \
	deb tree bench bench-compare series docs clean distclean deps
