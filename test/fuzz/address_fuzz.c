/* A path that is taken is made of its parts, has a key that is its own key, and nothing odd in
 * it. */
#include "fuzz.h"
#include "proto/address.h"

static void check_clean(struct span text)
{
	for (size_t i = 0; i < text.len; i++) {
		PROMISE(text.ptr[i] >= ' ' && text.ptr[i] < 127);
	}
}

static void check_address(const struct address *address, enum address_result result)
{
	check_clean(address->whole);
	PROMISE(address->local.len > 0 && address->local.len <= ADDRESS_LOCAL_MAX);
	PROMISE(address->whole.len <= ADDRESS_MAX);
	PROMISE(span_eq(span_first(address->whole, address->local.len), address->local));
	if (result == ADDRESS_OK) {
		PROMISE(address->whole.ptr[address->local.len] == '@');
		PROMISE(span_eq(span_from(address->whole, address->local.len + 1),
		                address->domain));
		PROMISE(address_domain_is_valid(address->domain));
	}
	struct buf key = { .cap = 300 }, again = { .cap = 300 };
	struct address parsed;
	address_key(address, &key);
	PROMISE(!key.failed && key.len <= address->whole.len);
	PROMISE(address_parse(buf_span(&key), &parsed) == result);
	address_key(&parsed, &again);
	PROMISE(span_eq(buf_span(&key), buf_span(&again)));
	buf_done(&key);
	buf_done(&again);
}

static void check_path(struct span all)
{
	struct span in = all;
	struct address address;
	enum address_result result = address_parse_path(&in, &address);
	bool taken = result == ADDRESS_OK || result == ADDRESS_UNQUALIFIED ||
	             result == ADDRESS_NULL;
	PROMISE(taken ? in.len < all.len : in.ptr == all.ptr && in.len == all.len);
	if (taken) {
		size_t used = all.len - in.len;
		PROMISE(all.ptr[0] == '<' && all.ptr[used - 1] == '>');
		PROMISE((result == ADDRESS_NULL) == (used == 2));
	}
	if (taken && result != ADDRESS_NULL) {
		check_address(&address, result);
	}
}

static void check_account(struct span login)
{
	struct buf name = { .cap = 300 }, again = { .cap = 300 };
	if (address_account(login, SPAN_LIT("Example.org"), &name)) {
		check_clean(buf_span(&name));
		PROMISE(name.len <= ADDRESS_ACCOUNT_MAX);
		PROMISE(address_account(buf_span(&name), SPAN_LIT("other.example"), &again));
		PROMISE(span_eq(buf_span(&name), buf_span(&again)));
	} else {
		PROMISE(name.len == 0);
	}
	buf_done(&name);
	buf_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span all = span_of(data, size);
	struct address address;
	check_path(all);
	check_account(all);
	enum address_result result = address_parse(all, &address);
	PROMISE(result != ADDRESS_NULL);
	if (result == ADDRESS_OK || result == ADDRESS_UNQUALIFIED) {
		check_address(&address, result);
	}
	return 0;
}
