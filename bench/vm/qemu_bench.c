// SPDX-License-Identifier: GPL-2.0-only
/*
 * How long a guest of QEMU stands still for a kexec of its host: runs in a VM. Prints METRIC
 * lines for bench/parts/qemu.py.
 *
 *	qemu_bench MIB	of memory that the guest has, in a hugetlbfs that is preserved
 *
 * QEMU's other state is in a tmpfs that is preserved as well. The pause begins with the monitor's
 * stop and ends with what the guest says next.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "metric.h"
#include "preserve.h"
#include "program.h"
#include "qemu.h"
#include "stage.h"
#include "tree.h"

#define SESSION	"qemu"
#define MEMORY	"/memory"
#define STATE	"/state"
#define RAM	MEMORY "/ram"
#define SAVED	STATE "/saved"

enum { TOKEN_MEMORY = 1, TOKEN_STATE };

static void prepare(void)
{
	program_prepare_system();
	mkdir(MEMORY, 0755);
	mkdir(STATE, 0755);
	text_write("/sys/kernel/mm/preserve/lend", "0");
}

static void before(void)
{
	struct qemu qemu;
	int session;

	prepare();
	require(!mount("memory", MEMORY, "hugetlbfs", 0, "pagesize=2M") &&
		!mount("state", STATE, "tmpfs", 0, "preserve,size=8m"), "mount");
	qemu_prealloc = true;
	qemu = qemu_start("kvm", RAM, STATE "/serial-0", false);
	qemu_wait_rounds(&qemu, 2);
	metric("stop_tsc", __rdtsc());
	qemu_save(&qemu, SAVED);
	metric("saved_tsc", __rdtsc());
	session = stage_session_create(SESSION);
	require(!preserve_session_add_fd(session, tree_open(MEMORY), TOKEN_MEMORY) &&
		!preserve_session_add_fd(session, tree_open(STATE), TOKEN_STATE), "preserve");
	tie_clocks("reboot_tsc");
}

static void mount_get(int session, int token, const char *dir)
{
	int fd = preserve_session_get_fd(session, token);

	require(fd >= 0 && !tree_attach(fd, dir), "attach %s: %d", dir, fd);
	close(fd);
}

static void after(void)
{
	struct qemu qemu;
	int session;

	tie_clocks("up_tsc");
	prepare();
	session = stage_session_retrieve(SESSION);
	mount_get(session, TOKEN_MEMORY, MEMORY);
	mount_get(session, TOKEN_STATE, STATE);
	metric("attached_tsc", __rdtsc());
	qemu = qemu_start("kvm", RAM, STATE "/serial-1", true);
	metric("started_tsc", __rdtsc());
	qemu_load(&qemu, SAVED);
	qemu_wait_rounds(&qemu, 1);
	metric("first_tsc", __rdtsc());
	check(!qemu_rounds(qemu.serial).wrong, "the guest goes on");
	qemu_end(&qemu);
}

int main(int argc, char **argv)
{
	static const stage_fn stages[] = { before, after };

	require(argc == 2, "usage: qemu_bench MIB");
	qemu_memory = MIB(atoi(argv[1]));
	return stage_run(stages, STAGE_COUNT(stages));
}
