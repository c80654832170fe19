/* The kinds of lists: addresses, networks, limits, accounts. */
#include "server/config_table.h"

#include <arpa/inet.h>

#include "proto/address.h"

/* ---- numeric addresses ---- */

static bool parse_ip(const struct config_row *row, struct span text,
                     struct config_value *value_out, struct error *fault)
{
	(void)row;
	return config_take_text(text, value_out, config_is_ip(text), "is no numeric address",
	                        fault);
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

/* ---- networks ---- */

#define MAPPED_BITS 96

static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

static bool is_v4(const struct config_network *network)
{
	return network->bits >= MAPPED_BITS &&
	       memcmp(network->address, mapped, sizeof mapped) == 0;
}

/* "/24" and the like; all bits when there is none. */
static bool read_bits(struct span text, unsigned most, unsigned *bits_out)
{
	unsigned bits = 0;
	if (text.len == 0) {
		*bits_out = most;
		return true;
	}
	for (size_t i = 1; i < text.len; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9') {
			return false;
		}
		bits = bits * 10 + (unsigned)(text.ptr[i] - '0');
	}
	*bits_out = bits;
	return text.len > 1 && text.len <= 4 && bits <= most;
}

/* 10.0.0.1/8 may mean one host or all of 10: it is not guessed which. */
static bool has_host_bits(const struct config_network *network)
{
	for (unsigned bit = network->bits; bit < 128; bit++) {
		if (network->address[bit / 8] >> (7 - bit % 8) & 1) {
			return true;
		}
	}
	return false;
}

static const char *read_network(struct span text, struct config_network *network)
{
	size_t slash = span_find(text, '/');
	char host[INET6_ADDRSTRLEN + 1] = "";
	*network = (struct config_network){ .bits = 0 };
	if (!config_is_ip(span_first(text, slash))) {
		return "is no network";
	}
	memcpy(host, text.ptr, slash);
	bool v4 = inet_pton(AF_INET, host, network->address + sizeof mapped) == 1;
	if (v4) {
		memcpy(network->address, mapped, sizeof mapped);
	} else {
		inet_pton(AF_INET6, host, network->address);
	}
	struct span behind = span_from(text, slash);
	if (!read_bits(behind, v4 ? 32 : 128, &network->bits)) {
		return v4 ? "ends in no prefix, /0 to /32" : "ends in no prefix, /0 to /128";
	}
	network->bits += v4 ? MAPPED_BITS : 0;
	return has_host_bits(network) ? "has bits behind its prefix" : NULL;
}

static bool parse_network(const struct config_row *row, struct span text,
                          struct config_value *value_out, struct error *fault)
{
	(void)row;
	const char *reason = read_network(text, &value_out->network);
	return config_take_text(text, value_out, !reason, reason, fault);
}

static bool store_network(const struct config_row *row, const struct config_slot *slot,
                          const struct config_value *value)
{
	(void)row;
	struct config_listener *listener = slot->object;
	if (slot->index == 0) {
		listener->peers = arena_alloc(slot->memory,
		                              slot->count * sizeof *listener->peers);
	}
	if (!listener->peers) {
		return false;
	}
	listener->peers[slot->index] = value->network;
	listener->npeers = slot->index + 1;
	return true;
}

static void write_network(const struct config_row *row, const void *object, size_t index,
                          struct buf *out)
{
	(void)row;
	const struct config_network *network =
	    &((const struct config_listener *)object)->peers[index];
	bool v4 = is_v4(network);
	char text[INET6_ADDRSTRLEN];
	inet_ntop(v4 ? AF_INET : AF_INET6, network->address + (v4 ? sizeof mapped : 0), text,
	          sizeof text);
	buf_printf(out, "\"%s/%u\"", text, network->bits - (v4 ? MAPPED_BITS : 0));
}

static size_t count_networks(const struct config_row *row, const void *object)
{
	(void)row;
	return ((const struct config_listener *)object)->npeers;
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
	(void)row;
	struct budget_limits *limits = &((struct config *)slot->object)->limits;
	limits->limit[slot->index] = value->limit;
	limits->count = slot->index + 1;
	return true;
}

static void write_limit(const struct config_row *row, const void *object, size_t index,
                        struct buf *out)
{
	(void)row;
	buf_put_byte(out, '"');
	budget_limit_write(&((const struct config *)object)->limits.limit[index], out);
	buf_put_byte(out, '"');
}

static size_t count_limits(const struct config_row *row, const void *object)
{
	(void)row;
	return ((const struct config *)object)->limits.count;
}

/* ---- lists of spans: `offset` is that of the array, `count_offset` that of its length ---- */

static void *at(const void *object, size_t offset)
{
	return (char *)(uintptr_t)object + offset;
}

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

static size_t count_spans(const struct config_row *row, const void *object)
{
	const size_t *count = at(object, row->count_offset);
	return *count;
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

/* ---- the types ---- */

#define TYPE(id) const struct config_type config_type_##id

TYPE(addresses) = { "addresses", parse_ip, store_ip, write_ip, count_ips };
TYPE(networks) = { "networks", parse_network, store_network, write_network, count_networks };
TYPE(limits) = { "limits", parse_limit, store_limit, write_limit, count_limits };
TYPE(patterns) = { "accounts", parse_pattern, store_span, write_span, count_spans };
TYPE(mailboxes) = { "mail addresses", config_parse_mailbox, store_span, write_span,
	            count_spans };
