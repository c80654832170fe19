/*
 * The configuration: one row a key (name, type, default, min, max, unit, sentence) from which
 * come the parser, `gatepost -t` and `-n`, the man page's table and the sample file. libConfuse
 * reads the grammar; what it lets pass (a key given twice, say) is checked here. A parsed
 * configuration never changes: a reload makes a new one.
 */
#ifndef GATEPOST_SERVER_CONFIG_H
#define GATEPOST_SERVER_CONFIG_H

#include <stdatomic.h>
#include <stdio.h>

#include "auth/backend.h"
#include "auth/familiar.h"
#include "auth/gate.h"
#include "auth/identity.h"
#include "auth/linger.h"
#include "auth/oauth.h"
#include "auth/sender.h"
#include "auth/tariff.h"
#include "auth/unlock.h"
#include "proto/arena.h"
#include "proto/error.h"
#include "proto/network.h"
#include "proto/smtp_client.h"
#include "server/lists.h"

#define CONFIG_RETRY_MAX       32
#define CONFIG_LISTENERS_MAX   16
#define CONFIG_ADDRESSES_MAX   16
#define CONFIG_SMARTHOSTS_MAX  8
#define CONFIG_EXEMPT_MAX      4096
#define CONFIG_POSTMASTERS_MAX 16
#define CONFIG_UNLOCKERS_MAX   1024
#define CONFIG_PEERS_MAX       64
#define CONFIG_DEVICES_MAX     64
#define CONFIG_LISTS_MAX       1024
#define CONFIG_LIST_FILES_MAX  16
#define CONFIG_NETWORKS_MAX    256 /* of a list */
#define CONFIG_PLACES_MAX      64  /* network blocks */
#define CONFIG_TRAPS_MAX       1024

struct geo;

enum config_tls {
	CONFIG_TLS_STARTTLS,
	CONFIG_TLS_IMPLICIT,
	CONFIG_TLS_NONE, /* role reply only */
};

enum config_role {
	CONFIG_ROLE_SUBMISSION,
	CONFIG_ROLE_REPLY, /* the site's MTA hands in answers to notices, and nothing else */
};

enum config_suspended_at { CONFIG_SUSPENDED_AT_MAIL, CONFIG_SUSPENDED_AT_AUTH };
enum config_unlock_word { CONFIG_UNLOCK_WORD_OPTIONAL, CONFIG_UNLOCK_WORD_REQUIRED };

enum config_history { CONFIG_HISTORY_ON, CONFIG_HISTORY_OFF };

enum config_enrol { CONFIG_ENROL_KNOWN, CONFIG_ENROL_OPEN };

struct config_listener {
	char *name;
	char *address[CONFIG_ADDRESSES_MAX]; /* numeric */
	size_t naddresses;
	unsigned port;
	enum config_tls tls;
	enum config_role role;
	struct network *peers; /* role reply: who may connect; at least one */
	size_t npeers;
};

struct config_smarthost {
	char *name;
	char *address; /* name or number */
	unsigned port;
	enum smtp_client_tls tls;
	unsigned connections; /* most links at a time */
	unsigned mails;       /* most mails over one link */
};

/* Who can not log in, known by its address. */
struct config_device {
	char *name;
	struct network *address;
	size_t naddresses;
	char *account;               /* canonical */
	struct budget_limits limits; /* count 0: as any account */
	enum gate_action action;
};

/* What the admin knows of a network. */
struct config_network {
	char *name;
	struct network *address;
	size_t naddresses;
	unsigned familiar;           /* 1: as good as ripe for everybody */
	unsigned shared;             /* 1: many accounts use it; not both */
	struct budget_limits limits; /* for mail from there, in place of the site's, when the
	                                account has none of its own; count 0: none */
};

/* What is told of an event. Each argument ends in a NUL, too. */
struct config_hook {
	struct span *argument; /* of a program, which is the first; or one address */
	size_t narguments;     /* 0: nobody is told */
	bool is_post;
};

/* All times in ms, all sizes in bytes. */
struct config {
	atomic_uint references;
	struct arena memory; /* all that is pointed to */
	char *path;
	char *hostname, *domain, *data_dir, *control, *user;
	int64_t workers;
	char *certificate, *key;
	struct config_listener listener[CONFIG_LISTENERS_MAX];
	size_t nlisteners;
	struct config_smarthost smarthost[CONFIG_SMARTHOSTS_MAX]; /* tried in this order */
	size_t nsmarthosts;
	/* authentication; what backend_rules and oauth_rules hold (strings: NULL when not
	 * given) */
	struct backend_rules backend; /* domain and timeout filled in, too */
	struct span *mechanism;       /* as given; none: what the back end can serve */
	size_t nmechanisms;
	char *mechanisms;         /* words with blanks, derived if need be */
	unsigned sql_engine;      /* of backend.sql.engine: a number of its words */
	unsigned ldap_starttls;   /* the same of backend.ldap.starttls */
	unsigned auth_realms;     /* the same of backend.realms */
	char *ldap_password_file; /* whose first line is backend.ldap.password */
	char *sql_password_file;  /* the same */
	char *oauth_secret_file;  /* of oauth.client_secret */
	char *auth_socket;        /* backend.socket as given; NULL: by the kind */
	char *ldap_account;       /* backend.ldap.account as given; "": none */
	char *login_map;          /* a file; NULL: none */
	struct identity_map map;  /* read from it */
	enum config_enrol enrol;
	int64_t cache_time;       /* of a success of an external back end; at most a minute */
	struct oauth_rules oauth; /* jwks and introspect NULL: none */
	char *client_ca; /* whose client certificates are EXTERNAL; NULL: none is asked for */
	struct config_device device[CONFIG_DEVICES_MAX];
	size_t ndevices;
	struct gate_device *gate_devices; /* the same, for the gate */
	struct lists_block list[CONFIG_LISTS_MAX];
	size_t nlists;
	struct span *list_file; /* each with a NUL behind it */
	size_t nlist_files;
	struct lists lists;    /* read from all of them */
	unsigned fold_details; /* "bob+tag@" is bob@ as a recipient */
	char *asn_database, *geoip_database;
	struct geo *asn, *country; /* the two, opened; NULL: none */
	struct network *screen_exempt;
	size_t nscreen_exempt;
	struct budget_limits limits;
	enum gate_action action;          /* at the limit; not DEFAULT */
	enum gate_mode mode;              /* not DEFAULT */
	struct budget_limits suspend_max; /* of suspensions by budget; one or none */
	struct budget_limits notice_max;  /* of notices of one suspension; one or none */
	struct span *exempt;              /* canonical accounts or patterns */
	size_t nexempt;
	/* the guard */
	struct tariff prices;
	struct tariff_dwell dwell;
	struct budget_limits
	    stranger_limits;                 /* distinct strangers of an account; may be none */
	struct budget_limits site_strangers; /* from unripe networks, in all; one or none */
	enum config_history history;
	int64_t history_keep;
	unsigned shared_from; /* accounts that make a network a shared one */
	struct span *trap;    /* as given; the same as keys, sorted: */
	size_t ntraps;
	struct span *trap_keys;
	struct config_network network[CONFIG_PLACES_MAX];
	size_t nnetworks;
	/* suspension */
	struct span *postmaster; /* where notices go; none: accounts are never suspended */
	size_t npostmaster;
	struct span *postmaster_member; /* accounts that read what goes there */
	size_t npostmaster_members;
	struct span *may_unlock; /* logins and addresses, or patterns; and the postmasters */
	size_t nmay_unlock;
	char *contact;       /* in every refusal that a user sees; "" when not given */
	char *reply_address; /* with its one *; default unlock+*@hostname */
	char *notice_from;   /* default postmaster@domain */
	enum config_suspended_at suspended_at;
	enum config_unlock_word unlock_word;
	int64_t held_lifetime; /* of mail held by an incident */
	struct config_hook on_suspend, on_unlock;
	char *hook_key_file;  /* whose first line is hook_key */
	const char *hook_key; /* of the signature of posts; NULL: none */
	char *hook_ca;        /* who signs for those that are posted to; NULL: the system's */
	int64_t hook_timeout;
	enum sender_check sender_check;
	int64_t retry[CONFIG_RETRY_MAX];
	size_t nretry;
	int64_t lifetime;
	int64_t message_size;
	int64_t recipients;
	/* bounds and deadlines */
	int64_t tls_timeout;     /* a TLS handshake */
	int64_t login_timeout;   /* from connect to a good login, in total */
	int64_t idle_timeout;    /* between two commands */
	int64_t data_timeout;    /* between two reads of a message */
	int64_t data_rate;       /* least bytes a second of a message, after data_timeout */
	int64_t session_timeout; /* a session in total */
	int64_t auth_timeout;    /* an answer of the authentication back end */
	int64_t drain_timeout;   /* TERM to the end */
	int64_t connections;     /* in all */
	int64_t connections_per_network; /* IPv4 address or IPv6 /64 */
	int64_t connections_per_account;
	int64_t auth_jobs;         /* logins being checked at a time */
	int64_t auth_failures;     /* in a session */
	int64_t auth_iterations;   /* of new passwords */
	int64_t errors;            /* in a session */
	int64_t junk;              /* NOOP, RSET, VRFY, HELP between messages */
	int64_t messages;          /* in a session */
	int64_t command_length;    /* a command line with its CRLF */
	int64_t auth_length;       /* a line of an AUTH exchange, without */
	int64_t line_length;       /* of text, without CRLF */
	int64_t store_size;        /* high-water mark */
	int64_t queued_bytes;      /* of an account in the queue */
	int64_t uncommitted_bytes; /* of an account in sessions under way */
	int64_t journal_keep;
};

/* NULL with a sentence "FILE:LINE: ..." when it is not right. Takes one reference. One thread
 * at a time (flex). */
struct config *config_load(const char *path, struct error *error);
/* The same without lists and geo databases: a fault in a file of others is no reason why an
 * admin can not unlock an account. */
struct config *config_load_alone(const char *path, struct error *error);
/* The defaults, with the listeners of a file without any; with the sample column where there is
 * one if `sample`. What is derived is NULL. NULL without memory. */
struct config *config_new(bool sample);
struct config *config_ref(struct config *config);
/* NULL is accepted. */
void config_unref(struct config *config);

/* What of `new` needs a restart, as a list of keys "listen, workers"; false when nothing does.
 * Such keys keep the old values' effect. */
bool config_needs_restart(const struct config *old, const struct config *new, char *keys_out,
                          size_t size);

/* The gate's part of it, borrowed from `config`. */
struct gate_rules config_gate_rules(const struct config *config);

/* The same for suspensions and for those who end them. */
struct suspend_rules config_suspend_rules(const struct config *config);
struct linger_rules config_linger_rules(const struct config *config);
struct unlock_rules config_unlock_rules(const struct config *config,
                                        const struct secret_key *key);
/* Who is a stranger, and which networks are shared. */
struct familiar_rules config_familiar_rules(const struct config *config);
/* The device at this address (16 bytes, IPv4 as v4-mapped), or NULL. */
const struct config_device *config_device_at(const struct config *config,
                                             const unsigned char address[16]);
/* The network block that says most about this address: that of the longest prefix; or NULL. */
const struct config_network *config_network_at(const struct config *config,
                                               const unsigned char address[16]);
/* Is this recipient, a key (address_key), one that the admin planted? */
bool config_is_trap(const struct config *config, struct span key);
/* Does somebody else keep the passwords? Then a success is cached for `cache_time` only, and a
 * session lasts for an hour or a hundred messages: `age` in ms since the login. */
bool config_is_external(const struct config *config);
bool config_external_is_over(int64_t age, unsigned messages);
/* What an admin should think about again, one line ("may_unlock: only role addresses ..."):
 * `gatepost -t` prints it, the daemon logs it. Call with 0, 1, 2 ... until it is false. */
bool config_warning(const struct config *config, size_t number, char *text_out, size_t size);

/* `gatepost -n`: what differs from the defaults, in the file's own syntax. */
void config_print(const struct config *config, FILE *out);
/* The table for the man page (scdoc) and the sample file: both are built from the same rows as
 * the parser. */
void config_print_manual(FILE *out);
void config_print_sample(FILE *out);

#endif
