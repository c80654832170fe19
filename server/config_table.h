/*
 * Private to config*.c: the table from which parser, checks, `-n`, man page and sample come. A
 * key is one row here and a field of config.h; a kind of value is one `struct config_type`.
 */
#ifndef GATEPOST_SERVER_CONFIG_TABLE_H
#define GATEPOST_SERVER_CONFIG_TABLE_H

#include "server/config.h"

enum config_block {
	CONFIG_TOP,
	CONFIG_TLS,
	CONFIG_LISTEN,
	CONFIG_SMARTHOST,
	CONFIG_DEVICE,
	CONFIG_NETWORK,
	CONFIG_LIST,
	CONFIG_BLOCKS
};

struct config_block_info {
	const char *name; /* "" is the file itself */
	size_t most;      /* titled blocks there may be; 0: one, without a title */
	const char *sentence;
	bool address; /* its titles are mail addresses, else plain names */
};

struct config_row;

/* One value, read and checked. */
struct config_value {
	struct span text;
	int64_t number;
	struct budget_limit limit;
	struct network network;
};

/* Where a value goes: value `index` of `count` into the row's field of `object`. */
struct config_slot {
	struct arena *memory;
	void *object; /* struct config, config_listener ..., by the row's block */
	size_t index, count;
};

struct config_type {
	const char *name; /* as the man page calls it */
	bool (*parse)(const struct config_row *row, struct span text,
	              struct config_value *value_out, struct error *fault);
	/* False only without memory. */
	bool (*store)(const struct config_row *row, const struct config_slot *slot,
	              const struct config_value *value);
	void (*write)(const struct config_row *row, const void *object, size_t index,
	              struct buf *out);
	/* A list has this; others are one value. */
	size_t (*count)(const struct config_row *row, const void *object);
};

struct config_row {
	enum config_block block;
	const char *name;
	const struct config_type *type;
	size_t offset;       /* of its field */
	int64_t min, max;    /* of a number; of a list or a text `max` is the most of it */
	const char *initial; /* the default, values of a list between blanks */
	const char
	    *derived; /* no fixed default: what it is instead. Neither: the key must be given */
	const char *sample; /* what the sample file says */
	const char *words;  /* "a|b" for config_type_word(s), in the order of the enum */
	const char *sentence;
	size_t count_offset; /* of a list of spans or networks: its length */
	/* What is there before any value is stored; NULL: nothing. */
	void (*preset)(const struct config_row *row, void *object);
	/* What the man page says besides; NULL: nothing. */
	void (*explain)(struct buf *out);
};

extern const struct config_type config_type_integer, config_type_unsigned, config_type_size,
    config_type_duration, config_type_word, config_type_hostname, config_type_domain,
    config_type_path, config_type_socket, config_type_user, config_type_host, config_type_paths,
    config_type_addresses, config_type_networks, config_type_limits, config_type_patterns,
    config_type_mailboxes, config_type_words, config_type_account, config_type_durations,
    config_type_text, config_type_mailbox, config_type_reply_address, config_type_prices,
    config_type_command;

extern const struct config_block_info config_blocks[CONFIG_BLOCKS];
extern const struct config_row config_rows[];
extern const size_t config_nrows;

/* Stores a row's default or its sample value; nothing when it has none. The table's own texts
 * are right: asserted. False without memory. */
bool config_row_init(const struct config_row *row, struct arena *memory, void *object,
                     bool sample);
/* Does the row's field hold anything? */
bool config_row_is_set(const struct config_row *row, const void *object);
/* "key = value", as in the file. */
void config_row_write(const struct config_row *row, const void *object, struct buf *out);
/* "64K to 1G", "starttls or implicit"; nothing where a type has no bounds. */
void config_row_write_range(const struct config_row *row, struct buf *out);

/* For the types themselves: takes a text that is `good`, else says why not. */
bool config_take_text(struct span text, struct config_value *value_out, bool good,
                      const char *reason, struct error *fault);
bool config_copy_text(struct arena *memory, struct span text, bool lower, char **copy_out);
void config_put_quoted(struct span text, struct buf *out);
bool config_parse_word(const struct config_row *row, struct span text,
                       struct config_value *value_out, struct error *fault);
bool config_parse_path(const struct config_row *row, struct span text,
                       struct config_value *value_out, struct error *fault);
bool config_parse_mailbox(const struct config_row *row, struct span text,
                          struct config_value *value_out, struct error *fault);

/* Of config_type_prices. */
void config_preset_prices(const struct config_row *row, void *object);
void config_explain_prices(struct buf *out);

/* With nothing in it. NULL without memory. */
struct config *config_new_empty(void);
/* The machine's name, when that has a dot; the part of a hostname behind its first dot. The
 * field stays NULL when there is none. False without memory. */
bool config_derive_hostname(struct config *config);
bool config_derive_domain(struct config *config, const char *hostname);
/* reply_address and notice_from, where they are not given, out of those names (which may be
 * NULL). False without memory. */
bool config_derive_mail(struct config *config, const char *hostname, const char *domain);
/* Adds those of RFC 8314 3.3 when none is for submission; false when there is no room. */
bool config_derive_listeners(struct config *config);

/* Where something stands in the file. */
struct config_note {
	struct span block, title,
	    key;      /* an opening of a block has no key; they point into the text */
	size_t value; /* 0 for the key itself, then 1 ... for its values */
	int line;
};

struct config_notes {
	struct config_note *note;
	size_t count, size;
};

struct config_fault {
	int line;
	struct error error;
};

/*
 * What libConfuse 3.3 lets pass or gets wrong, in two steps. `clean` comes before it: comments
 * become blanks (it refuses them in lists and counts a line too many for each C comment);
 * refused are bytes that it would skip in silence (an unquoted *), expansion from the
 * environment, strings over a line's end and escapes that make control bytes. `text` is changed
 * in place. `note` comes after it, on a text that it took: it finds what is given twice, and a
 * block that ends with the file.
 */
bool config_scan_clean(char *text, size_t len, struct config_fault *fault);
bool config_scan_note(struct span text, struct config_notes *notes_out,
                      struct config_fault *fault);
/* NULL when it is not there. */
const struct config_note *config_note_find(const struct config_notes *notes, const char *block,
                                           const char *title, const char *key, size_t value);

#endif
