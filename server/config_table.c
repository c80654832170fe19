#include "server/config_table.h"

#include "server/hook_helper.h"

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
	[CONFIG_DEVICE] = { "device", CONFIG_DEVICES_MAX,
	                    "A machine that can not log in, known by its address: it may send "
	                    "as "
	                    "an account, without AUTH and without TLS, and is counted and "
	                    "stopped as any account is." },
	[CONFIG_NETWORK] = { "network", CONFIG_PLACES_MAX,
	                     "What you know of a network from which users write. Of blocks "
	                     "that overlap the one with the longest prefix counts." },
	[CONFIG_LIST] = { "list", CONFIG_LISTS_MAX,
	                  "An address behind which there are several people, each of whom is "
	                  "counted: list staff@example.org { members_file = "
	                  "/etc/gatepost/staff }.",
	                  true },
};

#define NETWORK(field)      CONFIG_NETWORK, #field
#define AT_NETWORK(field)   offsetof(struct config_network, field)
#define TOP(field)          CONFIG_TOP, #field
#define AT(field)           offsetof(struct config, field)
#define LISTEN(field)       CONFIG_LISTEN, #field
#define AT_LISTEN(field)    offsetof(struct config_listener, field)
#define SMARTHOST(field)    CONFIG_SMARTHOST, #field
#define AT_SMARTHOST(field) offsetof(struct config_smarthost, field)
#define DEVICE(field)       CONFIG_DEVICE, #field
#define AT_DEVICE(field)    offsetof(struct config_device, field)
#define MEMBERS(field)      CONFIG_LIST, #field
#define AT_MEMBERS(field)   offsetof(struct lists_block, field)
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
	{ CONFIG_TLS, "client_ca", &config_type_path, AT(client_ca), .derived = "none",
	  .sentence = "Who signs client certificates, PEM: with one, a client may log in by "
	              "EXTERNAL as the mail address in it. None is required of anybody." },

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
	{ LISTEN(peers), &config_type_networks, AT_LISTEN(peers), 0, CONFIG_PEERS_MAX, "",
	  .count_offset = AT_LISTEN(npeers),
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

	{ DEVICE(address), &config_type_networks, AT_DEVICE(address), 1, CONFIG_NETWORKS_MAX,
	  .count_offset = AT_DEVICE(naddresses),
	  .sentence = "Where it is: addresses and networks of its own." },
	{ DEVICE(account), &config_type_account, AT_DEVICE(account),
	  .sentence = "Who it is; the account is made if need be, and needs no password." },
	{ DEVICE(limits), &config_type_limits, AT_DEVICE(limits), 0, BUDGET_LIMITS_MAX,
	  .derived = "those of any account", .sentence = "Its limits." },
	{ DEVICE(action), &config_type_word, AT_DEVICE(action), .initial = "default",
	  .words = "suspend|defer|hold|default",
	  .sentence = "What happens at the limit, when not the same as with all others." },

	{ CONFIG_NETWORK, "addresses", &config_type_networks, AT_NETWORK(address), 1,
	  CONFIG_NETWORKS_MAX, .count_offset = AT_NETWORK(naddresses),
	  .sentence = "Addresses and networks." },
	{ NETWORK(familiar), &config_type_word, AT_NETWORK(familiar), .initial = "no",
	  .words = "no|yes",
	  .sentence = "With yes it is familiar to every account from the first day: an office, "
	              "the site's VPN." },
	{ NETWORK(shared), &config_type_word, AT_NETWORK(shared), .initial = "no",
	  .words = "no|yes",
	  .sentence =
	      "With yes it says nothing about who writes from there, however long it is "
	      "used: a webmail server, a public VPN." },
	{ NETWORK(limits), &config_type_limits, AT_NETWORK(limits), 0, BUDGET_LIMITS_MAX,
	  .derived = "those of all mail",
	  .sentence = "For mail from there, in place of limits; an account's own come first." },
	{ MEMBERS(members_file), &config_type_path, AT_MEMBERS(members_file),
	  .sentence = "Its members: an address a line, # begins a comment. One that is a list "
	              "itself stands for its own members. Read at each reload, by user." },

	{ CONFIG_TOP, "auth", &config_type_word, AT(backend.kind), .initial = "internal",
	  .words = "internal|saslauthd|sasldb|ldap|sql|dovecot",
	  .sentence = "Who keeps the passwords: Gatepost itself (gatepostctl account add), or "
	              "who knows them already." },
	{ TOP(mechanisms), &config_type_words, AT(mechanism), 1, 16,
	  .derived =
	      "all that auth can serve; EXTERNAL with client_ca, OAUTHBEARER and XOAUTH2 "
	      "with oauth_jwks or oauth_introspect",
	  .words = "PLAIN|LOGIN|SCRAM-SHA-1|SCRAM-SHA-256|SCRAM-SHA-1-PLUS|SCRAM-SHA-256-PLUS|"
	           "EXTERNAL|OAUTHBEARER|XOAUTH2",
	  .sentence = "The SASL mechanisms that are offered, and no others:",
	  .count_offset = AT(nmechanisms) },
	{ TOP(login_map), &config_type_path, AT(login_map), .derived = "none",
	  .sentence = "A file of lines \"TYPED ACCOUNT\", in each at most one *, of which the "
	              "first that fits says whose a typed name is; used where the back end "
	              "returns no name. Read at each reload." },
	{ TOP(enrol), &config_type_word, AT(enrol), .initial = "known", .words = "known|open",
	  .sentence =
	      "A good login of somebody who is no account here yet: refused for now, with "
	      "a notice, or made one." },
	{ TOP(cache_time), &config_type_duration, AT(cache_time), 0, 1 * MINUTE, "1m",
	  .sentence =
	      "How long a right password is believed without asking the back end again." },
	{ TOP(auth_socket), &config_type_socket, AT(auth_socket),
	  .derived = "/run/saslauthd/mux or /run/dovecot/auth-client",
	  .sentence = "The socket of saslauthd or of Dovecot." },
	{ CONFIG_TOP, "auth_service", &config_type_text, AT(backend.service), 0, 64, "smtp",
	  .sentence = "auth = saslauthd: the PAM service." },
	{ CONFIG_TOP, "auth_realms", &config_type_word, AT(auth_realms), .initial = "no",
	  .words = "no|yes",
	  .sentence =
	      "auth = saslauthd: whether it tells alice@a.org from alice@b.org (saslauthd -r). "
	      "If it does not, logins with a domain that is not ours are refused." },
	{ CONFIG_TOP, "sasldb", &config_type_path, AT(backend.sasldb),
	  .initial = "/etc/sasldb2", .sentence = "auth = sasldb: the file." },
	{ CONFIG_TOP, "ldap_uri", &config_type_text, AT(backend.ldap.uri), 0, 1000,
	  .derived = "none",
	  .sentence = "auth = ldap: the server, or several with blanks between." },
	{ CONFIG_TOP, "ldap_starttls", &config_type_word, AT(ldap_starttls), .initial = "no",
	  .words = "no|yes", .sentence = "STARTTLS on ldap://." },
	{ CONFIG_TOP, "ldap_ca", &config_type_path, AT(backend.ldap.ca),
	  .derived = "the system's", .sentence = "Who signs the server's certificate, PEM." },
	{ CONFIG_TOP, "ldap_bind_dn", &config_type_text, AT(backend.ldap.bind_dn), 0, 1000,
	  .derived = "anonymous", .sentence = "Who looks for the user." },
	{ TOP(ldap_password_file), &config_type_path, AT(ldap_password_file), .derived = "none",
	  .sentence = "Whose first line is the password of ldap_bind_dn." },
	{ CONFIG_TOP, "ldap_base", &config_type_text, AT(backend.ldap.base), 0, 1000,
	  .derived = "none", .sentence = "Where users are looked for." },
	{ CONFIG_TOP, "ldap_filter", &config_type_text, AT(backend.ldap.filter), 0, 1000,
	  "(|(mail=%u)(uid=%u))",
	  .sentence =
	      "How: %u is the typed name, %n what is before its @, %d what is behind. The "
	      "password is checked by a bind as the entry that is found." },
	{ TOP(ldap_account), &config_type_text, AT(ldap_account), 0, 100, "mail",
	  .sentence =
	      "The attribute that names the account; \"\" is none: the typed name does, "
	      "by login_map." },
	{ CONFIG_TOP, "sql_engine", &config_type_word, AT(sql_engine), .initial = "sqlite3",
	  .words = "sqlite3|mysql|pgsql", .sentence = "auth = sql: Cyrus's sql plugin." },
	{ CONFIG_TOP, "sql_database", &config_type_text, AT(backend.sql.database), 0, 1000,
	  .derived = "none", .sentence = "The database; of sqlite3 the file." },
	{ CONFIG_TOP, "sql_host", &config_type_text, AT(backend.sql.host), 0, 255,
	  .derived = "none", .sentence = "Where it is, host or host:port." },
	{ CONFIG_TOP, "sql_user", &config_type_text, AT(backend.sql.user), 0, 255,
	  .derived = "none", .sentence = "Who asks." },
	{ TOP(sql_password_file), &config_type_path, AT(sql_password_file), .derived = "none",
	  .sentence = "Whose first line is his password." },
	{ CONFIG_TOP, "sql_select", &config_type_text, AT(backend.sql.select), 0, 1000,
	  .derived = "none",
	  .sentence = "The query for a password in clear: %u is the user, %r the realm, %p the "
	              "property: \"SELECT password FROM users WHERE name = '%u@%r'\"." },
	{ CONFIG_TOP, "oauth_jwks", &config_type_path, AT(oauth.jwks), .derived = "none",
	  .sentence =
	      "OAUTHBEARER and XOAUTH2: the keys of who signs tokens, a JWKS file; read "
	      "again when it changes." },
	{ CONFIG_TOP, "oauth_introspect", &config_type_text, AT(oauth.introspect), 0, 1000,
	  .derived = "none",
	  .sentence =
	      "The same, by asking at each login: an introspection endpoint, https://." },
	{ CONFIG_TOP, "oauth_issuer", &config_type_text, AT(oauth.issuer), 0, 1000,
	  .derived = "none", .sentence = "The iss of good tokens; needed with oauth_jwks." },
	{ CONFIG_TOP, "oauth_audience", &config_type_text, AT(oauth.audience), 0, 1000,
	  .derived = "none", .sentence = "The aud of tokens for us; needed with oauth_jwks." },
	{ CONFIG_TOP, "oauth_claim", &config_type_text, AT(oauth.claim), 0, 100, "email",
	  .sentence = "The claim that names the account." },
	{ CONFIG_TOP, "oauth_client_id", &config_type_text, AT(oauth.client_id), 0, 255,
	  .derived = "none", .sentence = "Who we are to the endpoint." },
	{ TOP(oauth_secret_file), &config_type_path, AT(oauth_secret_file), .derived = "none",
	  .sentence = "Whose first line is our secret there." },
	{ CONFIG_TOP, "oauth_ca", &config_type_path, AT(oauth.ca), .derived = "the system's",
	  .sentence = "Who signs the endpoint's certificate, PEM." },
	{ TOP(screen_exempt), &config_type_networks, AT(screen_exempt), 0, CONFIG_NETWORKS_MAX,
	  "", .count_offset = AT(nscreen_exempt),
	  .sentence = "Networks whose failed logins are not counted: { \"10.0.0.0/8\" }." },

	{ TOP(limits), &config_type_limits, AT(limits), 0, BUDGET_LIMITS_MAX,
	  "500/30m 2000/24h",
	  .sentence = "Recipients an account may write to in a window, all of which must be "
	              "kept; {} is "
	              "no limit. An account may have its own (gatepostctl account limit)." },
	{ TOP(action), &config_type_word, AT(action), .initial = "suspend",
	  .words = "suspend|defer|hold",
	  .sentence =
	      "What happens at the limit: the account is suspended; its mail is deferred, "
	      "with the time when there is room again; or it is taken and kept in the queue, "
	      "up to as much again, for gatepostctl queue release. An account may have its "
	      "own (gatepostctl account action)." },
	{ TOP(mode), &config_type_word, AT(mode), .initial = "enforce",
	  .words = "enforce|observe",
	  .sentence =
	      "With observe all mail is judged and charged, and what would have been done "
	      "about "
	      "it is only told: in the log, the journal, and once a day to the postmasters. "
	      "Nothing is refused, held or delayed, and nobody is suspended, until four times "
	      "a "
	      "limit is used. An account may have its own (gatepostctl account mode)." },
	{ TOP(suspend_max), &config_type_limits, AT(suspend_max), 0, 1, "20/1h",
	  .sentence =
	      "Most accounts that are suspended at the limit in a time: beyond it they are "
	      "held instead, and one notice says so. {} is no end." },
	{ TOP(notice_max), &config_type_limits, AT(notice_max), 0, 1, "5/1m",
	  .sentence = "Most notices in a time that tell of one suspension each: those beyond "
	              "it are told "
	              "together, up to 50 in a mail, a minute later. {} is no end." },
	{ TOP(exempt), &config_type_patterns, AT(exempt), 0, CONFIG_EXEMPT_MAX, "",
	  .count_offset = AT(nexempt),
	  .sentence =
	      "Accounts without limits, with * for any run of characters; ten times the most "
	      "that one has ever used (at first: the limit) is told to the "
	      "postmasters once a day: "
	      "{ \"newsletter@example.org\", \"*@lists.example.org\" }." },
	{ TOP(prices), &config_type_prices, AT(prices), 0, TARIFF_ROWS, "",
	  .preset = config_preset_prices, .explain = config_explain_prices,
	  .sentence =
	      "What a message costs beyond one token of limits a recipient. Only the mail of "
	      "an account with a history (28 days and 50 recipients, or an import) is charged "
	      "so. Those that are not given stay as they are; a price of 0 is off, and with "
	      "all of them off recipients are counted and nothing else. An account may have "
	      "its own (gatepostctl account prices)." },
	{ CONFIG_TOP, "dwell_from", &config_type_unsigned, AT(dwell.from), 0, 100, "50",
	  .sentence = "Once so many percent of a limit are used, and prices beyond the "
	              "recipients are among it, mail waits in the queue before it is relayed, "
	              "the longer the more is used; mail to known recipients from a familiar "
	              "network never does. 100 is never." },
	{ CONFIG_TOP, "dwell_max", &config_type_duration, AT(dwell.most), 0, 1 * DAY, "5m",
	  .sentence = "How long it waits when the limit is all but used." },
	{ CONFIG_TOP, "dwell_strange", &config_type_duration, AT(dwell.strange), 0, 7 * DAY,
	  "4h",
	  .sentence = "The same for mail to strangers from a network that is not familiar." },
	{ TOP(stranger_limits), &config_type_limits, AT(stranger_limits), 0, BUDGET_LIMITS_MAX,
	  "100/24h 300/7d",
	  .sentence =
	      "Strangers, each counted once, whom an account with a history may write to in a "
	      "window: beyond them its mail is held and the postmasters are told; from a "
	      "network that is not familiar it is suspended. {} is no limit." },
	{ TOP(site_strangers), &config_type_limits, AT(site_strangers), 0, 1, "200/24h",
	  .sentence =
	      "Strangers that all accounts together may write to from networks that are "
	      "not familiar: beyond them such mail is held, and one notice names the "
	      "accounts. {} is no limit." },
	{ TOP(history), &config_type_word, AT(history), .initial = "on", .words = "on|off",
	  .sentence =
	      "Whether it is learned to whom an account writes and from where, as keyed "
	      "digests. With off nobody is a stranger, and no network strange." },
	{ TOP(history_keep), &config_type_duration, AT(history_keep), 30 * DAY, 3650 * DAY,
	  "390d",
	  .sentence = "How long a recipient or a network that is not used any more stays "
	              "known." },
	{ TOP(shared_from), &config_type_unsigned, AT(shared_from), 2, 32, "10",
	  .sentence = "A network that is familiar to so many accounts is a shared one." },
	{ TOP(traps), &config_type_mailboxes, AT(trap), 0, CONFIG_TRAPS_MAX, "",
	  .count_offset = AT(ntraps),
	  .sentence =
	      "Addresses that nobody has a reason to write to, planted where only thieves and "
	      "robots find them: { \"anna.meier@example.org\" }." },
	{ TOP(postmaster), &config_type_mailboxes, AT(postmaster), 0, CONFIG_POSTMASTERS_MAX,
	  "", .count_offset = AT(npostmaster), .sample = "postmaster@example.org",
	  .sentence =
	      "Who is told of a suspension, and may end it with a reply. Without any, an "
	      "account that breaks its limits is refused, but never suspended." },
	{ CONFIG_TOP, "postmaster_members", &config_type_patterns, AT(postmaster_member), 0,
	  CONFIG_UNLOCKERS_MAX, "", .count_offset = AT(npostmaster_members),
	  .sentence = "Accounts that read what goes to the postmasters. When one of them is "
	              "suspended its notice has no address to answer to: it is ended by a "
	              "command." },
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
	{ TOP(held_lifetime), &config_type_duration, AT(held_lifetime), 1 * DAY, 365 * DAY,
	  "14d",
	  .sentence = "How long a suspension holds queued mail: then it is deleted, and its "
	              "sender is not told. The postmasters are, two days before. Mail that was "
	              "held by hand stays." },
	{ TOP(on_suspend), &config_type_command, AT(on_suspend.argument), 1, HOOK_ARGUMENTS_MAX,
	  .derived = "none", .count_offset = AT(on_suspend.narguments),
	  .sentence = "Who is told of each suspension besides the postmasters: a program, with "
	              "arguments if you like, which gets the facts as JSON on its standard "
	              "input, { \"/usr/local/bin/page\", \"it\" }; or an https:// address, to "
	              "which they are posted." },
	{ TOP(on_unlock), &config_type_command, AT(on_unlock.argument), 1, HOOK_ARGUMENTS_MAX,
	  .derived = "none", .count_offset = AT(on_unlock.narguments),
	  .sentence = "The same for the end of each suspension." },
	{ TOP(hook_key_file), &config_type_path, AT(hook_key_file), .derived = "none",
	  .sentence =
	      "Whose first line is the key with which posts are signed; needed by them. "
	      "user must be able to read it, and nobody else (0600 gatepost)." },
	{ TOP(hook_ca), &config_type_path, AT(hook_ca), .derived = "the system's",
	  .sentence = "Who signs the certificates of those that are posted to, PEM." },
	{ TOP(hook_timeout), &config_type_duration, AT(hook_timeout), 1 * SECOND, HOUR, "1m",
	  .sentence = "For a program, which is killed then, and for each of three attempts to "
	              "post." },
	{ TOP(sender_check), &config_type_word, AT(sender_check), .initial = "log",
	  .words = "off|log|envelope|both",
	  .sentence = "Whether an account may write under other names than its own and its "
	              "aliases (gatepostctl account alias): yes, yes with an event in the log, "
	              "not in MAIL FROM, not in the From header either." },
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
	{ TOP(list_files), &config_type_paths, AT(list_file), 0, CONFIG_LIST_FILES_MAX, "",
	  .count_offset = AT(nlist_files),
	  .sentence = "Alias files of the site's MTA, { \"/etc/aliases\" }: a name that stands "
	              "for several people is a list, too, and what a file includes is read "
	              "with it. Names without a domain are of ours. Read at each reload; user "
	              "must be able to read them." },
	{ TOP(fold_details), &config_type_word, AT(fold_details), .initial = "no",
	  .words = "no|yes",
	  .sentence = "Whether bob+a@ and bob+b@ are one recipient: counted once, and relayed "
	              "once, to the first that is given." },
	{ TOP(asn_database), &config_type_path, AT(asn_database), .derived = "none",
	  .sentence = "An MMDB file with the autonomous system of each address. Read at each "
	              "reload." },
	{ TOP(geoip_database), &config_type_path, AT(geoip_database), .derived = "none",
	  .sentence = "The same with its country." },

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
