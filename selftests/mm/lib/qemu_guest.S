/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * See qemu_guest.h. The BIOS puts it at BASE and starts it in real mode; AT() is where a label is
 * then. Registers: ebp the round, edi the page, esi what is printed.
 */

#include "qemu_guest.h"

#define BASE	0x7c00
#define FIRST	0x100000
#define END	0x3000000
#define STEP	4096
#define SERIAL	0x3f8
#define AT(x)	((x) - qemu_guest + BASE)

	.section .rodata
	.globl qemu_guest
qemu_guest:
#ifdef __x86_64__
	/* What a round leaves in the page at edi. */
	.macro WORD round, to
	movl	%edi, \to
	shrl	$12, \to
	addl	\round, \to
	imull	$2654435761, \to, \to
	.endm

	.code16
	cli
	xorw	%bx, %bx
	movw	%bx, %ds
	movw	$0x2401, %ax		/* address line 20 */
	int	$0x15
	lgdtl	AT(gdt_at)
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	ljmpl	$8, $AT(flat)
	.code32
flat:
	movl	$16, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	$0x7000, %esp
	xorl	%ebp, %ebp
next_round:
	movl	$FIRST, %edi
next_page:
	testl	%ebp, %ebp		/* nothing has been written yet */
	jz	fill
	WORD	%ebp, %eax
	cmpl	(%edi), %eax
	je	fill
	movb	$'W', %al
	movl	%edi, %esi
	call	print
fill:
	leal	1(%ebp), %ecx
	WORD	%ecx, %eax
	movl	%eax, (%edi)
	addl	$STEP, %edi
	cmpl	$END, %edi
	jb	next_page
	incl	%ebp
	movb	$'R', %al
	movl	%ebp, %esi
	call	print
	jmp	next_round

print:					/* al, then esi */
	movl	$SERIAL, %edx
	outb	%al, %dx
	movl	$8, %ecx
digit:
	roll	$4, %esi
	movl	%esi, %ebx
	andl	$15, %ebx
	movb	AT(digits)(%ebx), %al
	outb	%al, %dx
	loop	digit
	movb	$10, %al
	outb	%al, %dx
	ret

digits:
	.ascii	"0123456789abcdef"
	.balign	8
gdt:					/* nothing, code and data of 4 GiB each */
	.quad	0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdt_at:
	.word	gdt_at - gdt - 1
	.long	AT(gdt)
	.fill	QEMU_GUEST_SIZE - 2 - (. - qemu_guest), 1, 0
	.word	0xaa55
#else
	.fill	QEMU_GUEST_SIZE, 1, 0
#endif
	.section .note.GNU-stack, "", %progbits
