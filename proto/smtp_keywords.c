#include "proto/smtp_keywords.h"

static const struct {
	struct span name;
	enum smtp_keyword bit;
} rows[] = {
	{ { "PIPELINING", 10 }, SMTP_KEYWORD_PIPELINING },
	{ { "8BITMIME", 8 }, SMTP_KEYWORD_8BITMIME },
	{ { "SIZE", 4 }, SMTP_KEYWORD_SIZE },
	{ { "STARTTLS", 8 }, SMTP_KEYWORD_STARTTLS },
};

/* RFC 1870 3: no argument, or 0, is no fixed limit; what is no number tells us none either. */
static uint64_t read_size(struct span text)
{
	uint64_t value = 0;
	text = span_trim(text);
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];
		if (c < '0' || c > '9' || value > (UINT64_MAX - 9) / 10) {
			return 0;
		}
		value = value * 10 + (uint64_t)(c - '0');
	}
	return value;
}

void smtp_keywords_read(struct smtp_keywords *keywords, struct span line)
{
	if (!keywords->begun) {
		keywords->begun = true;
		return;
	}
	while (line.len && (line.ptr[line.len - 1] == '\n' || line.ptr[line.len - 1] == '\r')) {
		line.len--;
	}
	struct span text = span_trim(span_from(line, sizeof "250-" - 1));
	size_t end = span_find(text, ' ');
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (!span_eq_nocase(span_first(text, end), rows[i].name)) {
			continue;
		}
		keywords->bits |= rows[i].bit;
		if (rows[i].bit == SMTP_KEYWORD_SIZE) {
			keywords->size_max = read_size(span_from(text, end));
		}
	}
}

bool smtp_keywords_have(const struct smtp_keywords *keywords, enum smtp_keyword keyword)
{
	return (keywords->bits & keyword) != 0;
}
