// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory tags that come from a guest of KVM: by running, and by KVM_ARM_MTE_COPY_TAGS. A
 * plain memfd that was the memory of a guest with tags is refused. Memory that is preserved
 * is good for a guest without tags, not for one with them; and copying, which does not ask
 * what it copies to, does not keep a file of the pool from being preserved.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <linux/kvm.h>

#include "memory.h"
#include "place.h"
#include "preserve.h"
#include "stage.h"

#define SESSION		"tags"
#define SIZE		MIB(1)
#define TOKEN		1

#ifdef __aarch64__

/* What the guest stores to, where there is no memory. */
#define DEVICE		0x10000000

struct guest {
	int vm, vcpu;
	size_t run_size;
	struct kvm_run *run;
};

static struct guest guest_new(bool tags)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_ARM_MTE };
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	struct guest guest = {
		.vm = ioctl(kvm, KVM_CREATE_VM, 0UL),
		.vcpu = -1,
		.run_size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0),
	};

	require(kvm >= 0 && guest.vm >= 0, "a virtual machine: %s", strerror(errno));
	require(!tags || !ioctl(guest.vm, KVM_ENABLE_CAP, &cap), "with tags");
	close(kvm);
	return guest;
}

static void guest_free(struct guest *guest)
{
	if (guest->run)
		munmap(guest->run, guest->run_size);
	close(guest->vcpu);
	close(guest->vm);
}

/* 0, or the errno of giving the guest a mapped file as its memory, from address 0 on. */
static int guest_memory(struct guest *guest, void *at)
{
	struct kvm_userspace_memory_region region = {
		.memory_size = SIZE,
		.userspace_addr = (uintptr_t)at,
	};

	return ioctl(guest->vm, KVM_SET_USER_MEMORY_REGION, &region) ? errno : 0;
}

/* The guest starts at address 0 and stores to a device, which ends its run. */
static void guest_run(struct guest *guest, void *at)
{
	static const __u32 code[] = {
		0xd2a00001 | DEVICE >> 16 << 5,	/* mov x1, #DEVICE */
		0xf9000021,			/* str x1, [x1] */
	};
	struct kvm_vcpu_init init;

	memcpy(at, code, sizeof(code));
	__builtin___clear_cache(at, (char *)at + sizeof(code));
	guest->vcpu = ioctl(guest->vm, KVM_CREATE_VCPU, 0UL);
	guest->run = mmap(NULL, guest->run_size, PROT_READ | PROT_WRITE, MAP_SHARED,
			  guest->vcpu, 0);
	require(guest->vcpu >= 0 && guest->run != MAP_FAILED, "a CPU");
	require(!ioctl(guest->vm, KVM_ARM_PREFERRED_TARGET, &init) &&
		!ioctl(guest->vcpu, KVM_ARM_VCPU_INIT, &init), "of this kind");
	require(!ioctl(guest->vcpu, KVM_RUN, 0) &&
		guest->run->exit_reason == KVM_EXIT_MMIO &&
		guest->run->mmio.phys_addr == DEVICE,
		"it runs: %s, %u", strerror(errno), guest->run->exit_reason);
}

static void guest_tag(struct guest *guest)
{
	static char tags[PLACE_PAGE / 16];
	struct kvm_arm_copy_mte_tags copy = {
		.guest_ipa = PLACE_PAGE,
		.length = PLACE_PAGE,
		.addr = tags,
		.flags = KVM_ARM_TAGS_TO_GUEST,
	};

	require(ioctl(guest->vm, KVM_ARM_MTE_COPY_TAGS, &copy) == PLACE_PAGE,
		"it is given tags: %s", strerror(errno));
}

static void tagged_is_refused(int session, const char *how,
			      void (*tag)(struct guest *guest, void *at))
{
	int fd = memfd_create(how, MFD_CLOEXEC), err;
	struct guest guest = guest_new(true);
	void *at;

	require(fd >= 0 && !pattern_write(fd, 7, 0, SIZE), "a file");
	at = place_map(fd, 0, SIZE);
	require(!guest_memory(&guest, at), "memory of a guest with tags");
	tag(&guest, at);
	err = preserve_session_add_fd(session, fd, 7);
	check(err == -EOPNOTSUPP, "%s: not preserved: %d", how, err);
	err = preserve_memfd_enter(fd);
	check(err == -EOPNOTSUPP, "%s: it does not come into the pool: %d", how, err);
	guest_free(&guest);
	munmap(at, SIZE);
	close(fd);
}

static void by_running(struct guest *guest, void *at)
{
	guest_run(guest, at);
}

static void by_copying(struct guest *guest, void *at)
{
	(void)at;
	guest_tag(guest);
}

/* Leaves what the guest wrote of its code in the file. */
static void preserved_memory_runs(int fd)
{
	void *at = place_map(fd, 0, SIZE);
	struct guest guest = guest_new(true);

	check(guest_memory(&guest, at) == EINVAL, "it is no memory of a guest with tags");
	guest_free(&guest);
	guest = guest_new(false);
	require(!guest_memory(&guest, at), "it is memory of a guest without");
	guest_run(&guest, at);
	check(!pattern_check(fd, TOKEN, PLACE_PAGE, SIZE - PLACE_PAGE),
	      "whose content is there");
	guest_free(&guest);
	munmap(at, SIZE);
}

/* The file takes the place of other memory that the guest has been given. */
static void pool_file_gets_tags(int fd)
{
	struct guest guest = guest_new(true);
	void *at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);

	require(at != MAP_FAILED && !guest_memory(&guest, at), "other memory");
	require(mmap(at, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == at,
		"the file in its place");
	guest_tag(&guest);
	guest_free(&guest);
	munmap(at, SIZE);
}

static void before(void)
{
	int session = stage_session_create(SESSION);
	int fd = preserve_memfd_create("guest", MFD_CLOEXEC);

	tagged_is_refused(session, "a guest that ran", by_running);
	tagged_is_refused(session, "tags that were copied", by_copying);
	require(fd >= 0 && !pattern_write(fd, TOKEN, 0, SIZE), "a file of the pool");
	preserved_memory_runs(fd);
	pool_file_gets_tags(fd);
	check(!preserve_session_add_fd(session, fd, TOKEN), "preserve it");
}

static void after(void)
{
	int session = stage_session_retrieve(SESSION);
	int fd = preserve_session_get_fd(session, TOKEN);

	require(fd >= 0, "the guest's memory");
	preserved_memory_runs(fd);
	close(fd);
	stage_session_finish(session);
}

#else

static void before(void)
{
	require(false, "KVM's memory tags are arm64's");
}

static void after(void) {}

#endif

int main(void)
{
	static const stage_fn stages[] = { before, after };

	return stage_run(stages, STAGE_COUNT(stages));
}
