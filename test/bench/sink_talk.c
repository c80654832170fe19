#include "sink.h"

static unsigned roll(struct sink *sink, unsigned sides)
{
	sink->seed ^= sink->seed << 13;
	sink->seed ^= sink->seed >> 7;
	sink->seed ^= sink->seed << 17;
	return (unsigned)(sink->seed >> 11) % sides;
}

/* ---- what becomes of a mail ---- */

static void say(struct conn *conn, const char *text)
{
	buf_put_str(&conn->out, text);
}

void talk_greet(struct conn *conn)
{
	say(conn, "220 sink.example ESMTP\r\n");
}

static void drop(struct conn *conn)
{
	buf_clear(&conn->out);
	conn->closing = true;
}

static void end_mail(struct conn *conn)
{
	conn->in_mail = false;
	conn->nrecipients = 0;
	conn->fault = FAULT_NONE;
	buf_clear(&conn->recipients);
	buf_clear(&conn->sender);
}

/* Takes off the stuffing dots of a text that begins behind a line end; gives its new length. */
static size_t unstuff(char *text, size_t len)
{
	size_t to = 0;
	size_t at = len && text[0] == '.';
	while (at < len) {
		const char *dot = memmem(text + at, len - at, "\r\n.", 3);
		size_t n = dot ? (size_t)(dot - text) + 2 - at : len - at;
		memmove(text + to, text + at, n);
		to += n;
		at += n + 1;
	}
	return to;
}

void talk_finish_mail(struct sink *sink, struct conn *conn)
{
	/* two bytes of a line end stand before the text, see do_data */
	char *start = conn->text.ptr + 2;
	struct span text = span_of(start, unstuff(start, conn->text.len - 2));
	if (conn->fault == FAULT_DOT) {
		say(conn, "451 4.3.0 Random fault\r\n");
	} else if (conn->fault == FAULT_BEFORE) {
		drop(conn);
	} else {
		sink->mails++;
		sink->recipients += conn->nrecipients;
		sink->bytes += text.len;
		struct kept kept = {
			.sender = buf_span(&conn->sender),
			.recipients = buf_span(&conn->recipients),
			.nrecipients = conn->nrecipients,
			.text = text,
			.opened = conn->opened,
			.dropped = conn->fault == FAULT_BEHIND,
		};
		if (!keep_mail(&sink->keep, &kept)) {
			sink_die("cannot keep a mail");
		}
		buf_printf(&conn->out, "250 2.0.0 Ok: queued as S%llu\r\n", sink->mails);
		if (conn->fault == FAULT_BEHIND) {
			drop(conn);
		}
	}
	end_mail(conn);
}

/* ---- commands ---- */

static struct span path_of(struct span line)
{
	struct span path = span_from(line, span_find(line, '<') + 1);
	return span_first(path, span_find(path, '>'));
}

static void do_hello(struct sink *sink, struct conn *conn, struct span line)
{
	(void)sink;
	end_mail(conn);
	say(conn, span_starts_nocase(line, SPAN_LIT("HELO"))
	              ? "250 sink.example\r\n"
	              : "250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n"
	                "250-SIZE 104857600\r\n250 ENHANCEDSTATUSCODES\r\n");
}

static void do_mail(struct sink *sink, struct conn *conn, struct span line)
{
	if (conn->in_mail) {
		say(conn, "503 5.5.1 Nested MAIL\r\n");
		return;
	}
	if (sink->fail && roll(sink, 100) < sink->fail) {
		conn->fault = FAULT_NONE + 1 + roll(sink, FAULTS - 1);
		sink->faults++;
	}
	if (conn->fault == FAULT_MAIL) {
		conn->fault = FAULT_NONE;
		say(conn, "451 4.3.0 Random fault\r\n");
		return;
	}
	buf_put(&conn->sender, path_of(line));
	conn->in_mail = true;
	say(conn, "250 2.1.0 Ok\r\n");
}

static void do_rcpt(struct sink *sink, struct conn *conn, struct span line)
{
	if (!conn->in_mail) {
		say(conn, "503 5.5.1 MAIL first\r\n");
	} else if (conn->fault == FAULT_RCPT && roll(sink, 2)) {
		say(conn, "451 4.3.0 Random fault\r\n");
	} else {
		if (conn->nrecipients++) {
			buf_put_byte(&conn->recipients, ',');
		}
		buf_put(&conn->recipients, path_of(line));
		say(conn,
		    conn->recipients.failed ? "452 4.5.3 Too many\r\n" : "250 2.1.5 Ok\r\n");
	}
}

static void do_data(struct sink *sink, struct conn *conn, struct span line)
{
	(void)sink;
	(void)line;
	if (!conn->nrecipients) {
		say(conn, "554 5.5.1 No valid recipients\r\n");
		return;
	}
	/* With a line end in front the terminator looks the same everywhere. */
	buf_clear(&conn->text);
	buf_put_str(&conn->text, "\r\n");
	conn->in_text = true;
	say(conn, "354 Go ahead\r\n");
}

static void do_rset(struct sink *sink, struct conn *conn, struct span line)
{
	(void)sink;
	(void)line;
	end_mail(conn);
	say(conn, "250 2.0.0 Ok\r\n");
}

static void do_noop(struct sink *sink, struct conn *conn, struct span line)
{
	(void)sink;
	(void)line;
	say(conn, "250 2.0.0 Ok\r\n");
}

static void do_quit(struct sink *sink, struct conn *conn, struct span line)
{
	(void)sink;
	(void)line;
	say(conn, "221 2.0.0 Bye\r\n");
	conn->closing = true;
}

static void do_unknown(struct sink *sink, struct conn *conn, struct span line)
{
	(void)sink;
	(void)line;
	say(conn, "500 5.5.2 Unknown command\r\n");
}

static const struct command {
	const char *verb;
	void (*run)(struct sink *sink, struct conn *conn, struct span line);
} commands[] = {
	{ "RCPT", do_rcpt }, { "MAIL", do_mail },  { "DATA", do_data },
	{ "RSET", do_rset }, { "EHLO", do_hello }, { "HELO", do_hello },
	{ "NOOP", do_noop }, { "QUIT", do_quit },  { "", do_unknown },
};

static void run_command(struct sink *sink, struct conn *conn, struct span line)
{
	const struct command *command = commands;
	while (!span_starts_nocase(line, span_str(command->verb))) {
		command++;
	}
	command->run(sink, conn, line);
}

/* ---- input ---- */

/* Moves text from the input; true when its end was in it. */
static bool take_text(struct conn *conn, struct span *in)
{
	struct buf *text = &conn->text;
	size_t before = text->len;
	size_t from = before < 4 ? 0 : before - 4; /* the terminator may be cut anywhere */
	if (!buf_put(text, *in)) {
		drop(conn);
		return false;
	}
	const char *end = memmem(text->ptr + from, text->len - from, "\r\n.\r\n", 5);
	if (!end) {
		*in = SPAN_NONE;
		return false;
	}
	size_t len = (size_t)(end - text->ptr);
	*in = span_from(*in, len + 5 - before);
	text->len = len + 2;
	return true;
}

bool talk_step(struct sink *sink, struct conn *conn, struct span *in)
{
	if (conn->in_text) {
		if (!take_text(conn, in)) {
			return false;
		}
		conn->in_text = false;
		if (sink->delay) {
			sink_hold(sink, conn);
		} else {
			talk_finish_mail(sink, conn);
		}
		return true;
	}
	size_t end = span_find(*in, '\n');
	if (end == in->len) {
		return false;
	}
	struct span line = span_first(*in, end);
	*in = span_from(*in, end + 1);
	run_command(sink, conn, line);
	return true;
}
