// SPDX-License-Identifier: GPL-2.0-only
/*
 * The preserve map against a plain model.
 *
 * What lives here: random operations on a map and on an array with one element
 * for each index, compared after every step (results, counts, neighbourhood)
 * and now and then as a whole, also across commit, check and open. In some
 * stretches every operation is first tried with the 1st, 2nd, 3rd ... page_get
 * failing, which must leave the map as it was.
 *
 * Usage: model [OPERATIONS [SEED]]. The seed is printed; a failure names it.
 */
#include "pool.h"

#ifndef MODEL_KEYS
#define MODEL_KEYS	(3 * PRMAP_BITS)
#endif

struct model {
	u8 present[MODEL_KEYS + 1];
	u8 order[MODEL_KEYS + 1];
	u8 flags[MODEL_KEYS + 1];
	u64 delta[MODEL_KEYS + 1];
	u64 nr_keys;
	u64 nr_runs;
};

/* How operations are drawn for a while. */
struct mood {
	u64 lo, span;		/* where */
	u64 len;		/* greatest length */
	u32 set;		/* of 100 operations, so many set */
	u32 attrs;		/* variety of attributes */
	bool orders;
	bool fail;		/* try with failing page_get first */
	bool sequential;
};

static u64 base_index;		/* where the model's first index is */
static struct model model;
static struct prmap map;
static struct mood mood;
static enum prmap_kind kind;
static u64 rng_state, seed, step, cursor;

#define CHECK(cond)							\
do {									\
	if (!(cond)) {							\
		printf("not ok model: %s:%d: %s (seed %llu step %llu)\n",	\
		       __FILE__, __LINE__, #cond, seed, step);		\
		exit(1);						\
	}								\
} while (0)

static u64 rnd(u64 below)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return (rng_state * 0x9e3779b97f4a7c15ULL >> 11) % below;
}

static bool same(u64 a, u64 b)
{
	return model.present[a] && model.present[b] &&
	       model.order[a] == model.order[b] &&
	       model.flags[a] == model.flags[b] &&
	       model.delta[a] == model.delta[b];
}

static bool starts(u64 x)
{
	return model.present[x] && !(x && same(x - 1, x));
}

static u64 count_starts(u64 from, u64 end)
{
	u64 nr = 0;

	for (; from <= end; from++)
		nr += starts(from);
	return nr;
}

static int model_set(const struct prmap_run *run)
{
	u64 at = run->index - base_index, i, before;

	for (i = at; i < at + run->nr; i++)
		if (model.present[i])
			return -EEXIST;
	before = count_starts(at, at + run->nr);
	for (i = at; i < at + run->nr; i++) {
		model.present[i] = 1;
		model.order[i] = run->order;
		model.flags[i] = run->flags;
		model.delta[i] = run->pfn - run->index;
	}
	model.nr_keys += run->nr;
	model.nr_runs += count_starts(at, at + run->nr) - before;
	return 0;
}

static bool model_cuts(u64 x)
{
	return x && model.present[x - 1] && model.present[x] &&
	       (x + base_index) & ((1ULL << model.order[x]) - 1);
}

static int model_clear(u64 at, u64 nr)
{
	u64 i, before;

	if (model_cuts(at) || model_cuts(at + nr))
		return -EINVAL;
	before = count_starts(at, at + nr);
	for (i = at; i < at + nr; i++) {
		model.nr_keys -= model.present[i];
		model.present[i] = 0;
	}
	model.nr_runs += count_starts(at, at + nr) - before;
	return 0;
}

static void model_run(u64 at, struct prmap_run *run)
{
	u64 end = at + 1;

	while (at && same(at - 1, at))
		at--;
	while (end < MODEL_KEYS && same(end - 1, end))
		end++;
	run->index = base_index + at;
	run->pfn = run->index + model.delta[at];
	run->nr = end - at;
	run->order = model.order[at];
	run->flags = model.flags[at];
}

static bool runs_equal(const struct prmap_run *a, const struct prmap_run *b)
{
	return a->index == b->index && a->pfn == b->pfn && a->nr == b->nr &&
	       a->order == b->order && a->flags == b->flags;
}

static void verify_at(u64 at)
{
	struct prmap_run want, got;
	u64 index, nr, next = at;

	CHECK(prmap_test(&map, base_index + at) == model.present[at]);
	if (model.present[at]) {
		model_run(at, &want);
		CHECK(!prmap_lookup(&map, base_index + at, &got));
		CHECK(runs_equal(&want, &got));
		CHECK(prmap_next(&map, base_index + at, &got));
		CHECK(got.index == base_index + at);
		CHECK(got.index + got.nr == want.index + want.nr);
		CHECK(prmap_test_range(&map, want.index, want.nr));
		CHECK(!prmap_test_range(&map, want.index, want.nr + 1) ||
		      model.present[want.index + want.nr - base_index]);
		return;
	}
	CHECK(prmap_lookup(&map, base_index + at, &got) == -ENOENT);
	CHECK(prmap_next_absent(&map, base_index + at, &index, &nr));
	CHECK(index == base_index + at);
	while (next < MODEL_KEYS && !model.present[next])
		next++;
	if (next == MODEL_KEYS) {
		CHECK(!prmap_next(&map, base_index + at, &got));
		CHECK(index + nr == prmap_index_end(kind));
		return;
	}
	CHECK(prmap_next(&map, base_index + at, &got));
	CHECK(got.index == base_index + next);
	CHECK(index + nr == got.index);
}

static void verify_all(void)
{
	struct prmap_run runs[7], want;
	struct prmap_iter it;
	size_t nr, max = 1 + rnd(ARRAY_SIZE(runs)), i;
	u64 at = 0, total = 0;

	prmap_iter_init(&it, &map, 0);
	do {
		nr = prmap_iter_read(&it, runs, max);
		for (i = 0; i < nr; i++) {
			while (at < MODEL_KEYS && !model.present[at])
				at++;
			CHECK(at < MODEL_KEYS);
			model_run(at, &want);
			CHECK(runs_equal(&want, &runs[i]));
			at += want.nr;
			total++;
		}
	} while (nr == max);
	while (at < MODEL_KEYS)
		CHECK(!model.present[at++]);
	CHECK(total == model.nr_runs);
}

static void verify_counts(void)
{
	CHECK(prmap_nr_keys(&map) == model.nr_keys);
	CHECK(prmap_nr_runs(&map) == model.nr_runs);
	CHECK(prmap_nr_pages(&map) == pool.nr_live);
	CHECK(!map.nr_spare);
}

static void verify_committed(void)
{
	struct prmap_limits lim = pool_limits();
	struct prmap_root_ser root;
	const char *reason = "";
	struct prmap other;
	int err;

	prmap_commit(&map, &root);
	pool_claims_reset();
	err = prmap_open(&other, &root, kind, &pool_ops, &pool, &lim, &reason);
	if (err)
		printf("# %d %s\n", err, reason);
	CHECK(!err);
	map = other;
}

static void new_mood(void)
{
	static const u32 percent[] = { 10, 45, 50, 55, 90, 100 };

	mood.span = 1 + rnd(rnd(2) ? MODEL_KEYS : PRMAP_BITS / 4);
	mood.lo = rnd(MODEL_KEYS - mood.span + 1);
	mood.len = rnd(3) ? 1 + rnd(2) : 1 + rnd(rnd(4) ? 40 : mood.span);
	mood.set = percent[rnd(ARRAY_SIZE(percent))];
	mood.attrs = rnd(3) ? 1 : 1 + rnd(4);
	mood.orders = !rnd(3);
	mood.fail = !rnd(4);
	mood.sequential = !rnd(4);
}

/* Arguments of the next operation, inside the model. */
static void draw(struct prmap_run *run)
{
	u64 at, nr = 1 + rnd(mood.len), mask;

	memset(run, 0, sizeof(*run));
	at = mood.lo + rnd(mood.span);
	if (mood.sequential) {
		cursor += 1 + rnd(3);
		at = mood.lo + cursor % mood.span;
	}
	if (mood.attrs > 1)
		run->flags = rnd(mood.attrs);
	if (mood.orders)
		run->order = rnd(5);
	mask = (1ULL << run->order) - 1;
	at &= ~mask;
	nr = (nr + mask) & ~mask;
	if (at + nr > MODEL_KEYS)
		nr = (MODEL_KEYS - at) & ~mask;
	run->index = base_index + at;
	run->nr = nr;
	run->pfn = run->index;
	if (kind == PRMAP_FILE)
		run->pfn += 4096 + 1024 * rnd(mood.attrs);
}

static int do_set(const struct prmap_run *run)
{
	u64 pages = prmap_nr_pages(&map), n;
	int err = -ENOMEM;

	for (n = 1; mood.fail && err == -ENOMEM; n++) {
		pool.fail_at = n;
		err = prmap_set(&map, run);
		pool.fail_at = 0;
		if (err != -ENOMEM)
			return err;
		CHECK(prmap_nr_pages(&map) == pages);
		verify_counts();
		if (!rnd(64))
			verify_all();
	}
	return prmap_set(&map, run);
}

static int do_clear(const struct prmap_run *run)
{
	u64 n;
	int err = -ENOMEM;

	for (n = 1; mood.fail && err == -ENOMEM; n++) {
		pool.fail_at = n;
		err = prmap_clear(&map, run->index, run->nr);
		pool.fail_at = 0;
		if (err != -ENOMEM)
			return err;
		verify_counts();
		if (!rnd(64))
			verify_all();
	}
	return prmap_clear(&map, run->index, run->nr);
}

static void one_step(void)
{
	struct prmap_run run;
	u64 at;

	if (!rnd(2000))
		new_mood();
	draw(&run);
	at = run.index - base_index;
	if (rnd(100) < mood.set) {
		if (run.nr)
			CHECK(do_set(&run) == model_set(&run));
		else
			CHECK(prmap_set(&map, &run) == -EINVAL);
	} else {
		if (rnd(2) && run.nr > 1)
			run.nr--;
		CHECK(do_clear(&run) == model_clear(at, run.nr));
	}
	verify_counts();
	if (!rnd(4))
		verify_at(rnd(MODEL_KEYS));
	verify_at(at < MODEL_KEYS ? at : 0);
	if (!rnd(MODEL_KEYS / 2))
		verify_all();
	if (!rnd(MODEL_KEYS / 2))
		verify_committed();
}

static void run_model(u64 steps)
{
	memset(&model, 0, sizeof(model));
	/* The frames of a set end where the model does. */
	base_index = rnd(2) ? 0 : (rnd(1 << 20) + 1) * PRMAP_BITS;
	if (!rnd(4))
		base_index = prmap_index_end(kind) - 64 * PRMAP_BITS;
	if (kind == PRMAP_FILE)
		base_index %= 1ULL << 39;
	prmap_init(&map, kind, &pool_ops, &pool);
	new_mood();
	while (steps--) {
		one_step();
		step++;
	}
	verify_all();
	verify_committed();
	verify_all();
	prmap_destroy(&map);
	CHECK(!pool.nr_live);
}

int main(int argc, char **argv)
{
	u64 steps = argc > 1 ? strtoull(argv[1], NULL, 0) : 1000000, rounds;
	u64 share = 50000;

	seed = argc > 2 ? strtoull(argv[2], NULL, 0) : pool_random_seed();
	rng_state = seed * 2 + 1;
	printf("# model: %llu operations, page size %lu, seed %llu\n", steps,
	       PRMAP_PAGE_SIZE, seed);
	if (PRMAP_SHIFT >= 12)
		share = 400000;
	for (rounds = 0; step < steps; rounds++) {
		kind = rounds % 2 ? PRMAP_FILE : PRMAP_SET;
		run_model(min(share, steps - step));
	}
	printf("ok model: %llu operations, seed %llu\n", steps, seed);
	printf("1 passed, 0 failed\n");
	return 0;
}
