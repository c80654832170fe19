#include "auth/tariff.h"

#include "proto/pack.h"

#include <assert.h>

/* ---- to how many each price applies ---- */

static uint32_t count_recipients(const struct act *act)
{
	return act->recipients;
}

static uint32_t count_members(const struct act *act)
{
	return act->members;
}

static uint32_t count_strangers(const struct act *act)
{
	return act->past.strangers;
}

/* What happens in a network that is strange. One that many use says nothing about an account,
 * not by being new and not by its country. */
static uint32_t if_strange(const struct act *act, uint32_t count)
{
	return act->past.network == ACT_NETWORK_STRANGE ? count : 0;
}

static uint32_t count_strange(const struct act *act)
{
	return if_strange(act, act->past.strangers);
}

static uint32_t count_beyond(const struct act *act)
{
	return if_strange(act, act->past.beyond);
}

static uint32_t count_new_network(const struct act *act)
{
	return if_strange(act, act->past.new_network);
}

static uint32_t count_shared(const struct act *act)
{
	return act->past.network == ACT_NETWORK_SHARED ? act->past.strangers : 0;
}

static uint32_t count_country(const struct act *act)
{
	return if_strange(act, act->past.new_country);
}

/* The smarthost says so later. */
static uint32_t count_refused(const struct act *act)
{
	(void)act;
	return 0;
}

static uint32_t count_traps(const struct act *act)
{
	return act->traps;
}

/* ---- the table ---- */

/*
 * The default prices are for a budget of 500 tokens in half an hour and 2,000 in a day. Each is
 * a number of this table and nowhere else; all but the first can be configured.
 */
static const struct row {
	const char *name;
	const char *meaning; /* of a line in a notice, behind "so many" */
	uint32_t price;
	bool strange; /* only a strange network has it */
	uint32_t (*count)(const struct act *act);
} rows[TARIFF_ROWS] = {
	/* The unit of the currency. */
	[TARIFF_RECIPIENT] = { "recipient", "recipients", 1, false, count_recipients },
	/* A list reaches as many people as its members would alone: it costs as many tokens. */
	[TARIFF_MEMBER] = { "list-member", "members of lists, beyond one recipient each", 1,
	                    false, count_members },
	/* With its recipient 3: at home the window for strangers, a hundred a day, is met
	 * before the budget, and beyond it mail is only held; an account that writes to an old
	 * list is not stopped. */
	[TARIFF_STRANGER] = { "stranger", "strangers, never written to before", 2, false,
	                      count_strangers },
	/* With both above 20: an empty budget ends at the 24th, its first network counted. A
	 * traveller writes to less than that in half an hour; a thief's mail is of nothing
	 * else. */
	[TARIFF_STRANGE_NETWORK] = { "strange-network",
	                             "strangers, written to from a network that is not "
	                             "familiar",
	                             17, true, count_strange },
	/* Doubles what is known: 250 in half an hour. Who travels answers his own people, so
	 * it is cheap, and the first ten a day are free. */
	[TARIFF_BEYOND] = { "strange-known",
	                    "known ones, after ten a day from a network not familiar", 1, true,
	                    count_beyond },
	/* Twenty of them are half an hour's budget, eighty a day's: a telephone has 15 on a bad
	 * day, a botnet a new one for each mail. */
	[TARIFF_NEW_NETWORK] = { "new-network", "networks that were new to the account", 25,
	                         true, count_new_network },
	/* Between the familiar and the strange, nearer to the familiar: where nearly all of a
	 * site comes from one address, its users must be able to work. */
	[TARIFF_SHARED] = { "shared-network",
	                    "strangers, written to from a network that many accounts use", 2,
	                    false, count_shared },
	/* Less than a network, with which it comes: one journey is 45. */
	[TARIFF_COUNTRY] = { "country", "countries that were new to the account", 20, true,
	                     count_country },
	/* A list of strangers half of which is dead costs twice what a clean one does. An old
	 * list of one's own, with one in twenty, costs a tenth more. */
	[TARIFF_REFUSED] = { "refused", "strangers whom the next server does not know or take",
	                     10, false, count_refused },
	/* Nobody has a reason to write there, but a slip may be answered to all: five of them
	 * are half an hour's budget. */
	[TARIFF_TRAP] = { "trap", "addresses that are traps", 100, false, count_traps },
};

const char *tariff_name(enum tariff_row row)
{
	return rows[row].name;
}

const char *tariff_meaning(enum tariff_row row)
{
	return rows[row].meaning;
}

struct tariff tariff_default(void)
{
	struct tariff tariff;
	for (size_t i = 0; i < TARIFF_ROWS; i++) {
		tariff.price[i] = rows[i].price;
	}
	return tariff;
}

struct tariff tariff_classic(void)
{
	return (struct tariff){ .price = { [TARIFF_RECIPIENT] = 1 } };
}

bool tariff_is_classic(const struct tariff *tariff)
{
	bool any = false;
	for (size_t i = TARIFF_RECIPIENT + 1; i < TARIFF_ROWS; i++) {
		any = any || tariff->price[i];
	}
	return !any;
}

/* ---- prices as text and as a row ---- */

#define UNSET UINT32_MAX

/* The number of a surcharge; TARIFF_ROWS when there is none of this name. */
static size_t find(struct span name)
{
	size_t i = 0;
	while (i < TARIFF_ROWS && !span_eq(name, span_str(rows[i].name))) {
		i++;
	}
	return i;
}

/* Digits without a leading zero; far too many are still too much. */
static bool read_price(struct span text, uint32_t *price_out)
{
	uint32_t price = 0;
	bool good = text.len > 0 && (text.ptr[0] != '0' || text.len == 1);
	for (size_t i = 0; good && i < text.len; i++) {
		good = text.ptr[i] >= '0' && text.ptr[i] <= '9';
		if (good && price <= TARIFF_PRICE_MAX) {
			price = price * 10 + (uint32_t)(text.ptr[i] - '0');
		}
	}
	*price_out = price;
	return good;
}

bool tariff_parse(struct span text, struct tariff *tariff, const char **reason_out)
{
	uint32_t price = 0;
	size_t end = span_find(text, '=');
	size_t row = find(span_first(text, end));
	bool good = read_price(span_from(text, end + 1), &price);
	const struct {
		bool fault;
		const char *reason;
	} checks[] = {
		{ end == 0 || end == text.len || !good,
		  "is not name=price, such as stranger=4" },
		{ row == TARIFF_ROWS, "there is no such price" },
		{ row == TARIFF_RECIPIENT, "a recipient is always 1" },
		{ price > TARIFF_PRICE_MAX, "is more than 10000" },
	};
	for (size_t i = 0; i < COUNT(checks); i++) {
		if (checks[i].fault) {
			*reason_out = checks[i].reason;
			return false;
		}
	}
	tariff->price[row] = price;
	return true;
}

struct tariff tariff_unset(void)
{
	struct tariff tariff;
	for (size_t i = 0; i < TARIFF_ROWS; i++) {
		tariff.price[i] = UNSET;
	}
	return tariff;
}

/* A row is how many prices there are, then the number and the price of each. */

void tariff_pack(const struct tariff *tariff, const struct tariff *base, struct buf *out)
{
	unsigned n = 0;
	for (size_t i = 0; i < TARIFF_ROWS; i++) {
		n += tariff->price[i] != base->price[i];
	}
	if (n > 0) {
		pack_u8(out, (uint8_t)n);
	}
	for (size_t i = 0; i < TARIFF_ROWS; i++) {
		if (tariff->price[i] != base->price[i]) {
			assert(i != TARIFF_RECIPIENT && tariff->price[i] <= TARIFF_PRICE_MAX);
			pack_varint(out, i);
			pack_varint(out, tariff->price[i]);
		}
	}
}

bool tariff_unpack(struct span row, struct tariff *tariff)
{
	struct tariff read = *tariff;
	struct unpacker in = unpack_from(row);
	uint64_t next = TARIFF_RECIPIENT + 1; /* they only grow, so none comes twice */
	uint8_t n = row.len ? unpack_u8(&in) : 0;
	if (row.len && n == 0) {
		return false;
	}
	for (uint8_t i = 0; i < n; i++) {
		uint64_t number = unpack_varint(&in);
		uint64_t price = unpack_varint(&in);
		if (in.bad || number < next || number >= TARIFF_ROWS ||
		    price > TARIFF_PRICE_MAX) {
			return false;
		}
		read.price[number] = (uint32_t)price;
		next = number + 1;
	}
	if (!unpack_ok(&in)) {
		return false;
	}
	*tariff = read;
	return true;
}

/* ---- a bill ---- */

static uint32_t saturate(uint64_t sum)
{
	return sum > UINT32_MAX ? UINT32_MAX : (uint32_t)sum;
}

struct tariff_bill tariff_bill(const struct act *act)
{
	struct tariff_bill bill = { .count = { 0 } };
	for (size_t i = 0; i < TARIFF_ROWS; i++) {
		if (i <= TARIFF_MEMBER || act->past.learned) {
			bill.count[i] = rows[i].count(act);
		}
	}
	return bill;
}

/* Ten products of 32 bits and 14: far from an overflow. */
static uint64_t cost(const struct tariff *tariff, const struct tariff_bill *bill,
                     enum tariff_row row)
{
	return (uint64_t)(row == TARIFF_RECIPIENT ? 1 : tariff->price[row]) * bill->count[row];
}

uint32_t tariff_price(const struct tariff *tariff, const struct tariff_bill *bill)
{
	return saturate((uint64_t)tariff_surcharge(tariff, bill) +
	                cost(tariff, bill, TARIFF_RECIPIENT) +
	                cost(tariff, bill, TARIFF_MEMBER));
}

uint32_t tariff_surcharge(const struct tariff *tariff, const struct tariff_bill *bill)
{
	uint64_t sum = 0;
	for (enum tariff_row row = TARIFF_MEMBER + 1; row < TARIFF_ROWS; row++) {
		sum += cost(tariff, bill, row);
	}
	return saturate(sum);
}

uint32_t tariff_forgiven(const struct tariff *tariff, const struct tariff_bill *bill)
{
	return saturate((uint64_t)tariff_surcharge(tariff, bill) +
	                cost(tariff, bill, TARIFF_MEMBER));
}

bool tariff_is_strange(const struct tariff *tariff, const struct tariff_bill *bill)
{
	for (enum tariff_row row = 0; row < TARIFF_ROWS; row++) {
		if (rows[row].strange && cost(tariff, bill, row) > 0) {
			return true;
		}
	}
	return false;
}

void tariff_add(struct tariff_bill *sum, const struct tariff_bill *bill)
{
	for (size_t i = 0; i < TARIFF_ROWS; i++) {
		sum->count[i] = saturate((uint64_t)sum->count[i] + bill->count[i]);
	}
}

/* ---- dwell ---- */

/* The part of `most` that `part` is of `whole`, rounded down; part < whole. */
static int64_t share(int64_t most, uint32_t part, uint32_t whole)
{
	uint64_t ms = (uint64_t)most;
	return (int64_t)(ms / whole * part + ms % whole * part / whole);
}

int64_t tariff_dwell(const struct tariff_dwell *rules, const struct act *act, uint32_t used,
                     uint32_t tokens, uint32_t surcharge)
{
	const struct act_past *past = &act->past;
	bool at_home = past->network == ACT_NETWORK_RIPE && past->strangers == 0;
	bool strange = past->network == ACT_NETWORK_STRANGE && past->strangers > 0;
	int64_t most = strange ? rules->strange : rules->most;
	if (rules->from >= 100 || surcharge == 0 || at_home || most <= 0 || !past->learned) {
		return 0;
	}
	uint32_t from = (uint32_t)(((uint64_t)tokens * rules->from + 99) / 100);
	if (used < from) {
		return 0;
	}
	return used >= tokens ? most : share(most, used - from, tokens - from);
}
