// SPDX-License-Identifier: GPL-2.0-only
/* A process that writes a mapped file all the time; see writer.h. */

#include "writer.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memory.h"
#include "place.h"
#include "stage.h"

/* Words that are next to each other here are a cache line apart in the file. */
#define STEP	8

#define PAUSE_US	500

struct writer {
	pid_t pid;
	bool stop;
	unsigned long rounds;
};

/* Others read and write these meanwhile. */
#define READ(x)		__atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE(x, value)	__atomic_store_n(&(x), value, __ATOMIC_RELAXED)

static bool write_round(__u64 *words, size_t nr, __u64 round)
{
	size_t i;

	for (i = 0; i < nr; i += STEP) {
		if (READ(words[i]) != round - 1) {
			fprintf(stderr, "writer: word %zu is %llu, not %llu\n",
				i, (unsigned long long)words[i],
				(unsigned long long)round - 1);
			return false;
		}
		WRITE(words[i], round);
	}
	return true;
}

static void __noreturn write_on(struct writer *writer, int fd, size_t length)
{
	__u64 *words = place_map(fd, 0, length);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (!READ(writer->stop)) {
		if (!write_round(words, length / sizeof(*words),
				 writer->rounds + 1))
			_exit(1);
		WRITE(writer->rounds, writer->rounds + 1);
		/* Others want this CPU, too. */
		usleep(PAUSE_US);
	}
	_exit(0);
}

struct writer *writer_start(int fd, size_t length)
{
	struct writer *writer = mmap(NULL, sizeof(*writer),
				     PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid;

	require(writer != MAP_FAILED, "memory for a writer");
	fflush(stdout);
	pid = fork();
	require(pid >= 0, "fork");
	if (!pid)
		write_on(writer, fd, length);
	/* The child shares it. */
	writer->pid = pid;
	return writer;
}

static bool has_ended(const struct writer *writer)
{
	siginfo_t info = {};

	if (!waitid(P_PID, writer->pid, &info, WEXITED | WNOHANG | WNOWAIT) &&
	    !info.si_pid)
		return false;
	ksft_print_msg("a writer has ended: status %d after %lu rounds\n",
		       info.si_status, READ(writer->rounds));
	return true;
}

bool writer_goes_on(struct writer *writer, unsigned int nr)
{
	unsigned long until = READ(writer->rounds) + nr;

	while (READ(writer->rounds) < until) {
		if (has_ended(writer))
			return false;
		usleep(1000);
	}
	return true;
}

bool writer_stop(struct writer *writer)
{
	int status = -1;
	bool good;

	WRITE(writer->stop, true);
	good = waitpid(writer->pid, &status, 0) == writer->pid && !status;
	munmap(writer, sizeof(*writer));
	return good;
}

bool writer_left(int fd, size_t length)
{
	const __u64 *words = place_map(fd, 0, length);
	size_t i, steps = 0, nr = length / sizeof(*words);
	bool good = words[0] >= 1;

	for (i = STEP; good && i < nr; i += STEP) {
		if (words[i] == words[i - STEP])
			continue;
		good = words[i] == words[i - STEP] - 1 && !steps++;
	}
	munmap((void *)words, length);
	return good;
}

pid_t writer_loop(const char *path, const char *text)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	require(pid >= 0, "fork");
	while (!pid)
		text_write(path, text);
	return pid;
}

void writer_loop_stop(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}
