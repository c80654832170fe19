#include "keep.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES ((size_t)8 << 20)

void keep_init(struct keep *keep)
{
	*keep = (struct keep){ .journal = -1, .line = { .cap = LINE_MAX_BYTES } };
}

void keep_done(struct keep *keep)
{
	if (keep->journal >= 0) {
		close(keep->journal);
	}
	buf_done(&keep->line);
}

bool keep_open_maildir(struct keep *keep, const char *dir)
{
	static const char *const parts[] = { "", "/tmp", "/new", "/cur" };
	char path[4096];
	for (size_t i = 0; i < COUNT(parts); i++) {
		snprintf(path, sizeof path, "%s%s", dir, parts[i]);
		if (mkdir(path, 0755) && errno != EEXIST) {
			return false;
		}
	}
	keep->maildir = dir;
	return true;
}

bool keep_open_journal(struct keep *keep, const char *file)
{
	keep->journal = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
	return keep->journal >= 0;
}

static bool write_all(int fd, struct span bytes)
{
	while (bytes.len) {
		ssize_t n = write(fd, bytes.ptr, bytes.len);
		if (n < 0 && errno != EINTR) {
			return false;
		}
		bytes = n > 0 ? span_from(bytes, (size_t)n) : bytes;
	}
	return true;
}

/* The text of the header field `name`, folded lines included; empty when there is none. */
static struct span find_field(struct span header, struct span name)
{
	while (header.len && !span_starts_nocase(header, name)) {
		header = span_from(header, span_find(header, '\n') + 1);
	}
	struct span field = span_from(header, name.len);
	size_t end = span_find(field, '\n') + 1;
	while (end < field.len && (field.ptr[end] == ' ' || field.ptr[end] == '\t')) {
		end += span_find(span_from(field, end), '\n') + 1;
	}
	return span_first(field, end);
}

static struct span first_word(struct span text)
{
	size_t n = 0;
	while (n < text.len && (unsigned char)text.ptr[n] > ' ' && text.ptr[n] != ';') {
		n++;
	}
	return n ? span_first(text, n) : SPAN_LIT("-");
}

/* What stands behind the word "id" of a Received field (RFC 5321 4.4), folded or not. */
static struct span queue_id(struct span received)
{
	struct span before = SPAN_NONE;
	for (size_t at = 0; at < received.len; at++) {
		if ((unsigned char)received.ptr[at] <= ' ') {
			continue;
		}
		struct span word = first_word(span_from(received, at));
		if (span_eq(before, SPAN_LIT("id"))) {
			return word;
		}
		before = word;
		at += word.len;
	}
	return SPAN_LIT("-");
}

static bool keep_in_journal(struct keep *keep, const struct kept *mail)
{
	struct span text = mail->text;
	const char *end = text.len ? memmem(text.ptr, text.len, "\r\n\r\n", 4) : NULL;
	struct span header = end ? span_first(text, (size_t)(end - text.ptr) + 2) : text;
	struct span body = end ? span_from(text, header.len + 2) : SPAN_NONE;
	struct span id = queue_id(find_field(header, SPAN_LIT("Received:")));
	struct span message_id = find_field(header, SPAN_LIT("Message-ID:"));
	message_id = first_word(span_from(message_id, span_find(message_id, '<')));
	buf_clear(&keep->line);
	buf_printf(&keep->line, "%.*s %.*s %u %zu %016llx ", SPAN_ARG(id), SPAN_ARG(message_id),
	           mail->nrecipients, text.len, (unsigned long long)keep_fnv64(body));
	buf_put(&keep->line, mail->recipients);
	buf_printf(&keep->line, " %lld %s\n", (long long)mail->opened,
	           mail->dropped ? "dropped" : "ok");
	return write_all(keep->journal, buf_span(&keep->line));
}

static bool keep_in_maildir(struct keep *keep, const struct kept *mail)
{
	char from[4096], to[4096];
	unsigned long long now = (unsigned long long)time(NULL);
	snprintf(from, sizeof from, "%s/tmp/%llu.%llu.%d", keep->maildir, now, keep->nth,
	         getpid());
	snprintf(to, sizeof to, "%s/new/%llu.%llu.%d", keep->maildir, now, keep->nth, getpid());
	buf_clear(&keep->line);
	buf_printf(&keep->line, "X-Envelope-From: <%.*s>\r\n", SPAN_ARG(mail->sender));
	for (struct span rest = mail->recipients; rest.len;) {
		size_t end = span_find(rest, ',');
		buf_printf(&keep->line, "X-Envelope-To: <%.*s>\r\n", (int)end, rest.ptr);
		rest = span_from(rest, end + 1);
	}
	int fd = open(from, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	bool ok = fd >= 0 && write_all(fd, buf_span(&keep->line)) && write_all(fd, mail->text);
	ok = (fd < 0 || close(fd) == 0) && ok;
	return ok && rename(from, to) == 0;
}

bool keep_mail(struct keep *keep, const struct kept *mail)
{
	keep->nth++;
	return (!keep->maildir || keep_in_maildir(keep, mail)) &&
	       (keep->journal < 0 || keep_in_journal(keep, mail));
}

uint64_t keep_fnv64(struct span bytes)
{
	uint64_t hash = 14695981039346656037U;
	for (size_t i = 0; i < bytes.len; i++) {
		hash = (hash ^ (unsigned char)bytes.ptr[i]) * 1099511628211U;
	}
	return hash;
}
