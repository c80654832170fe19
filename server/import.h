/*
 * Accounts from elsewhere: a line of a Dovecot passwd-file or of a shadow-like file read as a
 * name and a secret, or as the reason why there is none. Pure. A reason is static text: nothing
 * of a line is ever repeated, it may be a password.
 *
 *     alice:{SHA512-CRYPT}$6$...:...      bob:{PLAIN}...      carol:$6$...:19000:0:99999:7:::
 *
 * Hashes of crypt(3) are kept, to become verifiers at the first good login; SCRAM verifiers are
 * rewritten in our form; what is weak (DES, MD5, one round of SHA) is left behind.
 */
#ifndef GATEPOST_SERVER_IMPORT_H
#define GATEPOST_SERVER_IMPORT_H

#include "auth/secret.h"

#define IMPORT_LINE_MAX 4096

enum import_format { IMPORT_PASSWD_FILE, IMPORT_SHADOW };

struct import_record {
	struct span name;     /* as it stands there; points into the line */
	struct span password; /* in clear, not empty: to be made a verifier; into the line */
	struct buf secret;    /* else: as it is stored */
	const char *reason;   /* why it is skipped; NULL: it is not */
};

/* Reads one line without its line end. False: there is nothing in it (blank, or a comment).
 * The record is emptied first: begin with a zeroed one, end with import_done. */
bool import_line(enum import_format format, struct span line, struct import_record *record_out);
/* Frees and cleanses. */
void import_done(struct import_record *record);

#endif
