/*
 * A message is an order or a machine's; what follows the first own line changes nothing; an
 * address that is read can be written and read again; a From is an address of one line; own
 * lines are in the text, in order, and not blank.
 */
#include "fuzz.h"

#include "proto/address.h"
#include "proto/orders.h"
#include "proto/own_text.h"

#define PATTERN SPAN_LIT("unlock+*@mail.example.org")
#define JANE    SPAN_LIT("jane@example.org")

static void check_address(struct span address)
{
	struct orders_tag tag, again;
	struct buf out = { .cap = 512 };
	if (!orders_read_address(PATTERN, address, &tag)) {
		return;
	}
	orders_write_address(PATTERN, tag.has_word ? tag.word : ORDERS, tag.incident, tag.token,
	                     &out);
	PROMISE(orders_read_address(PATTERN, buf_span(&out), &again));
	PROMISE(again.incident == tag.incident && again.word == tag.word);
	PROMISE(span_eq_nocase(again.token, tag.token));
	buf_done(&out);
}

/* Both of what may stand for the star, and a whole pattern. */
static void check_addresses(struct span in)
{
	struct buf address = { .cap = in.len + 64 };
	const char *reason = NULL;
	check_address(in);
	buf_put_str(&address, "unlock+");
	buf_put(&address, in);
	buf_put_str(&address, "@mail.example.org");
	check_address(buf_span(&address));
	PROMISE(orders_pattern_is_valid(in, &reason) == !reason);
	buf_done(&address);
}

static void check_own_text(struct span text)
{
	struct own_text own = { .rest = text };
	struct own_line line;
	const char *at = text.ptr;
	while (own_text_next(&own, &line)) {
		PROMISE(line.text.len > 0 && line.text.ptr >= at);
		at = line.text.ptr + line.text.len;
		PROMISE(at <= text.ptr + text.len);
		PROMISE(span_find(line.text, '\n') == line.text.len);
	}
}

static void check_first_line(struct span behind)
{
	enum order order = ORDERS;
	struct buf message = { .cap = behind.len + 64 };
	buf_put_str(&message, "Subject: x\n\n\n Spam. \n");
	buf_put(&message, behind);
	PROMISE(orders_read_message(buf_span(&message), JANE, NULL, &order) == ORDERS_HUMAN);
	PROMISE(order == ORDER_SPAM);
	buf_done(&message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span message = span_of(data, size);
	struct address address;
	enum order order = ORDERS;
	bool human = orders_read_message(message, JANE, NULL, &order) == ORDERS_HUMAN;
	PROMISE(human == (order != ORDERS));
	PROMISE(orders_read_message(message, SPAN_NONE, NULL, &order) == ORDERS_MACHINE);
	struct buf from = { .cap = 1024 };
	if (orders_from(message, &from)) {
		PROMISE(address_parse(buf_span(&from), &address) == ADDRESS_OK);
		PROMISE(span_find(buf_span(&from), '\n') == from.len);
	}
	buf_done(&from);
	check_first_line(message);
	check_own_text(message);
	check_addresses(message);
	return 0;
}
