/* What Dovecot says is the same in any split; nobody has a name who is not right. */
#include "auth/backend_kinds.h"
#include "fuzz.h"

static enum dovecot_said hear(struct span all, size_t step, struct dovecot_talk *talk)
{
	enum dovecot_said said = DOVECOT_MORE;
	while (all.len && said <= DOVECOT_READY) {
		struct span piece = span_first(all, step);
		all = span_from(all, piece.len);
		while (piece.len && said <= DOVECOT_READY) {
			size_t before = piece.len;
			enum dovecot_said now = dovecot_hear(talk, &piece);
			PROMISE(piece.len < before);
			PROMISE(now != DOVECOT_READY || (talk->version && talk->plain));
			PROMISE(now <= DOVECOT_RIGHT || talk->why);
			said = now == DOVECOT_MORE ? said : now;
		}
	}
	PROMISE((said == DOVECOT_RIGHT) == (talk->name->len > 0));
	PROMISE(said != DOVECOT_RIGHT || talk->ready);
	return said;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span all = span_of(data, size);
	struct buf whole_name = { .cap = 255 }, split_name = { .cap = 255 };
	struct dovecot_talk whole = DOVECOT_TALK(&whole_name),
			    split = DOVECOT_TALK(&split_name);
	size_t step = 1 + fuzz_byte(&all);
	PROMISE(hear(all, all.len + 1, &whole) == hear(all, step, &split));
	PROMISE(span_eq(buf_span(&whole_name), buf_span(&split_name)));
	dovecot_talk_done(&whole);
	dovecot_talk_done(&split);
	buf_done(&whole_name);
	buf_done(&split_name);
	return 0;
}
