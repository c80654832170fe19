#include "test/auth/traffic_replay.h"

#include <stdio.h>

#define MADE_UP 1000000 /* people with a number from here on were never spoken of */
#define UNKNOWN 550     /* the smarthost will say so of a recipient */

static bool is_word(struct span word, const char *text)
{
	return span_eq(word, span_str(text));
}

/* ---- people and places ---- */

static void write_person(uint32_t number, struct buf *out)
{
	buf_printf(out, "c%u@example.net", number);
}

uint64_t replay_digest(struct replay *r, struct span account, uint32_t number)
{
	struct buf text = { .cap = 64 };
	write_person(number, &text);
	uint64_t digest = familiar_contact(&r->key, account, buf_span(&text));
	buf_done(&text);
	return digest;
}

/* "+3": people who were never spoken of. */
static void make_up(struct replay *r, uint32_t n, struct replay_people *people)
{
	assert_true(n <= REPLAY_PEOPLE_MAX);
	for (people->n = 0; people->n < n; people->n++) {
		people->number[people->n] = MADE_UP + r->fresh_people++;
	}
}

/* "7", "1-30", "1-30/3" (three neighbours among them), "+3". */
void replay_people(struct replay *r, struct span word, struct replay_people *people)
{
	if (word.len && word.ptr[0] == '+') {
		make_up(r, day_count(&r->day, span_from(word, 1)), people);
		return;
	}
	uint32_t first = (uint32_t)day_number(&r->day, &word), last = first;
	if (word.len && word.ptr[0] == '-') {
		word = span_from(word, 1);
		last = (uint32_t)day_number(&r->day, &word);
	}
	uint32_t n = last - first + 1;
	if (word.len && word.ptr[0] == '/') {
		uint32_t some = day_count(&r->day, span_from(word, 1));
		char range[32];
		snprintf(range, sizeof range, "0..%u", n - some);
		first += day_count(&r->day, span_str(range));
		n = some;
		word = SPAN_NONE;
	}
	if (word.len || last < first || n == 0 || n > REPLAY_PEOPLE_MAX) {
		FAIL(r, "which people?");
	}
	for (people->n = 0; people->n < n; people->n++) {
		people->number[people->n] = first + (uint32_t)people->n;
	}
}

/* A name that ends with * is another network each time, and with *20 one of twenty in turn. */
static void name_place(struct replay *r, struct span word, struct buf *name_out)
{
	size_t star = span_find(word, '*');
	struct span of = span_from(word, star + 1);
	buf_put(name_out, span_first(word, star));
	if (star < word.len) {
		uint32_t number = r->fresh_places++;
		buf_printf(name_out, "%u", of.len ? number % day_count(&r->day, of) : number);
	}
	assert_true(!name_out->failed && name_out->len <= NETWORK_ADDRESS_BYTES);
}

/* Its name is its address. None: this machine. */
static struct origin origin_of(struct replay *r, struct span name)
{
	struct network network = { .bits = 128 };
	struct origin origin = { .network = 0 };
	if (!name.len) {
		return origin;
	}
	memcpy(network.address, name.ptr, name.len);
	origin.network = familiar_network(&r->key, &network);
	for (size_t i = 0; i < r->nplaces; i++) {
		const struct replay_place *place = &r->places[i];
		if (is_word(name, place->name)) {
			origin.familiar = place->familiar;
			origin.shared = place->shared;
			memcpy(origin.country, place->country, sizeof origin.country);
		}
	}
	return origin;
}

/* ---- the smarthost ---- */

/* What was taken is learned, what was refused is charged, as server/lesson does it. */
static void learn(struct replay *r, const struct queue_entry *entry)
{
	static uint64_t taken[REPLAY_PEOPLE_MAX], refused[REPLAY_PEOPLE_MAX];
	struct gate_result result;
	size_t ntaken = 0, nrefused = 0;
	const struct origin origin = origin_of(r, entry->client);
	for (size_t i = 0; i < entry->nrecipients; i++) {
		uint64_t digest = familiar_contact(&r->key, entry->account,
		                                   entry->recipients[i].address);
		if (entry->recipients[i].code == UNKNOWN) {
			refused[nrefused++] = digest;
		} else {
			taken[ntaken++] = digest;
		}
	}
	const struct familiar_lesson lesson = { .account = entry->account,
		                                .contact = taken,
		                                .n = ntaken,
		                                .origin = origin,
		                                .now = entry->accepted_at };
	const struct act act = { .account = entry->account,
		                 .recipients = (uint32_t)nrefused,
		                 .contact = refused,
		                 .ncontacts = nrefused,
		                 .origin = origin,
		                 .client = entry->client,
		                 .now = store_now(r->store),
		                 .wall = replay_wall() };
	assert_int_equal(gate_learn(r->txn, &r->rules, &lesson), STORE_OK);
	if (nrefused && !gate_was_held(r->txn, entry->account, entry->accepted_at)) {
		gate_refused(r->txn, &r->rules, &act, &result);
	}
	assert_int_equal(store_txn_result(r->txn), STORE_OK);
	replay_find(r, entry->account)->relayed += (uint32_t)ntaken;
}

/* The first entry that may go. Mail of an account that is not good is never sent. */
static bool find_due(struct replay *r, struct arena *arena, struct queue_entry *entry_out)
{
	struct queue_due_walk walk;
	struct queue_due due;
	bool found = false;
	queue_due_begin(&walk, r->txn);
	while (!found && queue_due_next(&walk, &due) && due.next_at <= store_now(r->store)) {
		arena_done(arena);
		arena_init(arena, QUEUE_ENTRY_MAX);
		assert_int_equal(queue_get(r->txn, due.id, arena, entry_out), STORE_OK);
		found = entry_out->kind == QUEUE_MAIL &&
		        !replay_incident(r, entry_out->account);
	}
	queue_due_end(&walk);
	return found;
}

void replay_relay(struct replay *r)
{
	struct queue_entry entry;
	struct arena arena;
	arena_init(&arena, QUEUE_ENTRY_MAX);
	while (find_due(r, &arena, &entry)) {
		assert_int_equal(queue_remove(r->txn, entry.id), STORE_OK);
		learn(r, &entry);
	}
	arena_done(&arena);
}

/* ---- a message ---- */

struct letter {
	struct replay_people to;
	struct span apppass;
	struct span place;
	uint32_t members; /* of a list, its first recipient */
	uint32_t traps;   /* so many of the first are one */
	uint32_t dead;    /* so many of the last are unknown to the smarthost */
};

static struct act act_of(struct replay *r, struct span account, const struct letter *letter)
{
	return (struct act){
		.account = account,
		.apppass = letter->apppass,
		.members = letter->members,
		.origin = origin_of(r, letter->place),
		.client = letter->place,
		.now = store_now(r->store),
		.wall = replay_wall(),
	};
}

/* One recipient after the other, as a session asks. */
static enum gate_verdict ask(struct replay *r, const struct letter *letter, struct act act,
                             const uint64_t *contacts)
{
	enum gate_verdict verdict = GATE_BROKEN;
	for (size_t i = 0; i < letter->to.n; i++) {
		act.recipients = (uint32_t)i + 1;
		act.traps = letter->traps < act.recipients ? letter->traps : act.recipients;
		act.contact = &contacts[i];
		act.ncontacts = 1;
		verdict = gate_recipient(r->txn, &r->rules, &act);
	}
	return verdict;
}

static void queue(struct replay *r, const struct letter *letter, struct queue_entry *entry)
{
	static struct queue_recipient to[REPLAY_PEOPLE_MAX];
	static char names[REPLAY_PEOPLE_MAX][32];
	size_t n = letter->to.n;
	for (size_t i = 0; i < n; i++) {
		struct buf name = { .cap = sizeof names[i] };
		write_person(letter->to.number[i], &name);
		memcpy(names[i], name.ptr, name.len);
		to[i] = (struct queue_recipient){ .address = span_of(names[i], name.len),
			                          .code = n - i <= letter->dead ? UNKNOWN : 0 };
		buf_done(&name);
	}
	entry->id = store_next_id(r->store);
	entry->recipients = to;
	entry->nrecipients = n;
	assert_int_equal(queue_put(r->txn, entry), STORE_OK);
}

/* All that further commits do. */
static void finish_sweep(struct replay *r, struct suspend_result result)
{
	bool more = !result.swept;
	while (more) {
		assert_int_equal(suspend_sweep(r->txn, result.incident, SUSPEND_HOLD_NOW,
		                               store_now(r->store), &more),
		                 STORE_OK);
	}
}

static enum gate_verdict mail(struct replay *r, struct span account,
                              const struct letter *letter)
{
	static uint64_t contacts[REPLAY_PEOPLE_MAX];
	struct gate_result result = { .dwell = 0 };
	struct act act = act_of(r, account, letter);
	for (size_t i = 0; i < letter->to.n; i++) {
		contacts[i] = replay_digest(r, account, letter->to.number[i]);
	}
	enum gate_verdict courtesy = ask(r, letter, act, contacts);
	act.recipients = (uint32_t)letter->to.n;
	act.traps = letter->traps;
	act.contact = contacts;
	act.ncontacts = letter->to.n;
	enum gate_verdict verdict = gate_message(r->txn, &r->rules, &act, &result);
	r->would = result.would;
	if (courtesy != verdict) {
		FAIL(r, "%s at RCPT, %s at the end", replay_verdict(courtesy),
		     replay_verdict(verdict));
	}
	if (verdict == GATE_ALLOW || verdict == GATE_HOLD) {
		struct queue_entry entry = {
			.kind = QUEUE_MAIL,
			.state = verdict == GATE_HOLD ? QUEUE_HELD : QUEUE_READY,
			.account = account,
			.client = letter->place,
			.accepted_at = act.now,
			.accepted_wall = act.wall,
			.next_at = act.now + result.dwell,
		};
		queue(r, letter, &entry);
	} else if (verdict == GATE_TRIPPED) {
		finish_sweep(r, result.suspended);
	}
	r->when = verdict == GATE_DEFER ? gate_when(r->txn, &r->rules, &act) - act.now : 0;
	replay_find(r, account)->dwell = result.dwell;
	replay_relay(r);
	return verdict;
}

/* "members 650", "traps 1", "dead 4", "by scanner", "from cafe", up to "expect". */
static size_t read_letter(struct replay *r, const struct span *words, size_t count,
                          struct letter *letter)
{
	size_t i = 0;
	for (; i + 1 < count && !is_word(words[i], "expect"); i += 2) {
		struct span value = words[i + 1];
		if (is_word(words[i], "members")) {
			letter->members = day_count(&r->day, value) - 1;
		} else if (is_word(words[i], "traps")) {
			letter->traps = day_count(&r->day, value);
		} else if (is_word(words[i], "dead")) {
			letter->dead = day_count(&r->day, value);
		} else if (is_word(words[i], "by")) {
			letter->apppass = value;
		} else if (is_word(words[i], "from")) {
			letter->place = value;
		} else {
			FAIL(r, "%.*s?", SPAN_ARG(words[i]));
		}
	}
	return i;
}

/* `word` may stand for another network each time. */
static void send_one(struct replay *r, struct span account, struct letter *letter,
                     struct span want)
{
	struct span word = letter->place;
	struct buf name = { .cap = NETWORK_ADDRESS_BYTES };
	name_place(r, word, &name);
	letter->place = buf_span(&name);
	enum gate_verdict verdict = mail(r, account, letter);
	if (!is_word(want, replay_verdict(verdict))) {
		FAIL(r, "c%u and %zu others: %s", letter->to.number[0], letter->to.n - 1,
		     replay_verdict(verdict));
	}
	letter->place = word;
	buf_done(&name);
}

/* "alice mails 1-30 from cafe expect allow", "alice mails each +5 from bot* expect allow" */
void replay_mails(struct replay *r, struct span account, const struct span *words, size_t count)
{
	static struct letter letter;
	bool each = count > 0 && is_word(words[0], "each");
	letter = (struct letter){ .members = 0 };
	if (count < (size_t)3 + each) {
		FAIL(r, "mails 1-3 expect allow");
	}
	replay_people(r, words[each], &letter.to);
	size_t at = 1 + each + read_letter(r, words + 1 + each, count - 1 - each, &letter);
	if (count != at + 2) {
		FAIL(r, "and what is expected?");
	}
	const struct replay_people all = letter.to;
	for (size_t i = 0; each && i < all.n; i++) {
		letter.to.number[0] = all.number[i];
		letter.to.n = 1;
		send_one(r, account, &letter, words[at + 1]);
	}
	if (!each) {
		send_one(r, account, &letter, words[at + 1]);
	}
}
