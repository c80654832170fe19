#include "auth/apppass.h"

#include "auth/gate.h"
#include "store/keys.h"
#include "test/auth/fresh_store.h"

#include "test/auth/aftermath.h"

#define SECRET_CAP 64

static const char *reason = "";

static struct budget_limits limits_of(const char *text)
{
	struct budget_limits limits = { .count = text != NULL };
	assert_true(!text || budget_limit_parse(span_str(text), &limits.limit[0], &reason));
	return limits;
}

/* A new app password, its secret in `secret`. False when it is one too many. */
static bool add(struct span account, struct span name, const char *limit, char *secret)
{
	const struct apppass apppass = { .name = name,
		                         .limits = limits_of(limit),
		                         .created_wall = fake_clock.wall };
	struct buf out = { .cap = SECRET_CAP };
	bool full = true;
	struct store_txn *txn = begin();
	assert_int_equal(apppass_add(txn, account, &apppass, &out, &full), STORE_OK);
	commit(txn);
	assert_int_equal(out.len > 0, !full);
	snprintf(secret, SECRET_CAP, "%.*s", SPAN_ARG(buf_span(&out)));
	buf_done(&out);
	return !full;
}

/* The name of the one that a secret is of; "" when it is none. */
static const char *find(struct span account, const char *secret)
{
	static char name[APPPASS_NAME_MAX + 1];
	struct apppass apppass = { .name = SPAN_NONE };
	struct store_txn *txn = store_begin_read(store, NULL);
	enum store_result result = apppass_find(txn, account, span_str(secret), &apppass);
	assert_true(result == STORE_OK || result == STORE_NOT_FOUND);
	snprintf(name, sizeof name, "%.*s", SPAN_ARG(apppass.name));
	store_abort(txn);
	return name;
}

static bool delete (struct span account, struct span name)
{
	struct store_txn *txn = begin();
	enum store_result result = apppass_delete(txn, account, name);
	commit(txn);
	return result == STORE_OK;
}

/* ---- names and forms ---- */

static void names(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		bool valid;
	} rows[] = {
		{ "scanner", true },
		{ "Scanner-2.floor_3", true },
		{ "12345678901234567890123456789012", true },
		{ "123456789012345678901234567890123", false },
		{ "", false },
		{ "two words", false },
		{ "a/b", false },
		{ "a@b", false },
		{ "sc\xc3\xa4nner", false },
		{ "a\n", false },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (apppass_name_is_valid(span_str(rows[i].name)) != rows[i].valid) {
			fail_msg("%s", rows[i].name);
		}
	}
	assert_false(apppass_name_is_valid(span_of("a\0b", 3)));
}

static void forms(void **state)
{
	(void)state;
	static const struct {
		const char *password;
		bool is;
	} rows[] = {
		{ "gp-abcde-fghij-klmno-pqrst-uvwxyz", true },
		{ "GP-ABCDE-FGHIJ-KLMNO-PQRST-UVWXYZ", true },
		{ "gp-abcdefghijklmnopqrstuvwxyz", true },
		{ "gp-234567234567234567234567aa", true },
		{ "gp-a-b-c-d-e-f-g-h-i-j-klmnopqrstuvwxyz--", true },
		{ "gp-a-b-c-d-e-f-g-h-i-j-k-l-m-n-o-p-q-r-s-t-u-v-w-x-y-z", false }, /* long */
		{ "gp-abcdefghijklmnopqrstuvwxy", false },                           /* 25 */
		{ "gp-abcdefghijklmnopqrstuvwxyza", false },                         /* 27 */
		{ "gp-abcdefghijklmnopqrstuvwxy1", false }, /* no letter of it */
		{ "gp-abcdefghijklmnopqrstuvwxy ", false },
		{ "gpabcdefghijklmnopqrstuvwxyz", false },
		{ "abcde-fghij-klmno-pqrst-uvwxyz", false },
		{ "xgp-abcdefghijklmnopqrstuvwxyz", false },
		{ "secret of the test", false },
		{ "gp-", false },
		{ "gp", false },
		{ "", false },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (apppass_is_one(span_str(rows[i].password)) != rows[i].is) {
			fail_msg("%s", rows[i].password);
		}
	}
	assert_false(apppass_is_one(SPAN_LIT("gp-abcdefghijklmnopqrstuvwxy\0")));
}

/* ---- life ---- */

static void typed_as_people_do(void **state)
{
	(void)state;
	char secret[SECRET_CAP];
	char other[SECRET_CAP];
	char typed[SECRET_CAP];
	assert_true(add(ALICE, SPAN_LIT("scanner"), NULL, secret));
	assert_true(add(ALICE, SPAN_LIT("phone"), NULL, other));
	assert_int_equal(strlen(secret), 33);
	assert_true(apppass_is_one(span_str(secret)));
	assert_string_not_equal(secret, other);
	assert_string_equal(find(ALICE, secret), "scanner");
	assert_string_equal(find(ALICE, other), "phone");
	assert_string_equal(find(BOB, secret), ""); /* it is nobody else's */
	assert_string_equal(find(SPAN_NONE, secret), "");
	size_t n = 0;
	for (size_t i = 0; secret[i]; i++) {
		bool dash = secret[i] == '-' && i != 2;
		typed[n] = (char)(secret[i] >= 'a' && secret[i] <= 'z' ? secret[i] - 32
		                                                       : secret[i]);
		n += !dash;
	}
	typed[n] = '\0';
	assert_string_equal(find(ALICE, typed), "scanner");
	for (size_t i = 3; secret[i]; i++) { /* each letter counts */
		memcpy(typed, secret, sizeof typed);
		typed[i] = typed[i] == 'a' ? 'b' : 'a';
		assert_string_equal(find(ALICE, typed), "");
	}
}

/* What is stored says nothing of the secret, nor does any other row. */
static void nothing_of_it_is_stored(void **state)
{
	(void)state;
	char secret[SECRET_CAP];
	struct store_walk walk;
	struct span key;
	struct span row;
	assert_true(add(ALICE, SPAN_LIT("scanner"), "20/1h", secret));
	struct store_txn *txn = store_begin_read(store, NULL);
	store_walk_begin(&walk, txn, STORE_APPPASS, SPAN_NONE, SPAN_NONE);
	assert_true(store_walk_next(&walk, &key, &row));
	for (size_t i = 3; i + 5 <= strlen(secret); i += 6) {
		assert_null(memmem(row.ptr, row.len, secret + i, 5));
		assert_null(memmem(key.ptr, key.len, secret + i, 5));
	}
	assert_false(store_walk_next(&walk, &key, &row));
	store_walk_end(&walk);
	store_abort(txn);
}

static void what_is_kept_comes_back(void **state)
{
	(void)state;
	struct apppass apppass = { .name = SPAN_LIT("scanner"),
		                   .limits = limits_of("20/1h"),
		                   .created_wall = 1700000000123 };
	struct apppass back;
	struct buf secret = { .cap = SECRET_CAP };
	bool full;
	for (size_t i = 0; i < APPPASS_NETWORKS_MAX; i++) {
		apppass.network[i].address[15] = (unsigned char)i;
		apppass.network[i].bits = 128;
	}
	apppass.nnetworks = APPPASS_NETWORKS_MAX;
	struct store_txn *txn = begin();
	assert_int_equal(apppass_add(txn, ALICE, &apppass, &secret, &full), STORE_OK);
	commit(txn);
	reopen_store();
	txn = store_begin_read(store, NULL);
	assert_int_equal(apppass_get(txn, ALICE, SPAN_LIT("scanner"), &back), STORE_OK);
	assert_int_equal(back.limits.count, 1);
	assert_int_equal(back.limits.limit[0].tokens, 20);
	assert_int_equal(back.created_wall, 1700000000123);
	assert_int_equal(back.nnetworks, APPPASS_NETWORKS_MAX);
	assert_memory_equal(back.network, apppass.network, sizeof back.network);
	assert_int_equal(apppass_get(txn, ALICE, SPAN_LIT("Scanner"), &back), STORE_NOT_FOUND);
	assert_int_equal(apppass_get(txn, BOB, SPAN_LIT("scanner"), &back), STORE_NOT_FOUND);
	assert_int_equal(apppass_get(txn, ALICE, SPAN_NONE, &back), STORE_NOT_FOUND);
	store_abort(txn);
	buf_done(&secret);
}

static void only_from_its_networks(void **state)
{
	(void)state;
	static const unsigned char inside[16] = { [10] = 0xff, 0xff, 10, 1, 2, 3 };
	static const unsigned char outside[16] = { [10] = 0xff, 0xff, 10, 1, 3, 3 };
	struct apppass apppass = { .nnetworks = 0 };
	assert_true(apppass_is_allowed(&apppass, outside));
	assert_true(network_parse(SPAN_LIT("2001:db8::/32"), &apppass.network[0], &reason));
	assert_true(network_parse(SPAN_LIT("10.1.2.0/24"), &apppass.network[1], &reason));
	apppass.nnetworks = 2;
	assert_true(apppass_is_allowed(&apppass, inside));
	assert_false(apppass_is_allowed(&apppass, outside));
}

static void each_name_once_and_not_too_many(void **state)
{
	(void)state;
	char secret[SECRET_CAP];
	char name[16];
	assert_true(add(ALICE, SPAN_LIT("n0"), NULL, secret));
	assert_false(add(ALICE, SPAN_LIT("n0"), NULL, secret));
	for (int i = 1; i < APPPASS_MOST; i++) {
		snprintf(name, sizeof name, "n%d", i);
		assert_true(add(ALICE, span_str(name), NULL, secret));
	}
	assert_string_equal(find(ALICE, secret), name);
	assert_false(add(ALICE, SPAN_LIT("more"), NULL, secret));
	assert_true(add(BOB, SPAN_LIT("more"), NULL, secret));
	assert_true(delete (ALICE, SPAN_LIT("n7")));
	assert_true(add(ALICE, SPAN_LIT("more"), NULL, secret));
	struct apppass apppass = { .name = SPAN_LIT("x") };
	struct buf out = { .cap = SECRET_CAP };
	bool full = false;
	struct store_txn *txn = begin();
	assert_int_equal(apppass_add(txn, SPAN_LIT("eve@example.org"), &apppass, &out, &full),
	                 STORE_NOT_FOUND);
	assert_int_equal(out.len, 0);
	store_abort(txn);
}

/* All of an account in name order, and of no other: neither of one whose name begins so. */
static void listed_in_order(void **state)
{
	(void)state;
	static const char *const names[] = { "a", "b", "b-2", "scanner" };
	const struct account other = { .secret = SPAN_LIT("x") };
	const struct span longer = SPAN_LIT("alice@example.org.uk");
	char secret[SECRET_CAP];
	char after[APPPASS_NAME_MAX] = "";
	size_t len = 0;
	struct apppass apppass;
	struct store_txn *txn = begin();
	account_put(txn, longer, &other);
	commit(txn);
	add(longer, SPAN_LIT("z"), NULL, secret);
	add(BOB, SPAN_LIT("z"), NULL, secret);
	for (size_t i = COUNT(names); i-- > 0;) {
		assert_true(add(ALICE, span_str(names[i]), NULL, secret));
	}
	txn = store_begin_read(store, NULL);
	for (size_t i = 0; i < COUNT(names); i++) {
		assert_int_equal(apppass_next(txn, ALICE, span_of(after, len), &apppass),
		                 STORE_OK);
		assert_true(span_eq(apppass.name, span_str(names[i])));
		len = apppass.name.len;
		memcpy(after, apppass.name.ptr, len);
	}
	assert_int_equal(apppass_next(txn, ALICE, span_of(after, len), &apppass),
	                 STORE_NOT_FOUND);
	store_abort(txn);
}

/* ---- what it spends ---- */

static struct gate_rules rules = { .limits = { { { 50, 30 * MINUTE } }, 1 } };

static enum gate_verdict send(struct span account, struct span name, uint32_t recipients)
{
	struct gate_result result;
	struct act act = act_of(account, recipients);
	struct store_txn *txn = begin();
	act.apppass = name;
	enum gate_verdict courtesy = gate_recipient(txn, &rules, &act);
	enum gate_verdict verdict = gate_message(txn, &rules, &act, &result);
	assert_int_equal(courtesy, verdict);
	commit(txn);
	return verdict;
}

static uint32_t spent_by(struct span account, struct span name)
{
	struct apppass apppass;
	struct gate_view view;
	uint32_t spent[BUDGET_LIMITS_MAX];
	struct store_txn *txn = store_begin_read(store, NULL);
	if (name.len) {
		assert_int_equal(apppass_get(txn, account, name, &apppass), STORE_OK);
		assert_true(gate_show_apppass(txn, account, &apppass, store_now(store), spent));
	} else {
		assert_int_equal(gate_show(txn, &rules, account, store_now(store), &view),
		                 GATE_ALLOW);
		spent[0] = view.spent[0];
	}
	store_abort(txn);
	return spent[0];
}

static size_t ledgers(void)
{
	struct store_walk walk;
	struct span key;
	struct span row;
	size_t n = 0;
	struct store_txn *txn = store_begin_read(store, NULL);
	store_walk_begin(&walk, txn, STORE_LEDGER, SPAN_NONE, SPAN_NONE);
	while (store_walk_next(&walk, &key, &row)) {
		n += key.ptr[0] != '/'; /* those of the site */
	}
	store_walk_end(&walk);
	store_abort(txn);
	return n;
}

#define SCANNER SPAN_LIT("scanner")
#define PHONE   SPAN_LIT("phone")

static void both_budgets_in_one_transaction(void **state)
{
	(void)state;
	char secret[SECRET_CAP];
	add(ALICE, SCANNER, "20/1h", secret);
	add(ALICE, PHONE, NULL, secret);
	assert_int_equal(send(ALICE, SCANNER, 15), GATE_ALLOW);
	assert_int_equal(send(ALICE, SCANNER, 6), GATE_SPENT);
	assert_int_equal(send(ALICE, SCANNER, 21), GATE_NEVER);
	assert_int_equal(send(ALICE, SCANNER, 5), GATE_ALLOW);
	assert_int_equal(spent_by(ALICE, SCANNER), 20);
	assert_int_equal(spent_by(ALICE, SPAN_NONE), 20);
	assert_int_equal(send(ALICE, PHONE, 30), GATE_ALLOW);
	assert_int_equal(spent_by(ALICE, SPAN_NONE), 50);
	assert_int_equal(ledgers(), 2); /* none for one without limits */
	reopen_store();
	fake_clock_pass(31 * MINUTE); /* the account's are back, the scanner's not */
	assert_int_equal(send(ALICE, SCANNER, 1), GATE_SPENT);
	assert_int_equal(send(ALICE, SPAN_NONE, 50), GATE_ALLOW);
	assert_int_equal(send(ALICE, SPAN_LIT("toaster"), 1), GATE_UNKNOWN);
	assert_int_equal(send(BOB, SCANNER, 1), GATE_UNKNOWN);
	fake_clock_pass(2 * HOUR);
	struct store_txn *txn = begin();
	struct gate_result result;
	struct act act = act_of(ALICE, 20);
	act.apppass = SCANNER;
	assert_int_equal(gate_message(txn, &rules, &act, &result), GATE_ALLOW);
	store_abort(txn); /* dropped: neither is charged */
	assert_int_equal(spent_by(ALICE, SCANNER), 0);
	assert_int_equal(spent_by(ALICE, SPAN_NONE), 0);
}

/* Nobody is suspended by the limit of an app password; by the account's it is, with the name on
 * the bill. */
static void only_the_account_is_suspended(void **state)
{
	(void)state;
	char secret[SECRET_CAP];
	struct arena arena;
	struct incident incident;
	struct bill bill;
	uint64_t by = 0;
	rules.suspend = to_postmasters;
	add(ALICE, SCANNER, "20/1h", secret);
	add(ALICE, PHONE, NULL, secret);
	assert_int_equal(send(ALICE, SCANNER, 20), GATE_ALLOW);
	assert_int_equal(send(ALICE, SCANNER, 1), GATE_SPENT);
	assert_aftermath("spent", aftermath(), .incident = 0);
	assert_int_equal(send(ALICE, PHONE, 30), GATE_ALLOW);
	assert_int_equal(send(ALICE, PHONE, 1), GATE_TRIPPED);
	assert_int_equal(send(ALICE, PHONE, 1), GATE_SUSPENDED);
	assert_int_equal(send(ALICE, SCANNER, 1), GATE_SUSPENDED);
	struct store_txn *txn = store_begin_read(store, NULL);
	arena_init(&arena, ARENA_MAX);
	assert_int_equal(incident_get(txn, 1, &arena, &incident), STORE_OK);
	assert_true(bill_unpack(incident.reasons, &bill));
	assert_string_equal(bill.apppass, "phone");
	assert_int_equal(bill.spent, 50);
	assert_int_equal(gate_login(txn, ALICE, PHONE, &by, NULL), GATE_SUSPENDED);
	assert_int_equal(by, 1);
	arena_done(&arena);
	store_abort(txn);
	rules.suspend.npostmaster = 0;
}

/* An exemption is of the account's limits; whoever gave the app password one meant it. */
static void an_exempt_account(void **state)
{
	(void)state;
	static const struct span exempt[] = { { "alice@*", 7 } };
	char secret[SECRET_CAP];
	rules.exempt = exempt;
	rules.nexempt = 1;
	add(ALICE, SCANNER, "20/1h", secret);
	add(ALICE, PHONE, NULL, secret);
	assert_int_equal(send(ALICE, PHONE, 5000), GATE_ALLOW);
	assert_int_equal(send(ALICE, SCANNER, 20), GATE_ALLOW);
	assert_int_equal(send(ALICE, SCANNER, 1), GATE_SPENT);
	assert_int_equal(spent_by(ALICE, SPAN_NONE), 5020);
	rules.nexempt = 0;
}

static void login(void **state)
{
	(void)state;
	char secret[SECRET_CAP];
	uint64_t incident = 7;
	int64_t since = 0;
	add(ALICE, SCANNER, NULL, secret);
	struct store_txn *txn = store_begin_read(store, NULL);
	assert_int_equal(gate_login(txn, ALICE, SCANNER, &incident, &since), GATE_ALLOW);
	assert_int_equal(incident, 0);
	assert_int_equal(since, fake_clock.wall);
	assert_int_equal(gate_login(txn, ALICE, PHONE, &incident, &since), GATE_UNKNOWN);
	assert_int_equal(gate_login(txn, BOB, SCANNER, &incident, &since), GATE_UNKNOWN);
	assert_int_equal(gate_login(txn, ALICE, SPAN_NONE, &incident, &since), GATE_ALLOW);
	assert_int_equal(since, 0); /* the password of the account is as old as that */
	store_abort(txn);
}

/* Gone is gone: what it spent, too; and all of them with their account. */
static void deleted(void **state)
{
	(void)state;
	char secret[SECRET_CAP];
	char again[SECRET_CAP];
	add(ALICE, SCANNER, "20/1h", secret);
	assert_int_equal(send(ALICE, SCANNER, 20), GATE_ALLOW);
	assert_true(delete (ALICE, SCANNER));
	assert_false(delete (ALICE, SCANNER));
	assert_string_equal(find(ALICE, secret), "");
	assert_int_equal(send(ALICE, SCANNER, 1), GATE_UNKNOWN);
	add(ALICE, SCANNER, "20/1h", again);
	assert_string_equal(find(ALICE, secret), "");
	assert_int_equal(spent_by(ALICE, SCANNER), 0);
	assert_int_equal(send(ALICE, SCANNER, 20), GATE_ALLOW);
	struct store_txn *txn = begin();
	assert_int_equal(gate_reset(txn, ALICE), STORE_OK);
	commit(txn);
	assert_int_equal(spent_by(ALICE, SCANNER), 0);
	assert_int_equal(send(ALICE, SCANNER, 20), GATE_ALLOW);
	add(ALICE, PHONE, "5/1h", secret);
	add(BOB, PHONE, "5/1h", secret);
	assert_int_equal(send(ALICE, PHONE, 5), GATE_ALLOW);
	assert_int_equal(send(BOB, PHONE, 5), GATE_ALLOW);
	assert_int_equal(ledgers(), 5);
	txn = begin();
	assert_int_equal(account_delete(txn, ALICE), STORE_OK);
	assert_int_equal(apppass_delete_all(txn, ALICE), STORE_OK);
	commit(txn);
	assert_int_equal(ledgers(), 2);
	assert_string_equal(find(ALICE, again), "");
	assert_string_equal(find(BOB, secret), "phone");
}

/* The longest account with the longest name: nothing is cut off a key. */
static void the_longest_names(void **state)
{
	(void)state;
	const struct account row = { .secret = SPAN_LIT("x") };
	char account[KEY_ACCOUNT_MAX + 1];
	char name[APPPASS_NAME_MAX + 1];
	char secret[SECRET_CAP];
	memset(account, 'a', KEY_ACCOUNT_MAX);
	memcpy(account + KEY_ACCOUNT_MAX - 12, "@example.org", 13);
	memset(name, 'n', APPPASS_NAME_MAX);
	name[APPPASS_NAME_MAX] = '\0';
	struct store_txn *txn = begin();
	account_put(txn, span_str(account), &row);
	commit(txn);
	assert_true(add(span_str(account), span_str(name), "20/1h", secret));
	assert_string_equal(find(span_str(account), secret), name);
	assert_int_equal(send(span_str(account), span_str(name), 20), GATE_ALLOW);
	assert_int_equal(send(span_str(account), span_str(name), 1), GATE_SPENT);
	assert_int_equal(spent_by(span_str(account), SPAN_NONE), 20);
	assert_true(delete (span_str(account), span_str(name)));
	assert_int_equal(ledgers(), 1);
}

/* ---- damage ---- */

/* A row that is cut anywhere, or longer, or of a newer version: never used, and no other is
 * kept from being so. */
static void damage_is_never_allowed(void **state)
{
	(void)state;
	char secret[SECRET_CAP];
	char other[SECRET_CAP];
	char whole[512];
	struct span row;
	struct apppass apppass;
	struct key key = key_apppass(ALICE, SCANNER);
	add(ALICE, SCANNER, "20/1h", secret);
	add(ALICE, SPAN_LIT("zz"), NULL, other);
	struct store_txn *txn = begin();
	assert_int_equal(store_get(txn, STORE_APPPASS, key_span(&key), &row), STORE_OK);
	size_t len = row.len;
	memcpy(whole, row.ptr, len);
	whole[len] = '\0';
	store_abort(txn);
	for (size_t n = 0; n <= len + 1; n++) {
		whole[0] = n == len ? 2 : 1; /* whole, but newer */
		txn = begin();
		store_put(txn, STORE_APPPASS, key_span(&key), span_of(whole, n));
		commit(txn);
		txn = store_begin_read(store, NULL);
		assert_int_equal(apppass_find(txn, ALICE, span_str(secret), &apppass),
		                 STORE_DAMAGED);
		assert_int_equal(apppass_find(txn, ALICE, span_str(other), &apppass), STORE_OK);
		assert_int_equal(apppass_get(txn, ALICE, SCANNER, &apppass), STORE_DAMAGED);
		assert_int_equal(apppass_next(txn, ALICE, SPAN_NONE, &apppass), STORE_DAMAGED);
		assert_true(span_eq(apppass.name, SCANNER));
		store_abort(txn);
		struct gate_result ignored;
		struct act act = act_of(ALICE, 1);
		act.apppass = SCANNER;
		txn = begin();
		assert_int_equal(gate_message(txn, &rules, &act, &ignored), GATE_BROKEN);
		store_abort(txn);
	}
	assert_true(delete (ALICE, SCANNER)); /* what the admin does */
	assert_int_equal(send(ALICE, SPAN_LIT("zz"), 1), GATE_ALLOW);
}

static void a_damaged_ledger(void **state)
{
	(void)state;
	char secret[SECRET_CAP];
	struct key key = key_apppass_ledger(ALICE, SCANNER);
	add(ALICE, SCANNER, "20/1h", secret);
	struct store_txn *txn = begin();
	store_put(txn, STORE_LEDGER, key_span(&key), SPAN_LIT("\x01\x00\x03\xff\xff\xff"));
	commit(txn);
	struct gate_result result;
	struct act act = act_of(ALICE, 1);
	act.apppass = SCANNER;
	txn = begin();
	assert_int_equal(gate_message(txn, &rules, &act, &result), GATE_BROKEN);
	store_abort(txn);
	assert_int_equal(send(ALICE, SPAN_NONE, 1), GATE_ALLOW);
	txn = begin();
	assert_int_equal(gate_reset(txn, ALICE), STORE_OK);
	commit(txn);
	assert_int_equal(send(ALICE, SCANNER, 1), GATE_ALLOW);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(forms),
		cmocka_unit_test(only_from_its_networks),
		TEST(typed_as_people_do),
		TEST(nothing_of_it_is_stored),
		TEST(what_is_kept_comes_back),
		TEST(each_name_once_and_not_too_many),
		TEST(listed_in_order),
		TEST(both_budgets_in_one_transaction),
		TEST(only_the_account_is_suspended),
		TEST(an_exempt_account),
		TEST(login),
		TEST(deleted),
		TEST(the_longest_names),
		TEST(damage_is_never_allowed),
		TEST(a_damaged_ledger),
	};
	return cmocka_run_group_tests_name("apppass", tests, NULL, NULL);
}
