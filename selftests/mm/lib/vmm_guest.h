/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest for vmm.h, in 64-bit mode. It needs nothing but memory, a local APIC and three ports.
 *
 * It is started at the first byte of its image, in 32-bit mode without paging, esi being where
 * that is: the image copies itself to address 0, so what it runs from afterwards, page tables
 * included, is the guest's own memory, also where the VMM cannot write to that.
 *
 * It then walks its pages from VMM_GUEST_FIRST to its memory's end, round after round. The first
 * word of a page is made of the page's index and of the round that comes next; the other words
 * are made of the index when the page is first met. In each page it looks at the first word and
 * writes the next round's; of one page in so many it looks at all words. At the end of a round it
 * looks at what it has put into registers in the round before: a vector register, MXCSR, DR0, two
 * MSRs; the time stamp counter may not have gone back. A timer of the local APIC interrupts it
 * all the while, and is counted.
 *
 * While it runs, r15 is the round, r14 its complement, and r13 the page that it is at.
 */

#ifndef VMM_GUEST_H
#define VMM_GUEST_H

/* What is copied, and what is not walked: code, data, page tables and the stack. */
#define VMM_GUEST_IMAGE		0x8000
#define VMM_GUEST_FIRST		0x10000

/* Where the struct vmm_guest_config is in the image. */
#define VMM_GUEST_CONFIG	0x10

/*
 * What it says, 32 bits each: how many pages it has passed, in units of beat_pages; the number of
 * a round that has ended, rbx being the timer's interrupts; what is wrong, after which it stands
 * still: rbx is where, rsi what should be there, rdi what is.
 */
#define VMM_PORT_BEAT		0x500
#define VMM_PORT_ROUND		0x504
#define VMM_PORT_WRONG		0x508

/* What can be wrong. */
#define VMM_WRONG_PAGE		1	/* a page's first word, at address rbx */
#define VMM_WRONG_BODY		2	/* another word */
#define VMM_WRONG_ROUND		3	/* the round's number and its complement */
#define VMM_WRONG_VECTOR	4	/* word rbx of the vector register */
#define VMM_WRONG_DEBUG		5	/* DR0 */
#define VMM_WRONG_MSR		6	/* MSR rbx */
#define VMM_WRONG_MXCSR		7
#define VMM_WRONG_TSC		8	/* it is less than it was */
#define VMM_WRONG_EXCEPTION	9	/* number rbx; rsi is CR2, rdi what the stack has on top */

/*
 * vmm_guest_config.flags: it has AVX, which XCR0 allows; at the end of each round it is halted
 * until an interrupt comes.
 */
#define VMM_GUEST_AVX		1
#define VMM_GUEST_HALTS		2

/* The vector register's words, and others that are made in the same way: indices for no page. */
#define VMM_GUEST_VALUES	0x10000000

/* word = (index * A + round * B); word ^= word >> 32; word *= A */
#define VMM_GUEST_A		0x9e3779b97f4a7c15
#define VMM_GUEST_B		0xbf58476d1ce4e5b9

#ifndef __ASSEMBLER__

#include <linux/types.h>

extern const unsigned char vmm_guest[VMM_GUEST_IMAGE];

/**
 * struct vmm_guest_config - what the guest is told
 * @end:        the end of its memory, below 3 GiB
 * @beat_pages: pages from one heartbeat to the next
 * @full_mask:  it looks at all of a page when (index + round) & full_mask is 0
 * @flags:      VMM_GUEST_*
 * @timer:      the timer's period in ns; 0: none
 */
struct vmm_guest_config {
	__u64 end;
	__u32 beat_pages;
	__u32 full_mask;
	__u32 flags;
	__u32 timer;
};

#endif

#endif /* VMM_GUEST_H */
