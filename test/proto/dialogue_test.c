/*
 * Plays the files of test/dialogue against smtp_server: each whole, and each with the client's
 * bytes coming one at a time. The folder is the argument. Its README has the grammar.
 */
#include "policy.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#define FILE_MAX ((size_t)1 << 20)

static const char *folder;

struct play {
	const char *name;
	size_t line; /* in the file, for messages */
	bool split;
	bool begun;
	struct policy policy;
	struct buf unsent; /* what the client writes next */
	struct buf text;   /* one unescaped line */
};

static void fail_at(const struct play *play, const char *what, struct span text)
{
	fail_msg("%s:%zu: %s \"%.*s\"", play->name, play->line, what, SPAN_ARG(text));
}

static unsigned hex(char c)
{
	return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c | 32) - 'a' + 10;
}

/* Unescapes `raw` into play->text. */
static struct span unescape(struct play *play, struct span raw)
{
	static const char plain[] = "rnt0\\";
	static const char meant[] = "\r\n\t\0\\";
	struct buf *out = &play->text;
	size_t times = 0;  /* of an open repetition */
	size_t opened = 0; /* where its text begins in `out` */
	buf_clear(out);
	for (size_t i = 0; i < raw.len; i++) {
		char c = raw.ptr[i];
		const char *simple = i + 1 < raw.len ? strchr(plain, raw.ptr[i + 1]) : NULL;
		if (c == '}' && times) {
			struct buf copy = { .cap = FILE_MAX };
			buf_put(&copy, span_from(buf_span(out), opened));
			for (; times > 1; times--) {
				buf_put(out, buf_span(&copy));
			}
			times = 0;
			buf_done(&copy);
		} else if (c != '\\') {
			buf_put_byte(out, c);
		} else if (simple) {
			buf_put_byte(out, meant[simple - plain]);
			i++;
		} else if (raw.ptr[i + 1] == 'x' && i + 3 < raw.len) {
			unsigned byte = hex(raw.ptr[i + 2]) << 4 | hex(raw.ptr[i + 3]);
			buf_put_byte(out, (char)byte);
			i += 3;
		} else if (raw.ptr[i + 1] == '*') {
			for (i += 2; i < raw.len && raw.ptr[i] != '{'; i++) {
				times = times * 10 + (unsigned)(raw.ptr[i] - '0');
			}
			opened = out->len;
		} else {
			fail_at(play, "bad escape in", raw);
		}
	}
	return buf_span(out);
}

/* `*` in the pattern stands for any bytes. */
static bool matches(struct span pattern, struct span text)
{
	size_t star = SIZE_MAX; /* behind the last star passed */
	size_t retry = 0;       /* what it swallows ends here */
	size_t p = 0;
	size_t t = 0;
	while (t < text.len) {
		if (p < pattern.len && pattern.ptr[p] == '*') {
			star = ++p;
			retry = t;
		} else if (p < pattern.len && pattern.ptr[p] == text.ptr[t]) {
			p++;
			t++;
		} else if (star != SIZE_MAX) {
			p = star;
			t = ++retry;
		} else {
			return false;
		}
	}
	while (p < pattern.len && pattern.ptr[p] == '*') {
		p++;
	}
	return p == pattern.len;
}

/* The client's write, of all that was gathered. */
static void send_unsent(struct play *play)
{
	struct span rest = buf_span(&play->unsent);
	while (rest.len && !play->policy.closed) {
		struct span piece = span_first(rest, play->split ? 1 : rest.len);
		policy_feed(&play->policy, piece);
		rest = span_from(rest, piece.len);
	}
	buf_clear(&play->unsent);
}

/* Takes the next line of the server. Whether it matches, which it may have to. */
static bool take_line(struct play *play, struct span pattern, bool must)
{
	struct buf *said = &play->policy.said;
	const char *end = said->len ? memmem(said->ptr, said->len, "\r\n", 2) : NULL;
	if (!end) {
		fail_at(play, "the server has nothing more to say, wanted", pattern);
		return false;
	}
	struct span line = span_of(said->ptr, (size_t)(end - said->ptr));
	bool good = matches(pattern, line);
	if (!good && must) {
		fail_at(play, "the server said", line);
	}
	buf_drop(said, line.len + 2);
	return good;
}

static void begin(struct play *play, bool tls)
{
	policy_init(&play->policy, tls);
	policy_feed(&play->policy, SPAN_NONE);
	play->begun = true;
}

static void on_starttls_listener(struct play *play, struct span value)
{
	(void)value;
	begin(play, false);
}

static void on_implicit(struct play *play, struct span value)
{
	(void)value;
	begin(play, true);
}

static void on_client_line(struct play *play, struct span value)
{
	buf_put(&play->unsent, unescape(play, value));
	buf_put_str(&play->unsent, "\r\n");
}

static void on_client_bytes(struct play *play, struct span value)
{
	buf_put(&play->unsent, unescape(play, value));
}

static void on_server(struct play *play, struct span value)
{
	take_line(play, unescape(play, value), true);
}

static void on_until(struct play *play, struct span value)
{
	struct span pattern = unescape(play, value);
	while (!take_line(play, pattern, false)) {
	}
}

static void on_auth(struct play *play, struct span value)
{
	(void)value;
	on_client_line(play, SPAN_LIT("AUTH PLAIN AGFsaWNlQGV4YW1wbGUub3JnAHNlY3JldA=="));
	send_unsent(play);
	on_server(play, SPAN_LIT("235 2.7.0 *"));
}

static void on_tls(struct play *play, struct span value)
{
	(void)value;
	policy_tls(&play->policy);
}

static void on_close(struct play *play, struct span value)
{
	if (!play->policy.closed) {
		fail_at(play, "not closed", value);
	}
}

static const struct {
	struct span word;
	bool writes; /* the client writes on */
	void (*run)(struct play *play, struct span value);
} directives[] = {
	{ { "@starttls-listener", 18 }, false, on_starttls_listener },
	{ { "@implicit", 9 }, false, on_implicit },
	{ { "C: ", 3 }, true, on_client_line },
	{ { "C! ", 3 }, true, on_client_bytes },
	{ { "S: ", 3 }, false, on_server },
	{ { "@until ", 7 }, false, on_until },
	{ { "@auth", 5 }, false, on_auth },
	{ { "@tls", 4 }, false, on_tls },
	{ { "@close", 6 }, false, on_close },
};

static void run_line(struct play *play, struct span line)
{
	if (line.len == 0 || line.ptr[0] == '#') {
		return;
	}
	for (size_t i = 0; i < COUNT(directives); i++) {
		struct span word = directives[i].word;
		if (!span_eq(span_first(line, word.len), word)) {
			continue;
		}
		if (!play->begun && i > 1) {
			fail_at(play, "before the head:", line);
		}
		if (!directives[i].writes) {
			send_unsent(play);
		}
		directives[i].run(play, span_from(line, word.len));
		return;
	}
	fail_at(play, "not understood:", line);
}

static void play_file(const char *name, struct span file, bool split)
{
	struct play play = { .name = name, .split = split };
	play.unsent.cap = play.text.cap = FILE_MAX;
	while (file.len) {
		struct span line = span_first(file, span_find(file, '\n'));
		file = span_from(file, line.len + 1);
		play.line++;
		run_line(&play, line);
	}
	if (!play.begun) {
		fail_at(&play, "no head", SPAN_NONE);
	}
	send_unsent(&play);
	if (play.policy.said.len) {
		fail_at(&play, "left over:", buf_span(&play.policy.said));
	}
	buf_done(&play.unsent);
	buf_done(&play.text);
	policy_done(&play.policy);
}

/* Reads one file of the folder and plays it. */
static void load_and_play(const char *name, bool split)
{
	struct buf path = { .cap = 4096 };
	struct buf file = { .cap = FILE_MAX };
	buf_printf(&path, "%s/%s", folder, name);
	buf_put_byte(&path, '\0');
	FILE *in = fopen(path.ptr, "rb");
	assert_non_null(in);
	char *room = buf_reserve(&file, FILE_MAX);
	assert_non_null(room);
	buf_grow(&file, fread(room, 1, FILE_MAX, in));
	assert_int_equal(fclose(in), 0);
	play_file(name, buf_span(&file), split);
	buf_done(&path);
	buf_done(&file);
}

static void play_folder(bool split)
{
	DIR *dir = opendir(folder);
	assert_non_null(dir);
	size_t played = 0;
	for (struct dirent *entry; (entry = readdir(dir));) {
		size_t len = strlen(entry->d_name);
		if (len > 5 && strcmp(entry->d_name + len - 5, ".smtp") == 0) {
			load_and_play(entry->d_name, split);
			played++;
		}
	}
	closedir(dir);
	assert_true(played >= 30);
}

static void plays_whole(void **state)
{
	(void)state;
	play_folder(false);
}

static void plays_byte_by_byte(void **state)
{
	(void)state;
	play_folder(true);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plays_whole),
		cmocka_unit_test(plays_byte_by_byte),
	};
	if (argc != 2) {
		fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
		return 64;
	}
	folder = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
