// SPDX-License-Identifier: GPL-2.0-only
/*
 * A program that has its memory from DPDK's memory manager, without devices: it maps named
 * files in huge pages, and leaves them behind for the next start (--huge-unlink=never).
 *
 *   dpdk-client DIR write|check SEED
 *
 * Says where its memory is, and fails if what it reads is not what the seed says. The library
 * is found when it runs: its version is in its name.
 */
#include <dlfcn.h>
#include <glob.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIZE	(20UL << 20)
#define WORDS	(SIZE / sizeof(uint64_t))

static void fail(const char *what)
{
	fprintf(stderr, "dpdk-client: %s\n", what);
	_exit(2);
}

static void *symbol(const char *name)
{
	static void *library;
	glob_t found;

	if (!library) {
		if (glob("/usr/lib/*/librte_eal.so.*", 0, NULL, &found))
			fail("no library");
		library = dlopen(found.gl_pathv[0], RTLD_NOW);
	}
	if (!library || !dlsym(library, name))
		fail(dlerror());
	return dlsym(library, name);
}

static uint64_t word(uint64_t seed, size_t i)
{
	return (i + 1) * 0x9e3779b97f4a7c15ULL ^ seed;
}

/* The environment of DPDK, with its files in a directory. */
static int init(const char *dir)
{
	static const char * const words[] = {
		"dpdk-client", "--no-pci", "--no-telemetry", "--file-prefix=keep", "-m", "32",
		"--huge-unlink=never", "--iova-mode=pa", "-l", "0", "--huge-dir"
	};
	const int nr = sizeof(words) / sizeof(*words);
	int (*eal_init)(int argc, char **argv);
	char *copy[sizeof(words) / sizeof(*words) + 2] = {};
	int i;

	for (i = 0; i < nr; i++)
		copy[i] = strdup(words[i]);
	copy[nr] = strdup(dir);
	eal_init = symbol("rte_eal_init");
	return eal_init(nr + 1, copy);
}

int main(int argc, char **argv)
{
	void *(*eal_malloc)(const char *type, size_t size, unsigned int align);
	uint64_t (*iova)(const void *addr);
	uint64_t *at, seed, wrong = 0;

	if (argc != 4)
		fail("usage: dpdk-client DIR write|check SEED");
	seed = strtoull(argv[3], NULL, 0);
	if (init(argv[1]) < 0)
		fail("no environment");
	eal_malloc = symbol("rte_malloc");
	iova = symbol("rte_malloc_virt2iova");
	at = eal_malloc(NULL, SIZE, 0);
	if (!at)
		fail("no memory");
	for (size_t i = 0; i < WORDS; i++) {
		if (!strcmp(argv[2], "write"))
			at[i] = word(seed, i);
		wrong += at[i] != word(seed, i);
	}
	printf("memory at %p, bus address %#llx, wrong words %llu\n", (void *)at,
	       (unsigned long long)iova(at), (unsigned long long)wrong);
	fflush(stdout);
	/* As if killed: the files stay. */
	_exit(!!wrong);
}
