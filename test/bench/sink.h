/*
 * The state of the sink and its connections: sockets, time and options are in sink.c, what is
 * said in SMTP is in sink_talk.c.
 */
#ifndef GATEPOST_TEST_BENCH_SINK_H
#define GATEPOST_TEST_BENCH_SINK_H

#include "keep.h"

#define IN_BYTES       ((size_t)64 * 1024)
#define MESSAGE_MAX    ((size_t)128 << 20)
#define RECIPIENTS_MAX ((size_t)1 << 20) /* bytes of all recipients of a mail */

enum fault {
	FAULT_NONE,
	FAULT_MAIL,
	FAULT_RCPT,
	FAULT_DOT,
	FAULT_BEFORE,
	FAULT_BEHIND,
	FAULTS
};

struct conn {
	int fd;
	bool in_mail, in_text, closing, waits_for_output;
	enum fault fault; /* of this transaction */
	size_t in_len;
	struct buf out, text, recipients;
	struct buf sender;
	unsigned nrecipients;
	int64_t opened;
	struct conn *next, *prev;
	int64_t due;            /* when the answer that is held back goes out; 0 = none is */
	struct conn *next_held; /* all wait equally long, so they stand in order */
	char in[IN_BYTES];
};

struct sink {
	unsigned port, fail, delay;
	bool count;
	uint64_t seed; /* xorshift64 */
	struct keep keep;
	int epoll, listener, signals;
	struct conn *conns, *first_held, *last_held;
	unsigned long long connections, mails, recipients, bytes, faults;
};

/* ---- sink.c ---- */

_Noreturn void sink_die(const char *what);
/* The answer to the final dot goes out later, by talk_finish_mail. */
void sink_hold(struct sink *sink, struct conn *conn);

/* ---- sink_talk.c: what it says is put into conn->out, for sink.c to send ---- */

void talk_greet(struct conn *conn);
/* One step through the input; false when it needs more of it, or time. */
bool talk_step(struct sink *sink, struct conn *conn, struct span *in);
/* The final dot is to be answered. */
void talk_finish_mail(struct sink *sink, struct conn *conn);

#endif
