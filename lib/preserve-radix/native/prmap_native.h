/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel functions that the preserve map uses, for native builds.
 *
 * Exact stand-ins: integer types, static_assert, bit operations, xxh64().
 * Different on purpose: physical addresses are virtual ones plus a bias that
 * leaves the canonical range, so that a forgotten conversion crashes; the page
 * size is PRMAP_SHIFT, so that tiny pages give small tests a deep tree;
 * WARN_ON_ONCE() ends the program.
 */
#ifndef _PRMAP_NATIVE_H
#define _PRMAP_NATIVE_H

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

typedef int8_t s8;
typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef unsigned long long u64;
typedef u64 phys_addr_t;

#ifndef PRMAP_SHIFT
#define PRMAP_SHIFT		12
#endif

#undef static_assert
#define static_assert(expr)	_Static_assert(expr, #expr)

#define U32_MAX			((u32)~0U)
#define U64_MAX			((u64)~0ULL)

#define likely(x)		__builtin_expect(!!(x), 1)
#define unlikely(x)		__builtin_expect(!!(x), 0)
#undef __always_inline
#define __always_inline		inline __attribute__((__always_inline__))
#define noinline		__attribute__((__noinline__))
#define min(a, b)		((a) < (b) ? (a) : (b))
#define max(a, b)		((a) > (b) ? (a) : (b))
#define min_t(t, a, b)		min((t)(a), (t)(b))
#define ARRAY_SIZE(a)		(sizeof(a) / sizeof((a)[0]))

#define WARN_ON_ONCE(cond)						\
({									\
	bool __warn = (cond);						\
									\
	if (__warn) {							\
		fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
		abort();						\
	}								\
	__warn;								\
})

#define PRMAP_NATIVE_BIAS	0x4000000000000000ULL

static inline u64 virt_to_phys(void *virt)
{
	return (u64)(uintptr_t)virt + PRMAP_NATIVE_BIAS;
}

static inline void *phys_to_virt(u64 phys)
{
	return (void *)(uintptr_t)(phys - PRMAP_NATIVE_BIAS);
}

static inline u32 __ffs64(u64 word)
{
	return __builtin_ctzll(word);
}

static inline int fls64(u64 word)
{
	return word ? 64 - __builtin_clzll(word) : 0;
}

static inline u32 hweight64(u64 word)
{
	return __builtin_popcountll(word);
}

static inline u64 xxh64(const void *input, size_t len, u64 seed)
{
	return XXH64(input, len, seed);
}

#endif /* _PRMAP_NATIVE_H */
