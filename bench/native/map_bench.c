// SPDX-License-Identifier: GPL-2.0-only
/*
 * The preserve map beside CRoaring: size and speed on four patterns.
 *
 * What lives here: the patterns and the measured loops. Prints JSON lines for
 * bench/parts/map.py. A time is the best of several repeats. Peers, the nearest
 * question each side can answer:
 *
 *   single  set     prmap_set of one page          roaring_bitmap_add
 *           clear   prmap_clear of one page        roaring_bitmap_remove
 *           look-up prmap_test                     roaring_bitmap_contains
 *           iterate prmap_iter_read of one run     advance_uint32_iterator
 *   batch   set     prmap_set_many of runs         add_range where the pattern is
 *                                                  one run, else add_many
 *           clear   prmap_clear of the range       roaring_bitmap_remove_range
 *           look-up prmap_test_range, 64 pages     roaring_bitmap_contains_range
 *           iterate prmap_iter_read, 256 runs      roaring_read_uint32_iterator, 256
 *
 * The library asserts when a range ends beyond its last container, so ranges
 * end at the last key at most. Look-ups are 262,144 random probes, half of them
 * present. Iterating yields runs on one side and keys on the other; times are
 * for the whole pattern, so they can be compared. The contiguous pattern's
 * single operations use one GiB, its batches 1 TiB. With argument "gib" it only sets one
 * contiguous GiB, for counting instructions, with "empty" it does nothing.
 */
#include "../../lib/preserve-radix/internal.h"
#include <math.h>
#include <roaring/roaring.h>
#include <time.h>
#include <unistd.h>

#define GIB_PAGES	262144ULL
#define TIB_PAGES	(1024 * GIB_PAGES)
#define MAX_KEYS	GIB_PAGES
#define NR_PROBES	MAX_KEYS
#define BATCH		256
#define REPEATS		41

static u64 nr_pages_got;
static void *unused;

static void *bench_get(void *ctx)
{
	void *page = unused;

	if (page)
		unused = *(void **)page;
	else if (posix_memalign(&page, PRMAP_PAGE_SIZE, PRMAP_PAGE_SIZE))
		abort();
	nr_pages_got++;
	return page;
}

static void bench_put(void *ctx, void *page)
{
	*(void **)page = unused;
	unused = page;
}

static const struct prmap_ops bench_ops = {
	.page_get = bench_get,
	.page_put = bench_put,
};

struct pattern {
	const char *name;
	u64 pages;		/* of memory the pattern spreads over */
	u64 nr;			/* keys for the single operations */
	u32 *key;
	u32 *probe;		/* present and absent keys, mixed */
	struct prmap_run *run;
	u64 nr_runs;
	bool range;		/* one contiguous range of @pages */
};

static struct pattern patterns[4];
static u64 sink;			/* printed, so that nothing is optimised away */

static double now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e9 + ts.tv_nsec;
}

static u64 rnd(u64 below)
{
	static u64 state = 88172645463325252ULL;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (state >> 11) % below;
}

static void add_key(struct pattern *p, u64 key)
{
	struct prmap_run *last = p->nr_runs ? &p->run[p->nr_runs - 1] : NULL;

	p->key[p->nr++] = key;
	if (last && last->index + last->nr == key)
		last->nr++;
	else
		p->run[p->nr_runs++] = (struct prmap_run){
			.index = key, .pfn = key, .nr = 1 };
}

static struct pattern *new_pattern(int i, const char *name, u64 pages)
{
	struct pattern *p = &patterns[i];

	p->name = name;
	p->pages = pages;
	p->key = calloc(MAX_KEYS, sizeof(u32));
	p->probe = calloc(MAX_KEYS, sizeof(u32));
	p->run = calloc(MAX_KEYS, sizeof(*p->run));
	return p;
}

static void make_patterns(void)
{
	struct pattern *p;
	u64 i, k;

	p = new_pattern(0, "contiguous 1 TiB", TIB_PAGES);
	for (i = 0; i < GIB_PAGES; i++)
		add_key(p, i);
	p->range = true;
	p = new_pattern(1, "every second page of 1 GiB", GIB_PAGES);
	for (i = 0; i < GIB_PAGES; i += 2)
		add_key(p, i);
	p = new_pattern(2, "random half of 1 GiB", GIB_PAGES);
	for (i = 0; i < GIB_PAGES; i++)
		if (rnd(2))
			add_key(p, i);
	p = new_pattern(3, "1,000 lone pages over 1 TiB", TIB_PAGES);
	for (i = 0; i < 1000; i++)
		add_key(p, i * (TIB_PAGES / 1000) + rnd(TIB_PAGES / 1000));
	for (k = 0; k < 4; k++) {
		p = &patterns[k];
		for (i = 0; i < NR_PROBES; i++)
			p->probe[i] = rnd(2) ? p->key[rnd(p->nr)] :
					       rnd(p->key[p->nr - 1]);
	}
}

static void map_fill(struct prmap *map, const struct pattern *p)
{
	struct prmap_run all = { .nr = p->pages };

	if (p->range)
		prmap_set(map, &all);
	else
		prmap_set_many(map, p->run, p->nr_runs, NULL);
}

static void roaring_fill(roaring_bitmap_t *r, const struct pattern *p)
{
	if (p->range)
		roaring_bitmap_add_range(r, 0, p->pages);
	else
		roaring_bitmap_add_many(r, p->nr, p->key);
}

enum op {
	SET, CLEAR, LOOKUP, ITERATE,
	SET_B, CLEAR_B, LOOKUP_B, ITERATE_B,
	NR_OPS
};

static const char * const op_name[] = {
	"single set", "single clear", "single look-up", "single iterate",
	"batch set", "batch clear", "batch look-up", "batch iterate",
};

static void map_iterate(const struct prmap *map, size_t max)
{
	struct prmap_run runs[BATCH];
	struct prmap_iter it;
	u64 sum = 0;
	size_t nr;

	prmap_iter_init(&it, map, 0);
	do {
		nr = prmap_iter_read(&it, runs, max);
		sum += nr ? runs[nr - 1].index : 0;
	} while (nr == max);
	sink = sum;
}

static u64 range_at(const struct pattern *p, u64 i)
{
	return min(p->probe[i], p->key[p->nr - 1] - 63);
}

static void map_op(struct prmap *map, const struct pattern *p, enum op op)
{
	struct prmap_run run = { .nr = 1 };
	u64 i, sum = 0;

	switch (op) {
	case SET:
		for (i = 0; i < p->nr; i++) {
			run.index = p->key[i];
			run.pfn = run.index;
			prmap_set(map, &run);
		}
		break;
	case CLEAR:
		for (i = 0; i < p->nr; i++)
			prmap_clear(map, p->key[i], 1);
		break;
	case LOOKUP:
		for (i = 0; i < NR_PROBES; i++)
			sum += prmap_test(map, p->probe[i]);
		break;
	case ITERATE:
		map_iterate(map, 1);
		break;
	case SET_B:
		map_fill(map, p);
		break;
	case CLEAR_B:
		prmap_clear(map, 0, p->pages);
		break;
	case LOOKUP_B:
		for (i = 0; i < NR_PROBES; i++)
			sum += prmap_test_range(map, range_at(p, i), 64);
		break;
	default:
		map_iterate(map, BATCH);
	}
	sink += sum;
}

static void peer_iterate(const roaring_bitmap_t *r, const struct pattern *p,
			 enum op op)
{
	roaring_uint32_iterator_t *it = roaring_create_iterator(r);
	u32 keys[BATCH], nr;
	u64 sum = 0;

	if (op == ITERATE) {
		while (it->has_value) {
			sum += it->current_value;
			roaring_advance_uint32_iterator(it);
		}
	} else {
		do {
			nr = roaring_read_uint32_iterator(it, keys, BATCH);
			sum += nr ? keys[nr - 1] : 0;
		} while (nr == BATCH);
	}
	roaring_free_uint32_iterator(it);
	sink = sum;
}

static bool peer_test_range(const roaring_bitmap_t *r, u64 from)
{
	return roaring_bitmap_contains_range(r, from, from + 64);
}

static void roaring_op(roaring_bitmap_t *r, const struct pattern *p, enum op op)
{
	u64 i, sum = 0;

	switch (op) {
	case SET:
		for (i = 0; i < p->nr; i++)
			roaring_bitmap_add(r, p->key[i]);
		break;
	case CLEAR:
		for (i = 0; i < p->nr; i++)
			roaring_bitmap_remove(r, p->key[i]);
		break;
	case LOOKUP:
		for (i = 0; i < NR_PROBES; i++)
			sum += roaring_bitmap_contains(r, p->probe[i]);
		break;
	case SET_B:
		roaring_fill(r, p);
		break;
	case CLEAR_B:
		roaring_bitmap_remove_range(r, 0, p->pages);
		break;
	case LOOKUP_B:
		for (i = 0; i < NR_PROBES; i++)
			sum += peer_test_range(r, range_at(p, i));
		break;
	default:
		peer_iterate(r, p, op);
		return;
	}
	sink += sum;
}

static double time_map(const struct pattern *p, enum op op)
{
	struct prmap map;
	double start;

	prmap_init(&map, PRMAP_SET, &bench_ops, NULL);
	if (op != SET && op != SET_B)
		map_fill(&map, p);
	start = now_ns();
	map_op(&map, p, op);
	start = now_ns() - start;
	prmap_destroy(&map);
	return start;
}

static double time_roaring(const struct pattern *p, enum op op)
{
	roaring_bitmap_t *r = roaring_bitmap_create();
	double start;

	if (op != SET && op != SET_B) {
		roaring_fill(r, p);
		roaring_bitmap_run_optimize(r);
	}
	start = now_ns();
	roaring_op(r, p, op);
	start = now_ns() - start;
	roaring_bitmap_free(r);
	return start;
}

static void sizes(const struct pattern *p)
{
	roaring_bitmap_t *r = roaring_bitmap_create();
	struct prmap map;
	u64 bytes, whole, peer;

	roaring_fill(r, p);
	roaring_bitmap_run_optimize(r);
	roaring_bitmap_shrink_to_fit(r);
	peer = roaring_bitmap_portable_size_in_bytes(r);
	prmap_init(&map, PRMAP_SET, &bench_ops, NULL);
	map_fill(&map, p);
	bytes = prmap_bytes(&map);
	whole = prmap_nr_pages(&map) * PRMAP_PAGE_SIZE;
	printf("{\"bench\":\"map-size\",\"pattern\":\"%s\",", p->name);
	printf("\"bytes\":%llu,\"page_bytes\":%llu,\"croaring\":%llu}\n",
	       bytes, whole, peer);
	prmap_destroy(&map);
	roaring_bitmap_free(r);
}

static void speeds(const struct pattern *p)
{
	double ours, peer;
	int i, repeats;
	enum op op;

	for (op = SET; op < NR_OPS; op++) {
		/* Walking 2^28 keys takes long enough to be exact at once. */
		repeats = p->range && op % 4 == ITERATE ? 1 : REPEATS;
		ours = 1e18;
		peer = 1e18;
		/* Taking turns, both meet the same disturbances. */
		for (i = 0; i < repeats; i++) {
			ours = fmin(ours, time_map(p, op));
			peer = fmin(peer, time_roaring(p, op));
		}
		printf("{\"bench\":\"map-speed\",\"pattern\":\"%s\",", p->name);
		printf("\"op\":\"%s\",\"us\":%.3f,\"croaring_us\":%.3f}\n",
		       op_name[op], ours / 1e3, peer / 1e3);
	}
}

static void set_gib(bool empty)
{
	struct prmap_run run = { .index = GIB_PAGES, .pfn = GIB_PAGES,
				 .nr = GIB_PAGES };
	struct prmap map;

	prmap_init(&map, PRMAP_SET, &bench_ops, NULL);
	if (!empty)
		prmap_set(&map, &run);
	sink = prmap_nr_keys(&map);
}

int main(int argc, char **argv)
{
	u32 i;

	if (argc > 1 && (!strcmp(argv[1], "gib") || !strcmp(argv[1], "empty"))) {
		set_gib(argv[1][0] == 'e');
		return 0;
	}
	make_patterns();
	for (i = 0; i < ARRAY_SIZE(patterns); i++)
		sizes(&patterns[i]);
	for (i = 0; i < ARRAY_SIZE(patterns); i++)
		speeds(&patterns[i]);
	printf("{\"bench\":\"map-sink\",\"value\":%llu}\n", sink);
	return fflush(stdout) ? 1 : 0;
}
