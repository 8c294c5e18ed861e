# SPDX-License-Identifier: GPL-2.0-only
#
# objects.mk: which objects of a directory a configured kernel has: a program for
# check-configs to ask kbuild's own Makefiles with.
#
# usage: make -s -f objects.mk srctree=DIR objtree=DIR DIR=mm

include $(objtree)/include/config/auto.conf
obj := $(DIR)
src := $(srctree)/$(DIR)
include $(firstword $(wildcard $(addprefix $(srctree)/$(DIR)/,Kbuild Makefile)))

parts = $($(1:.o=-y)) $($(1:.o=-objs))

.PHONY: list
list:
	@printf '%s\n' $(sort $(foreach o,$(obj-y) $(obj-m),\
		$(or $(strip $(call parts,$o)),$o)))
.DEFAULT_GOAL := list
