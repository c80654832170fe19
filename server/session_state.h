/*
 * A session's insides, for the three files that are a session: session.c (its life: accept,
 * deadlines, the end), session_login.c (who it is: TLS and AUTH) and transaction.c (a message:
 * MAIL to the answer behind the dot). Nobody else includes this.
 */
#ifndef GATEPOST_SERVER_SESSION_STATE_H
#define GATEPOST_SERVER_SESSION_STATE_H

#include "proto/smtp_server.h"
#include "server/conn.h"
#include "server/door.h"
#include "server/enrol.h"
#include "server/envelope.h"
#include "server/intake.h"
#include "server/log.h"
#include "server/login.h"
#include "server/session.h"
#include "server/trip.h"

struct session {
	struct session *next, **link; /* the worker's list */
	struct worker *worker;
	char listener[32];   /* its name, for the log: it may be closed before us */
	enum config_tls tls; /* how TLS begins here */
	enum config_role role;
	struct conn *conn;
	struct smtp_server *smtp;
	struct smtp_server_rules rules;
	struct config *config; /* as of the last transaction */
	unsigned generation;   /* its */
	uint64_t id;           /* sid= in the log */
	/* who */
	unsigned char address[NETWORK_ADDRESS_BYTES];
	char certificate[256]; /* the name in the one that the client has shown; "": none */
	struct login *login;
	bool holding;                       /* its refusal is held back */
	struct enrol *enrol;                /* its account is being made */
	int64_t login_wall;                 /* when it began, ms since 1970 */
	char *account;                      /* NULL before a good login */
	char apppass[APPPASS_NAME_MAX + 1]; /* by which it logged in; "": none */
	bool device;                        /* known by its address: it does not log in */
	bool vouched;                       /* not by a secret of ours: for a while only */
	int64_t secret_wall;                /* when that secret was set, as of the login */
	int64_t logged_in;                  /* when, on the loop's clock */
	unsigned auth_failures;
	bool changed;  /* a secret of its account's may be another by now: to be looked at */
	bool shut_out; /* its network was blocked */
	/* the account is suspended by this incident, as far as we have heard; 0 = good */
	uint64_t stopped;
	bool stopped_at_login; /* it was when we came: every MAIL gets 550 */
	bool tripped;          /* it was us: 550 until our next MAIL, then 421 */
	/* the transaction */
	struct envelope envelope;
	enum reply refused; /* the whole message was refused at RCPT with this; REPLY_OK: not */
	struct intake *intake;
	uint64_t text_bytes;
	bool awaiting_end; /* intake_finish was called */
	uint64_t queued;   /* its id, when it is queued and the door is still awaited */
	struct door *door; /* answers to notices among the recipients */
	struct trip *trip; /* a RCPT waits for the writer's judgement */
	char asked[ADDRESS_MAX + 1]; /* its recipient */
	uint64_t asked_contact;      /* the digest of the last one that was asked for */
	bool asked_trap;             /* it is one */
	uint32_t asked_members;      /* how many people it is; 0: no list */
	uint32_t traps;              /* among the recipients so far */
	struct act_past past;        /* what the history says of the recipients so far */
	struct act_past asked_past;  /* the same with that one */
	int64_t again_wall;          /* when what was deferred is to be tried again */
	unsigned messages;
	unsigned notes; /* of names that are not its own */
	/* deadlines, on the loop's clock in ms */
	int64_t born;
	int64_t progress; /* the last finished command or step */
	int64_t data_began;
	int64_t data_read;
	bool counted; /* in the census */
	bool shaking; /* a TLS handshake is under way */
	bool paused;
	bool closing;
};

/* Does all that can be done now: events, then one write of all replies. */
void session_run(struct session *session);
/* ---- session_login.c ---- */

void session_starttls(struct session *session, struct smtp_event *event);
void session_auth(struct session *session, struct smtp_event *event);
void session_auth_next(struct session *session, struct smtp_event *event);
/* The attempt is over without an end. */
void session_login_gone(struct session *session, struct smtp_event *event);
/* After the handshake. */
void session_see_certificate(struct session *session);
/* What is to be offered. */
struct span session_mechanisms(const struct session *session);
/* A refusal that is held back is given now. */
void session_hurry_login(struct session *session);
/* At the start: is it a device? OK, or why it can not stay. */
enum reply session_enter_device(struct session *session);
/* As gate_login does; UNKNOWN also when the secret by which it came is no more. */
enum gate_verdict session_ask_gate(const struct session *session, uint64_t *incident_out);
/* Must it end, or log in again? OK: it may go on. */
enum reply session_login_over(struct session *session);

/* ---- session_sender.c: under whose name it writes; OK, or a refusal ---- */

/* MAIL FROM. */
enum reply session_judge_sender(struct session *session, struct span address);
/* The header's From, when the text is over. */
enum reply session_judge_from(struct session *session);

/* ---- session.c ---- */

/* Begins a line with what names this session. */
void session_log(struct log_line *line, const struct session *session, enum log_level level,
                 const char *event);

static inline void session_answer(struct session *session, enum reply reply)
{
	smtp_server_answer(session->smtp, reply, SPAN_NONE);
}

/* The same for one of the STOPPED replies, with whom to ask and the case. */
void session_answer_stopped(struct session *session, enum reply reply);

static inline struct span session_account(const struct session *session)
{
	return span_str(session->account);
}

/* ---- transaction.c: one function an event ---- */

void transaction_mail(struct session *session, struct smtp_event *event);
void transaction_rcpt(struct session *session, struct smtp_event *event);
void transaction_data(struct session *session, struct smtp_event *event);
void transaction_body(struct session *session, struct smtp_event *event);
void transaction_end(struct session *session, struct smtp_event *event);
/* Over without a message (RSET, EHLO, a lost connection): what was staged is dropped, a commit
 * under way goes on unseen. */
void transaction_reset(struct session *session);

#endif
