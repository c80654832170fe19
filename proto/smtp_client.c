#include "proto/smtp_client.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/smtp_data.h"
#include "proto/smtp_keywords.h"
#include "proto/smtp_results.h"

#define OUTPUT_CAP   ((size_t)64 << 20) /* a whole message, should a caller not pace itself */
#define LINE_CAP     ((size_t)8 * 1024)
#define BLANKS_MAX   64
#define HOSTNAME_MAX 255

enum state {
	STATE_GREETING,
	STATE_EHLO,
	STATE_HELO,
	STATE_STARTTLS,
	STATE_HANDSHAKE,
	STATE_IDLE,
	STATE_MAIL,
	STATE_RCPT,
	STATE_DATA,
	STATE_BODY,
	STATE_DOT,
	STATE_LONE_DOT,
	STATE_RESULT,
	STATE_RSET,
	STATE_QUIT,
	STATE_BROKEN,
};

struct smtp_client {
	enum state state;
	enum smtp_client_tls tls;
	bool in_tls;
	bool doomed;                   /* broken, but the last results have not been read yet */
	struct smtp_keywords keywords; /* of the last EHLO */
	struct buf out;

	struct buf in; /* a begun line; mostly empty */
	struct reply_in reply;
	unsigned blanks;    /* empty lines between replies so far */
	size_t outstanding; /* commands in or behind `out` that have no reply yet */

	const struct smtp_client_mail *mail;
	struct smtp_results results;
	size_t at; /* the recipient whose RCPT is to be written or answered */
	size_t accepted;
	bool busy;
	bool grouped; /* MAIL, RCPT and DATA were all written ahead */
	bool dirty;   /* the smarthost holds a begun transaction */
	bool dotted;  /* the final dot was written and has no answer */
	struct smtp_data_out data;

	struct smtp_client_result undecided; /* the result, in BROKEN, of who has no other */
	char failure[512];
	unsigned failure_code;
	char hostname[HOSTNAME_MAX + 1];
};

/* One state a row. A reply below 400 that is not `yes` makes no sense there. */
struct row {
	const char *name; /* also the verb that is written */
	enum smtp_client_want want;
	unsigned patience; /* seconds; RFC 5321 4.5.3.2 */
	unsigned yes;      /* the one good code, or 2 for every 2xx */
	void (*write)(struct smtp_client *client, const char *verb); /* on entry */
	void (*answered)(struct smtp_client *client, bool yes);
};

static const struct row rows[STATE_BROKEN + 1];

static void write_state(struct smtp_client *client, enum state state)
{
	if (rows[state].write) {
		rows[state].write(client, rows[state].name);
	}
}

/* What is to be said in a state is said on entry, unless a group has said it ahead. */
static void enter(struct smtp_client *client, enum state state)
{
	client->state = state;
	if (!client->grouped) {
		write_state(client, state);
	}
}

/* ---- the end of a session ---- */

static void go_broken(struct smtp_client *client, const char *enhanced)
{
	snprintf(client->undecided.enhanced, sizeof client->undecided.enhanced, "%s", enhanced);
	client->mail = NULL;
	client->dirty = false;
	if (client->state == STATE_RESULT) {
		client->doomed = true;
	} else {
		client->state = STATE_BROKEN;
	}
}

/* Given up by us: `why` and, where there is one, the reply that is to blame. */
static void give_up(struct smtp_client *client, const char *why)
{
	const struct reply_in *reply = &client->reply;
	if (reply->last) {
		snprintf(client->failure, sizeof client->failure, "%s (%s): %u %s", why,
		         rows[client->state].name, reply->code, reply->text);
	} else {
		snprintf(client->failure, sizeof client->failure, "%s (%s)", why,
		         rows[client->state].name);
	}
	go_broken(client, "");
}

/* Given up because of what the smarthost said, which is no verdict on the mail. */
static void take_farewell(struct smtp_client *client)
{
	const struct reply_in *reply = &client->reply;
	snprintf(client->failure, sizeof client->failure, "%s", reply->text);
	client->failure_code = reply->code;
	bool later = reply->code / 100 == 4;
	client->undecided.code = later ? reply->code : 0;
	go_broken(client, later ? reply->enhanced : "");
}

void smtp_client_lost(struct smtp_client *client, const char *why)
{
	if (client->state != STATE_BROKEN && !client->doomed) {
		client->reply = (struct reply_in){ 0 };
		give_up(client, why);
	}
}

/* ---- what we say ---- */

/* Ends a command that begins with what was put before. */
static void say(struct smtp_client *client, const char *text)
{
	buf_put_str(&client->out, text);
	buf_put_str(&client->out, "\r\n");
	client->outstanding++;
}

static void write_verb(struct smtp_client *client, const char *verb)
{
	say(client, verb);
}

/* EHLO or HELO: all that was announced before is forgotten (RFC 3207 4.2). */
static void write_hello(struct smtp_client *client, const char *verb)
{
	client->keywords = (struct smtp_keywords){ 0 };
	buf_put_str(&client->out, verb);
	buf_put_byte(&client->out, ' ');
	say(client, client->hostname);
}

static void put_path(struct smtp_client *client, struct span path)
{
	assert(span_find(path, '\n') == path.len); /* it would be a command of its own */
	buf_put_byte(&client->out, '<');
	buf_put(&client->out, path);
	buf_put_byte(&client->out, '>');
}

static void write_mail(struct smtp_client *client, const char *verb)
{
	const struct smtp_client_mail *mail = client->mail;
	buf_put_str(&client->out, verb);
	buf_put_str(&client->out, " FROM:");
	put_path(client, mail->sender);
	if (smtp_keywords_have(&client->keywords, SMTP_KEYWORD_SIZE)) {
		buf_printf(&client->out, " SIZE=%llu", (unsigned long long)mail->size);
	}
	say(client, mail->eight_bit ? " BODY=8BITMIME" : "");
}

static void write_rcpt(struct smtp_client *client, const char *verb)
{
	buf_put_str(&client->out, verb);
	buf_put_str(&client->out, " TO:");
	put_path(client, client->mail->recipients[client->at]);
	say(client, "");
}

/* RFC 2920 3.1: DATA is the last of a group. */
static void write_group(struct smtp_client *client)
{
	write_state(client, STATE_MAIL);
	for (client->at = 0; client->at < client->results.n; client->at++) {
		write_state(client, STATE_RCPT);
	}
	write_state(client, STATE_DATA);
	client->at = 0;
	client->grouped = true;
}

/* ---- what they say: a function a state ---- */

/* Every recipient has its result. */
static void finish(struct smtp_client *client)
{
	client->mail = NULL;
	client->grouped = false;
	client->state = STATE_RESULT;
}

static void acquainted(struct smtp_client *client)
{
	if (client->in_tls || client->tls == SMTP_CLIENT_TLS_NONE) {
		enter(client, STATE_IDLE);
	} else if (smtp_keywords_have(&client->keywords, SMTP_KEYWORD_STARTTLS)) {
		enter(client, STATE_STARTTLS);
	} else if (client->tls == SMTP_CLIENT_TLS_MAY) {
		enter(client, STATE_IDLE);
	} else {
		client->reply = (struct reply_in){ 0 };
		give_up(client, "TLS is required and the smarthost does not offer it");
	}
}

static void greeting_answered(struct smtp_client *client, bool yes)
{
	yes ? enter(client, STATE_EHLO) : take_farewell(client);
}

static void ehlo_answered(struct smtp_client *client, bool yes)
{
	if (yes) {
		acquainted(client);
	} else if (client->reply.code >= 500) {
		enter(client, STATE_HELO);
	} else {
		take_farewell(client);
	}
}

static void helo_answered(struct smtp_client *client, bool yes)
{
	yes ? acquainted(client) : take_farewell(client);
}

static void starttls_answered(struct smtp_client *client, bool yes)
{
	if (yes) {
		enter(client, STATE_HANDSHAKE);
	} else if (client->tls == SMTP_CLIENT_TLS_MAY) {
		enter(client, STATE_IDLE);
	} else {
		take_farewell(client);
	}
}

static void mail_answered(struct smtp_client *client, bool yes)
{
	if (yes) {
		client->dirty = true;
	} else {
		smtp_results_set_open(&client->results, &client->reply);
	}
	if (yes || client->grouped) {
		enter(client, STATE_RCPT);
	} else {
		finish(client);
	}
}

static void rcpt_answered(struct smtp_client *client, bool yes)
{
	size_t i = client->at++;
	bool open = !smtp_results_get(&client->results, i); /* else an echo of MAIL's refusal */
	client->dirty = client->dirty || yes;
	if (open && yes) {
		client->accepted++;
	} else if (open) {
		smtp_results_set(&client->results, i, &client->reply, client->accepted > 0);
	}
	if (client->at < client->results.n) {
		enter(client, STATE_RCPT);
	} else if (client->accepted || client->grouped) {
		enter(client, STATE_DATA);
	} else {
		finish(client);
	}
}

static void data_answered(struct smtp_client *client, bool yes)
{
	client->grouped = false;
	if (yes) {
		/* RFC 2920 3.1: a 354 although nobody was taken is ended without a text. */
		enter(client, client->accepted ? STATE_BODY : STATE_LONE_DOT);
	} else {
		smtp_results_set_open(&client->results, &client->reply);
		finish(client);
	}
}

/* Decides for those whose RCPT was taken; behind a lone dot there are none. */
static void dot_answered(struct smtp_client *client, bool yes)
{
	(void)yes;
	smtp_results_set_open(&client->results, &client->reply);
	client->dirty = false;
	finish(client);
}

static void rset_answered(struct smtp_client *client, bool yes)
{
	yes ? enter(client, STATE_IDLE) : take_farewell(client);
}

#define WAIT SMTP_CLIENT_WAIT

static const struct row rows[STATE_BROKEN + 1] = {
	[STATE_GREETING] = { "greeting", WAIT, 300, 220, NULL, greeting_answered },
	[STATE_EHLO] = { "EHLO", WAIT, 300, 250, write_hello, ehlo_answered },
	[STATE_HELO] = { "HELO", WAIT, 300, 250, write_hello, helo_answered },
	[STATE_STARTTLS] = { "STARTTLS", WAIT, 120, 220, write_verb, starttls_answered },
	[STATE_HANDSHAKE] = { "TLS handshake", SMTP_CLIENT_TLS, 60, 0, NULL, NULL },
	[STATE_IDLE] = { "between messages", SMTP_CLIENT_READY, 0, 0, NULL, NULL },
	[STATE_MAIL] = { "MAIL", WAIT, 300, 2, write_mail, mail_answered },
	[STATE_RCPT] = { "RCPT", WAIT, 300, 2, write_rcpt, rcpt_answered },
	[STATE_DATA] = { "DATA", WAIT, 120, 354, write_verb, data_answered },
	[STATE_BODY] = { "text", SMTP_CLIENT_BODY, 180, 0, NULL, NULL },
	[STATE_DOT] = { "final dot", WAIT, 600, 2, NULL, dot_answered },
	[STATE_LONE_DOT] = { ".", WAIT, 120, 2, write_verb, dot_answered },
	[STATE_RESULT] = { "between messages", SMTP_CLIENT_RESULT, 0, 0, NULL, NULL },
	[STATE_RSET] = { "RSET", WAIT, 60, 2, write_verb, rset_answered },
	[STATE_QUIT] = { "QUIT", WAIT, 5, 2, write_verb, NULL },
	[STATE_BROKEN] = { "end", SMTP_CLIENT_BROKEN, 0, 0, NULL, NULL },
};

/* ---- bytes from the smarthost ---- */

/*
 * A reply to a command that is still in the output, or to none at all: the two sides no longer
 * count alike, and every later reply would be taken for the answer to something else.
 */
static bool is_uncalled_for(const struct smtp_client *client)
{
	size_t unwritten = 0;
	struct span rest = buf_span(&client->out);
	while (unwritten < client->outstanding && span_find(rest, '\n') < rest.len) {
		rest = span_from(rest, span_find(rest, '\n') + 1);
		unwritten++;
	}
	return unwritten == client->outstanding;
}

static void take_reply(struct smtp_client *client)
{
	const struct row *row = &rows[client->state];
	unsigned code = client->reply.code;
	bool yes = row->yes == 2 ? code / 100 == 2 : code == row->yes;
	if (is_uncalled_for(client)) {
		if (code >= 400) {
			take_farewell(client); /* 421 may come at any time (RFC 5321 3.8) */
		} else {
			give_up(client, "The smarthost answered what it was not asked");
		}
		return;
	}
	client->outstanding--;
	if (code < 400 && !yes) {
		give_up(client, "The smarthost gave an answer that makes no sense");
		return;
	}
	client->dotted = false;
	if (code == 421) {
		take_farewell(client);
	} else {
		row->answered(client, yes);
	}
}

static void take_line(struct smtp_client *client, struct span line)
{
	/* Some smarthosts say an empty line before a reply. It is none, but not for ever. */
	bool blank = line.len == 1 || (line.len == 2 && line.ptr[0] == '\r');
	if (blank && client->reply.lines == 0) {
		if (++client->blanks > BLANKS_MAX) {
			give_up(client, "The smarthost sends empty lines");
		}
		return;
	}
	if (client->state == STATE_EHLO) {
		smtp_keywords_read(&client->keywords, line);
	}
	enum reply_read got = reply_read(&client->reply, &line);
	if (got == REPLY_BAD) {
		client->reply = (struct reply_in){ 0 };
		give_up(client, "The smarthost does not speak SMTP");
	} else if (got == REPLY_DONE) {
		take_reply(client);
		client->reply = (struct reply_in){ 0 };
	}
}

/* A line with its LF, from `bytes` or joined in `in`; false when its end has not come yet. */
static bool next_line(struct smtp_client *client, struct span *bytes, struct span *line_out)
{
	size_t end = span_find(*bytes, '\n');
	bool whole = end < bytes->len;
	struct span piece = span_first(*bytes, end + whole);
	*bytes = span_from(*bytes, piece.len);
	*line_out = piece;
	if (whole && client->in.len == 0) {
		return true;
	}
	if (!buf_put(&client->in, piece)) {
		give_up(client, "The smarthost sends an endless line");
		return false;
	}
	*line_out = buf_span(&client->in);
	return whole;
}

/* What comes now is of no interest, or no SMTP: after 220 to STARTTLS it may be an attacker's
 * (RFC 3207 6, CVE-2011-0411). */
static bool is_deaf(const struct smtp_client *client)
{
	return client->state == STATE_HANDSHAKE || client->state == STATE_QUIT ||
	       client->state == STATE_BROKEN || client->doomed;
}

void smtp_client_feed(struct smtp_client *client, struct span bytes)
{
	struct span line;
	while (!is_deaf(client) && next_line(client, &bytes, &line)) {
		take_line(client, line);
		buf_done(&client->in);
	}
	if (is_deaf(client)) {
		buf_done(&client->in);
	}
}

/* ---- a session's life ---- */

struct smtp_client *smtp_client_new(struct span hostname, enum smtp_client_tls tls)
{
	assert(hostname.len > 0 && hostname.len <= HOSTNAME_MAX);
	struct smtp_client *client = calloc(1, sizeof *client);
	if (client) {
		client->tls = tls;
		client->outstanding = 1; /* the greeting */
		client->undecided.text = client->failure;
		memcpy(client->hostname, hostname.ptr, hostname.len);
		buf_init(&client->out, OUTPUT_CAP);
		buf_init(&client->in, LINE_CAP);
	}
	return client;
}

void smtp_client_free(struct smtp_client *client)
{
	if (client) {
		buf_done(&client->in);
		buf_done(&client->out);
		smtp_results_done(&client->results);
		free(client);
	}
}

enum smtp_client_want smtp_client_next(struct smtp_client *client)
{
	if (client->out.failed && client->state != STATE_BROKEN && !client->doomed) {
		smtp_client_lost(client, "Out of memory");
	}
	if (client->state != STATE_RESULT) {
		return rows[client->state].want;
	}
	client->busy = false;
	if (client->doomed) {
		client->doomed = false;
		client->state = STATE_BROKEN;
	} else {
		enter(client, client->dirty ? STATE_RSET : STATE_IDLE);
		client->dirty = false;
	}
	return SMTP_CLIENT_RESULT;
}

void smtp_client_tls_started(struct smtp_client *client)
{
	assert(client->state == STATE_HANDSHAKE);
	client->in_tls = true;
	enter(client, STATE_EHLO);
}

/* What the smarthost said it can not take is not offered to it; NULL when it can. */
static const struct smtp_client_result *refuse_here(const struct smtp_client *client)
{
	static const struct smtp_client_result too_big = {
		552, "5.3.4", "The message is larger than the smarthost takes"
	};
	static const struct smtp_client_result eight_bit = {
		554, "5.6.3", "The message has 8-bit text, which the smarthost does not take"
	};
	const struct smtp_keywords *keywords = &client->keywords;
	if (keywords->size_max && client->mail->size > keywords->size_max) {
		return &too_big;
	}
	bool takes_all = smtp_keywords_have(keywords, SMTP_KEYWORD_8BITMIME);
	return client->mail->eight_bit && !takes_all ? &eight_bit : NULL;
}

void smtp_client_send(struct smtp_client *client, const struct smtp_client_mail *mail)
{
	assert(client->state == STATE_IDLE && mail->nrecipients > 0);
	client->mail = mail;
	client->busy = true;
	client->accepted = 0;
	client->at = 0;
	client->data = (struct smtp_data_out){ 0 };
	if (!smtp_results_begin(&client->results, mail->nrecipients)) {
		smtp_client_lost(client, "Out of memory");
		return;
	}
	const struct smtp_client_result *refusal = refuse_here(client);
	if (refusal) {
		smtp_results_refuse(&client->results, refusal);
		finish(client);
		return;
	}
	if (smtp_keywords_have(&client->keywords, SMTP_KEYWORD_PIPELINING)) {
		write_group(client);
	}
	enter(client, STATE_MAIL);
}

void smtp_client_body(struct smtp_client *client, struct span text)
{
	/* A 421 may have come between two pieces: then the text has nowhere to go. */
	assert(client->state == STATE_BODY || client->state == STATE_BROKEN);
	if (client->state == STATE_BODY) {
		smtp_data_out_put(&client->data, text, &client->out);
	}
}

void smtp_client_body_end(struct smtp_client *client)
{
	assert(client->state == STATE_BODY || client->state == STATE_BROKEN);
	if (client->state == STATE_BODY) {
		smtp_data_out_end(&client->data, &client->out);
		client->outstanding++;
		client->dotted = true;
		client->state = STATE_DOT;
	}
}

const struct smtp_client_result *smtp_client_result(const struct smtp_client *client, size_t i)
{
	const struct smtp_client_result *result = smtp_results_get(&client->results, i);
	return result ? result : &client->undecided;
}

void smtp_client_quit(struct smtp_client *client)
{
	if (client->state == STATE_IDLE) {
		enter(client, STATE_QUIT);
	}
}

bool smtp_client_is_busy(const struct smtp_client *client)
{
	return client->busy;
}

bool smtp_client_is_committed(const struct smtp_client *client)
{
	return client->dotted && client->out.len == 0 && !client->out.failed;
}

const char *smtp_client_failure(const struct smtp_client *client, unsigned *code_out)
{
	*code_out = client->failure_code;
	return client->failure;
}

unsigned smtp_client_patience(const struct smtp_client *client)
{
	return rows[client->state].patience;
}

bool smtp_client_is_in_tls(const struct smtp_client *client)
{
	return client->in_tls;
}

struct buf *smtp_client_output(struct smtp_client *client)
{
	return &client->out;
}
