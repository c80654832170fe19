#include "server/config_table.h"

#include <stdlib.h>

static bool fail(struct config_fault *fault, int line, const char *reason)
{
	fault->line = line;
	error_set(&fault->error, "%s", reason);
	return false;
}

/* ---- before libConfuse ---- */

struct cleaner {
	char *text;
	size_t len, at;
	int line;
	bool fresh; /* a token may begin here: a comment, too */
};

static bool looking_at(const struct cleaner *in, const char *what)
{
	size_t n = strlen(what);
	return in->len - in->at >= n && memcmp(in->text + in->at, what, n) == 0;
}

/* Puts blanks until `end`, which is blanked, too, unless it is the line's. */
static bool blank_comment(struct cleaner *in, const char *end, struct config_fault *fault)
{
	int begin = in->line;
	size_t n = strlen(end);
	while (in->at < in->len && !looking_at(in, end)) {
		if (in->text[in->at] == '\n') {
			in->line++;
		} else {
			in->text[in->at] = ' ';
		}
		in->at++;
	}
	if (end[0] == '\n') {
		return true;
	}
	if (in->at == in->len) {
		return fail(fault, begin, "the comment does not end");
	}
	memset(in->text + in->at, ' ', n);
	in->at += n;
	return true;
}

/* The names of the environment have no business here; between single quotes libConfuse takes it
 * as it is. */
static const char expansion[] = "${ would be read from the environment: use single quotes";

static bool skip_string(struct cleaner *in, struct config_fault *fault)
{
	char quote = in->text[in->at++];
	for (; in->at < in->len && in->text[in->at] != quote; in->at++) {
		unsigned char c = (unsigned char)in->text[in->at];
		if (c == '\n') {
			break;
		}
		if (c < ' ' || c == 127) {
			return fail(fault, in->line, "control bytes may not be in a string");
		}
		if (quote == '"' && looking_at(in, "${")) {
			return fail(fault, in->line, expansion);
		}
		if (c == '\\') {
			in->at++;
			if (in->at == in->len ||
			    (in->text[in->at] != quote && in->text[in->at] != '\\')) {
				return fail(fault, in->line,
				            "only \\ and the quote may follow a \\");
			}
		}
	}
	if (in->at == in->len || in->text[in->at] != quote) {
		return fail(fault, in->line, "the string does not end on its line");
	}
	in->at++;
	in->fresh = true;
	return true;
}

/* One byte that is in no string and no comment. */
static bool check_byte(struct cleaner *in, struct config_fault *fault)
{
	char c = in->text[in->at];
	if (c == '\n') {
		in->line++;
	} else if (c == '\r' && in->at + 1 < in->len && in->text[in->at + 1] == '\n') {
		in->text[in->at] = c = ' ';
	} else if (c == '*') {
		return fail(fault, in->line, "a * must be between quotes");
	} else if (c == '+') {
		return fail(fault, in->line,
		            "nothing is added to a list, it is given as a whole: =");
	} else if (looking_at(in, "${")) {
		return fail(fault, in->line, expansion);
	} else if (((unsigned char)c < ' ' && c != '\t') || c == 127) {
		return fail(fault, in->line, "there is a control byte");
	}
	in->fresh = memchr(" \t\n{}=,", c, 8) != NULL;
	in->at++;
	return true;
}

bool config_scan_clean(char *text, size_t len, struct config_fault *fault)
{
	struct cleaner in = { .text = text, .len = len, .line = 1, .fresh = true };
	bool good = true;
	while (good && in.at < len) {
		char c = text[in.at];
		if (c == '#' || (in.fresh && looking_at(&in, "//"))) {
			good = blank_comment(&in, "\n", fault);
		} else if (in.fresh && looking_at(&in, "/*")) {
			good = blank_comment(&in, "*/", fault);
		} else if (c == '"' || c == '\'') {
			good = skip_string(&in, fault);
		} else {
			good = check_byte(&in, fault);
		}
	}
	return good;
}

/* ---- after libConfuse: the text is known to be well-formed ---- */

struct scanner {
	struct span rest;
	int line;
	struct config_notes *notes;
	struct config_fault *fault;
	struct span block, title; /* where we are */
};

static bool is_mark(char c)
{
	return c == '{' || c == '}' || c == '=' || c == ',';
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n';
}

/* Takes the next mark, word or string; strings without their quotes. Empty, with a NULL
 * pointer, at the end. */
static struct span take(struct scanner *in, bool *mark_out)
{
	struct span *rest = &in->rest;
	while (rest->len && is_blank(rest->ptr[0])) {
		in->line += rest->ptr[0] == '\n';
		*rest = span_from(*rest, 1);
	}
	*mark_out = rest->len && is_mark(rest->ptr[0]);
	char quote = rest->len && (rest->ptr[0] == '"' || rest->ptr[0] == '\'') ? rest->ptr[0]
	                                                                        : '\0';
	size_t n = *mark_out || quote ? 1 : 0;
	while (quote && n < rest->len && rest->ptr[n] != quote) {
		n += rest->ptr[n] == '\\' ? 2 : 1;
	}
	while (!quote && !*mark_out && n < rest->len && !is_mark(rest->ptr[n]) &&
	       !is_blank(rest->ptr[n]) && rest->ptr[n] != '"' && rest->ptr[n] != '\'') {
		n++;
	}
	struct span token = quote ? span_of(rest->ptr + 1, n - 1) : span_first(*rest, n);
	*rest = span_from(*rest, quote ? n + 1 : n);
	return token;
}

static bool add_note(struct scanner *in, struct span key, size_t value)
{
	struct config_notes *notes = in->notes;
	if (notes->count == notes->size) {
		size_t size = notes->size ? 2 * notes->size : 64;
		struct config_note *more = realloc(notes->note, size * sizeof *more);
		if (!more) {
			return fail(in->fault, 0, "no memory");
		}
		notes->note = more;
		notes->size = size;
	}
	notes->note[notes->count++] = (struct config_note){ .block = in->block,
		                                            .title = in->title,
		                                            .key = key,
		                                            .value = value,
		                                            .line = in->line };
	return true;
}

static const struct config_note *find(const struct config_notes *notes, struct config_note want)
{
	for (size_t i = 0; i < notes->count; i++) {
		const struct config_note *note = &notes->note[i];
		if (note->value == want.value && span_eq(note->key, want.key) &&
		    span_eq(note->block, want.block) && span_eq(note->title, want.title)) {
			return note;
		}
	}
	return NULL;
}

/* A key, or the opening of a block: once only. */
static bool add_once(struct scanner *in, struct span key)
{
	const struct config_note *first = find(
	    in->notes,
	    (struct config_note){ .block = in->block, .title = in->title, .key = key });
	if (!first) {
		return add_note(in, key, 0);
	}
	struct span what = key.len ? key : in->block;
	struct span title = key.len ? SPAN_NONE : in->title;
	in->fault->line = in->line;
	error_set(&in->fault->error, "%.*s%s%.*s: is given twice, the first time in line %d",
	          SPAN_ARG(what), title.len ? " " : "", SPAN_ARG(title), first->line);
	return false;
}

/* What follows an equals sign. */
static bool note_values(struct scanner *in, struct span key)
{
	bool mark;
	size_t value = 0;
	struct span token = take(in, &mark);
	if (!mark) {
		return add_note(in, key, 1);
	}
	do {
		token = take(in, &mark);
		if (!mark && token.ptr && !add_note(in, key, ++value)) {
			return false;
		}
	} while (token.ptr && !(mark && token.ptr[0] == '}'));
	return true;
}

bool config_scan_note(struct span text, struct config_notes *notes_out,
                      struct config_fault *fault)
{
	struct scanner in = { .rest = text, .line = 1, .notes = notes_out, .fault = fault };
	struct span word[2] = { SPAN_NONE, SPAN_NONE }; /* the last but one, the last */
	bool good = true, mark;
	struct span token = take(&in, &mark);
	while (good && token.ptr) {
		if (!mark) {
			word[0] = word[1];
			word[1] = token;
		} else {
			if (token.ptr[0] == '=') {
				good = add_once(&in, word[1]) && note_values(&in, word[1]);
			} else if (token.ptr[0] == '{') {
				in.block = word[0].ptr ? word[0] : word[1];
				in.title = word[0].ptr ? word[1] : SPAN_NONE;
				good = add_once(&in, SPAN_NONE);
			} else {
				in.block = in.title = SPAN_NONE;
			}
			word[0] = word[1] = SPAN_NONE;
		}
		token = good ? take(&in, &mark) : SPAN_NONE;
	}
	if (good && in.block.ptr) {
		return fail(fault, in.line, "a block does not end");
	}
	return good;
}

const struct config_note *config_note_find(const struct config_notes *notes, const char *block,
                                           const char *title, const char *key, size_t value)
{
	return find(notes, (struct config_note){ .block = span_str(block),
	                                         .title = span_str(title),
	                                         .key = span_str(key),
	                                         .value = value });
}
