#include "auth/backend.h"

#include "auth/backend_kinds.h"
#include "auth/secret.h"

#include <assert.h>

static const struct row {
	const char *name;
	bool wants_password;
	enum backend_answer (*ask)(const struct backend_rules *rules,
	                           const struct backend_question *question,
	                           struct buf *name_out, struct error *error);
} rows[] = {
	[BACKEND_INTERNAL] = { "internal", false, NULL },
	[BACKEND_SASLAUTHD] = { "saslauthd", true, backend_ask_saslauthd },
	[BACKEND_SASLDB] = { "sasldb", false, NULL },
	[BACKEND_LDAP] = { "ldap", true, backend_ask_ldap },
	[BACKEND_SQL] = { "sql", false, NULL },
	[BACKEND_DOVECOT] = { "dovecot", true, backend_ask_dovecot },
};

const char *backend_name(enum backend_kind kind)
{
	return rows[kind].name;
}

bool backend_wants_password(enum backend_kind kind)
{
	return rows[kind].wants_password;
}

struct backend_name backend_split(struct span typed, const char *domain)
{
	const char *at = typed.len ? memrchr(typed.ptr, '@', typed.len) : NULL;
	if (!at) {
		return (struct backend_name){ typed, span_str(domain) };
	}
	size_t len = (size_t)(at - typed.ptr);
	return (struct backend_name){ span_first(typed, len), span_from(typed, len + 1) };
}

/* A NUL would end the name early in a daemon written in C, a line end would begin a command in
 * one that speaks lines: nobody has such a name. */
static bool name_is_possible(struct span user)
{
	for (size_t i = 0; i < user.len; i++) {
		if ((unsigned char)user.ptr[i] < ' ' || user.ptr[i] == 0x7f) {
			return false;
		}
	}
	return user.len > 0 && user.len <= BACKEND_USER_MAX;
}

enum backend_answer backend_check(const struct backend_rules *rules,
                                  const struct backend_question *question, struct buf *name_out,
                                  struct error *error)
{
	assert(rows[rules->kind].ask);
	error_set(error, "%s", "");
	if (!name_is_possible(question->user) ||
	    !secret_password_is_valid(question->password)) {
		return BACKEND_WRONG;
	}
	return rows[rules->kind].ask(rules, question, name_out, error);
}
