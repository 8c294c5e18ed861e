# SPDX-License-Identifier: GPL-2.0-only
# The preserve map outside of the kernel: tests, fuzzing, benchmarks.
#
#   make -f lib/preserve-radix/native.mk check-map   all tests, a minute at most
#   make -f lib/preserve-radix/native.mk fuzz-map    FUZZ_SECONDS=30
#   make -f lib/preserve-radix/native.mk bench-map   tables: bench/report map
#
# MODEL_OPS and MODEL_SEED set the model test; a seed is printed when not given.

MAP := $(dir $(lastword $(MAKEFILE_LIST)))
TOP := $(MAP)../..
BUILD ?= $(TOP)/build
OUT := $(BUILD)/native
LINUX_SRC ?= $(HOME)/.cache/preserve/current
KHO := $(LINUX_SRC)/kernel/liveupdate/kexec_handover.c

FUZZ_SECONDS ?= 30
MODEL_OPS ?= 10000000
MODEL_SEED ?=
CLANG ?= clang

SRC := $(addprefix $(MAP),map.c read.c commit.c check.c settle.c convert.c tree.c \
	 leaf.c bitmap.c page.c)
DEP := $(SRC) $(wildcard $(MAP)*.h $(MAP)native/*.h $(MAP)native/*/*.h) \
       $(MAP)tests/pool.h $(TOP)/include/linux/preserve_radix.h
FLAGS := -std=gnu11 -g -O2 -Wall -Wextra -Wno-unused-parameter \
	 -Wno-sign-compare -I$(MAP)native -I$(MAP) -I$(TOP)/include
SAN := -fsanitize=address,undefined -fno-sanitize-recover=all
TINY := -DPRMAP_SHIFT=8

TESTS := kunit kunit-tiny kunit-asan kunit-tiny-asan model model-tiny \
	 model-asan model-tiny-asan

check-map: $(TESTS:%=$(OUT)/%)
	@MODEL_OPS=$(MODEL_OPS) MODEL_SEED=$(MODEL_SEED) $(MAP)tests/run $(OUT)

fuzz-map: $(OUT)/fuzz
	@mkdir -p $(OUT)/corpus
	@cd $(OUT) && if ./fuzz -max_total_time=$(FUZZ_SECONDS) -max_len=512 \
		-verbosity=0 -print_final_stats=1 corpus >fuzz.log 2>&1; then \
		sed -n 's/^stat::number_of_executed_units: */# inputs: /p' fuzz.log; \
		echo "1 passed, 0 failed"; \
	else tail -40 fuzz.log; echo "not ok fuzz: see $(OUT)/fuzz.log"; \
		echo "0 passed, 1 failed"; exit 1; fi

bench-programs: $(OUT)/map_bench $(OUT)/kho_bench

bench-map: bench-programs
	@BUILD=$(abspath $(BUILD)) $(TOP)/bench/report map

clean-map:
	rm -rf $(OUT)


$(TESTS:%=$(OUT)/%): $(DEP) $(wildcard $(MAP)tests/*.[ch])
	@mkdir -p $(OUT)
	$(CC) $(FLAGS) $(if $(findstring tiny,$@),$(TINY)) \
		$(if $(findstring asan,$@),$(SAN)) $(SRC) \
		$(MAP)tests/$(if $(findstring kunit,$@),prmap_kunit,model).c \
		$(if $(findstring kunit,$@),$(MAP)tests/prmap_hostile.c) \
		-lxxhash -o $@

$(OUT)/fuzz: $(DEP) $(MAP)tests/fuzz_open.c
	@mkdir -p $(OUT)
	$(CLANG) $(FLAGS) $(TINY) -D__SANITIZE_ADDRESS__ \
		-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
		$(SRC) $(MAP)tests/fuzz_open.c -lxxhash -o $@

$(OUT)/map_bench: $(DEP) $(TOP)/bench/native/map_bench.c
	@mkdir -p $(OUT)
	$(CC) $(FLAGS) $(SRC) $(TOP)/bench/native/map_bench.c -lxxhash -lroaring -lm -o $@

$(OUT)/kho_bench: $(KHO) $(TOP)/bench/native/kho_radix_shim.c \
		  $(TOP)/bench/native/kho_radix_extract
	@mkdir -p $(OUT)
	$(TOP)/bench/native/kho_radix_extract $(LINUX_SRC) $(OUT)/kho_radix.inc
	$(CC) -std=gnu11 -g -O2 -I$(OUT) $(TOP)/bench/native/kho_radix_shim.c -o $@

.PHONY: check-map fuzz-map bench-map bench-programs clean-map
