// SPDX-License-Identifier: GPL-2.0-only
/*
 * The line that shows progress.
 */

#include "progress.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "ctl.h"
#include "say.h"

static struct progress watched;
static pthread_t thread;
static bool running;

/* @mutex covers @stop; the thread waits on @stopped. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t stopped = PTHREAD_COND_INITIALIZER;
static bool stop;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void show(double since)
{
	uint64_t done = watched.done(&watched);
	double seconds = now() - since, rate;
	char a[SIZE_TEXT], b[SIZE_TEXT], c[SIZE_TEXT];

	if (done > watched.total)
		done = watched.total;
	rate = seconds > 0 ? done / seconds : 0;
	fprintf(stderr, "\r\033[K%s: %s of %s, %.0f %%, %s/s", watched.what,
		size_text(done, a), size_text(watched.total, b),
		watched.total ? 100.0 * done / watched.total : 0.0, size_text(rate, c));
	if (rate > 0)
		fprintf(stderr, ", %.0f s left", (watched.total - done) / rate);
	fflush(stderr);
}

static void *watch(void *unused)
{
	double since = now();
	struct timespec t;

	(void)unused;
	pthread_mutex_lock(&mutex);
	while (!stop) {
		clock_gettime(CLOCK_REALTIME, &t);
		t.tv_nsec += 500000000;
		t.tv_sec += t.tv_nsec / 1000000000;
		t.tv_nsec %= 1000000000;
		pthread_cond_timedwait(&stopped, &mutex, &t);
		if (!stop)
			show(since);
	}
	pthread_mutex_unlock(&mutex);
	return NULL;
}

void progress_begin(const struct progress *progress)
{
	sigset_t all, old;

	if (ctl.quiet || !isatty(STDERR_FILENO))
		return;
	watched = *progress;
	stop = false;
	/* Signals are for the thread that does the work. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	running = !pthread_create(&thread, NULL, watch, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void progress_end(void)
{
	if (!running)
		return;
	pthread_mutex_lock(&mutex);
	stop = true;
	pthread_cond_signal(&stopped);
	pthread_mutex_unlock(&mutex);
	pthread_join(thread, NULL);
	running = false;
	fprintf(stderr, "\r\033[K");
}
