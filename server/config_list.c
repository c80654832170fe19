/* The kinds of lists: addresses, networks, limits, accounts, prices. */
#include "server/config_table.h"

#include <assert.h>

#include "proto/address.h"

#define ARGUMENT_MAX 1000

/* ---- numeric addresses ---- */

static bool parse_ip(const struct config_row *row, struct span text,
                     struct config_value *value_out, struct error *fault)
{
	(void)row;
	unsigned char address[NETWORK_ADDRESS_BYTES];
	return config_take_text(text, value_out, network_address_parse(text, address),
	                        "is no numeric address", fault);
}

static bool store_ip(const struct config_row *row, const struct config_slot *slot,
                     const struct config_value *value)
{
	(void)row;
	struct config_listener *listener = slot->object;
	listener->naddresses = slot->index + 1;
	return config_copy_text(slot->memory, value->text, true,
	                        &listener->address[slot->index]);
}

static void write_ip(const struct config_row *row, const void *object, size_t index,
                     struct buf *out)
{
	(void)row;
	config_put_quoted(span_str(((const struct config_listener *)object)->address[index]),
	                  out);
}

static size_t count_ips(const struct config_row *row, const void *object)
{
	(void)row;
	return ((const struct config_listener *)object)->naddresses;
}

/* ---- lists of any block: `offset` is that of the array, `count_offset` that of its length
 * ---- */

static void *at(const void *object, size_t offset)
{
	return (char *)(uintptr_t)object + offset;
}

static size_t count_list(const struct config_row *row, const void *object)
{
	const size_t *count = at(object, row->count_offset);
	return *count;
}

/* ---- networks ---- */

static bool parse_network(const struct config_row *row, struct span text,
                          struct config_value *value_out, struct error *fault)
{
	(void)row;
	const char *reason = "is no network";
	bool good = network_parse(text, &value_out->network, &reason);
	return config_take_text(text, value_out, good, reason, fault);
}

static bool store_network(const struct config_row *row, const struct config_slot *slot,
                          const struct config_value *value)
{
	struct network **list = at(slot->object, row->offset);
	size_t *count = at(slot->object, row->count_offset);
	if (slot->index == 0) {
		*list = arena_alloc(slot->memory, slot->count * sizeof **list);
	}
	if (!*list) {
		return false;
	}
	(*list)[slot->index] = value->network;
	*count = slot->index + 1;
	return true;
}

static void write_network(const struct config_row *row, const void *object, size_t index,
                          struct buf *out)
{
	struct network *const *list = at(object, row->offset);
	buf_put_byte(out, '"');
	network_write(&(*list)[index], out);
	buf_put_byte(out, '"');
}

/* ---- limits ---- */

static bool parse_limit(const struct config_row *row, struct span text,
                        struct config_value *value_out, struct error *fault)
{
	(void)row;
	const char *reason = "is no limit";
	bool good = budget_limit_parse(text, &value_out->limit, &reason);
	return config_take_text(text, value_out, good, reason, fault);
}

static bool store_limit(const struct config_row *row, const struct config_slot *slot,
                        const struct config_value *value)
{
	struct budget_limits *limits = at(slot->object, row->offset);
	limits->limit[slot->index] = value->limit;
	limits->count = slot->index + 1;
	return true;
}

static void write_limit(const struct config_row *row, const void *object, size_t index,
                        struct buf *out)
{
	const struct budget_limits *limits = at(object, row->offset);
	buf_put_byte(out, '"');
	budget_limit_write(&limits->limit[index], out);
	buf_put_byte(out, '"');
}

static size_t count_limits(const struct config_row *row, const void *object)
{
	const struct budget_limits *limits = at(object, row->offset);
	return limits->count;
}

/* ---- lists of spans ---- */

static bool store_span(const struct config_row *row, const struct config_slot *slot,
                       const struct config_value *value)
{
	struct span **list = at(slot->object, row->offset);
	size_t *count = at(slot->object, row->count_offset);
	bool lower = row->type == &config_type_patterns;
	char *text;
	if (slot->index == 0) {
		*list = arena_alloc(slot->memory, slot->count * sizeof **list);
	}
	if (!*list || !config_copy_text(slot->memory, value->text, lower, &text)) {
		return false;
	}
	(*list)[slot->index] = span_of(text, value->text.len);
	*count = slot->index + 1;
	return true;
}

static void write_span(const struct config_row *row, const void *object, size_t index,
                       struct buf *out)
{
	struct span *const *list = at(object, row->offset);
	config_put_quoted((*list)[index], out);
}

/* An account has always a domain in the end: a name without one would never match. */
static bool parse_pattern(const struct config_row *row, struct span text,
                          struct config_value *value_out, struct error *fault)
{
	(void)row;
	struct buf name = { .cap = ADDRESS_ACCOUNT_MAX };
	bool good = address_account(text, SPAN_NONE, &name);
	bool whole = span_find(text, '@') < text.len || span_find(text, '*') < text.len;
	buf_done(&name);
	return config_take_text(text, value_out, good && whole,
	                        good ? "needs its @domain" : "is no account and no pattern",
	                        fault);
}

/* ---- prices: those that are given, over the defaults ---- */

static bool parse_price(const struct config_row *row, struct span text,
                        struct config_value *value_out, struct error *fault)
{
	(void)row;
	struct tariff tariff;
	const char *reason = "is no price";
	bool good = tariff_parse(text, &tariff, &reason);
	return config_take_text(text, value_out, good, reason, fault);
}

void config_preset_prices(const struct config_row *row, void *object)
{
	*(struct tariff *)at(object, row->offset) = tariff_default();
}

static bool store_price(const struct config_row *row, const struct config_slot *slot,
                        const struct config_value *value)
{
	const char *reason;
	bool good = tariff_parse(value->text, at(slot->object, row->offset), &reason);
	assert(good);
	return good;
}

/* All but that of a recipient, which can not be given. */
static size_t count_prices(const struct config_row *row, const void *object)
{
	(void)row;
	(void)object;
	return TARIFF_ROWS - 1;
}

static void write_price(const struct config_row *row, const void *object, size_t index,
                        struct buf *out)
{
	const struct tariff *tariff = at(object, row->offset);
	enum tariff_row price = (enum tariff_row)(index + 1);
	buf_printf(out, "\"%s=%u\"", tariff_name(price), tariff->price[price]);
}

void config_explain_prices(struct buf *out)
{
	for (enum tariff_row i = TARIFF_RECIPIENT + 1; i < TARIFF_ROWS; i++) {
		buf_printf(out, "%s \"%s\": %s", i > 1 ? ";" : "", tariff_name(i),
		           tariff_meaning(i));
	}
	buf_put_str(out, ".");
}

/* What it means is said by all of them together (config_hook.c). */
static bool parse_argument(const struct config_row *row, struct span text,
                           struct config_value *value_out, struct error *fault)
{
	(void)row;
	return config_take_text(text, value_out, text.len <= ARGUMENT_MAX,
	                        "is longer than 1000 bytes", fault);
}

/* ---- the types ---- */

#define TYPE(id) const struct config_type config_type_##id

TYPE(addresses) = { "addresses", parse_ip, store_ip, write_ip, count_ips };
TYPE(networks) = { "networks", parse_network, store_network, write_network, count_list };
TYPE(limits) = { "limits", parse_limit, store_limit, write_limit, count_limits };
TYPE(patterns) = { "accounts", parse_pattern, store_span, write_span, count_list };
TYPE(mailboxes) = { "mail addresses", config_parse_mailbox, store_span, write_span,
	            count_list };
TYPE(prices) = { "prices", parse_price, store_price, write_price, count_prices };
TYPE(command) = { "command", parse_argument, store_span, write_span, count_list };
TYPE(paths) = { "paths", config_parse_path, store_span, write_span, count_list };
TYPE(words) = { "words", config_parse_word, store_span, write_span, count_list };
