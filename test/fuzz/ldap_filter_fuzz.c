/* A name in a filter means the name: read back by RFC 4515 it is the same bytes. */
#include "auth/backend_kinds.h"
#include "fuzz.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span typed = span_of(data, size < 255 ? size : 255);
	struct buf out = { .cap = 4096 }, back = { .cap = 4096 };
	PROMISE(ldap_filter_write("(uid=%u)", typed, "example.org", &out));
	struct span value = span_from(buf_span(&out), 5);
	PROMISE(value.len >= 1 && value.ptr[value.len - 1] == ')');
	value.len--;
	for (size_t i = 0; i < value.len; i++) {
		PROMISE(!memchr("()*", value.ptr[i], 3) && value.ptr[i] != '\0');
		if (value.ptr[i] == '\\') {
			PROMISE(i + 2 < value.len);
			char digits[3] = { value.ptr[i + 1], value.ptr[i + 2], '\0' };
			buf_put_byte(&back, (char)strtoul(digits, NULL, 16));
			i += 2;
		} else {
			buf_put_byte(&back, value.ptr[i]);
		}
	}
	PROMISE(span_eq(buf_span(&back), typed));
	buf_done(&out);
	buf_done(&back);
	return 0;
}
