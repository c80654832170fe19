#include "server/config_table.h"

#define KIB    ((int64_t)1024)
#define MIB    (1024 * KIB)
#define GIB    (1024 * MIB)
#define SECOND ((int64_t)1000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

const struct config_block_info config_blocks[CONFIG_BLOCKS] = {
	[CONFIG_TOP] = { "", 0, "" },
	[CONFIG_TLS] = { "tls", 0, "Certificate and key; they are read again at each reload." },
	[CONFIG_LISTEN] = { "listen", CONFIG_LISTENERS_MAX,
	                    "Where clients connect. Without one for submission: submission "
	                    "(587, starttls) and submissions (465, implicit). With role = "
	                    "reply: "
	                    "where the site's own MTA hands in answers to notices." },
	[CONFIG_SMARTHOST] = { "smarthost", CONFIG_SMARTHOSTS_MAX,
	                       "Where accepted mail goes, at least one; several are tried in "
	                       "the order given." },
};

#define TOP(field)          CONFIG_TOP, #field
#define AT(field)           offsetof(struct config, field)
#define LISTEN(field)       CONFIG_LISTEN, #field
#define AT_LISTEN(field)    offsetof(struct config_listener, field)
#define SMARTHOST(field)    CONFIG_SMARTHOST, #field
#define AT_SMARTHOST(field) offsetof(struct config_smarthost, field)
#define LIST                0 /* these types know their fields */

const struct config_row config_rows[] = {
	{ TOP(hostname), &config_type_hostname, AT(hostname), .derived = "the machine's name",
	  .sample = "mail.example.org",
	  .sentence = "Our name in greetings, EHLO and Received lines." },
	{ TOP(domain), &config_type_domain, AT(domain),
	  .derived = "what follows the first dot of hostname", .sample = "example.org",
	  .sentence = "The realm of a login without one." },
	{ TOP(data_dir), &config_type_path, AT(data_dir), .initial = "/var/lib/gatepost",
	  .sentence = "Queue, accounts and journal." },
	{ TOP(control), &config_type_socket, AT(control),
	  .initial = "/run/gatepost/control.sock",
	  .sentence = "The socket of gatepostctl(8)." },
	{ TOP(user), &config_type_user, AT(user), .initial = "gatepost",
	  .sentence = "Who the daemon becomes when it is started as root." },
	{ TOP(workers), &config_type_integer, AT(workers), 0, 64, "0",
	  .sentence = "Event loops for clients; 0 is one a core." },

	{ CONFIG_TLS, "certificate", &config_type_path, AT(certificate),
	  .initial = "/etc/gatepost/cert.pem",
	  .sentence = "The certificate and those between it and the root, PEM." },
	{ CONFIG_TLS, "key", &config_type_path, AT(key), .initial = "/etc/gatepost/key.pem",
	  .sentence =
	      "Its private key, PEM; user must be able to read it (0640 root:gatepost)." },

	{ LISTEN(address), &config_type_addresses, LIST, 1, CONFIG_ADDRESSES_MAX,
	  "0.0.0.0 ::", .sentence = "Numeric IPv4 and IPv6 addresses." },
	{ LISTEN(port), &config_type_unsigned, AT_LISTEN(port), 1, 65535,
	  .sentence = "TCP port." },
	{ LISTEN(tls), &config_type_word, AT_LISTEN(tls), .words = "starttls|implicit|none",
	  .sentence = "TLS after STARTTLS, which is required, from the first byte, or never "
	              "(role = reply only)." },
	{ LISTEN(role), &config_type_word, AT_LISTEN(role), .initial = "submission",
	  .words = "submission|reply",
	  .sentence = "Mail of users, or answers to notices and nothing else." },
	{ LISTEN(peers), &config_type_networks, LIST, 0, CONFIG_PEERS_MAX, "",
	  .sentence = "With role = reply, and only then: who may connect, addresses and "
	              "networks: { \"127.0.0.1/32\", \"::1\" }." },

	{ SMARTHOST(address), &config_type_host, AT_SMARTHOST(address), .sample = "127.0.0.1",
	  .sentence = "A host name or an address." },
	{ SMARTHOST(port), &config_type_unsigned, AT_SMARTHOST(port), 1, 65535, "25",
	  .sentence = "TCP port." },
	{ SMARTHOST(tls), &config_type_word, AT_SMARTHOST(tls), .initial = "may",
	  .words = "none|may|must",
	  .sentence = "STARTTLS never, when it is offered, or always." },
	{ SMARTHOST(connections), &config_type_unsigned, AT_SMARTHOST(connections), 1, 256,
	  "16", .sentence = "Most connections at a time." },
	{ SMARTHOST(mails), &config_type_unsigned, AT_SMARTHOST(mails), 1, 100000, "100",
	  .sentence = "Most messages over one connection." },

	{ TOP(limits), &config_type_limits, LIST, 0, BUDGET_LIMITS_MAX, "500/30m 2000/24h",
	  .sentence = "Recipients an account may write to in a window, all of which must be "
	              "kept; {} is "
	              "no limit. An account may have its own (gatepostctl account limit)." },
	{ TOP(exempt), &config_type_patterns, AT(exempt), 0, CONFIG_EXEMPT_MAX, "",
	  .count_offset = AT(nexempt),
	  .sentence = "Accounts without limits, with * for any run of characters: "
	              "{ \"newsletter@example.org\", \"*@lists.example.org\" }." },
	{ TOP(postmaster), &config_type_mailboxes, AT(postmaster), 0, CONFIG_POSTMASTERS_MAX,
	  "", .count_offset = AT(npostmaster), .sample = "postmaster@example.org",
	  .sentence =
	      "Who is told of a suspension, and may end it with a reply. Without any, an "
	      "account that breaks its limits is refused, but never suspended." },
	{ TOP(may_unlock), &config_type_patterns, AT(may_unlock), 0, CONFIG_UNLOCKERS_MAX, "",
	  .count_offset = AT(nmay_unlock),
	  .sentence = "Who else may answer: logins and addresses, with * for any run of "
	              "characters: { \"jane@example.org\", \"*@it.example.org\" }." },
	{ TOP(contact), &config_type_text, AT(contact), 0, 80, "",
	  .sentence = "Whom a refused user should ask, in the refusal itself: "
	              "\"IT desk, +49 30 1234\"." },
	{ TOP(reply_address), &config_type_reply_address, AT(reply_address),
	  .derived = "unlock+*@ and the hostname",
	  .sentence = "Where answers to notices go; the * is where a notice puts its tag." },
	{ TOP(notice_from), &config_type_mailbox, AT(notice_from),
	  .derived = "postmaster@ and the domain",
	  .sentence = "The From address of notices, of a domain that the site signs." },
	{ TOP(suspended_at), &config_type_word, AT(suspended_at), .initial = "mail",
	  .words = "mail|auth",
	  .sentence =
	      "Where a suspended account is refused: at MAIL, with a text that mail "
	      "programs show, or at its login, where they ask for the password again." },
	{ TOP(unlock_word), &config_type_word, AT(unlock_word), .initial = "optional",
	  .words = "optional|required",
	  .sentence = "Whether an answer needs one of the words that the notice names. When it "
	              "is optional, an empty reply unlocks; automatic replies never count, but "
	              "some do not say that they are." },
	{ TOP(on_suspend), &config_type_path, AT(on_suspend), .derived = "none",
	  .sentence = "A program that is run at each suspension, with the facts as JSON on its "
	              "standard input." },
	{ TOP(retry), &config_type_durations, LIST, 1, CONFIG_RETRY_MAX, "30s 1m 2m 5m 15m",
	  .sentence = "Waiting times between attempts to relay; the last one repeats. When the "
	              "smarthost "
	              "is back, all that it deferred is due at once." },
	{ TOP(lifetime), &config_type_duration, AT(lifetime), 1 * SECOND, 31 * DAY, "2d",
	  .sentence = "How long relaying is tried before the sender is told that it failed." },
	{ TOP(message_size), &config_type_size, AT(message_size), 64 * KIB, GIB, "50M",
	  .sentence = "The largest message." },
	{ TOP(recipients), &config_type_integer, AT(recipients), 1, 100000, "500",
	  .sentence = "Most recipients of a message." },

	{ TOP(tls_timeout), &config_type_duration, AT(tls_timeout), 1 * SECOND, HOUR, "30s",
	  .sentence = "For a TLS handshake." },
	{ TOP(login_timeout), &config_type_duration, AT(login_timeout), 1 * SECOND, DAY, "2m",
	  .sentence = "From the connection to a good login, in total." },
	{ TOP(idle_timeout), &config_type_duration, AT(idle_timeout), 1 * SECOND, DAY, "5m",
	  .sentence = "Between two commands." },
	{ TOP(data_timeout), &config_type_duration, AT(data_timeout), 1 * SECOND, DAY, "3m",
	  .sentence = "Between two reads of a message." },
	{ TOP(data_rate), &config_type_size, AT(data_rate), 0, MIB, "100",
	  .sentence =
	      "Least bytes a second of a message, once data_timeout has passed; 0 is none." },
	{ TOP(session_timeout), &config_type_duration, AT(session_timeout), 1 * SECOND,
	  31 * DAY, "12h", .sentence = "A session in total." },
	{ TOP(auth_timeout), &config_type_duration, AT(auth_timeout), 1 * SECOND, HOUR, "30s",
	  .sentence = "For an answer of the authentication back end." },
	{ TOP(drain_timeout), &config_type_duration, AT(drain_timeout), 0, DAY, "30s",
	  .sentence = "For what is under way at SIGTERM." },
	{ TOP(connections), &config_type_integer, AT(connections), 1, 1000000, "4000",
	  .sentence = "Most clients at a time." },
	{ TOP(connections_per_network), &config_type_integer, AT(connections_per_network), 1,
	  1000000, "500", .sentence = "The same for an IPv4 address or an IPv6 /64." },
	{ TOP(connections_per_account), &config_type_integer, AT(connections_per_account), 1,
	  1000000, "500", .sentence = "The same for an account." },
	{ TOP(auth_jobs), &config_type_integer, AT(auth_jobs), 1, 4096, "64",
	  .sentence = "Logins being checked at a time." },
	{ TOP(auth_failures), &config_type_integer, AT(auth_failures), 1, 100, "3",
	  .sentence = "Failed logins that end a session." },
	{ TOP(auth_iterations), &config_type_integer, AT(auth_iterations), 4096, 65536, "15000",
	  .sentence =
	      "PBKDF2 iterations of new passwords; many clients refuse more than 65536." },
	{ TOP(errors), &config_type_integer, AT(errors), 1, 100000, "20",
	  .sentence = "Errors of a client that end its session." },
	{ TOP(junk), &config_type_integer, AT(junk), 1, 1000000, "100",
	  .sentence = "NOOP, RSET, VRFY and HELP between two messages." },
	{ TOP(messages), &config_type_integer, AT(messages), 1, 100000000, "10000",
	  .sentence = "Most messages in a session." },
	{ TOP(command_length), &config_type_integer, AT(command_length), 1024, 65536, "4096",
	  .sentence = "Longest command line in bytes, with its line end." },
	{ TOP(auth_length), &config_type_integer, AT(auth_length), 12288, 65536, "12288",
	  .sentence = "Longest line of an AUTH exchange in bytes; OAuth tokens arrive there." },
	{ TOP(line_length), &config_type_integer, AT(line_length), 998, 65536, "998",
	  .sentence =
	      "Longest line of a message, without its end; more than 998 breaks RFC 5321." },
	{ TOP(store_size), &config_type_size, AT(store_size), 16 * MIB, 48 * GIB, "16G",
	  .sentence = "Most live bytes in data_dir; then clients get 452." },
	{ TOP(queued_bytes), &config_type_size, AT(queued_bytes), MIB, 48 * GIB, "2G",
	  .sentence = "Most bytes of an account in the queue." },
	{ TOP(uncommitted_bytes), &config_type_size, AT(uncommitted_bytes), MIB, 48 * GIB,
	  "512M", .sentence = "Most bytes of an account in messages being received." },
	{ TOP(journal_keep), &config_type_duration, AT(journal_keep), HOUR, 3650 * DAY, "30d",
	  .sentence = "How long the journal keeps what was sent and decided." },
};

const size_t config_nrows = COUNT(config_rows);
