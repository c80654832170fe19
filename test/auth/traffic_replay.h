/*
 * A replay, as the files that play a day see it: traffic_test.c (the day, its clocks and store,
 * and what the classic rule knows) and traffic_mail.c (a message to
 * people, and what becomes of it) and traffic_guard.c (what else the guard knows).
 */
#ifndef GATEPOST_TEST_AUTH_TRAFFIC_REPLAY_H
#define GATEPOST_TEST_AUTH_TRAFFIC_REPLAY_H

#include "auth/gate.h"
#include "proto/address.h"
#include "test/auth/traffic_day.h"

#define ACCOUNTS_MAX 32
#define PLACES_MAX   16

struct replay_account {
	char name[ADDRESS_DOMAIN_MAX + 1];
	uint32_t relayed; /* recipients that have gone since it was asked for */
	int64_t dwell;    /* of its last message */
};

/* A network of which something is declared. */
struct replay_place {
	char name[NETWORK_ADDRESS_BYTES + 1];
	bool familiar, shared;
	char country[3];
};

struct replay {
	struct day day;
	size_t steps;
	int64_t passed; /* ms since midnight of the first day */
	char dir[64];
	struct replay_account met[ACCOUNTS_MAX];
	size_t nmet;
	struct store *store;
	struct store_txn *txn;
	struct gate_rules rules;
	struct span exempt[WORDS_MAX];
	struct span postmaster[WORDS_MAX];
	struct gate_device devices[ACCOUNTS_MAX];
	char device_names[ACCOUNTS_MAX][ADDRESS_DOMAIN_MAX + 1];
	int64_t when;          /* ms until what was deferred would fit */
	struct span apppass;   /* by which the next mail is sent */
	enum gate_would would; /* what was to be told of the last */
	struct secret_key key;
	struct replay_place places[PLACES_MAX];
	size_t nplaces;
	uint32_t fresh_people, fresh_places; /* so many were made up */
};

#define FAIL(r, ...) DAY_FAIL(&(r)->day, __VA_ARGS__)

struct replay_site_step {
	const char *name;
	void (*step)(struct replay *r, const struct span *words, size_t count);
};

struct replay_account_step {
	const char *name;
	void (*step)(struct replay *r, struct span account, const struct span *words,
	             size_t count);
};

/* ---- traffic_test.c ---- */

int64_t replay_wall(void); /* ms since 1970 */
void replay_limits(struct replay *r, const struct span *words, size_t count,
                   struct budget_limits *limits_out);
struct replay_account *replay_find(struct replay *r, struct span account);
/* By which the account is suspended; 0: it is good. */
uint64_t replay_incident(struct replay *r, struct span account);
const char *replay_verdict(enum gate_verdict verdict);

/* ---- traffic_mail.c ---- */

#define REPLAY_PEOPLE_MAX 1000

struct replay_people {
	uint32_t number[REPLAY_PEOPLE_MAX];
	size_t n;
};

/* "7", "1-30", "1-30/3" (three neighbours among them), "+3" (who were never spoken of). */
void replay_people(struct replay *r, struct span word, struct replay_people *people);
uint64_t replay_digest(struct replay *r, struct span account, uint32_t number);
/* "alice mails 1-30 from cafe expect allow" */
void replay_mails(struct replay *r, struct span account, const struct span *words,
                  size_t count);
/* The smarthost takes what is due. */
void replay_relay(struct replay *r);

/* ---- traffic_guard.c ---- */

/* Each ends with a row without a name. */
extern const struct replay_site_step replay_guard_site[];
extern const struct replay_account_step replay_guard_account[];

#endif
