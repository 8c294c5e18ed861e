/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * See vmm_guest.h. AT() is the address of a label once the image is at 0.
 *
 * Registers of the 64-bit part: r8 and r9 the two factors, r10 pages up to the next heartbeat,
 * r11 heartbeats, r12 the end of memory, r13 the page, r14 the round's complement, r15 the round.
 * The others are for what is at hand.
 */

#include "vmm_guest.h"

#define AT(x)		((x) - vmm_guest)
#define STACK		(VMM_GUEST_FIRST - 16)
#define TABLES		0x2000
#define PAGE		4096
#define VECTOR_TIMER	32
#define VECTORS		33

#define CODE32		8
#define DATA		16
#define CODE64		24
#define GATE		0x8e00		/* of an interrupt */

#define CR0_PE		0x1
#define CR0_MP		0x2
#define CR0_NE		0x20
#define CR0_PG		0x80000000
#define CR4_PAE		0x20
#define CR4_OSFXSR	0x200
#define CR4_OSXMMEXCPT	0x400
#define CR4_OSXSAVE	0x40000
#define EFER		0xc0000080
#define EFER_LME	0x100
#define LSTAR		0xc0000082
#define KERNEL_GS_BASE	0xc0000102
#define APIC_BASE	0x1b
#define APIC_ENABLE	0xc00		/* and its registers are MSRs */
#define X2APIC_EOI	0x80b
#define X2APIC_SPURIOUS	0x80f
#define X2APIC_TIMER	0x832
#define X2APIC_INITIAL	0x838
#define X2APIC_DIVIDE	0x83e
#define TIMER_PERIODIC	0x20000
#define MXCSR		0x9fc0		/* all masked, denormals and underflow are zero */

	.section .rodata
	.balign	64
	.globl vmm_guest
vmm_guest:
#ifdef __x86_64__

	.code32
	jmp	boot
	.fill	VMM_GUEST_CONFIG - AT(.), 1, 0
end:
	.quad	0
beat_pages:
	.long	0
full_mask:
	.long	0
flags:
	.long	0
timer:
	.long	0

boot:
	cld
	xorl	%edi, %edi
	movl	$VMM_GUEST_IMAGE / 4, %ecx
	rep	movsl
	movl	$AT(home), %eax
	jmp	*%eax
home:
	lgdtl	AT(gdt_at)
	movl	$CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT, %eax
	testl	$VMM_GUEST_AVX, AT(flags)
	jz	1f
	orl	$CR4_OSXSAVE, %eax
1:	movl	%eax, %cr4
	movl	$TABLES, %eax
	movl	%eax, %cr3
	movl	$EFER, %ecx
	rdmsr
	orl	$EFER_LME, %eax
	wrmsr
	movl	$CR0_PE | CR0_MP | CR0_NE | CR0_PG, %eax
	movl	%eax, %cr0
	ljmpl	$CODE64, $AT(long)

	.code64
long:
	movl	$DATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	$STACK, %esp
	lidt	AT(idt_at)
	ldmxcsr	AT(mxcsr)
	call	timer_start
	movabsq	$VMM_GUEST_A, %r8
	movabsq	$VMM_GUEST_B, %r9
	movl	AT(beat_pages), %r10d
	xorl	%r11d, %r11d
	movq	AT(end), %r12
	xorl	%r15d, %r15d
	movq	$-1, %r14
	call	values_set
	sti

next_round:
	movl	$VMM_GUEST_FIRST, %r13d
next_page:
	movq	%r13, %rdx
	shrq	$12, %rdx
	testq	%r15, %r15
	jz	first_round
	movq	%r15, %rcx
	call	word
	movq	(%r13), %rdi
	cmpq	%rax, %rdi
	jne	wrong_page
	leaq	(%rdx, %r15), %rcx
	testl	AT(full_mask), %ecx
	jnz	write
	call	body_check
	jmp	write
first_round:
	call	body_fill
write:
	leaq	1(%r15), %rcx
	call	word
	movq	%rax, (%r13)
	decl	%r10d
	jnz	1f
	movl	AT(beat_pages), %r10d
	incq	%r11
	movl	%r11d, %eax
	movl	$VMM_PORT_BEAT, %edx
	outl	%eax, %dx
1:	addq	$PAGE, %r13
	cmpq	%r12, %r13
	jb	next_page

	call	values_check
	incq	%r15
	decq	%r14
	call	values_set
	movl	%r15d, %eax
	movq	AT(ticks), %rbx
	movl	$VMM_PORT_ROUND, %edx
	outl	%eax, %dx
	testl	$VMM_GUEST_HALTS, AT(flags)
	jz	next_round
	movq	AT(ticks), %rax
1:	hlt
	cmpq	%rax, AT(ticks)
	je	1b
	jmp	next_round

wrong_page:
	movl	$VMM_WRONG_PAGE, %edx
	movq	%r13, %rbx
/* edx: what, rbx: where, rax: what should be there, rdi: what is */
wrong:
	movq	%rax, %rsi
	movl	%edx, %eax
	movl	$VMM_PORT_WRONG, %edx
	outl	%eax, %dx
	cli
1:	hlt
	jmp	1b

/* rax: the word of index rdx in round rcx; rcx is lost */
word:
	movq	%rdx, %rax
	imulq	%r8, %rax
	imulq	%r9, %rcx
	addq	%rcx, %rax
	movq	%rax, %rcx
	shrq	$32, %rcx
	xorq	%rcx, %rax
	imulq	%r8, %rax
	ret

/* The other words of the page with index rdx; rdx stays. */
body_fill:
	movq	$-1, %rcx
	call	word
	movl	$8, %ecx
1:	addq	%r9, %rax
	movq	%rax, (%r13, %rcx)
	addl	$8, %ecx
	cmpl	$PAGE, %ecx
	jb	1b
	ret

body_check:
	movq	$-1, %rcx
	call	word
	movl	$8, %ecx
1:	addq	%r9, %rax
	cmpq	%rax, (%r13, %rcx)
	jne	2f
	addl	$8, %ecx
	cmpl	$PAGE, %ecx
	jb	1b
	ret
2:	leaq	(%r13, %rcx), %rbx
	movq	(%rbx), %rdi
	movl	$VMM_WRONG_BODY, %edx
	jmp	wrong

/* What this round has in registers: rax is value ebx of it, rdx is lost. */
value:
	leal	VMM_GUEST_VALUES(%rbx), %edx
	movq	%r15, %rcx
	jmp	word

values_set:
	xorl	%ebx, %ebx
3:	call	value
	movq	%rax, AT(vector)(, %rbx, 8)
	incl	%ebx
	cmpl	$4, %ebx
	jb	3b
	testl	$VMM_GUEST_AVX, AT(flags)
	jz	1f
	vmovdqu	AT(vector), %ymm8
	jmp	2f
1:	movdqu	AT(vector), %xmm8
2:	call	value
	movq	%rax, %dr0
	movl	$LSTAR, %ebx
	call	value_msr
	wrmsr
	movl	$KERNEL_GS_BASE, %ebx
	call	value_msr
	wrmsr
	ret

/* For MSR ebx, which ecx is then: edx and eax, an address of the lower half. */
value_msr:
	call	value
	shrq	$18, %rax
	movq	%rax, %rdx
	shrq	$32, %rdx
	movl	%eax, %eax
	movl	%ebx, %ecx
	ret

values_check:
	leaq	1(%r15, %r14), %rdi
	movl	$VMM_WRONG_ROUND, %edx
	xorl	%eax, %eax
	testq	%rdi, %rdi
	jnz	wrong
	call	vector_check
	movl	$4, %ebx
	call	value
	movq	%dr0, %rdi
	movl	$VMM_WRONG_DEBUG, %edx
	cmpq	%rax, %rdi
	jne	wrong
	movl	$LSTAR, %ebx
	call	msr_check
	movl	$KERNEL_GS_BASE, %ebx
	call	msr_check
	stmxcsr	AT(found)
	movl	AT(found), %edi
	movl	AT(mxcsr), %eax
	movl	$VMM_WRONG_MXCSR, %edx
	cmpl	%eax, %edi
	jne	wrong
	rdtsc
	shlq	$32, %rdx
	leaq	(%rax, %rdx), %rdi
	movq	AT(tsc), %rax
	movl	$VMM_WRONG_TSC, %edx
	cmpq	%rax, %rdi
	jb	wrong
	movq	%rdi, AT(tsc)
	ret

/* Two words, or four with AVX. */
vector_check:
	xorl	%ebx, %ebx
	movl	$2, %esi
	testl	$VMM_GUEST_AVX, AT(flags)
	jz	1f
	movl	$4, %esi
	vmovdqu	%ymm8, AT(found)
	jmp	2f
1:	movdqu	%xmm8, AT(found)
2:	call	value
	movq	AT(found)(, %rbx, 8), %rdi
	movl	$VMM_WRONG_VECTOR, %edx
	cmpq	%rax, %rdi
	jne	wrong
	incl	%ebx
	cmpl	%esi, %ebx
	jb	2b
	ret

/* MSR ebx */
msr_check:
	movl	%ebx, %ecx
	rdmsr
	shlq	$32, %rdx
	leaq	(%rax, %rdx), %rdi
	call	value
	shrq	$18, %rax
	movl	$VMM_WRONG_MSR, %edx
	cmpq	%rax, %rdi
	jne	wrong
	ret

timer_start:
	cmpl	$0, AT(timer)
	je	1f
	movl	$APIC_BASE, %ecx
	rdmsr
	orl	$APIC_ENABLE, %eax
	wrmsr
	xorl	%edx, %edx
	movl	$0x1ff, %eax			/* it is on */
	movl	$X2APIC_SPURIOUS, %ecx
	wrmsr
	movl	$0xb, %eax			/* by one: KVM's bus has 1 GHz */
	movl	$X2APIC_DIVIDE, %ecx
	wrmsr
	movl	$TIMER_PERIODIC | VECTOR_TIMER, %eax
	movl	$X2APIC_TIMER, %ecx
	wrmsr
	movl	AT(timer), %eax
	movl	$X2APIC_INITIAL, %ecx
	wrmsr
1:	ret

on_timer:
	incq	AT(ticks)
	pushq	%rax
	pushq	%rcx
	pushq	%rdx
	xorl	%eax, %eax
	xorl	%edx, %edx
	movl	$X2APIC_EOI, %ecx
	wrmsr
	popq	%rdx
	popq	%rcx
	popq	%rax
	iretq

/* One of 16 bytes for each exception; the vector goes to rbx. */
	.balign	16
on_exceptions:
	.set	nr, 0
	.rept	VECTOR_TIMER
	.balign	16
	movl	$nr, %ebx
	jmp	on_exception
	.set	nr, nr + 1
	.endr
on_exception:
	movq	(%rsp), %rdi
	movq	%cr2, %rax
	movl	$VMM_WRONG_EXCEPTION, %edx
	jmp	wrong

	.balign	32
vector:
	.fill	4, 8, 0
found:
	.fill	4, 8, 0
ticks:
	.quad	0
tsc:
	.quad	0
mxcsr:
	.long	MXCSR

	.balign	8
gdt:					/* nothing; code, data, 64-bit code */
	.quad	0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00af9b000000ffff
gdt_at:
	.word	gdt_at - gdt - 1
	.long	AT(gdt)
	.balign	8
idt_at:
	.word	VECTORS * 16 - 1
	.quad	AT(idt)

	.balign	16
idt:
	.set	nr, 0
	.rept	VECTOR_TIMER
	.word	AT(on_exceptions) + nr * 16, CODE64, GATE, 0
	.quad	0
	.set	nr, nr + 1
	.endr
	.word	AT(on_timer), CODE64, GATE, 0
	.quad	0

/* At TABLES: all of 4 GiB, in pages of 2 MiB: one table, another one, and four. */
	.fill	TABLES - (. - vmm_guest), 1, 0
	.quad	TABLES + PAGE + 3
	.fill	511, 8, 0
	.quad	TABLES + 2 * PAGE + 3, TABLES + 3 * PAGE + 3
	.quad	TABLES + 4 * PAGE + 3, TABLES + 5 * PAGE + 3
	.fill	508, 8, 0
	.set	nr, 0
	.rept	4 * 512
	.quad	nr * 0x200000 + 0x83
	.set	nr, nr + 1
	.endr
#endif
	.fill	VMM_GUEST_IMAGE - (. - vmm_guest), 1, 0
	.section .note.GNU-stack, "", %progbits
