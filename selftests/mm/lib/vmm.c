// SPDX-License-Identifier: GPL-2.0-only
/* The machine and its memory; see vmm.h. vmm_cpu.c has the CPUs. */

#include "vmm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stage.h"

static int kvm_open(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	require(kvm >= 0, "open /dev/kvm");
	return kvm;
}

int vmm_capability(int capability)
{
	int kvm = kvm_open(), says = ioctl(kvm, KVM_CHECK_EXTENSION, capability);

	close(kvm);
	return says < 0 ? 0 : says;
}

bool vmm_settle = true;

/*
 * About a second after its start the kernel knows better how fast the time stamp counter is, and
 * changes the clock source. What KVM has been told of a guest's counter before does not last.
 */
static void clock_settle(void)
{
	static const char early[] = "tsc-early";
	char name[32] = "";
	int tries, fd;

	for (tries = 0; tries < 1000; tries++) {
		fd = open("/sys/devices/system/clocksource/clocksource0/current_clocksource",
			  O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return;
		if (read(fd, name, sizeof(name) - 1) < 0)
			name[0] = '\0';
		close(fd);
		if (strncmp(name, early, strlen(early)))
			return;
		usleep(10000);
	}
}

int vmm_create(struct vmm *vmm, unsigned long type)
{
	int kvm = kvm_open(), size, err = 0;

	if (vmm_settle)
		clock_settle();
	*vmm = (struct vmm) { .fd = ioctl(kvm, KVM_CREATE_VM, type), .type = type };
	if (vmm->fd < 0)
		err = -errno;
	size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	close(kvm);
	if (err)
		return err;
	/* KVM may have noted the counter's rate before the kernel has measured it well. */
	require(!ioctl(vmm->fd, KVM_SET_TSC_KHZ, 0UL), "the processor's own rate");
	require(size > 0 && !ioctl(vmm->fd, KVM_CREATE_IRQCHIP, 0), "an interrupt controller");
	vmm->run_size = size;
	return 0;
}

void vmm_pit_add(struct vmm *vmm)
{
	struct kvm_pit_config config = {};

	require(!ioctl(vmm->fd, KVM_CREATE_PIT2, &config), "a timer");
	vmm->pit = true;
}

void vmm_destroy(struct vmm *vmm)
{
	unsigned int i;

	for (i = 0; i < vmm->nr_cpus; i++) {
		struct vmm_cpu *cpu = &vmm->cpus[i];

		vmm_cpu_stop(cpu);
		munmap(cpu->run, vmm->run_size);
		close(cpu->fd);
	}
	close(vmm->fd);
	for (i = 0; i < vmm->nr_slots; i++)
		munmap(vmm->slots[i].host, vmm->slots[i].size);
	*vmm = (struct vmm) { .fd = -1 };
}

int vmm_gmem(const struct vmm *vmm, __u64 size, __u64 flags)
{
	struct kvm_create_guest_memfd create = { .size = size, .flags = flags };
	int fd = ioctl(vmm->fd, KVM_CREATE_GUEST_MEMFD, &create);

	return fd < 0 ? -errno : fd;
}

static int slot_set(const struct vmm *vmm, unsigned int nr, const struct vmm_slot *slot,
		    __u64 size)
{
	struct kvm_userspace_memory_region2 region = {
		.slot = nr,
		.guest_phys_addr = slot->gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)slot->host,
	};

	if (slot->gmem >= 0) {
		region.flags = KVM_MEM_GUEST_MEMFD;
		region.guest_memfd = slot->gmem;
		region.guest_memfd_offset = slot->offset;
	}
	return ioctl(vmm->fd, KVM_SET_USER_MEMORY_REGION2, &region) ? -errno : 0;
}

int vmm_slot_add(struct vmm *vmm, const struct vmm_slot *slot)
{
	int err;

	require(vmm->nr_slots < VMM_SLOTS, "room for a slot");
	err = slot_set(vmm, vmm->nr_slots, slot, slot->size);
	if (!err)
		vmm->slots[vmm->nr_slots++] = *slot;
	return err;
}

void vmm_slot_drop(struct vmm *vmm)
{
	struct vmm_slot *slot = &vmm->slots[--vmm->nr_slots];

	require(!slot_set(vmm, vmm->nr_slots, slot, 0), "take memory away");
	munmap(slot->host, slot->size);
}

int vmm_private(const struct vmm *vmm, __u64 gpa, __u64 size, bool private)
{
	struct kvm_memory_attributes attributes = {
		.address = gpa,
		.size = size,
		.attributes = private ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0,
	};

	return ioctl(vmm->fd, KVM_SET_MEMORY_ATTRIBUTES, &attributes) ? -errno : 0;
}

void *vmm_memory(struct vmm *vmm, int gmem, __u64 size)
{
	struct vmm_slot slot = { .size = size, .gmem = gmem };
	bool private = vmm->type == VMM_PRIVATE;
	int err;

	if (private)
		slot.host = mmap(NULL, size, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	else
		slot.host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, gmem, 0);
	require(slot.host != MAP_FAILED, "map the guest's memory: %s", strerror(errno));
	err = vmm_slot_add(vmm, &slot);
	require(!err, "give the guest memory: %s", strerror(-err));
	err = private ? vmm_private(vmm, 0, size, true) : 0;
	require(!err, "make it private: %s", strerror(-err));
	return slot.host;
}

/* See vmm_guest.h. */
static __u64 guest_word(__u64 index, __u64 round)
{
	__u64 word = index * VMM_GUEST_A + round * VMM_GUEST_B;

	word ^= word >> 32;
	return word * VMM_GUEST_A;
}

__u64 vmm_guest_look(const void *memory, __u64 size, __u64 round, __u64 at)
{
	__u64 addr, i;

	/* At the end of a round it counts first, and then goes to the first page. */
	if (at >= size && *(const __u64 *)((const char *)memory + VMM_GUEST_FIRST) ==
	    guest_word(VMM_GUEST_FIRST >> 12, round))
		at = VMM_GUEST_FIRST;
	for (addr = VMM_GUEST_FIRST; addr < size; addr += 4096) {
		const __u64 *words = (const void *)((const char *)memory + addr);
		__u64 index = addr >> 12, body = guest_word(index, -1ULL);

		if (!round && addr >= at)
			break;
		/* It may have written to the page that it is at. */
		if (!(addr >= at && words[0] == guest_word(index, round)) &&
		    !(addr <= at && words[0] == guest_word(index, round + 1)))
			return addr;
		for (i = 1; i < 4096 / 8; i++) {
			if (words[i] != body + i * VMM_GUEST_B)
				return addr + i * 8;
		}
	}
	return 0;
}
