/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * KUnit for native builds: just what tests/prmap_kunit.c uses. One suite a
 * program; the main function comes with kunit_test_suites().
 */
#ifndef _PRMAP_NATIVE_KUNIT_H
#define _PRMAP_NATIVE_KUNIT_H

#include "../prmap_native.h"

struct kunit {
	const char *name;
	bool failed;
	void *priv;
};

struct kunit_case {
	void (*run)(struct kunit *test);
	const char *name;
};

struct kunit_suite {
	const char *name;
	int (*init)(struct kunit *test);
	void (*exit)(struct kunit *test);
	struct kunit_case *test_cases;
};

#define KUNIT_CASE(fn)	{ .run = fn, .name = #fn }

#define kunit_check(test, cond, text)					\
do {									\
	if (!(cond)) {							\
		printf("# %s:%d: %s\n", __FILE__, __LINE__, text);	\
		(test)->failed = true;					\
	}								\
} while (0)

#define KUNIT_EXPECT_TRUE(test, c)	kunit_check(test, c, #c)
#define KUNIT_EXPECT_FALSE(test, c)	kunit_check(test, !(c), "not " #c)
#define KUNIT_EXPECT_EQ(test, a, b)	kunit_check(test, (a) == (b), #a " == " #b)
#define KUNIT_EXPECT_LE(test, a, b)	kunit_check(test, (a) <= (b), #a " <= " #b)
#define KUNIT_EXPECT_STREQ(test, a, b)	\
	kunit_check(test, !strcmp(a, b), #a " is " #b)
#define KUNIT_ASSERT_EQ(test, a, b)					\
do {									\
	KUNIT_EXPECT_EQ(test, a, b);					\
	if ((test)->failed)						\
		return;							\
} while (0)

#define kunit_info(test, fmt, ...)	printf("# " fmt "\n", ##__VA_ARGS__)

static inline int kunit_run(struct kunit_suite *suite)
{
	int passed = 0, failed = 0;
	struct kunit_case *c;

	for (c = suite->test_cases; c->run; c++) {
		struct kunit test = { .name = c->name };

		if (suite->init)
			suite->init(&test);
		c->run(&test);
		if (suite->exit)
			suite->exit(&test);
		passed += !test.failed;
		failed += test.failed;
		printf("%sok %d %s\n", test.failed ? "not " : "",
		       passed + failed, c->name);
	}
	printf("%d passed, %d failed\n", passed, failed);
	return failed ? 1 : 0;
}

#define kunit_test_suites(suite)					\
int main(void)								\
{									\
	return kunit_run(suite);					\
}

#define MODULE_LICENSE(x)	extern int prmap_kunit_license
#define MODULE_DESCRIPTION(x)	extern int prmap_kunit_description

#endif /* _PRMAP_NATIVE_KUNIT_H */
