#include "test/auth/traffic_day.h"

#include <stdio.h>

/* ---- numbers and times ---- */

int64_t day_number(struct day *day, struct span *word)
{
	int64_t n = 0;
	size_t digits = 0;
	while (digits < word->len && word->ptr[digits] >= '0' && word->ptr[digits] <= '9') {
		n = n * 10 + (word->ptr[digits++] - '0');
	}
	if (digits == 0 || digits > 9) {
		DAY_FAIL(day, "a number is missing");
	}
	*word = span_from(*word, digits);
	return n;
}

int64_t day_duration(struct day *day, struct span word)
{
	static const struct {
		const char *unit;
		int64_t ms;
	} units[] = {
		{ "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 60 * 60000 }, { "d", DAY }
	};
	int64_t n = day_number(day, &word);
	for (size_t i = 0; i < COUNT(units); i++) {
		if (span_eq(word, span_str(units[i].unit))) {
			return n * units[i].ms;
		}
	}
	DAY_FAIL(day, "%.*s is no unit of time", SPAN_ARG(word));
	return 0;
}

uint32_t day_count(struct day *day, struct span word)
{
	int64_t low = day_number(day, &word);
	int64_t high = low;
	if (word.len > 2 && word.ptr[0] == '.' && word.ptr[1] == '.') {
		word = span_from(word, 2);
		high = day_number(day, &word);
	}
	if (word.len || high < low) {
		DAY_FAIL(day, "not a number");
	}
	day->random = day->random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(low + (int64_t)((day->random >> 33) % (uint64_t)(high - low + 1)));
}

/* ---- a line ---- */

static void repeat_block(struct day *day, uint32_t times)
{
	if (day->depth == LOOPS_MAX || times == 0) {
		DAY_FAIL(day, "nested too deeply, or no times");
	}
	day->loops[day->depth++] = (struct loop){ day->line, times };
}

static void repeat_end(struct day *day)
{
	if (day->depth == 0) {
		DAY_FAIL(day, "no repeat before this end");
	}
	struct loop *loop = &day->loops[day->depth - 1];
	if (--loop->left) {
		day->line = loop->line;
	} else {
		day->depth--;
	}
}

static bool is_word(struct span word, const char *text)
{
	return span_eq(word, span_str(text));
}

static void run_words(struct day *day, const struct span *words, size_t count)
{
	/* "10:00 repeat 6 ...": the time is of the first only. */
	size_t at = count > 2 && is_word(words[1], "repeat") ? 1 : 0;
	if (is_word(words[0], "end")) {
		repeat_end(day);
	} else if (!is_word(words[at], "repeat")) {
		day->step(day->context, words, count);
	} else if (count < at + 2) {
		DAY_FAIL(day, "repeat how often?");
	} else {
		uint32_t times = day_count(day, words[at + 1]);
		if (at) {
			day->step(day->context, words, 1);
		}
		if (count == at + 2) {
			repeat_block(day, times);
		}
		for (uint32_t i = 0; count > at + 2 && i < times; i++) {
			day->step(day->context, words + at + 2, count - at - 2);
		}
	}
}

static void run_line(struct day *day, struct span line)
{
	struct span words[WORDS_MAX];
	size_t count = 0;
	line = span_trim(span_first(line, span_find(line, '#')));
	while (line.len && count < WORDS_MAX) {
		words[count] = span_first(line, span_find(line, ' '));
		line = span_trim(span_from(line, words[count].len));
		count++;
	}
	if (line.len) {
		DAY_FAIL(day, "too many words");
	}
	if (count) {
		run_words(day, words, count);
	}
}

/* ---- a day ---- */

void day_read(struct day *day)
{
	FILE *file = fopen(day->path, "r");
	assert_non_null(file);
	buf_init(&day->text, 65536);
	char *at = buf_reserve(&day->text, 65536);
	assert_non_null(at);
	buf_grow(&day->text, fread(at, 1, 65536, file));
	fclose(file);
	struct span rest = buf_span(&day->text);
	while (rest.len) {
		assert_true(day->count < LINES_MAX);
		day->lines[day->count] = span_first(rest, span_find(rest, '\n'));
		rest = span_from(rest, day->lines[day->count++].len + 1);
	}
}

void day_run(struct day *day, day_step *step, void *context)
{
	day->step = step;
	day->context = context;
	for (; day->line < day->count; day->line++) {
		run_line(day, day->lines[day->line]);
	}
	if (day->depth) {
		DAY_FAIL(day, "a repeat has no end");
	}
}

void day_done(struct day *day)
{
	buf_done(&day->text);
}
