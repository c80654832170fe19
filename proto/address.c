#include "proto/address.h"

#include <arpa/inet.h>

#define LABEL_MAX 63 /* RFC 1035 2.3.4 */

static bool is_alnum(char c)
{
	char lower = span_lower(c);
	return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9');
}

static bool is_ascii(char c)
{
	return (unsigned char)c < 128;
}

/* RFC 5322 3.2.3, and the bytes that RFC 6531 3.3 adds. */
static bool is_atext(char c)
{
	static const char marks[] = "!#$%&'*+-/=?^_`{|}~";
	return is_alnum(c) || !is_ascii(c) || memchr(marks, c, sizeof marks - 1);
}

/* Underscores are no letters of host names, but in use in real ones. */
static bool is_label(char c)
{
	return is_alnum(c) || !is_ascii(c) || c == '-' || c == '_';
}

static size_t run(struct span text, bool (*is)(char))
{
	size_t n = 0;
	while (n < text.len && is(text.ptr[n])) {
		n++;
	}
	return n;
}

/*
 * These say how many bytes at the front of `text` are the thing they are named after, 0 when
 * none are. They take what they can; a byte that fits nowhere stops them, and then their
 * caller.
 */
static size_t label(struct span text)
{
	size_t n = run(text, is_label);
	bool good = n > 0 && n <= LABEL_MAX && text.ptr[0] != '-' && text.ptr[n - 1] != '-';
	return good ? n : 0;
}

static size_t atom(struct span text)
{
	return run(text, is_atext);
}

/* part *("." part) */
static size_t dotted(struct span text, size_t (*part)(struct span))
{
	size_t n = part(text);
	while (n > 0 && n < text.len && text.ptr[n] == '.') {
		size_t more = part(span_from(text, n + 1));
		if (more == 0) {
			break;
		}
		n += 1 + more;
	}
	return n;
}

/* Quoted-string of RFC 5321 4.1.2: printable bytes and blanks, a backslash before any of them.
 */
static size_t quoted(struct span text)
{
	for (size_t i = 1; i < text.len; i++) {
		if (text.ptr[i] == '"') {
			return i + 1;
		}
		if (text.ptr[i] == '\\') {
			i++;
		}
		if (i == text.len || text.ptr[i] == 127 || (unsigned char)text.ptr[i] < ' ') {
			break;
		}
	}
	return 0;
}

/* RFC 5321 4.1.3; no tag but IPv6 was ever registered. */
static size_t literal(struct span text)
{
	static const struct span ipv6 = { "IPv6:", 5 };
	size_t end = span_find(text, ']');
	if (end == text.len || end > INET6_ADDRSTRLEN + ipv6.len) {
		return 0;
	}
	struct span inner = span_of(text.ptr + 1, end - 1);
	bool six = span_starts_nocase(inner, ipv6);
	inner = six ? span_from(inner, ipv6.len) : inner;
	char ip[INET6_ADDRSTRLEN + 8] = "";
	unsigned char bytes[sizeof(struct in6_addr)];
	if (inner.len >= sizeof ip || span_find(inner, '\0') < inner.len) {
		return 0;
	}
	if (inner.len) {
		memcpy(ip, inner.ptr, inner.len);
	}
	return inet_pton(six ? AF_INET6 : AF_INET, ip, bytes) == 1 ? end + 1 : 0;
}

static size_t domain(struct span text)
{
	return text.len && text.ptr[0] == '[' ? literal(text) : dotted(text, label);
}

static size_t local_part(struct span text)
{
	return text.len && text.ptr[0] == '"' ? quoted(text) : dotted(text, atom);
}

static enum address_result limits(const struct address *address)
{
	if (address->local.len > ADDRESS_LOCAL_MAX ||
	    address->domain.len > ADDRESS_DOMAIN_MAX || address->whole.len > ADDRESS_MAX) {
		return ADDRESS_TOO_LONG;
	}
	if (run(address->whole, is_ascii) < address->whole.len) {
		return ADDRESS_UTF8;
	}
	return address->domain.len ? ADDRESS_OK : ADDRESS_UNQUALIFIED;
}

/* Takes a mailbox, or a local-part alone, off the front of `in`. */
static bool mailbox(struct span *in, struct address *address_out)
{
	size_t n = local_part(*in);
	if (n == 0) {
		return false;
	}
	struct address found = { .local = span_first(*in, n), .whole = span_first(*in, n) };
	if (n < in->len && in->ptr[n] == '@') {
		found.domain = span_from(*in, n + 1);
		found.domain.len = domain(found.domain);
		if (found.domain.len == 0) {
			return false;
		}
		n += 1 + found.domain.len;
		found.whole = span_first(*in, n);
		/* The root's dot: no part of an address (RFC 5321 2.3.5), but some type it. */
		if (n < in->len && in->ptr[n] == '.' && in->ptr[n - 1] != ']') {
			n++;
		}
	}
	*address_out = found;
	*in = span_from(*in, n);
	return true;
}

/* A-d-l ":" of RFC 5321 4.1.2, to be read and ignored (appendix C). */
static bool skip_route(struct span *in)
{
	while (in->len && in->ptr[0] == '@') {
		size_t n = 1 + domain(span_from(*in, 1));
		if (n == 1 || n == in->len || (in->ptr[n] != ',' && in->ptr[n] != ':')) {
			return false;
		}
		bool last = in->ptr[n] == ':';
		*in = span_from(*in, n + 1);
		if (last) {
			return true;
		}
		if (in->len == 0 || in->ptr[0] != '@') {
			return false;
		}
	}
	return true;
}

enum address_result address_parse_path(struct span *in, struct address *address_out)
{
	struct span rest = *in;
	struct address found = { 0 };
	enum address_result result = ADDRESS_NULL;
	if (rest.len == 0 || rest.ptr[0] != '<') {
		return ADDRESS_BAD;
	}
	rest = span_from(rest, 1);
	if (rest.len && rest.ptr[0] != '>') {
		if (!skip_route(&rest) || !mailbox(&rest, &found)) {
			return ADDRESS_BAD;
		}
		result = limits(&found);
	}
	if (rest.len == 0 || rest.ptr[0] != '>') {
		return ADDRESS_BAD;
	}
	if (result == ADDRESS_OK || result == ADDRESS_UNQUALIFIED || result == ADDRESS_NULL) {
		*address_out = found;
		*in = span_from(rest, 1);
	}
	return result;
}

enum address_result address_parse(struct span text, struct address *address_out)
{
	struct address found;
	if (!mailbox(&text, &found) || text.len) {
		return ADDRESS_BAD;
	}
	enum address_result result = limits(&found);
	if (result == ADDRESS_OK || result == ADDRESS_UNQUALIFIED) {
		*address_out = found;
	}
	return result;
}

/* Writes a local-part without the backslashes and quotes that change nothing. */
static void put_local(struct span local, struct buf *out)
{
	if (local.len == 0 || local.ptr[0] != '"') {
		buf_put(out, local);
		return;
	}
	char plain[ADDRESS_LOCAL_MAX];
	size_t n = 0;
	for (size_t i = 1; i + 1 < local.len && n < sizeof plain; i++) {
		i += local.ptr[i] == '\\';
		plain[n++] = local.ptr[i];
	}
	struct span bare = span_of(plain, n);
	bool quote = n == 0 || dotted(bare, atom) != n;
	if (!quote) {
		buf_put(out, bare);
		return;
	}
	buf_put_byte(out, '"');
	for (size_t i = 0; i < n; i++) {
		if (plain[i] == '"' || plain[i] == '\\') {
			buf_put_byte(out, '\\');
		}
		buf_put_byte(out, plain[i]);
	}
	buf_put_byte(out, '"');
}

static void put_lower(struct span text, struct buf *out)
{
	for (size_t i = 0; i < text.len; i++) {
		buf_put_byte(out, span_lower(text.ptr[i]));
	}
}

void address_key(const struct address *address, struct buf *out)
{
	put_local(address->local, out);
	if (address->domain.len) {
		buf_put_byte(out, '@');
		put_lower(address->domain, out);
	}
}

void address_key_fold(struct span key, struct buf *out)
{
	/* A quoted local-part may hold an @ and a + of its own. */
	size_t at = key.len && key.ptr[0] == '"' ? 0 : span_find(key, '@');
	size_t plus = span_find(span_first(key, at), '+');
	plus = plus == 0 ? at : plus;
	buf_put(out, span_first(key, plus));
	buf_put(out, span_from(key, at));
}

static bool is_login(char c)
{
	return c > ' ' && c < 127;
}

bool address_account(struct span login, struct span realm, struct buf *out)
{
	size_t at = span_find(login, '@');
	struct span behind = span_from(login, at + 1);
	if (at == login.len) {
		behind = realm;
	} else if (behind.len == 0) {
		return false;
	}
	struct span name = span_first(login, at);
	size_t len = name.len + (behind.len ? 1 + behind.len : 0);
	if (name.len == 0 || len > ADDRESS_ACCOUNT_MAX || run(name, is_login) < name.len ||
	    run(behind, is_login) < behind.len || span_find(behind, '@') < behind.len) {
		return false;
	}
	/* All of it or nothing: half a name would be another account. */
	if (!buf_reserve(out, len)) {
		return false;
	}
	put_lower(name, out);
	if (behind.len) {
		buf_put_byte(out, '@');
		put_lower(behind, out);
	}
	return true;
}

bool address_domain_is_valid(struct span text)
{
	return text.len > 0 && text.len <= ADDRESS_DOMAIN_MAX &&
	       run(text, is_ascii) == text.len && domain(text) == text.len;
}
