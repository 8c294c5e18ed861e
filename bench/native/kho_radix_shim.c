// SPDX-License-Identifier: GPL-2.0-only
/*
 * The KHO radix tree of the unpacked kernel, natively, for comparison.
 *
 * What lives here: what its functions need around them, and two uses of it:
 * "gib" adds the 262,144 pages of one contiguous GiB, "empty" none, for counting
 * instructions; "lone" prints the bytes of the tree of 1,000 lone pages over
 * 1 TiB. The lock is a no-op here, so the count flatters the peer.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long long u64;
typedef u64 phys_addr_t;

#define PAGE_SHIFT		12
#define PAGE_SIZE		4096UL
#define BITS_PER_BYTE		8
#define DIV_ROUND_UP(n, d)	(1 + ((n) - 1) / (d))
#define const_ilog2(n)		(63 - __builtin_clzll(n))
#define DECLARE_BITMAP(n, bits)	unsigned long n[(bits) / 64]
#define WARN_ON_ONCE(x)		(x)
#define unlikely(x)		__builtin_expect(!!(x), 0)
#define might_sleep()		do { } while (0)
#define guard(type)		(void)
#define fls64(x)		((x) ? 64 - __builtin_clzll(x) : 0)
#define virt_to_phys(p)		((u64)(uintptr_t)(p))
#define phys_to_virt(a)		((void *)(uintptr_t)(a))
#define EXPORT_SYMBOL_GPL(x)	extern int exported_##x

static inline void __set_bit(unsigned long bit, unsigned long *addr)
{
	addr[bit / 64] |= 1UL << (bit % 64);
}

struct kho_radix_node;

struct kho_radix_tree {
	struct kho_radix_node *root;
	int lock;
};

static u64 nr_nodes;

static struct kho_radix_node *kho_radix_alloc_node(void)
{
	void *page = NULL;

	if (posix_memalign(&page, PAGE_SIZE, PAGE_SIZE))
		abort();
	nr_nodes++;
	return memset(page, 0, PAGE_SIZE);
}

static void kho_radix_free_node(struct kho_radix_node *node)
{
	free(node);
}

#include "kho_radix.inc"

int main(int argc, char **argv)
{
	struct kho_radix_tree tree = { .root = kho_radix_alloc_node() };
	u64 nr = 1 << 18, stride = 1, i;

	if (argc < 2)
		return 1;
	if (!strcmp(argv[1], "empty"))
		nr = 0;
	if (!strcmp(argv[1], "lone")) {
		nr = 1000;
		stride = (1ULL << 28) / nr;
	}
	for (i = 0; i < nr; i++) {
		u64 phys = ((1 << 18) + i * stride) * PAGE_SIZE;

		if (kho_radix_add_key(&tree, kho_encode_radix_key(phys, 0)))
			return 1;
	}
	if (!strcmp(argv[1], "lone"))
		printf("%llu\n", nr_nodes * PAGE_SIZE);
	return 0;
}
