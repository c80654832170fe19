#include "test/proto/check.h"

#include "proto/aliases.h"

#define TABLE   ALIASES_TABLE
#define MEMBERS ALIASES_MEMBERS
#define LIST    ALIASES_LIST

/* All items as text: "N name", "A address", "M mailbox", "I path", "O other", "!LINE reason",
 * a line each. */
static void dump(enum aliases_form form, struct span text, struct buf *out)
{
	static const char letters[] = { [ALIASES_NAME] = 'N',
		                        [ALIASES_ADDRESS] = 'A',
		                        [ALIASES_MAILBOX] = 'M',
		                        [ALIASES_INCLUDE] = 'I',
		                        [ALIASES_OTHER] = 'O' };
	struct aliases in;
	struct aliases_item item;
	aliases_init(&in, text, form, SPAN_LIT("x.org"));
	do {
		item = aliases_next(&in);
		if (item.kind == ALIASES_FAULT) {
			buf_printf(out, "!%u %s\n", item.line, item.reason);
		} else if (item.kind != ALIASES_END) {
			buf_printf(out, "%c %.*s\n", letters[item.kind], SPAN_ARG(item.text));
		}
	} while (item.kind != ALIASES_END);
	assert_int_equal(aliases_next(&in).kind, ALIASES_END);
}

static const struct {
	enum aliases_form form;
	const char *text, *want;
} rows[] = {
	{ TABLE, "", "" },
	{ TABLE, "# only\n\n  # comments\n", "" },
	{ TABLE, "root: alice", "N root@x.org\nA alice@x.org\n" },
	{ TABLE, "Root:Alice@EXAMPLE.net\r\n", "N root@x.org\nA alice@example.net\n" },
	{ TABLE, "a : b , c,,d,\n", "N a@x.org\nA b@x.org\nA c@x.org\nA d@x.org\n" },
	{ TABLE, "a: b,\n  c\n\td\nb: e\n",
	  "N a@x.org\nA b@x.org\nA c@x.org\nA d@x.org\nN b@x.org\nA e@x.org\n" },
	/* Neither an empty line nor a comment ends what a blank continues. */
	{ TABLE, "a: b,\n\n# note\n   # another\n c\n", "N a@x.org\nA b@x.org\nA c@x.org\n" },
	{ TABLE, "a:\n  b\n", "N a@x.org\nA b@x.org\n" },
	{ TABLE, "a:\nb:\n", "N a@x.org\nN b@x.org\n" },
	{ TABLE, "a: \"c d\"@Y.net, \"e\"@y.net, \"f, g\"",
	  "N a@x.org\nA \"c d\"@y.net\nA e@y.net\nA \"f, g\"@x.org\n" },
	{ TABLE, "\"a b\": c", "N \"a b\"@x.org\nA c@x.org\n" },
	{ TABLE, "list@y.net: c", "N list@y.net\nA c@x.org\n" },
	{ TABLE, "a: \\a, \\b@y.net", "N a@x.org\nM a@x.org\nM b@y.net\n" },
	{ TABLE, "a: |prog one, /var/mail/a, \"|prog x, \\\"y\\\"\", \"/a b\"",
	  "N a@x.org\nO |prog one\nO /var/mail/a\nO |prog x, \"y\"\nO /a b\n" },
	{ TABLE, "a: :include:/etc/l, :INCLUDE: \"/a b\", \":include:/c, d\"",
	  "N a@x.org\nI /etc/l\nI /a b\nI /c, d\n" },
	{ TABLE, "a: b (the boss), (new) c, d(e\n",
	  "N a@x.org\nA b@x.org\nA c@x.org\nA d(e@x.org\n" },
	{ TABLE, "a: Bob B <Bob@y.net>, \"C, D\" <c@y.net>",
	  "N a@x.org\nA bob@y.net\nA c@y.net\n" },
	{ TABLE, "a: :fail: no, such\n  list\nb: :blackhole:\nc: d",
	  "N a@x.org\nN b@x.org\nN c@x.org\nA d@x.org\n" },
	{ TABLE, "a: owner-b, r\xc3\xa4t", "N a@x.org\nA owner-b@x.org\nA r\xc3\xa4t@x.org\n" },
	{ TABLE, "a: b\n c\nd\n",
	  "N a@x.org\nA b@x.org\nA c@x.org\n!3 must be a name, a colon and its members\n" },
	{ TABLE, ": b\n", "!1 must be a name, a colon and its members\n" },
	{ TABLE, "a\n: b\n", "!1 must be a name, a colon and its members\n" },
	{ TABLE, "\n# x\n  b\n", "!3 begins with a blank, and goes on with nothing\n" },
	{ TABLE, "a: b,\n \"c\nd\": e\n",
	  "N a@x.org\nA b@x.org\n!2 has a quote that does not end on its line\n" },
	{ TABLE, "a: \"b\\", "N a@x.org\n!1 has a quote that does not end on its line\n" },
	{ TABLE, "a: :include:\n", "N a@x.org\n!1 :include: names no file\n" },

	{ MEMBERS, "# a list\nb, c@y.net\n\n  \\d\n|prog\n:include:/m\n",
	  "A b@x.org\nA c@y.net\nM d@x.org\nO |prog\nI /m\n" },
	{ MEMBERS, "b\n:fail: no\n# x\nc: d\n", "A b@x.org\nA c: d@x.org\n" },
	{ MEMBERS, "\xef\xbb\xbf", "A \xef\xbb\xbf@x.org\n" },

	{ LIST, "# staff\nAlice@x.org\n bob \r\n\nc@y.net # left\n#d@y.net\ne#f@y.net",
	  "A alice@x.org\nA bob@x.org\nA c@y.net\nA e#f@y.net\n" },
	{ LIST, "Carol <carol@y.net>\n", "A carol@y.net\n" },
	{ LIST, "r\xc3\xa4t@y.net\n", "A r\xc3\xa4t@y.net\n" },
	{ LIST, "a@x.org\nb@x.org, c@x.org\nd@x.org\n", "A a@x.org\n!2 is no mail address\n" },
	{ LIST, "a b@x.org\n", "!1 is no mail address\n" },
	{ LIST, "|prog\n", "A |prog@x.org\n" }, /* a good local-part, if an odd one */
	{ LIST, "\\a\n", "!1 is no mail address\n" },
	{ LIST, "<>\n", "!1 is no mail address\n" },
	{ LIST, "\n:include:/x\n", "!2 is no mail address\n" },
};

static void what_is_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out = { .cap = 4096 };
		dump(rows[i].form, span_str(rows[i].text), &out);
		check_span(rows[i].text, buf_span(&out), span_str(rows[i].want));
		buf_done(&out);
	}
}

/* The line of each item is the one on which it begins. */
static void where_it_stands(void **state)
{
	(void)state;
	static const unsigned want[] = { 2, 2, 3, 6, 7 };
	struct aliases in;
	aliases_init(&in, SPAN_LIT("#\na: b,\n c\n#\n\n d\ne:"), TABLE, SPAN_LIT("x.org"));
	for (size_t i = 0; i < COUNT(want); i++) {
		assert_int_equal(aliases_next(&in).line, want[i]);
	}
	assert_int_equal(aliases_next(&in).kind, ALIASES_END);
}

static void what_is_too_long(void **state)
{
	(void)state;
	static char text[ALIASES_TEXT_MAX + 32];
	for (size_t n = ALIASES_TEXT_MAX - 16; n < ALIASES_TEXT_MAX + 16; n++) {
		struct buf out = { .cap = 2 * ALIASES_TEXT_MAX };
		memset(text, 'b', sizeof text);
		memcpy(text, "a:|", 3);
		dump(TABLE, span_of(text, n), &out);
		bool fits = n - 2 <= ALIASES_TEXT_MAX;
		assert_int_equal(strstr(out.ptr, "!1 is too long") == NULL, fits);
		buf_clear(&out);
		text[2] = 'b'; /* an address has its domain behind it */
		dump(TABLE, span_of(text, n), &out);
		fits = n - 2 + strlen("@x.org") <= ALIASES_TEXT_MAX;
		assert_int_equal(strstr(out.ptr, "!1 is too long") == NULL, fits);
		buf_done(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_read),
		cmocka_unit_test(where_it_stands),
		cmocka_unit_test(what_is_too_long),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
