#include "auth/digest.h"

#include <assert.h>
#include <time.h>

#include "proto/pack.h"
#include "store/account.h"
#include "store/keys.h"

#define ROW_MAX  ((size_t)16 * 1024) /* of it: some hundred accounts */
#define NOTE_MAX ((size_t)64 * 1024)

/* The row: when it began, how many news found no room; then an entry an account. */
struct head {
	int64_t since; /* T of the first; 0: there is none */
	int64_t wall;
	uint64_t more;
};

struct entry {
	struct span account;
	enum gate_would worst;
	uint64_t times; /* that something would have become of its mail: about once an hour */
	bool near;
};

static bool read_head(struct unpacker *in, struct head *head_out)
{
	struct head head = { .since = unpack_i64(in) };
	head.wall = unpack_i64(in);
	head.more = unpack_varint(in);
	*head_out = in->bad ? (struct head){ .since = 0 } : head;
	return !in->bad;
}

static bool read_entry(struct unpacker *in, struct entry *entry_out)
{
	struct entry entry = { .account = unpack_span(in) };
	uint8_t worst = unpack_u8(in);
	entry.times = unpack_varint(in);
	entry.near = unpack_u8(in);
	entry.worst = (enum gate_would)worst;
	*entry_out = entry;
	return !in->bad && worst < GATE_WOULDS;
}

static void put_head(const struct head *head, struct buf *out)
{
	pack_i64(out, head->since);
	pack_i64(out, head->wall);
	pack_varint(out, head->more);
}

static void put_entry(const struct entry *entry, struct buf *out)
{
	pack_span(out, entry->account);
	pack_u8(out, (uint8_t)entry->worst);
	pack_varint(out, entry->times);
	pack_u8(out, entry->near);
}

/* ---- adding ---- */

static void add_to(struct entry *entry, const struct digest_news *news)
{
	entry->worst = news->would > entry->worst ? news->would : entry->worst;
	entry->times += news->would != GATE_WOULD_PASS;
	entry->near = entry->near || news->near;
}

/* The entries of `in` with the news among them, or behind them. */
static void merge(struct unpacker *in, const struct digest_news *news, struct head *head,
                  struct buf *entries)
{
	struct entry entry;
	bool known = false;
	while (in->rest.len && read_entry(in, &entry)) {
		if (span_eq(entry.account, news->account)) {
			add_to(&entry, news);
			known = true;
		}
		put_entry(&entry, entries);
	}
	if (!known && entries->len + news->account.len < ROW_MAX) {
		entry = (struct entry){ .account = news->account };
		add_to(&entry, news);
		put_entry(&entry, entries);
	} else if (!known) {
		head->more++;
	}
}

static enum store_result put(struct store_txn *txn, struct span row)
{
	const struct ledger ledger = { .facts = row };
	return ledger_put(txn, KEY_SITE_DIGEST, &ledger);
}

/* A row that makes no sense begins anew: no mail is refused for the sake of a digest. */
enum store_result digest_add(struct store_txn *txn, const struct digest_news *news)
{
	struct ledger ledger;
	struct head head;
	struct buf row = { .cap = 2 * ROW_MAX }, entries = { .cap = 2 * ROW_MAX };
	enum store_result result = ledger_get(txn, KEY_SITE_DIGEST, &ledger);
	if (result != STORE_OK) {
		return result;
	}
	struct unpacker in = unpack_from(ledger.facts);
	if (!read_head(&in, &head)) {
		head = (struct head){ .since = news->now > 0 ? news->now : 1,
			              .wall = news->wall };
		in = unpack_from(SPAN_NONE);
	}
	merge(&in, news, &head, &entries);
	put_head(&head, &row);
	buf_put(&row, buf_span(&entries));
	result = row.failed || entries.failed ? store_txn_fail(txn, STORE_FAILED)
	                                      : put(txn, buf_span(&row));
	buf_done(&row);
	buf_done(&entries);
	return result;
}

/* ---- telling ---- */

static bool is_due(const struct ledger *ledger, int64_t now, struct head *head,
                   struct unpacker *in)
{
	*in = unpack_from(ledger->facts);
	return read_head(in, head) && now - head->since >= DIGEST_PAUSE;
}

bool digest_is_due(struct store_txn *txn, int64_t now)
{
	struct ledger ledger;
	struct head head;
	struct unpacker in;
	return ledger_get(txn, KEY_SITE_DIGEST, &ledger) == STORE_OK &&
	       is_due(&ledger, now, &head, &in);
}

static void write_entry(const struct entry *entry, struct buf *out)
{
	static const char *const words[] = {
		[GATE_WOULD_PASS] = "",
		[GATE_WOULD_WAIT] = "mail would have waited",
		[GATE_WOULD_DEFER] = "mail would have been deferred",
		[GATE_WOULD_HOLD] = "mail would have been held",
		[GATE_WOULD_FULL] = "mail would have been held, and then deferred",
		[GATE_WOULD_SPENT] = "mail would have been refused",
		[GATE_WOULD_NEVER] =
		    "a message that is too large for its limits would have been "
		    "refused",
		[GATE_WOULD_BARRED] = "mail from a barred network would have been refused",
		[GATE_WOULD_SUSPEND] = "would have been suspended",
	};
	static_assert(COUNT(words) == GATE_WOULDS, "each has its words");
	buf_printf(out, "Account %.*s: %s", SPAN_ARG(entry->account), words[entry->worst]);
	if (entry->times > 1) {
		buf_printf(out, " (seen %llu times)", (unsigned long long)entry->times);
	}
	buf_printf(out, "%s%s\n", entry->times && entry->near ? "; " : "",
	           entry->near ? "came near a limit" : "");
}

static void write_time(int64_t wall, struct buf *out)
{
	char text[64] = "";
	time_t seconds = wall / 1000;
	struct tm tm;
	if (gmtime_r(&seconds, &tm)) {
		strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", &tm);
	}
	buf_printf(out, "%s\n", text);
}

/* A line that says since when, and one an account. None begins with a name, which may be a word
 * that a mail program could send back as an order. */
static void write_note(struct unpacker *in, const struct head *head, struct buf *out)
{
	struct entry entry;
	write_time(head->wall, out);
	while (in->rest.len && read_entry(in, &entry)) {
		write_entry(&entry, out);
	}
	if (head->more) {
		buf_printf(out, "Others, for whom there is no room here\n");
	}
}

enum store_result digest_tell(struct store_txn *txn, const struct suspend_rules *rules,
                              int64_t now, int64_t wall, bool *told_out)
{
	struct ledger ledger;
	struct head head;
	struct unpacker in;
	struct buf note = { .cap = NOTE_MAX };
	enum store_result result = ledger_get(txn, KEY_SITE_DIGEST, &ledger);
	if (result != STORE_OK || !is_due(&ledger, now, &head, &in)) {
		return result;
	}
	write_note(&in, &head, &note);
	result = note.failed ? store_txn_fail(txn, STORE_FAILED) : put(txn, SPAN_NONE);
	if (result == STORE_OK) {
		result = suspend_put_notice(txn, rules, QUEUE_NOTICE_DIGEST, 0, buf_span(&note),
		                            now, wall);
	}
	if (told_out) {
		*told_out = result == STORE_OK;
	}
	buf_done(&note);
	return result;
}
