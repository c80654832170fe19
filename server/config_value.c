/* The kinds of values: read, stored, written back. */
#include "server/config_table.h"

#include <assert.h>
#include <sys/un.h>

#include "proto/address.h"
#include "proto/arena.h"
#include "proto/orders.h"

#define TEXT_MAX 1024

static void *field(const struct config_row *row, const void *object)
{
	return (char *)(uintptr_t)object + row->offset;
}

/* ---- numbers ---- */

struct unit {
	const char *suffix;
	int64_t factor;
};

/* From the largest to the smallest; a number that no other unit divides is written in the last.
 */
struct scale {
	const char *hint;
	size_t count;
	struct unit unit[4];
};

static const struct scale plain = { "", 1, { { "", 1 } } };
static const struct scale bytes = {
	", a number, with K, M or G if you like",
	4,
	{ { "G", 1 << 30 }, { "M", 1 << 20 }, { "K", 1 << 10 }, { "", 1 } }
};
static const struct scale times = {
	", a number with s, m, h or d",
	4,
	{ { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 } }
};

static const struct scale *scale_of(const struct config_row *row)
{
	if (row->type == &config_type_size) {
		return &bytes;
	}
	bool time = row->type == &config_type_duration || row->type == &config_type_durations;
	return time ? &times : &plain;
}

static void put_number(const struct config_row *row, int64_t number, struct buf *out)
{
	const struct scale *scale = scale_of(row);
	size_t i = number == 0 ? scale->count - 1 : 0;
	while (i + 1 < scale->count && number % scale->unit[i].factor != 0) {
		i++;
	}
	buf_printf(out, "%lld%s", (long long)(number / scale->unit[i].factor),
	           scale->unit[i].suffix);
}

/* Digits and one of the units; nothing else, no sign, no blanks. */
static bool get_number(const struct config_row *row, struct span text, int64_t *number_out)
{
	const struct scale *scale = scale_of(row);
	size_t digits = 0;
	int64_t number = 0;
	while (digits < text.len && digits < 12 && text.ptr[digits] >= '0' &&
	       text.ptr[digits] <= '9') {
		number = number * 10 + (text.ptr[digits++] - '0');
	}
	for (size_t i = 0; digits > 0 && i < scale->count; i++) {
		if (span_eq(span_from(text, digits), span_str(scale->unit[i].suffix))) {
			bool fits = number <= INT64_MAX / scale->unit[i].factor;
			*number_out = fits ? number * scale->unit[i].factor : INT64_MAX;
			return true;
		}
	}
	return false;
}

/* A retry is at least a second; the row's own bounds are those of the list. */
static void bounds(const struct config_row *row, int64_t *min_out, int64_t *max_out)
{
	bool list = row->type == &config_type_durations;
	*min_out = list ? 1000 : row->min;
	*max_out = list ? 86400000 : row->max;
}

static bool parse_number(const struct config_row *row, struct span text,
                         struct config_value *value_out, struct error *fault)
{
	int64_t min, max;
	bounds(row, &min, &max);
	if (!get_number(row, text, &value_out->number)) {
		error_set(fault, "is no %s%s", row->type->count ? "duration" : row->type->name,
		          scale_of(row)->hint);
		return false;
	}
	if (value_out->number < min || value_out->number > max) {
		struct buf range = { .cap = TEXT_MAX };
		config_row_write_range(row, &range);
		error_set(fault, "must be %.*s", SPAN_ARG(buf_span(&range)));
		buf_done(&range);
		return false;
	}
	return true;
}

static bool store_number(const struct config_row *row, const struct config_slot *slot,
                         const struct config_value *value)
{
	*(int64_t *)field(row, slot->object) = value->number;
	return true;
}

static void write_number(const struct config_row *row, const void *object, size_t index,
                         struct buf *out)
{
	(void)index;
	put_number(row, *(const int64_t *)field(row, object), out);
}

/* Ports, counts, and enums: an enum without negative values is an unsigned. */
static bool store_unsigned(const struct config_row *row, const struct config_slot *slot,
                           const struct config_value *value)
{
	*(unsigned *)field(row, slot->object) = (unsigned)value->number;
	return true;
}

static void write_unsigned(const struct config_row *row, const void *object, size_t index,
                           struct buf *out)
{
	(void)index;
	put_number(row, *(const unsigned *)field(row, object), out);
}

/* ---- words ---- */

/* Word `index` of "a|b"; empty behind the last. */
static struct span word_at(const struct config_row *row, size_t index)
{
	struct span rest = span_str(row->words);
	while (index-- > 0) {
		rest = span_from(rest, span_find(rest, '|') + 1);
	}
	return span_first(rest, span_find(rest, '|'));
}

bool config_parse_word(const struct config_row *row, struct span text,
                       struct config_value *value_out, struct error *fault)
{
	for (size_t i = 0; word_at(row, i).len; i++) {
		if (span_eq(text, word_at(row, i))) {
			value_out->number = (int64_t)i;
			value_out->text = text;
			return true;
		}
	}
	struct buf range = { .cap = TEXT_MAX };
	config_row_write_range(row, &range);
	error_set(fault, "must be %.*s", SPAN_ARG(buf_span(&range)));
	buf_done(&range);
	return false;
}

static void write_word(const struct config_row *row, const void *object, size_t index,
                       struct buf *out)
{
	(void)index;
	buf_put(out, word_at(row, *(const unsigned *)field(row, object)));
}

/* ---- texts ---- */

bool config_take_text(struct span text, struct config_value *value_out, bool good,
                      const char *reason, struct error *fault)
{
	if (!good) {
		error_set(fault, "%s", reason);
	}
	value_out->text = text;
	return good;
}

static bool parse_hostname(const struct config_row *row, struct span text,
                           struct config_value *value_out, struct error *fault)
{
	(void)row;
	return config_take_text(text, value_out, address_domain_is_valid(text),
	                        "is no host name", fault);
}

static bool parse_domain(const struct config_row *row, struct span text,
                         struct config_value *value_out, struct error *fault)
{
	(void)row;
	bool good = address_domain_is_valid(text) && text.ptr[0] != '[';
	return config_take_text(text, value_out, good, "is no domain name", fault);
}

/* 10.0.0.256 is a name by its letters; no top-level domain begins with a digit. */
static bool is_name(struct span text)
{
	size_t label = text.len;
	while (label > 0 && text.ptr[label - 1] != '.') {
		label--;
	}
	return address_domain_is_valid(text) && text.ptr[0] != '[' &&
	       (text.ptr[label] < '0' || text.ptr[label] > '9');
}

static bool parse_host(const struct config_row *row, struct span text,
                       struct config_value *value_out, struct error *fault)
{
	(void)row;
	unsigned char address[NETWORK_ADDRESS_BYTES];
	return config_take_text(text, value_out,
	                        network_address_parse(text, address) || is_name(text),
	                        "is neither a host name nor an address", fault);
}

bool config_parse_path(const struct config_row *row, struct span text,
                       struct config_value *value_out, struct error *fault)
{
	(void)row;
	bool good = text.len && text.ptr[0] == '/' && text.len < TEXT_MAX;
	return config_take_text(text, value_out, good,
	                        "must be a path from the root, with a / in front", fault);
}

static bool parse_socket(const struct config_row *row, struct span text,
                         struct config_value *value_out, struct error *fault)
{
	if (text.len >= sizeof(((struct sockaddr_un *)NULL)->sun_path)) {
		return config_take_text(text, value_out, false,
		                        "is too long for a socket (107 bytes)", fault);
	}
	return config_parse_path(row, text, value_out, fault);
}

static bool parse_user(const struct config_row *row, struct span text,
                       struct config_value *value_out, struct error *fault)
{
	(void)row;
	bool good = text.len > 0 && text.len <= 32 && span_find(text, ':') == text.len &&
	            span_find(text, ' ') == text.len && !span_eq(text, SPAN_LIT("root"));
	return config_take_text(text, value_out, good, "is no name of an ordinary user", fault);
}

/* What people read in replies: RFC 5321 4.2 knows no other bytes. */
static bool parse_printable(const struct config_row *row, struct span text,
                            struct config_value *value_out, struct error *fault)
{
	bool good = text.len <= (size_t)row->max;
	for (size_t i = 0; i < text.len; i++) {
		good = good && text.ptr[i] >= ' ' && text.ptr[i] < 127;
	}
	if (!good) {
		error_set(fault, "must be ASCII text of at most %lld bytes",
		          (long long)row->max);
	}
	value_out->text = text;
	return good;
}

/* It stands in our header fields: one with quotes could hold a blank or a comma. */
bool config_parse_mailbox(const struct config_row *row, struct span text,
                          struct config_value *value_out, struct error *fault)
{
	(void)row;
	struct address address;
	bool good = address_parse(text, &address) == ADDRESS_OK &&
	            address.whole.len == text.len && span_find(text, '"') == text.len;
	return config_take_text(text, value_out, good, "is no mail address", fault);
}

static bool parse_reply_address(const struct config_row *row, struct span text,
                                struct config_value *value_out, struct error *fault)
{
	(void)row;
	const char *reason = "";
	bool good = orders_pattern_is_valid(text, &reason);
	return config_take_text(text, value_out, good, reason, fault);
}

static bool parse_account(const struct config_row *row, struct span text,
                          struct config_value *value_out, struct error *fault)
{
	(void)row;
	struct buf name = { .cap = ADDRESS_ACCOUNT_MAX };
	bool good = address_account(text, SPAN_NONE, &name);
	bool whole = span_find(text, '@') < text.len;
	buf_done(&name);
	return config_take_text(text, value_out, good && whole,
	                        good ? "needs its @domain" : "is no account", fault);
}

bool config_copy_text(struct arena *memory, struct span text, bool lower, char **copy_out)
{
	struct span copy;
	if (!arena_copy(memory, text, &copy)) {
		return false;
	}
	char *letters = (char *)(uintptr_t)copy.ptr;
	for (size_t i = 0; lower && i < copy.len; i++) {
		letters[i] = span_lower(letters[i]);
	}
	*copy_out = letters;
	return true;
}

static bool store_text(const struct config_row *row, const struct config_slot *slot,
                       const struct config_value *value)
{
	return config_copy_text(slot->memory, value->text, false, field(row, slot->object));
}

static bool store_lower(const struct config_row *row, const struct config_slot *slot,
                        const struct config_value *value)
{
	return config_copy_text(slot->memory, value->text, true, field(row, slot->object));
}

/* config_scan_clean sees to it that no other byte needs an escape; "${" would be expanded
 * between double quotes. */
void config_put_quoted(struct span text, struct buf *out)
{
	char quote = span_find(text, '$') < text.len ? '\'' : '"';
	buf_put_byte(out, quote);
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] == quote || text.ptr[i] == '\\') {
			buf_put_byte(out, '\\');
		}
		buf_put_byte(out, text.ptr[i]);
	}
	buf_put_byte(out, quote);
}

static void write_text(const struct config_row *row, const void *object, size_t index,
                       struct buf *out)
{
	(void)index;
	config_put_quoted(span_str(*(char *const *)field(row, object)), out);
}

/* ---- durations: a list of numbers ---- */

static bool store_retry(const struct config_row *row, const struct config_slot *slot,
                        const struct config_value *value)
{
	(void)row;
	struct config *config = slot->object;
	config->retry[slot->index] = value->number;
	config->nretry = slot->index + 1;
	return true;
}

static void write_retry(const struct config_row *row, const void *object, size_t index,
                        struct buf *out)
{
	buf_put_byte(out, '"');
	put_number(row, ((const struct config *)object)->retry[index], out);
	buf_put_byte(out, '"');
}

static size_t count_retries(const struct config_row *row, const void *object)
{
	(void)row;
	return ((const struct config *)object)->nretry;
}

/* ---- the types ---- */

#define TYPE(id) const struct config_type config_type_##id

TYPE(integer) = { "number", parse_number, store_number, write_number, NULL };
TYPE(unsigned) = { "number", parse_number, store_unsigned, write_unsigned, NULL };
TYPE(size) = { "size", parse_number, store_number, write_number, NULL };
TYPE(duration) = { "duration", parse_number, store_number, write_number, NULL };
TYPE(word) = { "word", config_parse_word, store_unsigned, write_word, NULL };
TYPE(hostname) = { "host name", parse_hostname, store_text, write_text, NULL };
TYPE(domain) = { "domain", parse_domain, store_lower, write_text, NULL };
TYPE(path) = { "path", config_parse_path, store_text, write_text, NULL };
TYPE(socket) = { "path", parse_socket, store_text, write_text, NULL };
TYPE(user) = { "user", parse_user, store_text, write_text, NULL };
TYPE(host) = { "host", parse_host, store_text, write_text, NULL };
TYPE(text) = { "text", parse_printable, store_text, write_text, NULL };
TYPE(account) = { "account", parse_account, store_lower, write_text, NULL };
TYPE(mailbox) = { "mail address", config_parse_mailbox, store_text, write_text, NULL };
TYPE(reply_address) = { "reply address", parse_reply_address, store_text, write_text, NULL };
TYPE(durations) = { "durations", parse_number, store_retry, write_retry, count_retries };

/* ---- rows ---- */

/* A list's values stand between blanks; any other value is the whole of the text. */
bool config_row_init(const struct config_row *row, struct arena *memory, void *object,
                     bool sample)
{
	const char *text = sample && row->sample ? row->sample : row->initial;
	struct span rest = span_str(text);
	bool list = row->type->count != NULL;
	struct config_slot slot = { .memory = memory, .object = object, .count = 1 };
	for (size_t i = 0; list && i < rest.len; i++) {
		slot.count += rest.ptr[i] == ' ';
	}
	if (row->preset) {
		row->preset(row, object);
	}
	for (; text && (rest.len || (!list && slot.index == 0)); slot.index++) {
		struct config_value value;
		struct span word = list ? span_first(rest, span_find(rest, ' ')) : rest;
		bool good = row->type->parse(row, word, &value, NULL);
		assert(good && slot.index < slot.count);
		if (!row->type->store(row, &slot, &value)) {
			return false;
		}
		rest = span_from(rest, word.len + 1);
	}
	return true;
}

bool config_row_is_set(const struct config_row *row, const void *object)
{
	if (row->type->write == write_text) {
		return *(char *const *)field(row, object) != NULL;
	}
	return !row->derived || !row->type->count || row->type->count(row, object) > 0;
}

void config_row_write(const struct config_row *row, const void *object, struct buf *out)
{
	buf_printf(out, "%s = ", row->name);
	if (!row->type->count) {
		row->type->write(row, object, 0, out);
		return;
	}
	size_t count = row->type->count(row, object);
	buf_put_str(out, "{");
	for (size_t i = 0; i < count; i++) {
		buf_put_str(out, i ? ", " : " ");
		row->type->write(row, object, i, out);
	}
	buf_put_str(out, count ? " }" : "}");
}

void config_row_write_range(const struct config_row *row, struct buf *out)
{
	for (size_t i = 0; row->words && word_at(row, i).len; i++) {
		bool last = word_at(row, i + 1).len == 0;
		buf_put_str(out, i == 0 ? "" : last ? " or " : ", ");
		buf_put(out, word_at(row, i));
	}
	if (row->type->parse == parse_number) {
		int64_t min, max;
		bounds(row, &min, &max);
		put_number(row, min, out);
		buf_put_str(out, " to ");
		put_number(row, max, out);
	}
}
