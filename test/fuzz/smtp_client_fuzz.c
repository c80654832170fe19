/*
 * Whatever a smarthost says, and however its bytes are cut: the session ends in a known state,
 * no result is a 2xx while it is broken, all have one in RESULT, and no keyword is used
 * unannounced.
 */
#include "fuzz.h"
#include "proto/smtp_client.h"

#define RECIPIENTS 3

struct run {
	struct smtp_client *client;
	struct smtp_client_mail mail;
	struct span all; /* what the smarthost will have said in the end */
};

static bool has_nocase(struct span text, struct span word)
{
	for (; text.len >= word.len; text = span_from(text, 1)) {
		if (span_starts_nocase(text, word)) {
			return true;
		}
	}
	return false;
}

static void check_results(struct run *run, bool final)
{
	for (size_t i = 0; i < RECIPIENTS; i++) {
		const struct smtp_client_result *result = smtp_client_result(run->client, i);
		unsigned kind = result->code / 100;
		PROMISE(kind == 4 || kind == 5 || (final ? kind == 2 : kind == 0));
		PROMISE(result->text && strlen(result->text) < 512);
		PROMISE(strlen(result->enhanced) < sizeof result->enhanced);
	}
}

static void take_output(struct run *run)
{
	struct buf *out = smtp_client_output(run->client);
	struct span said = buf_span(out);
	PROMISE(!has_nocase(said, SPAN_LIT(" SIZE=")) ||
	        has_nocase(run->all, SPAN_LIT("SIZE")));
	PROMISE(!has_nocase(said, SPAN_LIT("8BITMIME")) ||
	        has_nocase(run->all, SPAN_LIT("8BITMIME")));
	PROMISE(said.len < 4096);
	buf_drop(out, out->len);
}

/* False when the session is over. */
static bool serve(struct run *run, unsigned *mails)
{
	enum smtp_client_want want = smtp_client_next(run->client);
	bool was_busy = smtp_client_is_busy(run->client);
	switch (want) {
	case SMTP_CLIENT_WAIT:
		return true;
	case SMTP_CLIENT_TLS:
		smtp_client_tls_started(run->client);
		break;
	case SMTP_CLIENT_READY:
		if (*mails == 0) {
			smtp_client_quit(run->client);
			return false;
		}
		--*mails;
		smtp_client_send(run->client, &run->mail);
		break;
	case SMTP_CLIENT_BODY:
		smtp_client_body(run->client, SPAN_LIT("Subject: x\r\n\r\n.\r\n"));
		smtp_client_body_end(run->client);
		PROMISE(!smtp_client_is_committed(run->client));
		break;
	case SMTP_CLIENT_RESULT:
		PROMISE(!was_busy);
		check_results(run, true);
		break;
	case SMTP_CLIENT_BROKEN:
		check_results(run, !was_busy && *mails < 3);
		return false;
	}
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct span to[RECIPIENTS] = { { "b@c.example", 11 },
		                                    { "d@c.example", 11 },
		                                    { "e@c.example", 11 } };
	struct span in = span_of(data, size);
	unsigned flags = fuzz_byte(&in);
	unsigned cut = fuzz_byte(&in) + 1;
	struct run run = { .all = in };
	run.mail = (struct smtp_client_mail){ SPAN_LIT("a@c.example"), to, RECIPIENTS, 100,
		                              (flags & 4) != 0 };
	run.client = smtp_client_new(SPAN_LIT("us.example"), flags % 3);
	unsigned mails = 3;
	bool more = true;
	while (more) {
		/* as a caller does: all that it can do now, then bytes */
		for (unsigned steps = 0; steps < 4 && more; steps++) {
			more = serve(&run, &mails);
			if (!(flags & 8)) {
				take_output(&run);
			}
		}
		take_output(&run);
		more = more && in.len;
		smtp_client_feed(run.client, span_first(in, cut));
		in = span_from(in, cut);
	}
	smtp_client_lost(run.client, "end");
	smtp_client_free(run.client);
	return 0;
}
