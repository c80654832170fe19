#include "server/import.h"

#include "proto/base64.h"

#include <ctype.h>

#define SALT_MAX 64

#define TOO_WEAK "a hash that is guessed too easily: it needs a new password"
#define UNKNOWN  "a kind of secret that is not known"

/* ---- crypt(3) ---- */

/* The beginnings of hashes that are not taken. */
static const struct {
	struct span prefix;
	const char *reason;
} refused[] = {
	{ SPAN_LIT("!"), "locked" },
	{ SPAN_LIT("*"), "no login by password" },
	{ SPAN_LIT("$1$"), TOO_WEAK },
	{ SPAN_LIT("$3$"), TOO_WEAK },
	{ SPAN_LIT("$md5"), TOO_WEAK },
	{ SPAN_LIT("$sha1$"), TOO_WEAK },
	{ SPAN_LIT("$apr1$"), TOO_WEAK },
	{ SPAN_LIT("_"), TOO_WEAK },
	{ SPAN_LIT("$argon2"), "argon2 is not known to crypt(3)" },
};

#define DES_LENGTH 13

static bool is_des(struct span hash)
{
	size_t i = 0;
	while (i < hash.len && (isalnum((unsigned char)hash.ptr[i]) || hash.ptr[i] == '.' ||
	                        hash.ptr[i] == '/')) {
		i++;
	}
	return i == hash.len && i == DES_LENGTH;
}

static const char *why_no_crypt(struct span hash)
{
	for (size_t i = 0; i < COUNT(refused); i++) {
		if (span_starts_nocase(hash, refused[i].prefix)) {
			return refused[i].reason;
		}
	}
	if (span_eq(hash, SPAN_LIT("x"))) {
		return "its hash is in another file";
	}
	return is_des(hash) ? TOO_WEAK : UNKNOWN;
}

static const char *take_crypt(struct span hash, struct import_record *record)
{
	buf_put_str(&record->secret, "{CRYPT}");
	buf_put(&record->secret, hash);
	if (!record->secret.failed && secret_is_crypt(buf_span(&record->secret))) {
		return NULL;
	}
	return why_no_crypt(hash);
}

static const char *take_clear(struct span password, struct import_record *record)
{
	if (!secret_password_is_valid(password)) {
		return "a password that is too long";
	}
	record->password = password;
	return NULL;
}

/* ---- SCRAM: "4096,salt,StoredKey,ServerKey" ---- */

static struct span take_part(struct span *rest)
{
	struct span part = span_first(*rest, span_find(*rest, ','));
	*rest = span_from(*rest, part.len + 1);
	return part;
}

static bool is_count(struct span text)
{
	unsigned long n = 0;
	size_t i = 0;
	while (i < text.len && i < 6 && text.ptr[i] >= '0' && text.ptr[i] <= '9') {
		n = n * 10 + (unsigned long)(text.ptr[i++] - '0');
	}
	return text.len && i == text.len && text.ptr[0] != '0' && n >= SECRET_ITERATIONS_MIN &&
	       n <= SECRET_ITERATIONS_MAX;
}

static bool is_base64(struct span text, size_t least, size_t most)
{
	struct buf bytes = { .cap = SALT_MAX };
	bool good = base64_decode(text, &bytes) && bytes.len >= least && bytes.len <= most;
	buf_done(&bytes);
	return good;
}

static const char *take_scram(const char *name, size_t bytes, struct span value,
                              struct import_record *record)
{
	struct span count = take_part(&value);
	struct span salt = take_part(&value);
	struct span stored = take_part(&value);
	if (!is_count(count)) {
		return "a count of iterations that is not ours";
	}
	if (!is_base64(salt, 1, SALT_MAX) || !is_base64(stored, bytes, bytes) ||
	    !is_base64(value, bytes, bytes)) {
		return "a verifier that makes no sense";
	}
	buf_printf(&record->secret, "%s$%.*s:%.*s$%.*s:%.*s", name, SPAN_ARG(count),
	           SPAN_ARG(salt), SPAN_ARG(stored), SPAN_ARG(value));
	return record->secret.failed ? UNKNOWN : NULL;
}

static const char *take_scram_sha1(struct span value, struct import_record *record)
{
	return take_scram("SCRAM-SHA-1", 20, value, record);
}

static const char *take_scram_sha256(struct span value, struct import_record *record)
{
	return take_scram("SCRAM-SHA-256", 32, value, record);
}

/* ---- a line ---- */

static const char *take_weak(struct span value, struct import_record *record)
{
	(void)value;
	(void)record;
	return TOO_WEAK;
}

/* Dovecot's schemes, in braces before the secret. */
static const struct {
	struct span name;
	const char *(*take)(struct span value, struct import_record *record);
} schemes[] = {
	{ SPAN_LIT("PLAIN"), take_clear },
	{ SPAN_LIT("CLEAR"), take_clear },
	{ SPAN_LIT("CLEARTEXT"), take_clear },
	{ SPAN_LIT("CRYPT"), take_crypt },
	{ SPAN_LIT("SHA512-CRYPT"), take_crypt },
	{ SPAN_LIT("SHA256-CRYPT"), take_crypt },
	{ SPAN_LIT("BLF-CRYPT"), take_crypt },
	{ SPAN_LIT("SCRAM-SHA-1"), take_scram_sha1 },
	{ SPAN_LIT("SCRAM-SHA-256"), take_scram_sha256 },
	{ SPAN_LIT("DES-CRYPT"), take_weak },
	{ SPAN_LIT("MD5-CRYPT"), take_weak },
	{ SPAN_LIT("MD5"), take_weak },
	{ SPAN_LIT("PLAIN-MD4"), take_weak },
	{ SPAN_LIT("PLAIN-MD5"), take_weak },
	{ SPAN_LIT("LDAP-MD5"), take_weak },
	{ SPAN_LIT("SMD5"), take_weak },
	{ SPAN_LIT("CRAM-MD5"), take_weak },
	{ SPAN_LIT("DIGEST-MD5"), take_weak },
	{ SPAN_LIT("LANMAN"), take_weak },
	{ SPAN_LIT("NTLM"), take_weak },
	{ SPAN_LIT("SHA"), take_weak },
	{ SPAN_LIT("SHA1"), take_weak },
	{ SPAN_LIT("SHA256"), take_weak },
	{ SPAN_LIT("SHA512"), take_weak },
	{ SPAN_LIT("SSHA"), take_weak },
	{ SPAN_LIT("SSHA256"), take_weak },
	{ SPAN_LIT("SSHA512"), take_weak },
};

/* Without a scheme it is crypt(3)'s, as with Dovecot. */
static const char *take_scheme(struct span field, struct import_record *record)
{
	if (field.len == 0 || field.ptr[0] != '{') {
		return take_crypt(field, record);
	}
	size_t end = span_find(field, '}');
	struct span name = span_from(span_first(field, end), 1);
	struct span value = span_from(field, end + 1);
	if (!value.len) {
		return "no password";
	}
	for (size_t i = 0; i < COUNT(schemes); i++) {
		if (span_eq_nocase(name, schemes[i].name)) {
			return schemes[i].take(value, record);
		}
	}
	return UNKNOWN;
}

static const char *read_fields(enum import_format format, struct span line,
                               struct import_record *record)
{
	size_t colon = span_find(line, ':');
	struct span rest = span_from(line, colon + 1);
	struct span field = span_first(rest, span_find(rest, ':'));
	if (line.len > IMPORT_LINE_MAX) {
		return "a line that is too long";
	}
	if (colon == line.len || span_find(line, '\0') < line.len) {
		return "not a line of this kind of file";
	}
	record->name = span_first(line, colon);
	if (!field.len) {
		return "no password";
	}
	return format == IMPORT_SHADOW ? take_crypt(field, record) : take_scheme(field, record);
}

bool import_line(enum import_format format, struct span line, struct import_record *record_out)
{
	import_done(record_out);
	if (line.len && line.ptr[line.len - 1] == '\r') {
		line.len--;
	}
	struct span text = span_trim(line);
	if (!text.len || text.ptr[0] == '#') {
		return false;
	}
	record_out->reason = read_fields(format, line, record_out);
	return true;
}

void import_done(struct import_record *record)
{
	secret_cleanse(record->secret.ptr, record->secret.len);
	buf_done(&record->secret);
	*record = (struct import_record){ .secret = { .cap = SECRET_VERIFIER_MAX } };
}
