/* Reading ends, lines never go back, a name is canonical, and nothing follows a fault. */
#include "fuzz.h"
#include "proto/aliases.h"

static void check_item(const struct aliases_item *item, size_t line)
{
	PROMISE(item->line >= line);
	PROMISE((item->kind == ALIASES_FAULT) == (item->reason != NULL));
	if (item->kind == ALIASES_END || item->kind == ALIASES_FAULT) {
		return;
	}
	PROMISE(item->text.len > 0 && item->text.len <= ALIASES_TEXT_MAX);
	if (item->kind == ALIASES_INCLUDE || item->kind == ALIASES_OTHER) {
		return;
	}
	struct address address;
	PROMISE(span_find(item->text, '@') < item->text.len);
	for (size_t i = 0; i < item->text.len; i++) {
		PROMISE(item->text.ptr[i] == span_lower(item->text.ptr[i]));
	}
	struct buf key = { .cap = ALIASES_TEXT_MAX }, fold = { .cap = ALIASES_TEXT_MAX };
	if (address_parse(item->text, &address) == ADDRESS_OK) {
		address_key(&address, &key);
		PROMISE(span_eq(buf_span(&key), item->text));
		address_key_fold(buf_span(&key), &fold);
		PROMISE(fold.len <= key.len && !fold.failed);
		buf_clear(&key);
		address_key_fold(buf_span(&fold), &key);
		PROMISE(span_eq(buf_span(&key), buf_span(&fold)));
	}
	buf_done(&key);
	buf_done(&fold);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct aliases in;
	struct span all = span_of(data, size);
	enum aliases_form form = (enum aliases_form)(fuzz_byte(&all) % 3);
	size_t line = 1, items = 0;
	struct aliases_item item;
	aliases_init(&in, all, form, SPAN_LIT("example.org"));
	do {
		item = aliases_next(&in);
		check_item(&item, line);
		line = item.line;
		PROMISE(items++ <= all.len);
		PROMISE(form == ALIASES_TABLE || item.kind != ALIASES_NAME);
		PROMISE(form != ALIASES_LIST || item.kind == ALIASES_ADDRESS ||
		        item.kind == ALIASES_FAULT || item.kind == ALIASES_END);
	} while (item.kind != ALIASES_END && item.kind != ALIASES_FAULT);
	PROMISE(aliases_next(&in).kind == ALIASES_END);
	return 0;
}
