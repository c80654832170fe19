/*
 * A directory: the entry is searched, then its password is tried by a bind as that entry on the
 * same connection (RFC 4511 4.2.1), which is used for nothing else. All of it has one deadline:
 * the bytes pass through functions of ours. libldap's own time-outs are none: it gives each
 * address of a name the whole time, and spins or stays in read(2) when half a TLS handshake
 * comes (2.5 with GnuTLS). Referrals are not followed: the password goes to nobody who is not
 * in the configuration.
 */
#include "auth/backend_kinds.h"
#include "auth/secret.h"

#include <ctype.h>
#include <ldap.h>
#include <openldap.h>
#include <stdlib.h>
#include <sys/socket.h>

#define FILTER_MAX     4096
#define MESSAGE_MAX    (1024 * 1024) /* bytes of a PDU */
#define REFERENCES_MAX 64            /* Active Directory sends three at its root */

/* ---- text ---- */

/* What is neither letter nor digit nor in a mail address is escaped, whether it means something
 * in a filter or not: RFC 4515 3 allows it for any byte. */
static void put_escaped(struct span text, struct buf *out)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];
		bool plain = (c < 0x80 && isalnum(c)) || strchr("@._-", c);
		buf_printf(out, plain && c ? "%c" : "\\%02x", c);
	}
}

/* EXAMPLE\alice has its domain in front. */
static struct backend_name split_windows(struct span typed, const char *domain)
{
	size_t at = span_find(typed, '\\');
	if (at == typed.len || span_find(typed, '@') < typed.len) {
		return backend_split(typed, domain);
	}
	return (struct backend_name){ span_from(typed, at + 1), span_first(typed, at) };
}

bool ldap_filter_write(const char *filter, struct span typed, const char *domain,
                       struct buf *out)
{
	struct backend_name name = split_windows(typed, domain);
	for (const char *at = filter; *at; at++) {
		if (*at != '%') {
			buf_put_byte(out, *at);
			continue;
		}
		switch (*++at) {
		case 'u':
			put_escaped(typed, out);
			break;
		case 'n':
			put_escaped(name.user, out);
			break;
		case 'd':
			put_escaped(name.domain, out);
			break;
		case '%':
			buf_put_byte(out, '%');
			break;
		default:
			return false;
		}
	}
	return !out->failed;
}

bool backend_filter_is_valid(const char *filter)
{
	struct buf out = { .cap = FILTER_MAX };
	bool ok = ldap_filter_write(filter, SPAN_LIT("a@b"), "b", &out);
	buf_done(&out);
	return ok;
}

/* The numbers are those of Windows (winerror.h): "... AcceptSecurityContext error, data 533,".
 */
static const struct {
	unsigned long data;
	const char *why;
} refusals[] = {
	{ 0x525, "no such user" },
	{ 0x52e, "the password is wrong" },
	{ 0x530, "no login at this hour" },
	{ 0x531, "no login from this machine" },
	{ 0x532, "the password has expired" },
	{ 0x533, "the account is disabled" },
	{ 0x701, "the account has expired" },
	{ 0x773, "the password must be changed" },
	{ 0x775, "the account is locked" },
};

const char *ldap_refusal(const char *diagnostic)
{
	const char *at = diagnostic ? strstr(diagnostic, ", data ") : NULL;
	unsigned long data = at ? strtoul(at + strlen(", data "), NULL, 16) : 0;
	for (size_t i = 0; i < COUNT(refusals); i++) {
		if (refusals[i].data == data) {
			return refusals[i].why;
		}
	}
	return NULL;
}

/* ---- one directory server ---- */

static int io_setup(Sockbuf_IO_Desc *desc, void *wire)
{
	desc->sbiod_pvt = wire;
	return 0;
}

static int io_nothing(Sockbuf_IO_Desc *desc)
{
	(void)desc;
	return 0;
}

static int io_control(Sockbuf_IO_Desc *desc, int option, void *argument)
{
	(void)desc, (void)option, (void)argument;
	return 0;
}

/* Never "try again": to a TLS handshake that means at once. */
static ber_slen_t io_read(Sockbuf_IO_Desc *desc, void *to, ber_len_t size)
{
	const struct wire *wire = desc->sbiod_pvt;
	return wire_wait(wire) ? recv(wire->fd, to, size, MSG_DONTWAIT) : -1;
}

static ber_slen_t io_write(Sockbuf_IO_Desc *desc, void *from, ber_len_t size)
{
	return wire_send(desc->sbiod_pvt, span_of(from, size), NULL) ? (ber_slen_t)size : -1;
}

static Sockbuf_IO over_wire = {
	io_setup, io_nothing, io_control, io_read, io_write, io_nothing
};

/* On top of all, TLS too: libldap keeps a request until it is answered and then frees it as it
 * is, with the password of a bind in it. What has been sent is wiped where it lies. */
static ber_slen_t wipe_write(Sockbuf_IO_Desc *desc, void *from, ber_len_t size)
{
	ber_slen_t sent = LBER_SBIOD_WRITE_NEXT(desc, from, size);
	if (sent > 0) {
		secret_cleanse(from, (size_t)sent);
	}
	return sent;
}

static ber_slen_t wipe_read(Sockbuf_IO_Desc *desc, void *to, ber_len_t size)
{
	return LBER_SBIOD_READ_NEXT(desc, to, size);
}

static int wipe_control(Sockbuf_IO_Desc *desc, int option, void *argument)
{
	return LBER_SBIOD_CTRL_NEXT(desc, option, argument);
}

static Sockbuf_IO wiping = { io_setup,  io_nothing, wipe_control,
	                     wipe_read, wipe_write, io_nothing };

struct session {
	const struct backend_rules *rules;
	const struct backend_question *question;
	struct error *error;
	struct wire wire;
	LDAP *ld;
	/* The directory has answered, though nobody can log in by that answer: another server
	 * of it is not asked. */
	bool settled;
};

static enum backend_answer unable(const struct session *s, const char *doing, const char *why)
{
	error_set(s->error, "%s: %s: %s", s->wire.name, doing,
	          wire_left(&s->wire) ? why : "no answer in time");
	return BACKEND_UNAVAILABLE;
}

static struct timeval left_of(const struct session *s)
{
	int64_t left = wire_left(&s->wire);
	return (struct timeval){ .tv_sec = left / 1000, .tv_usec = left % 1000 * 1000 };
}

static bool set_options(struct session *s)
{
	const int version = LDAP_VERSION3, demand = LDAP_OPT_X_TLS_DEMAND, client = 0;
	const int tls = LDAP_OPT_X_TLS_PROTOCOL_TLS1_2;
	bool ok = ldap_set_option(s->ld, LDAP_OPT_PROTOCOL_VERSION, &version) == 0 &&
	          ldap_set_option(s->ld, LDAP_OPT_REFERRALS, LDAP_OPT_OFF) == 0 &&
	          ldap_set_option(s->ld, LDAP_OPT_RESTART, LDAP_OPT_ON) == 0;
	/* Whatever ldap.conf and the environment say. */
	ok = ok && ldap_set_option(s->ld, LDAP_OPT_X_TLS_REQUIRE_CERT, &demand) == 0 &&
	     ldap_set_option(s->ld, LDAP_OPT_X_TLS_PROTOCOL_MIN, &tls) == 0;
	if (ok && s->rules->ldap.ca) {
		ok = ldap_set_option(s->ld, LDAP_OPT_X_TLS_CACERTFILE, s->rules->ldap.ca) == 0;
	}
	return ok && ldap_set_option(s->ld, LDAP_OPT_X_TLS_NEWCTX, &client) == 0;
}

/* The next message that answers `id`, to be freed; its kind, or 0 with a sentence. */
static int await(struct session *s, int id, const char *doing, LDAPMessage **message_out)
{
	struct timeval left = left_of(s);
	int fault = LDAP_TIMEOUT;
	int kind = ldap_result(s->ld, id, LDAP_MSG_ONE, &left, message_out);
	if (kind > 0) {
		return kind;
	}
	if (kind < 0) {
		ldap_get_option(s->ld, LDAP_OPT_RESULT_CODE, &fault);
	}
	unable(s, doing, ldap_err2string(fault));
	return 0;
}

/* The code of the message that ends an operation; frees it. The diagnostic text is to be freed
 * with ldap_memfree; NULL: not wanted. */
static int code_of(struct session *s, LDAPMessage *message, char **diagnostic_out)
{
	int code = LDAP_OTHER;
	int fault = ldap_parse_result(s->ld, message, &code, NULL, diagnostic_out, NULL, NULL,
	                              1);
	return fault == LDAP_SUCCESS ? code : fault;
}

static bool start_tls(struct session *s)
{
	int id = 0;
	LDAPMessage *message = NULL;
	int code = ldap_start_tls(s->ld, NULL, NULL, &id);
	if (code == LDAP_SUCCESS) {
		if (!await(s, id, "STARTTLS", &message)) {
			return false;
		}
		code = code_of(s, message, NULL);
	}
	if (code != LDAP_SUCCESS) {
		unable(s, "STARTTLS", ldap_err2string(code));
	}
	return code == LDAP_SUCCESS;
}

static bool install_tls(struct session *s)
{
	char *why = NULL;
	if (ldap_install_tls(s->ld) == LDAP_SUCCESS) {
		return true;
	}
	ldap_get_option(s->ld, LDAP_OPT_DIAGNOSTIC_MESSAGE, &why);
	/* GnuTLS has no word for what libldap itself has against a certificate. */
	bool nameless = !why || !*why || strstr(why, "unknown error");
	unable(s, "TLS",
	       nameless ? "the certificate is not for this name, or not signed by ldap_ca"
	                : why);
	ldap_memfree(why);
	return false;
}

/* Encrypted, if it is to be. */
static bool protect(struct session *s, bool ldaps)
{
	if (!ldaps && !s->rules->ldap.starttls) {
		return true;
	}
	return (ldaps || start_tls(s)) && install_tls(s);
}

static bool carry(struct session *s)
{
	ber_len_t most = MESSAGE_MAX;
	Sockbuf *socket = NULL;
	return ldap_get_option(s->ld, LDAP_OPT_SOCKBUF, &socket) == 0 &&
	       ber_sockbuf_add_io(socket, &over_wire, LBER_SBIOD_LEVEL_PROVIDER, &s->wire) ==
	           0 &&
	       ber_sockbuf_add_io(socket, &wiping, LBER_SBIOD_LEVEL_APPLICATION, NULL) == 0 &&
	       ber_sockbuf_ctrl(socket, LBER_SB_OPT_SET_MAX_INCOMING, &most) == 1;
}

static bool attach(struct session *s, const char *uri)
{
	int fault = ldap_init_fd(s->wire.fd, LDAP_PROTO_EXT, uri, &s->ld);
	if (fault != LDAP_SUCCESS) {
		s->ld = NULL;
		unable(s, "connect", ldap_err2string(fault));
		return false;
	}
	if (!carry(s) || !set_options(s)) {
		unable(s, "connect", "libldap can not be set up (ldap_ca?)");
		return false;
	}
	return true;
}

static bool connect_to(struct session *s, const char *uri)
{
	LDAPURLDesc *url = NULL;
	if (ldap_url_parse(uri, &url) != LDAP_URL_SUCCESS) {
		unable(s, "ldap_uri", "is not an LDAP URL");
		return false;
	}
	bool ldaps = strcmp(url->lud_scheme, "ldaps") == 0;
	bool ok = ldaps || strcmp(url->lud_scheme, "ldap") == 0;
	if (!ok) {
		unable(s, "ldap_uri", "is neither ldap:// nor ldaps://");
	}
	ok = ok &&
	     wire_dial(&s->wire, url->lud_host ? url->lud_host : "localhost",
	               (unsigned)url->lud_port, s->error) &&
	     attach(s, uri) && protect(s, ldaps);
	ldap_free_urldesc(url);
	return ok;
}

/* The code of a simple bind, or -1 with a sentence. An empty password would be an anonymous
 * bind that succeeds (RFC 4513 5.1.2). */
static int bind_as(struct session *s, const char *dn, struct span password, const char *doing,
                   char **diagnostic_out)
{
	struct berval secret = { .bv_len = password.len, .bv_val = (char *)password.ptr };
	LDAPMessage *message = NULL;
	int id = 0;
	if (!*dn || password.len == 0) {
		unable(s, doing, "has no name or no password");
		return -1;
	}
	int fault = ldap_sasl_bind(s->ld, dn, LDAP_SASL_SIMPLE, &secret, NULL, NULL, &id);
	if (fault != LDAP_SUCCESS) {
		unable(s, doing, ldap_err2string(fault));
		return -1;
	}
	return await(s, id, doing, &message) ? code_of(s, message, diagnostic_out) : -1;
}

static bool bind_searcher(struct session *s)
{
	if (!s->rules->ldap.bind_dn) {
		return true;
	}
	int code = bind_as(s, s->rules->ldap.bind_dn, span_str(s->rules->ldap.password),
	                   "ldap_bind_dn", NULL);
	if (code > LDAP_SUCCESS) {
		unable(s, "ldap_bind_dn", ldap_err2string(code));
	}
	return code == LDAP_SUCCESS;
}

static int send_search(struct session *s)
{
	char none[] = LDAP_NO_ATTRS;
	const char *account = s->rules->ldap.account;
	char *attributes[] = { account ? (char *)account : none, NULL };
	struct timeval left = left_of(s);
	struct buf filter = { .cap = FILTER_MAX };
	int id = -1, fault = LDAP_FILTER_ERROR;
	if (ldap_filter_write(s->rules->ldap.filter, s->question->user, s->rules->domain,
	                      &filter) &&
	    buf_put_byte(&filter, '\0')) {
		fault = ldap_search_ext(s->ld, s->rules->ldap.base, LDAP_SCOPE_SUBTREE,
		                        filter.ptr, attributes, 0, NULL, NULL, &left, 2, &id);
	}
	buf_done(&filter);
	if (fault != LDAP_SUCCESS) {
		unable(s, fault == LDAP_FILTER_ERROR ? "ldap_filter" : "search",
		       ldap_err2string(fault));
		return -1;
	}
	return id;
}

/* The end of a search that found `found` entries. */
static enum backend_answer judge_search(struct session *s, int code, unsigned found)
{
	/* Nobody may log in as one of two. */
	if (found > 1 || code == LDAP_SIZELIMIT_EXCEEDED) {
		s->settled = true;
		return unable(s, "search", "more than one entry has this name (ldap_filter)");
	}
	if (code != LDAP_SUCCESS) {
		return unable(s, "search", ldap_err2string(code));
	}
	return found ? BACKEND_RIGHT : BACKEND_WRONG;
}

/* RIGHT: the one entry, to be freed. */
static enum backend_answer search(struct session *s, LDAPMessage **entry_out)
{
	int id = send_search(s);
	unsigned found = 0, references = 0;
	while (id >= 0 && found < 2 && references < REFERENCES_MAX) {
		LDAPMessage *message = NULL;
		int kind = await(s, id, "search", &message);
		if (kind == LDAP_RES_SEARCH_RESULT) {
			return judge_search(s, code_of(s, message, NULL), found);
		}
		if (kind == LDAP_RES_SEARCH_ENTRY && ++found == 1) {
			*entry_out = message;
			continue;
		}
		if (kind == 0) {
			return BACKEND_UNAVAILABLE;
		}
		references++;
		ldap_msgfree(message);
	}
	return id < 0      ? BACKEND_UNAVAILABLE
	       : found > 1 ? judge_search(s, LDAP_SUCCESS, found)
	                   : unable(s, "search", "sends references without an end");
}

/* What a bind as the user can end with, beside success and what is nobody's fault but the
 * directory's. */
static const int wrong[] = {
	LDAP_INVALID_CREDENTIALS, LDAP_NO_SUCH_OBJECT, /* deleted a moment ago */
	LDAP_INAPPROPRIATE_AUTH,                       /* the entry has no password */
	LDAP_INVALID_DN_SYNTAX,                        /* an entry that nobody can bind as */
	LDAP_INSUFFICIENT_ACCESS,                      /* it may not be used for a login */
};

static enum backend_answer bind_user(struct session *s, LDAPMessage *entry)
{
	char *diagnostic = NULL;
	char *dn = ldap_get_dn(s->ld, entry);
	enum backend_answer answer = BACKEND_UNAVAILABLE;
	int code = bind_as(s, dn ? dn : "", s->question->password, "bind", &diagnostic);
	const char *why = ldap_refusal(diagnostic);
	if (code == LDAP_SUCCESS) {
		answer = BACKEND_RIGHT;
	} else if (code > 0) {
		unable(s, "bind", ldap_err2string(code));
	}
	for (size_t i = 0; i < COUNT(wrong); i++) {
		if (code == wrong[i]) {
			error_set(s->error, "%s", why ? why : "");
			answer = BACKEND_WRONG;
		}
	}
	ldap_memfree(diagnostic);
	ldap_memfree(dn);
	return answer;
}

/* The order of values means nothing in LDAP, and may change with every answer: of several mail
 * addresses it must always be the same one that is charged. */
static struct span first_value(struct berval **values)
{
	struct span first = SPAN_NONE;
	for (size_t i = 0; values && values[i]; i++) {
		struct span value = span_of(values[i]->bv_val, values[i]->bv_len);
		size_t common = value.len < first.len ? value.len : first.len;
		int order = common ? memcmp(value.ptr, first.ptr, common) : 0;
		if (value.len &&
		    (first.len == 0 || order < 0 || (order == 0 && value.len < first.len))) {
			first = value;
		}
	}
	return first;
}

static enum backend_answer put_account(struct session *s, LDAPMessage *entry, struct buf *out)
{
	const char *attribute = s->rules->ldap.account;
	if (!attribute) {
		return BACKEND_RIGHT;
	}
	struct berval **values = ldap_get_values_len(s->ld, entry, attribute);
	struct span value = first_value(values);
	bool ok = value.len && buf_put(out, value);
	ldap_value_free_len(values);
	s->settled = true;
	return ok ? BACKEND_RIGHT
	          : unable(s, attribute, "the entry has none, or a name that is too long");
}

static enum backend_answer ask(struct session *s, const char *uri, struct buf *name_out)
{
	LDAPMessage *entry = NULL;
	enum backend_answer answer = BACKEND_UNAVAILABLE;
	if (connect_to(s, uri) && bind_searcher(s)) {
		answer = search(s, &entry);
	}
	if (answer == BACKEND_RIGHT) {
		answer = bind_user(s, entry);
	}
	if (answer == BACKEND_RIGHT) {
		answer = put_account(s, entry, name_out);
	}
	ldap_msgfree(entry);
	if (s->ld) {
		ldap_unbind_ext(s->ld, NULL, NULL);
	}
	wire_close(&s->wire);
	return answer;
}

/* ---- all of them ---- */

/* The first word of `list`, as a string that is to be freed. */
static char *next_uri(struct span *list)
{
	*list = span_trim(*list);
	size_t len = span_find(*list, ' ');
	char *uri = len ? strndup(list->ptr, len) : NULL;
	*list = span_trim(span_from(*list, len));
	return uri;
}

static int64_t count_uris(struct span list)
{
	int64_t count = 0;
	while ((list = span_trim(list)).len) {
		list = span_from(list, span_find(list, ' '));
		count++;
	}
	return count;
}

/* Each server has its share of the time that is left, so that one that drops our packets does
 * not take the time of the next. */
enum backend_answer backend_ask_ldap(const struct backend_rules *rules,
                                     const struct backend_question *question,
                                     struct buf *name_out, struct error *error)
{
	struct wire whole = { .fd = -1, .deadline = wire_now() + rules->timeout };
	struct span list = span_str(rules->ldap.uri);
	enum backend_answer answer = BACKEND_UNAVAILABLE;
	bool settled = false;
	error_set(error, "ldap_uri: names no server");
	for (int64_t n = count_uris(list); n > 0 && !settled; n--) {
		char *uri = next_uri(&list);
		struct session s = { .rules = rules, .question = question, .error = error };
		s.wire = (struct wire){ .fd = -1,
			                .deadline = wire_now() + wire_left(&whole) / n,
			                .name = uri ? uri : "" };
		error_set(error, "%s", uri ? "" : "no memory");
		answer = uri ? ask(&s, uri, name_out) : BACKEND_UNAVAILABLE;
		settled = s.settled || answer != BACKEND_UNAVAILABLE;
		free(uri);
	}
	return answer;
}
