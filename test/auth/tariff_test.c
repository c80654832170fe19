#include "auth/tariff.h"

#include "test/auth/budget_help.h"

/* All that a bill can be made of, so that each row must choose. */
static struct act full_act(enum act_network network)
{
	return (struct act){
		.recipients = 100,
		.members = 60,
		.traps = 2,
		.past = { .learned = true,
		          .strangers = 30,
		          .beyond = 7,
		          .network = network,
		          .new_network = true,
		          .new_country = true },
	};
}

static struct tariff_bill bill_of(uint32_t each)
{
	struct tariff_bill bill;
	for (size_t i = 0; i < TARIFF_ROWS; i++) {
		bill.count[i] = each;
	}
	return bill;
}

static void assert_bill(const struct tariff_bill *is, const uint32_t want[TARIFF_ROWS],
                        const char *where)
{
	for (enum tariff_row i = 0; i < TARIFF_ROWS; i++) {
		if (is->count[i] != want[i]) {
			fail_msg("%s: %s is %u, not %u", where, tariff_name(i), is->count[i],
			         want[i]);
		}
	}
}

/* ---- the table ---- */

static void each_row_has_a_name_and_a_meaning(void **state)
{
	(void)state;
	const struct tariff standard = tariff_default();
	for (enum tariff_row i = 0; i < TARIFF_ROWS; i++) {
		assert_non_null(tariff_name(i));
		assert_true(strlen(tariff_meaning(i)) > 5 && strlen(tariff_meaning(i)) < 72);
		assert_true(standard.price[i] >= 1 && standard.price[i] <= TARIFF_PRICE_MAX);
		for (enum tariff_row k = 0; k < i; k++) {
			assert_string_not_equal(tariff_name(k), tariff_name(i));
			assert_string_not_equal(tariff_meaning(k), tariff_meaning(i));
		}
	}
	assert_int_equal(standard.price[TARIFF_RECIPIENT], 1);
	assert_string_equal(tariff_name(TARIFF_MEMBER), "list-member");
	assert_string_equal(tariff_name(TARIFF_BEYOND), "strange-known");
	assert_string_equal(tariff_name(TARIFF_TRAP), "trap");
}

/* ---- bills ---- */

static void what_is_on_a_bill(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		struct act act;
		uint32_t want[TARIFF_ROWS]; /* in the order of the table */
	} rows[] = {
		{ "nothing", { .recipients = 0 }, { 0 } },
		{ "no history",
		  { .recipients = 9,
		    .members = 8,
		    .traps = 1,
		    .past = { .strangers = 5,
		              .beyond = 4,
		              .network = ACT_NETWORK_STRANGE,
		              .new_network = true,
		              .new_country = true } },
		  { 9, 8 } },
		{ "known ones, from home",
		  { .recipients = 9, .past = { .learned = true } },
		  { 9 } },
		{ "strangers, from home",
		  { .recipients = 9, .past = { .learned = true, .strangers = 3 } },
		  { [TARIFF_RECIPIENT] = 9, [TARIFF_STRANGER] = 3 } },
		{ "a known list, from home",
		  { .recipients = 1, .members = 650, .past = { .learned = true } },
		  { [TARIFF_RECIPIENT] = 1, [TARIFF_MEMBER] = 650 } },
		{ "an unknown list, from home",
		  { .recipients = 1,
		    .members = 650,
		    .past = { .learned = true, .strangers = 651 } },
		  { [TARIFF_RECIPIENT] = 1, [TARIFF_MEMBER] = 650, [TARIFF_STRANGER] = 651 } },
		{ "known ones, away",
		  { .recipients = 9,
		    .past = { .learned = true, .network = ACT_NETWORK_STRANGE } },
		  { 9 } },
		{ "too many known ones, away",
		  { .recipients = 9,
		    .past = { .learned = true, .beyond = 4, .network = ACT_NETWORK_STRANGE } },
		  { [TARIFF_RECIPIENT] = 9, [TARIFF_BEYOND] = 4 } },
		{ "strangers, away",
		  { .recipients = 9,
		    .past = { .learned = true,
		              .strangers = 8,
		              .network = ACT_NETWORK_STRANGE,
		              .new_network = true } },
		  { [TARIFF_RECIPIENT] = 9,
		    [TARIFF_STRANGER] = 8,
		    [TARIFF_STRANGE_NETWORK] = 8,
		    [TARIFF_NEW_NETWORK] = 1 } },
		{ "strangers, by webmail",
		  { .recipients = 9,
		    .past = { .learned = true,
		              .strangers = 8,
		              .network = ACT_NETWORK_SHARED,
		              .new_network = true,
		              .new_country = true } },
		  { [TARIFF_RECIPIENT] = 9, [TARIFF_STRANGER] = 8, [TARIFF_SHARED] = 8 } },
		{ "traps",
		  { .recipients = 2, .traps = 2, .past = { .learned = true } },
		  { [TARIFF_RECIPIENT] = 2, [TARIFF_TRAP] = 2 } },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct tariff_bill bill = tariff_bill(&rows[i].act);
		assert_bill(&bill, rows[i].want, rows[i].what);
	}
}

/* Each row by itself, of an act that has something of everything. */
static void each_row_chooses(void **state)
{
	(void)state;
	static const struct {
		enum tariff_row row;
		uint32_t ripe, shared, strange;
	} rows[] = {
		{ TARIFF_RECIPIENT, 100, 100, 100 }, { TARIFF_MEMBER, 60, 60, 60 },
		{ TARIFF_STRANGER, 30, 30, 30 },     { TARIFF_STRANGE_NETWORK, 0, 0, 30 },
		{ TARIFF_BEYOND, 0, 0, 7 },          { TARIFF_NEW_NETWORK, 0, 0, 1 },
		{ TARIFF_SHARED, 0, 30, 0 },         { TARIFF_COUNTRY, 0, 0, 1 },
		{ TARIFF_REFUSED, 0, 0, 0 },         { TARIFF_TRAP, 2, 2, 2 },
	};
	assert_int_equal(COUNT(rows), TARIFF_ROWS);
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct {
			enum act_network network;
			uint32_t want;
		} cases[] = {
			{ ACT_NETWORK_RIPE, rows[i].ripe },
			{ ACT_NETWORK_SHARED, rows[i].shared },
			{ ACT_NETWORK_STRANGE, rows[i].strange },
		};
		assert_int_equal(rows[i].row, i);
		for (size_t c = 0; c < COUNT(cases); c++) {
			struct act act = full_act(cases[c].network);
			struct tariff_bill bill = tariff_bill(&act);
			struct tariff only = { .price = { [TARIFF_RECIPIENT] = 0 } };
			only.price[rows[i].row] = 7;
			assert_int_equal(bill.count[rows[i].row], cases[c].want);
			assert_int_equal(tariff_surcharge(&only, &bill),
			                 i <= TARIFF_MEMBER ? 0 : 7 * cases[c].want);
			act.past.learned = false;
			bill = tariff_bill(&act);
			assert_int_equal(bill.count[rows[i].row],
			                 rows[i].row == TARIFF_RECIPIENT ? 100
			                 : rows[i].row == TARIFF_MEMBER  ? 60
			                                                 : 0);
		}
	}
}

/* ---- prices ---- */

static void classic_counts_recipients_only(void **state)
{
	(void)state;
	const struct tariff classic = tariff_classic();
	static const enum act_network networks[] = { ACT_NETWORK_RIPE, ACT_NETWORK_SHARED,
		                                     ACT_NETWORK_STRANGE };
	for (size_t i = 0; i < COUNT(networks); i++) {
		struct act act = full_act(networks[i]);
		struct tariff_bill bill = tariff_bill(&act);
		assert_int_equal(tariff_price(&classic, &bill), act.recipients);
		assert_int_equal(tariff_surcharge(&classic, &bill), 0);
		assert_int_equal(tariff_forgiven(&classic, &bill), 0);
		assert_false(tariff_is_strange(&classic, &bill));
	}
	for (enum tariff_row row = TARIFF_RECIPIENT; row < TARIFF_ROWS; row++) {
		struct tariff tariff = classic;
		tariff.price[row] = 7; /* a recipient has no price */
		assert_int_equal(tariff_is_classic(&tariff), row == TARIFF_RECIPIENT);
	}
	struct tariff_bill all = bill_of(UINT32_MAX);
	assert_int_equal(tariff_price(&classic, &all), UINT32_MAX);
	assert_true(tariff_is_classic(&classic));
	for (enum tariff_row row = TARIFF_RECIPIENT + 1; row < TARIFF_ROWS; row++) {
		struct tariff other = classic;
		other.price[row] = 1;
		assert_false(tariff_is_classic(&other));
	}
	assert_int_equal(tariff_surcharge(&classic, &all), 0);
}

static void what_a_bill_costs(void **state)
{
	(void)state;
	/* Powers of ten, so that the sum says what was added. */
	static const struct tariff prices = {
		.price = { 1, 10, 100, 1000, 10000, 0, 7, 0, 0, 3 },
	};
	static const struct {
		uint32_t count[TARIFF_ROWS];
		uint32_t price, surcharge, forgiven;
		bool strange;
	} rows[] = {
		{ { 0 }, 0, 0, 0, false },
		{ { 5 }, 5, 0, 0, false },
		{ { 5, 4, 3, 2, 1 }, 12345, 12300, 12340, true },
		{ { 5, 0, 3 }, 305, 300, 300, false },
		{ { [TARIFF_STRANGE_NETWORK] = 1 }, 1000, 1000, 1000, true },
		{ { [TARIFF_BEYOND] = 1 }, 10000, 10000, 10000, true },
		/* What costs nothing is as if it were not there. */
		{ { [TARIFF_NEW_NETWORK] = 9, [TARIFF_COUNTRY] = 9 }, 0, 0, 0, false },
		{ { 5, [TARIFF_TRAP] = 2 }, 11, 6, 6, false },
		{ { 5, [TARIFF_REFUSED] = 2 }, 5, 0, 0, false },
		{ { 1, 6, 7 }, 761, 700, 760, false },
		{ { 1, 6, 4 }, 461, 400, 460, false },
		{ { 1, 6, 7, 7 }, 7761, 7700, 7760, true },
		{ { 1, 6, 7, 5 }, 5761, 5700, 5760, true },
		{ { 1, 6, 7, [TARIFF_SHARED] = 7 }, 810, 749, 809, false },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct tariff_bill bill;
		memcpy(bill.count, rows[i].count, sizeof bill.count);
		if (tariff_price(&prices, &bill) != rows[i].price ||
		    tariff_surcharge(&prices, &bill) != rows[i].surcharge ||
		    tariff_forgiven(&prices, &bill) != rows[i].forgiven ||
		    tariff_is_strange(&prices, &bill) != rows[i].strange) {
			fail_msg("row %zu: %u %u %u %d", i, tariff_price(&prices, &bill),
			         tariff_surcharge(&prices, &bill),
			         tariff_forgiven(&prices, &bill),
			         tariff_is_strange(&prices, &bill));
		}
	}
}

/* Only a strange network has some of them. */
static void which_are_strange(void **state)
{
	(void)state;
	static const bool strange[TARIFF_ROWS] = {
		[TARIFF_STRANGE_NETWORK] = true,
		[TARIFF_BEYOND] = true,
		[TARIFF_NEW_NETWORK] = true,
		[TARIFF_COUNTRY] = true,
	};
	const struct tariff prices = tariff_default();
	for (size_t i = 0; i < TARIFF_ROWS; i++) {
		struct tariff_bill bill = { .count = { 0 } };
		bill.count[i] = 1;
		assert_int_equal(tariff_is_strange(&prices, &bill), strange[i]);
		assert_int_equal(tariff_forgiven(&prices, &bill) > 0, i != TARIFF_RECIPIENT);
	}
}

static void sums_saturate(void **state)
{
	(void)state;
	const struct tariff prices = tariff_default();
	struct tariff dear = tariff_default();
	struct tariff_bill most = bill_of(UINT32_MAX), sum = bill_of(UINT32_MAX - 1);
	struct tariff_bill one = bill_of(1);
	for (size_t i = 1; i < TARIFF_ROWS; i++) {
		dear.price[i] = TARIFF_PRICE_MAX;
	}
	assert_int_equal(tariff_price(&dear, &most), UINT32_MAX);
	assert_int_equal(tariff_surcharge(&dear, &most), UINT32_MAX);
	assert_int_equal(tariff_forgiven(&dear, &most), UINT32_MAX);
	/* 2^32 / 100 of them are just too many. */
	struct tariff_bill traps = { .count = { [TARIFF_TRAP] = 42949672 } };
	assert_int_equal(tariff_price(&prices, &traps), 4294967200u);
	traps.count[TARIFF_RECIPIENT] = 95;
	assert_int_equal(tariff_price(&prices, &traps), UINT32_MAX);
	traps.count[TARIFF_RECIPIENT] = 96;
	assert_int_equal(tariff_price(&prices, &traps), UINT32_MAX);
	tariff_add(&sum, &one);
	assert_int_equal(sum.count[TARIFF_TRAP], UINT32_MAX);
	tariff_add(&sum, &one);
	assert_int_equal(sum.count[TARIFF_TRAP], UINT32_MAX);
	assert_int_equal(one.count[TARIFF_TRAP], 1);
}

/* ---- as text ---- */

static void parses_prices(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum tariff_row row;
		uint32_t price;
		const char *reason; /* a piece of it; NULL: taken */
	} rows[] = {
		{ "stranger=5", TARIFF_STRANGER, 5, NULL },
		{ "stranger=0", TARIFF_STRANGER, 0, NULL },
		{ "strange-network=10000", TARIFF_STRANGE_NETWORK, 10000, NULL },
		{ "list-member=2", TARIFF_MEMBER, 2, NULL },
		{ "refused=1", TARIFF_REFUSED, 1, NULL },
		{ "trap=999", TARIFF_TRAP, 999, NULL },
		{ "stranger=10001", 0, 0, "more than 10000" },
		{ "stranger=99999999999999999999999999", 0, 0, "more than 10000" },
		{ "stranger=4294967297", 0, 0, "more than 10000" },
		{ "recipient=1", 0, 0, "always 1" },
		{ "recipient=2", 0, 0, "always 1" },
		{ "strangers=5", 0, 0, "no such price" },
		{ "strange=5", 0, 0, "no such price" },
		{ "Stranger=5", 0, 0, "no such price" },
		{ " stranger=5", 0, 0, "no such price" },
		{ "stranger =5", 0, 0, "no such price" },
		{ "stranger= 5", 0, 0, "such as" },
		{ "stranger=5 ", 0, 0, "such as" },
		{ "stranger=-5", 0, 0, "such as" },
		{ "stranger=+5", 0, 0, "such as" },
		{ "stranger=05", 0, 0, "such as" },
		{ "stranger=5.5", 0, 0, "such as" },
		{ "stranger==5", 0, 0, "such as" },
		{ "stranger=", 0, 0, "such as" },
		{ "stranger", 0, 0, "such as" },
		{ "=5", 0, 0, "such as" },
		{ "=", 0, 0, "such as" },
		{ "", 0, 0, "such as" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct tariff tariff = tariff_default(), want = tariff_default();
		const char *reason = NULL;
		bool taken = tariff_parse(span_str(rows[i].text), &tariff, &reason);
		if (taken != (rows[i].reason == NULL) ||
		    (!taken && !strstr(reason, rows[i].reason))) {
			fail_msg("\"%s\": %d, %s", rows[i].text, taken, reason ? reason : "");
		}
		if (taken) {
			want.price[rows[i].row] = rows[i].price;
		}
		assert_memory_equal(&tariff, &want, sizeof want);
	}
}

/* ---- an account's own prices as a row ---- */

static struct tariff given(const char *texts)
{
	struct tariff tariff = tariff_unset();
	struct span rest = span_str(texts);
	while (rest.len) {
		const char *reason = "";
		size_t end = span_find(rest, ' ');
		assert_true(tariff_parse(span_first(rest, end), &tariff, &reason));
		rest = span_from(rest, end + 1);
	}
	return tariff;
}

static void packs_what_differs(void **state)
{
	(void)state;
	static const struct {
		const char *texts;
		size_t len;
	} rows[] = {
		{ "", 0 },
		{ "stranger=1", 3 },
		/* Given is given, be it what the site says just now. */
		{ "stranger=4", 3 },
		{ "trap=0", 3 },
		{ "trap=10000 list-member=0", 6 },
		{ "list-member=1 stranger=2 strange-network=3 strange-known=4 new-network=5 "
		  "shared-network=6 country=7 refused=8 trap=9",
		  19 },
	};
	const struct tariff unset = tariff_unset();
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf row = { .cap = 64 };
		struct tariff own = given(rows[i].texts), back = tariff_default();
		tariff_pack(&own, &unset, &row);
		assert_false(row.failed);
		assert_int_equal(row.len, rows[i].len);
		assert_true(tariff_unpack(buf_span(&row), &back));
		const struct tariff standard = tariff_default();
		for (size_t p = 0; p < TARIFF_ROWS; p++) {
			bool is_own = own.price[p] != unset.price[p];
			assert_int_equal(back.price[p],
			                 is_own ? own.price[p] : standard.price[p]);
		}
		/* No beginning of it is a row, but for the empty one. */
		for (size_t cut = 1; cut < row.len; cut++) {
			back = tariff_classic();
			assert_false(tariff_unpack(span_first(buf_span(&row), cut), &back));
			assert_int_equal(back.price[TARIFF_STRANGER], 0);
		}
		buf_done(&row);
	}
}

static void refuses_damaged_prices(void **state)
{
	(void)state;
	static const struct span rows[] = {
		SPAN_LIT("\0"),           /* none, and yet there */
		SPAN_LIT("\1\0\1"),       /* of the recipient */
		SPAN_LIT("\1\12\1"),      /* beyond the table */
		SPAN_LIT("\2\3\1\3\1"),   /* twice */
		SPAN_LIT("\2\3\1\2\1"),   /* out of order */
		SPAN_LIT("\1\3\221\116"), /* 10,001 */
		SPAN_LIT("\1\3\1\1"),     /* one byte too many */
		SPAN_LIT("\1\3\377\377\377\377\377\377\377\377\377\377"),
		SPAN_LIT("\377\3\1"),
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct tariff tariff = tariff_classic();
		const struct tariff classic = tariff_classic();
		if (tariff_unpack(rows[i], &tariff)) {
			fail_msg("row %zu is taken", i);
		}
		assert_memory_equal(&tariff, &classic, sizeof classic);
	}
	struct tariff tariff = tariff_classic();
	assert_true(tariff_unpack(SPAN_LIT("\1\3\220\116"), &tariff)); /* 10,000 */
	assert_int_equal(tariff.price[TARIFF_STRANGE_NETWORK], TARIFF_PRICE_MAX);
}

/* ---- dwell ---- */

static const struct tariff_dwell half = { 50, 5 * MINUTE, 4 * HOUR };

static void how_long_it_waits(void **state)
{
	(void)state;
	enum { RIPE = ACT_NETWORK_RIPE, SHARED, STRANGE };
	static const struct {
		unsigned from;
		uint32_t used, tokens, surcharge;
		int network;
		uint32_t strangers;
		int64_t want;
	} rows[] = {
		/* Below `from`, and at it, and behind it. */
		{ 50, 0, 500, 1, RIPE, 1, 0 },
		{ 50, 249, 500, 200, RIPE, 1, 0 },
		{ 50, 250, 500, 200, RIPE, 1, 0 },
		{ 50, 251, 500, 200, RIPE, 1, 1200 },
		{ 50, 375, 500, 1, RIPE, 1, 150 * SECOND },
		{ 50, 375, 500, 1, SHARED, 1, 150 * SECOND },
		{ 50, 375, 500, 1, STRANGE, 0, 150 * SECOND },
		{ 50, 375, 500, 1, STRANGE, 1, 2 * HOUR },
		{ 50, 500, 500, 1, RIPE, 1, 5 * MINUTE },
		{ 50, 500, 500, 1, STRANGE, 1, 4 * HOUR },
		{ 50, 1000, 500, 1, RIPE, 1, 5 * MINUTE },
		{ 50, UINT32_MAX, 500, 1, STRANGE, 1, 4 * HOUR },
		/* Never without surcharges. */
		{ 50, 500, 500, 0, STRANGE, 1, 0 },
		{ 0, UINT32_MAX, 1, 0, STRANGE, 1, 0 },
		/* Never from home to known ones, not a millisecond. */
		{ 50, 500, 500, 499, RIPE, 0, 0 },
		{ 0, UINT32_MAX, 500, UINT32_MAX, RIPE, 0, 0 },
		/* From there a webmail user waits with the others of his window. */
		{ 50, 500, 500, 1, SHARED, 0, 5 * MINUTE },
		/* Other bounds. */
		{ 0, 0, 500, 1, RIPE, 1, 0 },
		{ 0, 250, 500, 1, RIPE, 1, 150 * SECOND },
		{ 99, 494, 500, 1, RIPE, 1, 0 },
		{ 99, 500, 500, 1, RIPE, 1, 5 * MINUTE },
		{ 100, 500, 500, 1, STRANGE, 1, 0 },
		{ 100, UINT32_MAX, 500, 1, STRANGE, 1, 0 },
		/* Small and large limits: half of one token is one. */
		{ 50, 0, 1, 1, RIPE, 1, 0 },
		{ 50, 1, 1, 1, RIPE, 1, 5 * MINUTE },
		{ 50, 2, 3, 1, RIPE, 1, 0 },
		{ 50, 3, 3, 1, RIPE, 1, 5 * MINUTE },
		{ 50, 3221225471u, UINT32_MAX, 1, STRANGE, 1, 2 * HOUR - 1 },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct act act = {
			.past = { .learned = true,
			          .network = (enum act_network)rows[i].network,
			          .strangers = rows[i].strangers },
		};
		const struct tariff_dwell rules = { rows[i].from, half.most, half.strange };
		int64_t is = tariff_dwell(&rules, &act, rows[i].used, rows[i].tokens,
		                          rows[i].surcharge);
		if (is != rows[i].want) {
			fail_msg("row %zu: %lld, not %lld", i, (long long)is,
			         (long long)rows[i].want);
		}
	}
}

static void a_higher_bill_never_waits_less(void **state)
{
	(void)state;
	static const uint32_t tokens[] = { 1, 2, 3, 7, 500, 2000, 9999 };
	static const unsigned from[] = { 0, 1, 33, 50, 99, 100 };
	static const enum act_network networks[] = { ACT_NETWORK_RIPE, ACT_NETWORK_SHARED,
		                                     ACT_NETWORK_STRANGE };
	for (size_t n = 0; n < COUNT(networks) * COUNT(from) * COUNT(tokens); n++) {
		const struct act act = {
			.past = { .learned = true,
			          .strangers = 1,
			          .network = networks[n % COUNT(networks)] },
		};
		const struct tariff_dwell rules = { from[n / COUNT(networks) % COUNT(from)],
			                            half.most, half.strange };
		uint32_t limit = tokens[n / COUNT(networks) / COUNT(from)];
		int64_t most = act.past.network == ACT_NETWORK_STRANGE ? half.strange
		                                                       : half.most;
		int64_t last = 0;
		for (uint32_t used = 0; used <= limit; used++) {
			int64_t is = tariff_dwell(&rules, &act, used, limit, 1);
			assert_true(is >= last && is <= most);
			assert_true(is == 0 || used * 100 >= limit * rules.from);
			last = is;
		}
		assert_int_equal(last, rules.from < 100 ? most : 0);
	}
	/* Turned off; and without a history, whatever lists have cost. */
	const struct tariff_dwell off = { 50, 0, 0 };
	struct act act = {
		.past = { .learned = true, .strangers = 1, .network = ACT_NETWORK_STRANGE },
	};
	assert_int_equal(tariff_dwell(&off, &act, 500, 500, 1), 0);
	assert_int_equal(tariff_dwell(&half, &act, 500, 500, 1), half.strange);
	act.past.learned = false;
	assert_int_equal(tariff_dwell(&half, &act, 500, 500, 1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_row_has_a_name_and_a_meaning),
		cmocka_unit_test(what_is_on_a_bill),
		cmocka_unit_test(each_row_chooses),
		cmocka_unit_test(classic_counts_recipients_only),
		cmocka_unit_test(what_a_bill_costs),
		cmocka_unit_test(which_are_strange),
		cmocka_unit_test(sums_saturate),
		cmocka_unit_test(parses_prices),
		cmocka_unit_test(packs_what_differs),
		cmocka_unit_test(refuses_damaged_prices),
		cmocka_unit_test(how_long_it_waits),
		cmocka_unit_test(a_higher_bill_never_waits_less),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
