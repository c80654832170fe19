#include "server/screening_tell.h"

#include <stdio.h>

#include "server/log.h"
#include "server/wall.h"
#include "store/account.h"

#define DIGEST_SHOWN 6

/* ---- names and times ---- */

static bool is_account(struct server *server, struct span name)
{
	struct account row;
	struct store_txn *txn = name.len ? store_begin_read(server->store, NULL) : NULL;
	bool known = txn && account_get(txn, name, &row) == STORE_OK;
	store_abort(txn);
	return known;
}

struct span screening_name(struct server *server, struct span account,
                           char text[SCREENING_NAME_TEXT])
{
	unsigned char digest[SECRET_BYTES];
	if (!account.len || is_account(server, account)) {
		return account;
	}
	const struct span parts[] = { SPAN_LIT("unknown"), account };
	secret_hmac(&server->key, parts, COUNT(parts), digest);
	int n = snprintf(text, SCREENING_NAME_TEXT, "unknown:");
	for (size_t i = 0; i < DIGEST_SHOWN; i++) {
		n += snprintf(text + n, SCREENING_NAME_TEXT - (size_t)n, "%02x", digest[i]);
	}
	return span_of(text, (size_t)n);
}

/* T as the clock on the wall will show it. */
static struct span time_of(struct server *server, int64_t until, char text[WALL_TEXT])
{
	return wall_write(wall_ms() + until - store_now(server->store), text);
}

static struct span text_of(const struct network *network, struct buf *text)
{
	buf_clear(text);
	network_write(network, text);
	return buf_span(text);
}

/* ---- what an effect has ---- */

/* All that is told of it, in words. */
struct told {
	const struct screen_effect *effect;
	struct span address, network, until, account;
};

static void log_block(const struct told *told)
{
	struct log_line line;
	bool spray = told->effect->event == SCREEN_EVENT_SPRAY;
	log_begin(&line, LOG_LEVEL_WARNING, "screen-block");
	log_word(&line, "client_ip", told->address);
	log_word(&line, "network", told->network);
	log_word(&line, "reason", spray ? SPAN_LIT("spray") : SPAN_LIT("guesses"));
	log_number(&line, "failures", told->effect->failures);
	log_number(&line, "accounts", told->effect->accounts);
	log_word(&line, "until", told->until);
	log_end(&line);
}

static void log_guess(const struct told *told)
{
	struct log_line line;
	log_begin(&line, LOG_LEVEL_WARNING, "screen-guess");
	log_word(&line, "client_ip", told->address);
	log_number(&line, "failures", told->effect->guesses);
	log_word(&line, "until", told->until);
	log_text(&line, "account", told->account);
	log_end(&line);
}

static void explain_block(const struct told *told, struct buf *evidence)
{
	buf_printf(evidence,
	           "%u logins from %.*s failed, for about %u accounts, the last one as "
	           "\"%.*s\" from %.*s; it is shut out until %.*s",
	           told->effect->failures, SPAN_ARG(told->network), told->effect->accounts,
	           SPAN_ARG(told->account), SPAN_ARG(told->address), SPAN_ARG(told->until));
}

static void explain_guess(const struct told *told, struct buf *evidence)
{
	buf_printf(evidence,
	           "%u logins as \"%.*s\" failed, from networks that it never used, the last "
	           "one from %.*s; it is guarded until %.*s",
	           told->effect->guesses, SPAN_ARG(told->account), SPAN_ARG(told->address),
	           SPAN_ARG(told->until));
}

static const struct {
	enum screening_alarm alarm;
	void (*log)(const struct told *told);
	void (*explain)(const struct told *told, struct buf *evidence);
} events[] = {
	[SCREEN_EVENT_BLOCK] = { SCREENING_BLOCK, log_block, explain_block },
	[SCREEN_EVENT_SPRAY] = { SCREENING_SPRAY, log_block, explain_block },
	[SCREEN_EVENT_GUESS] = { SCREENING_GUESS, log_guess, explain_guess },
};

void screening_tell(struct server *server, const struct screen_try *attempt,
                    const struct screen_effect *effect)
{
	char name[SCREENING_NAME_TEXT], until[WALL_TEXT];
	struct buf address = { .cap = NETWORK_TEXT_MAX }, network = { .cap = NETWORK_TEXT_MAX };
	struct buf evidence = { .cap = SCREENING_EVIDENCE };
	struct network whole = network_cut(attempt->address, 8 * NETWORK_ADDRESS_BYTES);
	const struct told told = {
		.effect = effect,
		.address = text_of(&whole, &address),
		.network = text_of(&effect->network, &network),
		.until = time_of(server, effect->until, until),
		.account = screening_name(server, attempt->account, name),
	};
	events[effect->event].log(&told);
	events[effect->event].explain(&told, &evidence);
	screening_alarm(server, events[effect->event].alarm, buf_span(&evidence));
	buf_done(&address);
	buf_done(&network);
	buf_done(&evidence);
}
