/*
 * PS29: every sequence of up to four of eleven commands, on a STARTTLS and on a TLS listener,
 * gets the replies of a model that knows nothing of the module: some flags, and the sentences
 * of RFC 5321, 3207 and 4954 about them.
 */
#include "policy.h"

#define PLAIN "AGFsaWNlQGV4YW1wbGUub3JnAHNlY3JldA=="

struct model {
	bool tls, hello, login, mail, rcpt, over;
};

static unsigned model_hello(struct model *model)
{
	model->hello = true;
	model->mail = model->rcpt = false;
	return 250;
}

static unsigned model_starttls(struct model *model)
{
	if (model->tls || model->mail) {
		return 503;
	}
	*model = (struct model){ .tls = true };
	return 220;
}

static unsigned model_auth(struct model *model)
{
	if (!model->tls) {
		return 530;
	}
	if (!model->hello || model->login || model->mail) {
		return 503;
	}
	model->login = true;
	return 235;
}

/* What MAIL, RCPT and DATA need alike; 0 when all is there. */
static unsigned model_needs(const struct model *model)
{
	return !model->tls ? 530 : !model->hello ? 503 : !model->login ? 530 : 0;
}

static unsigned model_mail(struct model *model)
{
	unsigned lacking = model_needs(model);
	if (lacking || model->mail) {
		return lacking ? lacking : 503;
	}
	model->mail = true;
	return 250;
}

static unsigned model_rcpt(struct model *model)
{
	unsigned lacking = model_needs(model);
	if (lacking || !model->mail) {
		return lacking ? lacking : 503;
	}
	model->rcpt = true;
	return 250;
}

static unsigned model_bad_rcpt(struct model *model)
{
	unsigned lacking = model_needs(model);
	return lacking ? lacking : model->mail ? 501 : 503;
}

/* With its text when that is asked for: 250 stands for both replies. */
static unsigned model_data(struct model *model)
{
	unsigned lacking = model_needs(model);
	if (lacking || !model->rcpt) {
		return lacking ? lacking : model->mail ? 554 : 503;
	}
	model->mail = model->rcpt = false;
	return 250;
}

static unsigned model_rset(struct model *model)
{
	model->mail = model->rcpt = false;
	return 250;
}

static unsigned model_vrfy(struct model *model)
{
	return model->tls ? 252 : 530;
}

static unsigned model_unknown(struct model *model)
{
	(void)model;
	return 500;
}

static unsigned model_quit(struct model *model)
{
	model->over = true;
	return 221;
}

#define LINE(text) \
	{ \
		text "\r\n", sizeof(text "\r\n") - 1 \
	}

static const struct {
	struct span line;
	unsigned (*reply)(struct model *model);
} commands[] = {
	{ LINE("EHLO c"), model_hello },
	{ LINE("STARTTLS"), model_starttls },
	{ LINE("AUTH PLAIN " PLAIN), model_auth },
	{ LINE("MAIL FROM:<a@b.c>"), model_mail },
	{ LINE("RCPT TO:<d@e.f>"), model_rcpt },
	{ LINE("RCPT TO:<>"), model_bad_rcpt },
	{ LINE("DATA"), model_data },
	{ LINE("RSET"), model_rset },
	{ LINE("VRFY a"), model_vrfy },
	{ LINE("WHAT"), model_unknown },
	{ LINE("QUIT"), model_quit },
};

#define LONGEST 4

/* Sends a command, with the text and the handshake that its reply asks for; gives the code. */
static unsigned say(struct policy *policy, struct span line)
{
	struct reply_in reply = { 0 };
	buf_clear(&policy->said);
	policy_feed(policy, line);
	struct span said = buf_span(&policy->said);
	assert_int_equal(reply_read(&reply, &said), REPLY_DONE);
	assert_int_equal(said.len, 0);
	if (reply.code == 354) {
		return say(policy, SPAN_LIT("x\r\n.\r\n"));
	}
	if (policy->tls_due) {
		policy_tls(policy);
	}
	return reply.code;
}

static void play(const size_t *sequence, size_t len, bool tls)
{
	struct policy policy;
	struct model model = { .tls = tls };
	policy_init(&policy, tls);
	policy_feed(&policy, SPAN_NONE);
	for (size_t i = 0; i < len && !model.over; i++) {
		unsigned want = commands[sequence[i]].reply(&model);
		unsigned got = say(&policy, commands[sequence[i]].line);
		if (got != want) {
			for (size_t k = 0; k <= i; k++) {
				print_error("%.*s", SPAN_ARG(commands[sequence[k]].line));
			}
			fail_msg("got %u, not %u", got, want);
		}
	}
	assert_int_equal(policy.closed, model.over);
	policy_done(&policy);
}

/* Counts through all sequences of `lead` and up to LONGEST commands behind it. */
static void play_all(const size_t *lead, size_t nlead, bool tls)
{
	size_t sequence[8] = { 0 };
	for (size_t i = 0; i < nlead; i++) {
		sequence[i] = lead[i];
	}
	for (size_t len = 1; len <= LONGEST; len++) {
		size_t total = 1;
		for (size_t i = 0; i < len; i++) {
			total *= COUNT(commands);
		}
		for (size_t n = 0; n < total; n++) {
			size_t rest = n;
			for (size_t i = 0; i < len; i++) {
				sequence[nlead + i] = rest % COUNT(commands);
				rest /= COUNT(commands);
			}
			play(sequence, nlead + len, tls);
		}
	}
}

static void ps29_from_a_starttls_listener(void **state)
{
	(void)state;
	play_all(NULL, 0, false);
}

static void ps29_from_a_tls_listener(void **state)
{
	(void)state;
	play_all(NULL, 0, true);
}

/* Four commands do not reach far into a transaction: the same behind EHLO, AUTH and MAIL. */
static void ps29_from_a_transaction(void **state)
{
	(void)state;
	play_all((const size_t[]){ 0, 2, 3 }, 3, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ps29_from_a_starttls_listener),
		cmocka_unit_test(ps29_from_a_tls_listener),
		cmocka_unit_test(ps29_from_a_transaction),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
