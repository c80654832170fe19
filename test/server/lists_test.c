/* Files on a disk, who is behind a name in the end, and what is wrong where. */
#include "test/proto/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/aliases.h"
#include "server/lists.h"

#define FILES 6

static char folder[] = "/tmp/gatepost-lists-XXXXXX";

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

/* File number 0, 1 ... of the test. */
static char *file(size_t number)
{
	static char path[FILES][64];
	snprintf(path[number], sizeof path[number], "%s/%zu", folder, number);
	return path[number];
}

static int remove_folder(void **state)
{
	(void)state;
	for (size_t i = 0; i < FILES; i++) {
		unlink(file(i));
	}
	return rmdir(folder);
}

/* "%" in the text is the folder. */
static void write_file(size_t number, const char *text)
{
	FILE *out = fopen(file(number), "w");
	assert_non_null(out);
	for (; *text; text++) {
		if (*text == '%') {
			fputs(folder, out);
		} else {
			fputc(*text, out);
		}
	}
	assert_int_equal(fclose(out), 0);
}

struct result {
	struct arena memory;
	struct lists lists;
	struct lists_fault fault;
	bool good;
};

/* Blocks for the first files, as many as there are addresses; alias files for `nfiles` behind
 * them. */
static struct result read_lists(const char *const address[], size_t nfiles)
{
	struct result result = { .good = false };
	struct lists_block block[FILES];
	struct span files[FILES];
	size_t n = 0;
	for (; address[n]; n++) {
		block[n] = (struct lists_block){ (char *)(uintptr_t)address[n], file(n) };
	}
	for (size_t i = 0; i < nfiles; i++) {
		files[i] = span_str(file(n + i));
	}
	const struct lists_rules rules = { block, n, files, nfiles, SPAN_LIT("x.org") };
	arena_init(&result.memory, 1 << 24);
	result.good = lists_read(&rules, &result.memory, &result.lists, &result.fault);
	return result;
}

static uint32_t members(const struct result *result, const char *key)
{
	return lists_members(&result->lists, span_str(key));
}

/* An alias file, a name and how many there are behind it. */
static void who_is_behind(void **state)
{
	(void)state;
	static const struct {
		const char *text, *key;
		uint32_t want;
	} rows[] = {
		{ "", "a@x.org", 0 },
		{ "a: b", "a@x.org", 0 }, /* one is no list */
		{ "a: b, c", "a@x.org", 2 },
		{ "a: b, c", "b@x.org", 0 },
		{ "a: b, c", "a@y.org", 0 },
		{ "A: b, c", "a@x.org", 2 },
		/* However it is written: an MTA looks up names so, and a thief knows it. */
		{ "staff: b, c", "STAFF@x.org", 2 },
		{ "staff: b, c", "Staff+Any+thing@x.org", 2 },
		{ "staff: b, c", "+staff@x.org", 0 },
		{ "st+aff: b, c\nst: b, c, d", "st+aff@x.org", 2 },
		{ "st+aff: b, c\nst: b, c, d", "st+a@x.org", 3 },
		{ "a@Y.net: b, c", "a@y.net", 2 },
		{ "\"a b\": b, c", "\"a b\"@x.org", 2 },
		/* Each once. */
		{ "a: b, B, b@x.org, b@X.ORG., \"b\"@x.org, c", "a@x.org", 2 },
		{ "a: b, b", "a@x.org", 0 },
		{ "a: |p, |p, |q, /f, /f", "a@x.org", 3 },
		{ "a: |p, p", "a@x.org", 2 },
		/* Names of names. */
		{ "a: b, c\nb: d, e\n", "a@x.org", 3 },
		{ "a: b, c\nb: d, e\nc: e, f", "a@x.org", 3 },
		{ "b: d, e\na: b, c\n", "a@x.org", 3 },
		{ "a: b@x.org\nb: c\nc: d, e, f", "a@x.org", 3 },
		{ "a: b+tag, c\nb: d, e", "a@x.org", 3 },
		{ "a: b@y.org, c\nb: d, e", "a@x.org", 2 },
		{ "a: b, c\nb: :blackhole:\n", "a@x.org", 0 },
		{ "a: b, c\na: b, c, d", "a@x.org", 2 }, /* the first one counts */
		{ "a: b, c\nA: :fail: no", "a@x.org", 2 },
		/* Mailboxes. */
		{ "a: a, b", "a@x.org", 2 },
		{ "a: \\a, b", "a@x.org", 2 },
		{ "a: a, \\a, b", "a@x.org", 2 },
		{ "a: \\b, b, c", "a@x.org", 2 },
		{ "a: \\b, c\nb: d, e", "a@x.org", 2 },
		/* Rings. */
		{ "a: b, x\nb: a, y", "a@x.org", 2 },
		{ "a: b, x\nb: a, y", "b@x.org", 2 },
		{ "a: b\nb: c\nc: a, x, y", "b@x.org", 2 },
		{ "a: b\nb: a", "a@x.org", 0 },
		/* Files. */
		{ "a: :include:%/1, z", "a@x.org", 4 },
		{ "a: :include:%/1, b", "a@x.org", 3 },
		{ "a: :include:%/1\nb: d, e", "a@x.org", 4 },
		{ "a: :include:%/1\ne: :include:%/1, y", "e@x.org", 4 },
		{ "a: :include:%/2", "a@x.org", 4 }, /* that includes itself and file 1 */
		{ "a: :include:%/2\nb: :include:%/2", "a@x.org", 3 },
	};
	static const char *const none[] = { NULL };
	write_file(1, "# people\nb, c\nd@y.net\n");
	write_file(2, ":include:%/1\n:include:%/2\nq\n");
	for (size_t i = 0; i < COUNT(rows); i++) {
		write_file(0, rows[i].text);
		struct result result = read_lists(none, 1);
		CHECK(result.fault.error.text, result.good);
		uint32_t is = members(&result, rows[i].key);
		if (is != rows[i].want) {
			fail_msg("%s: %s has %u members", rows[i].text, rows[i].key, is);
		}
		arena_done(&result.memory);
	}
}

static void blocks_and_files(void **state)
{
	(void)state;
	static const char *const address[] = { "All@X.org", "staff@x.org", NULL };
	write_file(0, "staff@x.org # them\nboss@x.org\nteam\n");
	write_file(1, "a@x.org\n\nb@x.org\n#c@x.org\nd@y.net");
	write_file(2, "staff: nobody\nteam: e, f\nboth: team, staff\n");
	write_file(3, "team: g\nlate: h, i\n");
	struct result result = read_lists(address, 2);
	CHECK(result.fault.error.text, result.good);
	/* Only the domain's case is that of an address; a list's local part is as well. */
	assert_int_equal(members(&result, "All@x.org"), 6);
	assert_int_equal(members(&result, "all@x.org"), 6);
	assert_int_equal(members(&result, "staff@x.org"), 3);
	assert_int_equal(members(&result, "team@x.org"), 2);
	assert_int_equal(members(&result, "both@x.org"), 5);
	assert_int_equal(members(&result, "late@x.org"), 2);
	assert_int_equal(members(&result, "boss@x.org"), 0);
	assert_int_equal(members(&result, ""), 0);
	arena_done(&result.memory);
}

/* What is wrong, and where; "%" is the folder. The files: 0 is a block's, 1 and 2 are aliases.
 */
static void what_is_refused(void **state)
{
	(void)state;
	static const struct {
		const char *text[3]; /* NULL: there is none */
		enum lists_where where;
		size_t source;
		const char *want;
	} rows[] = {
		{ { NULL, "", "" }, LISTS_BLOCK, 0, "\"%/0\": No such file or directory" },
		{ { "", "", NULL }, LISTS_FILE, 1, "\"%/2\": No such file or directory" },
		{ { "a@x.org\nb c\n", "", "" }, LISTS_INSIDE, 0, "%/0:2: is no mail address" },
		{ { "", "", "a: b\n\nc\n" },
		  LISTS_INSIDE,
		  0,
		  "%/2:3: must be a name, a colon and its members" },
		{ { "", "a:\n  :include:/nonexistent", "" },
		  LISTS_INSIDE,
		  0,
		  "%/1:2: :include:/nonexistent: No such file or directory" },
		{ { "", "a: :include:b", "" },
		  LISTS_INSIDE,
		  0,
		  "%/1:1: :include:b: must be a path from the root" },
		{ { "", "a: :include:%/3", "" },
		  LISTS_INSIDE,
		  0,
		  "%/3:2: has a quote that does not end on its line" },
		{ { "", "a: :include:/tmp", "" }, LISTS_INSIDE, 0, "\"/tmp\": Is a directory" },
	};
	static const char *const address[] = { "staff@x.org", NULL };
	write_file(3, "b\n\"c\n");
	for (size_t i = 0; i < COUNT(rows); i++) {
		for (size_t f = 0; f < 3; f++) {
			if (rows[i].text[f]) {
				write_file(f, rows[i].text[f]);
			} else {
				unlink(file(f));
			}
		}
		struct result result = read_lists(address, 2);
		char want[256] = "";
		for (const char *c = rows[i].want; *c; c++) {
			size_t n = strlen(want);
			snprintf(want + n, sizeof want - n, "%.*s", *c == '%' ? 64 : 1,
			         *c == '%' ? folder : c);
		}
		assert_false(result.good);
		assert_string_equal(result.fault.error.text, want);
		assert_int_equal(result.fault.where, rows[i].where);
		if (rows[i].where != LISTS_INSIDE) {
			assert_int_equal(result.fault.source, rows[i].source);
		}
		arena_done(&result.memory);
	}
}

static void one_declared_twice(void **state)
{
	(void)state;
	static const char *const address[] = { "a@x.org", "b@x.org", "A@X.ORG", NULL };
	for (size_t i = 0; i < 3; i++) {
		write_file(i, "m@x.org\n");
	}
	struct result result = read_lists(address, 0);
	assert_false(result.good);
	assert_int_equal(result.fault.where, LISTS_BLOCK);
	assert_int_equal(result.fault.source, 2);
	arena_done(&result.memory);
}

/* Lists whose sizes are all known, found again among many. */
static void many(void **state)
{
	(void)state;
	static const char *const none[] = { NULL };
	FILE *out = fopen(file(0), "w");
	assert_non_null(out);
	for (unsigned i = 0; i < 3000; i++) {
		fprintf(out, "list%u:", i);
		for (unsigned m = 0; m < i % 7; m++) {
			fprintf(out, " m%u,\n", m * i);
		}
		fprintf(out, " last\n");
	}
	fprintf(out, "all:");
	for (unsigned i = 1; i < 3000; i++) {
		fprintf(out, " u%u@y.net,", i);
	}
	assert_int_equal(fclose(out), 0);
	struct result result = read_lists(none, 1);
	CHECK(result.fault.error.text, result.good);
	for (unsigned i = 1; i < 3000; i++) {
		char key[32];
		snprintf(key, sizeof key, "list%u@x.org", i);
		assert_int_equal(members(&result, key), i % 7 ? i % 7 + 1 : 0);
	}
	assert_int_equal(members(&result, "all@x.org"), 2999);
	arena_done(&result.memory);
}

/* What would take for ever, or all memory, is refused: every name a list of all others. */
static void what_grows_too_large(void **state)
{
	(void)state;
	static const char *const none[] = { NULL };
	FILE *out = fopen(file(0), "w");
	assert_non_null(out);
	for (unsigned i = 0; i < 20000; i++) {
		fprintf(out, "a%u: all, x\n", i);
	}
	fprintf(out, "all:");
	for (unsigned i = 0; i < 20000; i++) {
		fprintf(out, " a%u,", i);
	}
	assert_int_equal(fclose(out), 0);
	struct result result = read_lists(none, 1);
	assert_false(result.good);
	CHECK(result.fault.error.text, strstr(result.fault.error.text, "too many names"));
	arena_done(&result.memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_is_behind),
		cmocka_unit_test(blocks_and_files),
		cmocka_unit_test(what_is_refused),
		cmocka_unit_test(one_declared_twice),
		cmocka_unit_test(many),
		cmocka_unit_test(what_grows_too_large),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
