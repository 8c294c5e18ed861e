// SPDX-License-Identifier: GPL-2.0-only
/*
 * Huge folios that stay where they are, and those that lie where they cannot.
 *
 * KHO boots the next kernel from memory that is CMA in this one, so what lies in CMA has to move
 * before it can cross. Areas of hugetlb_cma= are no such memory: whole pages of theirs cross
 * in their place.
 */
#include <linux/hugetlb.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/preserve.h>
#include <linux/rcupdate.h>

#include "pool.h"

/* Size of a page that areas of hugetlb_cma= are made of, as an order; 0 without areas. */
static unsigned int cma_order __ro_after_init;

/**
 * preserve_huge_set_cma - Say of what size the pages are that areas of hugetlb_cma= are made of.
 * @order: The size.
 *
 * Context: Boot.
 */
void __init preserve_huge_set_cma(unsigned int order)
{
	cma_order = order;
}

/**
 * preserve_folio_in_cma - Is a folio a whole page of an area of hugetlb_cma=?
 * @folio: Any folio.
 *
 * Such an area is no memory that KHO boots the next kernel from, and the next kernel makes it
 * anew around what has come from it.
 *
 * Context: Any; lasting, as long as the folio is in use.
 * Return: True if so. Smaller ones, into which such a page was divided, are not.
 */
bool preserve_folio_in_cma(const struct folio *folio)
{
	return cma_order && folio_test_hugetlb(folio) && folio_order(folio) == cma_order &&
	       folio_test_hugetlb_cma((struct folio *)folio);
}

/**
 * preserve_folio_may_cross - Does a folio lie where it can cross in its place?
 * @folio: Any folio.
 *
 * Context: Any.
 * Return: False for memory that KHO boots the next kernel from, for CMA that is not
 *         preserve_folio_in_cma(), and for memory that is isolated for now.
 */
bool preserve_folio_may_cross(const struct folio *folio)
{
	const int type = get_pageblock_migratetype(&folio->page);

	/* What is isolated is CMA perhaps, or about to go offline. */
	return type != MIGRATE_ISOLATE && (!is_migrate_cma(type) || preserve_folio_in_cma(folio));
}

/*
 * Nothing holds the folio. RCU keeps the inode; and what was freed meanwhile is no huge page any
 * more before its frames are used for anything else.
 */
bool __preserve_folio_fixed(const struct folio *folio)
{
	const struct address_space *mapping;

	guard(rcu)();
	mapping = READ_ONCE(folio->mapping);
	if (!mapping || (unsigned long)mapping & FOLIO_MAPPING_FLAGS)
		return false;
	/* The mapping is read before the flag. */
	smp_rmb();
	return folio_test_hugetlb(folio) && preserve_mapping(mapping);
}

/**
 * preserve_folio_stays - Can a folio be pinned for long where it is, although that is CMA?
 * @folio: Any folio.
 *
 * It cannot move, and nothing but hugetlb waits for its place.
 *
 * Context: Any; may be over at any time, and does not matter then.
 * Return: True if so.
 */
bool preserve_folio_stays(const struct folio *folio)
{
	return __preserve_folio_fixed(folio) && preserve_folio_in_cma(folio);
}
