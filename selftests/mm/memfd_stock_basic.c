// SPDX-License-Identifier: GPL-2.0-only
/*
 * A plain memfd goes through a kexec: content, size, position and seals. What
 * a kernel without our code can do, a kernel with it can, too.
 */

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "liveupdate.h"
#include "memory.h"
#include "stage.h"

#define SESSION	"stock-basic"
#define SEED	7
#define SIZE	(MIB(4) + 100)
#define POS	12345
#define SEALS	(F_SEAL_SHRINK | F_SEAL_GROW)

enum { TOKEN_FULL = 1, TOKEN_EMPTY };

static void before(void)
{
	int session = stage_session_create(SESSION);
	int full, empty;

	full = memfd_create("full", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	empty = memfd_create("empty", MFD_CLOEXEC);
	require(full >= 0 && empty >= 0, "memfd_create");
	require(!pattern_write(full, SEED, 0, SIZE), "write the pattern");
	check(!fcntl(full, F_ADD_SEALS, SEALS), "seals are set");
	check(lseek(full, POS, SEEK_SET) == POS, "position is set");
	check(!preserve_session_add_fd(session, full, TOKEN_FULL),
	      "the full file is preserved");
	check(!preserve_session_add_fd(session, empty, TOKEN_EMPTY),
	      "the empty file is preserved");
}

static void after(void)
{
	int session = stage_session_retrieve(SESSION);
	int full = preserve_session_get_fd(session, TOKEN_FULL);
	int empty = preserve_session_get_fd(session, TOKEN_EMPTY);

	require(full >= 0, "the full file is there: %d", full);
	require(empty >= 0, "the empty file is there: %d", empty);
	check(lseek(full, 0, SEEK_CUR) == POS, "position");
	check(lseek(full, 0, SEEK_END) == (off_t)SIZE, "size");
	check(fcntl(full, F_GET_SEALS) == SEALS, "seals");
	check(!pattern_check(full, SEED, 0, SIZE), "content");
	check(!lseek(empty, 0, SEEK_END), "the empty file is empty");
	stage_session_finish(session);
	check(!pattern_check(full, SEED, 0, SIZE),
	      "content past the session");
}

static const stage_fn stages[] = { before, after };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
