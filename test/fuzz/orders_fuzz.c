/* A message is an order of the table or a machine's; an address that is read can be written and
 * read again. */
#include "fuzz.h"

#include "proto/orders.h"

#define PATTERN SPAN_LIT("unlock+*@mail.example.org")

static void check_address(struct span address)
{
	struct orders_tag tag, again;
	struct buf out;
	if (!orders_read_address(PATTERN, address, &tag)) {
		return;
	}
	buf_init(&out, 512);
	orders_write_address(PATTERN, tag.has_word ? tag.word : ORDERS, tag.incident, tag.token,
	                     &out);
	PROMISE(orders_read_address(PATTERN, buf_span(&out), &again));
	PROMISE(again.incident == tag.incident && again.has_word == tag.has_word);
	PROMISE(span_eq_nocase(again.token, tag.token));
	buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span message = span_of(data, size);
	struct buf from;
	enum order order = ORDERS;
	if (orders_read_message(message, SPAN_LIT("jane@example.org"), NULL, &order) ==
	    ORDERS_HUMAN) {
		PROMISE(order < ORDERS);
	} else {
		PROMISE(order == ORDERS);
	}
	PROMISE(orders_read_message(message, SPAN_NONE, NULL, &order) == ORDERS_MACHINE);
	buf_init(&from, 1024);
	if (orders_from(message, &from)) {
		PROMISE(from.len && span_find(buf_span(&from), '\n') == from.len);
	}
	buf_done(&from);
	check_address(message);
	return 0;
}
