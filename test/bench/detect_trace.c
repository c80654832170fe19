/* Two real organisations: who mailed whom, and when. Nobody in them was a thief. */
#include "detect.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PEOPLE_MAX 2048
#define TO_MAX     512
#define PLACE      ((uint64_t)0xc6336407) /* of all, or of the first */
#define PATH_MAX_  512

/* The traces do not know from where mail was sent. */
enum from {
	FROM_OWN,    /* a network each, not declared: it ripens, or does not */
	FROM_OFFICE, /* one for all, declared familiar */
	FROM_NAT,    /* one for all, and nobody declared it */
};

static const struct {
	const char *name, *sentence, *file;
	enum from from;
} traces[] = {
	{ "trace eu-core, own", "a research institution, 803 days, a network each",
	  "eu-core.tsv.gz", FROM_OWN },
	{ "trace eu-core, office", "the same, all from one network that is declared familiar",
	  "eu-core.tsv.gz", FROM_OFFICE },
	{ "trace eu-core, NAT", "the same, all from one network that nobody declared",
	  "eu-core.tsv.gz", FROM_NAT },
	{ "trace enron, own", "employees of a company, 1998-2002, a network each",
	  "enron.tsv.gz", FROM_OWN },
	{ "trace enron, office", "the same, all from one network that is declared familiar",
	  "enron.tsv.gz", FROM_OFFICE },
	{ "trace enron, NAT", "the same, all from one network that nobody declared",
	  "enron.tsv.gz", FROM_NAT },
};

size_t trace_count(void)
{
	return sizeof traces / sizeof *traces;
}

const char *trace_name(size_t i)
{
	return traces[i].name;
}

const char *trace_sentence(size_t i)
{
	return traces[i].sentence;
}

struct replay {
	struct world *world;
	FILE *file;
	enum from from;
	size_t row;                 /* number of the line, of all but comments */
	int64_t zero, at;           /* s: of the first mail; of this one */
	size_t account[PEOPLE_MAX]; /* 1 more than its number; 0: not met yet */
	int64_t met[PEOPLE_MAX];
	size_t people;
	uint32_t sender;
	uint32_t to[TO_MAX];
	size_t n;
};

static size_t account_of(struct replay *r, uint32_t sender)
{
	if (!r->account[sender]) {
		r->account[sender] = 1 + world_account(r->world);
		r->met[r->people++] = r->at;
	}
	return r->account[sender] - 1;
}

static void send(struct replay *r)
{
	if (r->n == 0) {
		return;
	}
	size_t account = account_of(r, r->sender);
	const struct world_mail mail = {
		.account = account,
		.place = PLACE + (r->from == FROM_OWN ? account << 8 : 0),
		.to = r->to,
		.n = r->n,
	};
	world_send(r->world, &mail, r->at * SECOND);
	r->n = 0;
}

/* Rows of the same second and sender are one message, each recipient once. */
static void take_row(struct replay *r, int64_t at, uint32_t sender, uint32_t recipient)
{
	if (r->row++ == 0) {
		r->zero = at;
	}
	at -= r->zero;
	if (sender >= PEOPLE_MAX || recipient >= PEOPLE_MAX || at < r->at) {
		detect_die("row %zu of a trace", r->row);
	}
	if (at != r->at || sender != r->sender || r->n == TO_MAX) {
		send(r);
	}
	r->at = at;
	r->sender = sender;
	for (size_t i = 0; i < r->n; i++) {
		if (r->to[i] == recipient_of(RECIPIENT_PERSON, recipient)) {
			return;
		}
	}
	r->to[r->n++] = recipient_of(RECIPIENT_PERSON, recipient);
}

static void read_all(struct replay *r)
{
	char line[1024];
	int64_t at;
	uint32_t sender, recipient;
	while (fgets(line, sizeof line, r->file)) {
		if (sscanf(line, "%" SCNd64 "\t%" SCNu32 "\t%" SCNu32, &at, &sender,
		           &recipient) == 3) {
			take_row(r, at, sender, recipient);
		} else if (line[0] != '#') {
			detect_die("row %zu of a trace", r->row);
		}
	}
	send(r);
}

static FILE *open_trace(const char *folder, const char *name)
{
	char path[PATH_MAX_], command[PATH_MAX_ + 32];
	int len = snprintf(path, sizeof path, "%s/%s", folder, name);
	FILE *file = len < (int)sizeof path ? fopen(path, "rb") : NULL;
	if (!file || strchr(path, '\'')) {
		return NULL;
	}
	fclose(file);
	snprintf(command, sizeof command, "gzip -dc '%s'", path);
	return popen(command, "r");
}

bool trace_run(size_t i, const struct detect_options *options, const struct world_rules *rules,
               struct findings *findings_out)
{
	static struct replay replay;
	replay = (struct replay){ .from = traces[i].from };
	replay.file = options->traces ? open_trace(options->traces, traces[i].file) : NULL;
	if (!replay.file) {
		return false;
	}
	replay.world = world_new(rules);
	world_count_from(replay.world, 0, true);
	if (replay.from == FROM_OFFICE) {
		world_declare(replay.world, PLACE, true, false);
	}
	read_all(&replay);
	if (pclose(replay.file) != 0 || replay.row == 0) {
		detect_die("%s can not be read", traces[i].file);
	}
	world_until(replay.world, replay.at * SECOND + DAY);
	for (size_t n = 0; n < replay.people; n++) {
		double days = (double)(replay.at - replay.met[n]) / 86400.0;
		findings_add(findings_out, replay.world, n, days);
	}
	world_free(replay.world);
	return true;
}
