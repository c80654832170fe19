/*
 * A reply to a notice read as an order: the tag in the address, the word in the address, the
 * subject or the first own line. Machine mail is no order. Pure: who may give one is decided
 * elsewhere.
 */
#ifndef GATEPOST_PROTO_ORDERS_H
#define GATEPOST_PROTO_ORDERS_H

#include "proto/buf.h"

/* What the postmaster wants; the table of words is in orders.c. */
enum order {
	ORDER_UNLOCK,     /* re-enable, release held mail: UNLOCK OK YES */
	ORDER_EMPTY,      /* no own text at all: as UNLOCK, unless a word is required */
	ORDER_KEEP,       /* re-enable, held mail stays held: KEEP */
	ORDER_OTHER,      /* other human text: as KEEP, but nobody asked for it */
	ORDER_DISCARD,    /* re-enable, delete held mail */
	ORDER_SPAM,       /* delete held mail, stay suspended */
	ORDER_NO,         /* nothing: NO STOP */
	ORDER_UNREADABLE, /* no text that we can read: as KEEP */
	ORDER_RELEASE,    /* as UNLOCK, also of mail that a thief may have written: RELEASE */
	ORDERS,
};

/* "unlock", "empty", "keep" ...: for logs, and as the word in an address where it is one. */
const char *order_name(enum order order);
/* Was it a word of the table that the human wrote (unlock_word = required)? */
bool order_is_word(enum order order);

/* ---- the address ---- */

#define ORDERS_TOKEN_LEN    26 /* 128 bits in base32 */
#define ORDERS_INCIDENT_MAX UINT64_C(9999999999999)
#define ORDERS_TAG_MAX      48 /* "discard.", 13 digits, "-", the token */

struct orders_tag {
	bool has_word;
	enum order word;
	uint64_t incident;
	struct span token; /* base32 in any case; points into the address */
};

/*
 * `pattern` is reply_address: exactly one `*`, where the tag goes. True when `address` (any
 * case) is of that form and what stands for the `*` is a well-formed tag:
 * [WORD.]INCIDENT-TOKEN. A tag says nothing yet of being right.
 */
bool orders_read_address(struct span pattern, struct span address, struct orders_tag *tag_out);
/* Writes the address for a token; `word` as in order_name, or ORDERS for none; the incident at
 * most ORDERS_INCIDENT_MAX. */
void orders_write_address(struct span pattern, enum order word, uint64_t incident,
                          struct span token, struct buf *out);
/* Can `pattern` hold a tag: exactly one `*`, a valid address around it, at most 64 octets of
 * local-part and RFC 5321's 255 of domain with the longest tag? False with a reason (static
 * text). */
bool orders_pattern_is_valid(struct span pattern, const char **reason_out);

/* ---- the message ---- */

enum orders_kind {
	ORDERS_HUMAN,
	ORDERS_MACHINE, /* auto-reply, bounce, list mail (TESTS UN10): never an order, never
	                   answered */
};

/*
 * Reads the whole message. A null envelope sender (empty or <>), Auto-Submitted other than no,
 * Precedence bulk|junk|list, X-Auto-Response-Suppress, List-Id, X-Autoreply, X-Autorespond,
 * multipart/report, out-of-office subjects and their like: MACHINE, and `order_out` is
 * untouched. The word: of the address when `tag` (may be NULL) has one, else the subject's
 * first word behind Re:/AW: ... when it is one in the table, else the first own line's first
 * word (not quoted, not the attribution, not the signature).
 */
enum orders_kind orders_read_message(struct span message, struct span envelope_sender,
                                     const struct orders_tag *tag, enum order *order_out);

/*
 * The one From address of the header (RFC 5322), canonical as address_key has it, in `out`,
 * which is emptied first. False when there is none or more than one, a group, or anything that
 * another reader might take for another address.
 */
bool orders_from(struct span message, struct buf *out);

#endif
