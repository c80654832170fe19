#include "auth/identity.h"

#include "proto/address.h"

#define NAME_MAX 255 /* what is longer is nobody's */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* ---- reading ---- */

static struct span take_word(struct span *rest)
{
	size_t n = 0;
	*rest = span_trim(*rest);
	while (n < rest->len && !is_blank(rest->ptr[n])) {
		n++;
	}
	struct span word = span_first(*rest, n);
	*rest = span_from(*rest, n);
	return word;
}

static size_t stars(struct span pattern)
{
	size_t n = 0;
	for (size_t i = 0; i < pattern.len; i++) {
		n += pattern.ptr[i] == '*';
	}
	return n;
}

/* Why a rule is none; NULL when it is one. */
static const char *fault_of(const struct identity_rule *rule, struct span rest)
{
	if (rule->to.len == 0) {
		return "needs two names: what is typed, and its account";
	}
	if (span_trim(rest).len) {
		return "has a third word";
	}
	if (stars(rule->from) > 1 || stars(rule->to) > 1) {
		return "has more than one * in a name";
	}
	if (stars(rule->to) > stars(rule->from)) {
		return "has a * in the account, but none in what is typed";
	}
	if (rule->from.len > NAME_MAX || rule->to.len > ADDRESS_ACCOUNT_MAX) {
		return "has too long a name";
	}
	return NULL;
}

static size_t count_lines(struct span text)
{
	size_t n = 1;
	for (size_t i = 0; i < text.len; i++) {
		n += text.ptr[i] == '\n';
	}
	return n;
}

static struct span take_line(struct span *rest)
{
	struct span line = span_first(*rest, span_find(*rest, '\n'));
	*rest = span_from(*rest, line.len + 1);
	if (line.len && line.ptr[line.len - 1] == '\r') {
		line.len--;
	}
	return span_first(line, span_find(line, '#'));
}

bool identity_parse(struct span text, struct arena *arena, struct identity_rule **rules_out,
                    size_t *nrules_out, unsigned *line_out, const char **reason_out)
{
	size_t lines = count_lines(text);
	struct identity_rule *rules = arena_alloc(arena, lines * sizeof *rules);
	size_t n = 0;
	*reason_out = rules ? NULL : "is too large";
	*line_out = 0;
	for (struct span rest = text; rest.len && !*reason_out;) {
		struct span line = take_line(&rest);
		struct identity_rule rule = { .from = take_word(&line) };
		rule.to = take_word(&line);
		++*line_out;
		if (rule.from.len == 0) {
			continue;
		}
		*reason_out = n == IDENTITY_RULES_MAX ? "is one rule too many"
		                                      : fault_of(&rule, line);
		if (!*reason_out && (!arena_copy(arena, rule.from, &rules[n].from) ||
		                     !arena_copy(arena, rule.to, &rules[n].to))) {
			*reason_out = "is too large";
		}
		n++;
	}
	if (!*reason_out) {
		*rules_out = rules;
		*nrules_out = n;
	}
	return !*reason_out;
}

/* ---- asking ---- */

static bool starts_nocase(struct span text, struct span front)
{
	return text.len >= front.len && span_eq_nocase(span_first(text, front.len), front);
}

/* Does `name` fit `pattern`, with its one *? What that stands for is then in `star_out`. */
static bool fits(struct span pattern, struct span name, struct span *star_out)
{
	size_t at = span_find(pattern, '*');
	if (at == pattern.len) {
		return span_eq_nocase(pattern, name);
	}
	struct span front = span_first(pattern, at);
	struct span back = span_from(pattern, at + 1);
	if (name.len < front.len + back.len || !starts_nocase(name, front) ||
	    !span_eq_nocase(span_from(name, name.len - back.len), back)) {
		return false;
	}
	*star_out = span_of(name.ptr + front.len, name.len - front.len - back.len);
	return true;
}

/* The account that a rule makes of a name. */
static bool put_account(const struct identity_map *map, struct span to, struct span star,
                        struct buf *account_out)
{
	size_t at = span_find(to, '*');
	struct buf name = { .cap = ADDRESS_ACCOUNT_MAX };
	buf_put(&name, span_first(to, at));
	if (at < to.len) {
		buf_put(&name, star);
		buf_put(&name, span_from(to, at + 1));
	}
	bool good = !name.failed && address_account(buf_span(&name), map->domain, account_out);
	buf_done(&name);
	return good;
}

/* "alice+tag@example.org" without its tag; a name that begins with + keeps it. */
static bool put_folded(const struct identity_map *map, struct span name,
                       struct buf *account_out)
{
	struct span local = span_first(name, span_find(name, '@'));
	size_t plus = span_find(local, '+');
	struct buf folded = { .cap = NAME_MAX };
	if (plus == 0 || plus == local.len) {
		plus = local.len;
	}
	buf_put(&folded, span_first(local, plus));
	buf_put(&folded, span_from(name, local.len));
	bool good = !folded.failed &&
	            address_account(buf_span(&folded), map->domain, account_out);
	buf_done(&folded);
	return good;
}

bool identity_of_typed(const struct identity_map *map, struct span typed,
                       struct buf *account_out)
{
	struct span name = span_trim(typed);
	struct span star = SPAN_NONE;
	if (name.len == 0 || name.len > NAME_MAX) {
		return false;
	}
	for (size_t i = 0; i < map->nrules; i++) {
		if (fits(map->rules[i].from, name, &star)) {
			return put_account(map, map->rules[i].to, star, account_out);
		}
	}
	return map->fold_details ? put_folded(map, name, account_out)
	                         : address_account(name, map->domain, account_out);
}

bool identity_of_returned(const struct identity_map *map, struct span returned,
                          struct buf *account_out)
{
	return address_account(returned, map->domain, account_out);
}
