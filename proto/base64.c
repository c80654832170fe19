#include "proto/base64.h"

static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct span bytes, struct buf *out)
{
	size_t size = (bytes.len + 2) / 3 * 4;
	char *to = size ? buf_reserve(out, size) : NULL;
	if (!to) {
		return;
	}
	for (size_t i = 0; i < bytes.len; i += 3) {
		size_t left = bytes.len - i;
		uint32_t three = 0;
		for (size_t k = 0; k < 3; k++) {
			three = three << 8 | (k < left ? (unsigned char)bytes.ptr[i + k] : 0);
		}
		for (size_t k = 0; k < 4; k++) {
			*to++ = k <= left ? alphabet[three >> (18 - 6 * k) & 63] : '=';
		}
	}
	buf_grow(out, size);
}

/* 0 .. 63, or 64 for a byte that is not of the alphabet. */
static uint32_t value_of(char c)
{
	if (c >= 'A' && c <= 'Z') {
		return (uint32_t)(c - 'A');
	}
	if (c >= 'a' && c <= 'z') {
		return (uint32_t)(c - 'a' + 26);
	}
	if (c >= '0' && c <= '9') {
		return (uint32_t)(c - '0' + 52);
	}
	return c == '+' ? 62 : c == '/' ? 63 : 64;
}

/* Four letters, the last `pads` of them '=', become 3 - pads bytes. */
static bool decode_four(const char *from, size_t pads, char *to)
{
	uint32_t three = 0;
	for (size_t k = 0; k < 4; k++) {
		uint32_t value = k < 4 - pads ? value_of(from[k]) : 0;
		if (value > 63) {
			return false;
		}
		three = three << 6 | value;
	}
	/* Bits that no byte takes would be a second spelling of the same bytes. */
	if (three & ((1U << (8 * pads)) - 1)) {
		return false;
	}
	for (size_t k = 0; k < 3 - pads; k++) {
		to[k] = (char)(three >> (16 - 8 * k) & 0xff);
	}
	return true;
}

bool base64_decode(struct span text, struct buf *out)
{
	if (text.len == 0) {
		return !out->failed;
	}
	if (text.len % 4) {
		return false;
	}
	size_t pads = text.ptr[text.len - 1] != '=' ? 0 : text.ptr[text.len - 2] != '=' ? 1 : 2;
	size_t size = text.len / 4 * 3 - pads;
	char *to = buf_reserve(out, size);
	if (!to) {
		return false;
	}
	for (size_t i = 0; i < text.len; i += 4) {
		if (!decode_four(text.ptr + i, i + 4 == text.len ? pads : 0, to + i / 4 * 3)) {
			return false;
		}
	}
	buf_grow(out, size);
	return true;
}

bool base64_decode_lines(struct span text, struct buf *out)
{
	uint32_t bits = 0;
	unsigned held = 0; /* how many of them no byte has taken yet */
	size_t begin = out->len, i = 0;
	bool foreign = false;
	for (; i < text.len && !foreign && !out->failed; i++) {
		uint32_t value = value_of(text.ptr[i]);
		if (value < 64) {
			bits = bits << 6 | value;
			held += 6;
			if (held >= 8) {
				held -= 8;
				buf_put_byte(out, (char)(bits >> held & 0xff));
			}
		} else {
			foreign = !memchr(" \t\r\n", text.ptr[i], 4);
		}
	}
	bool nothing = out->len == begin && (foreign || held > 0);
	return !nothing && !out->failed;
}
