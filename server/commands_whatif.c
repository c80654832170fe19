/* gatepostctl what-if: past mail before the gate, and what would have become of it. */
#include "server/commands.h"

#include <stdio.h>
#include <stdlib.h>

#include "server/privs.h"
#include "server/whatif.h"
#include "server/whatif_read.h"
#include "server/whatif_replay.h"

#define DEFAULT_LIMITS \
	"500/30m,2000/24h" /* windows to tell the use of, where there are none \
	                    */
#define PRICES_MAX 32

/* Counted while the replay goes on; one an account. */
struct tally {
	uint32_t locks, refused;
};

struct options {
	const char *limits; /* NULL: as configured */
	const char *price[PRICES_MAX];
	size_t nprices;
	bool all, once;
	const char *const *file;
	size_t nfiles;
};

struct what_if {
	struct command_call *call;
	struct options options;
	struct gate_rules rules;
	struct budget_limits windows; /* the limits, or some where there are none */
	struct whatif_reading reading;
	struct whatif mail;
	struct whatif_replay *replay;
	struct tally *tally; /* by number of account */
	int64_t from, until; /* of what was replayed */
	uint64_t messages, recipients;
	uint64_t lowest[BUDGET_LIMITS_MAX]; /* that would have locked nobody */
};

/* ---- the command line ---- */

static bool is_price(const char *word)
{
	size_t name = strspn(word, "abcdefghijklmnopqrstuvwxyz-");
	size_t number = strspn(word + name + (word[name] == '='), "0123456789");
	return name && word[name] == '=' && number && !word[name + 1 + number];
}

/* The word at `i`, which is moved behind it and what belongs to it. */
static bool read_option(struct what_if *what, size_t *i)
{
	struct command_call *call = what->call;
	struct options *options = &what->options;
	const char *word = call->argv[(*i)++];
	const char *value = *i < call->argc ? call->argv[*i] : NULL;
	if (strcmp(word, "--all") == 0) {
		options->all = true;
	} else if (strcmp(word, "--once") == 0) {
		options->once = true;
	} else if (strcmp(word, "--limits") == 0 && value) {
		options->limits = value;
		++*i;
	} else if (strcmp(word, "--price") == 0 && value && is_price(value)) {
		while (*i < call->argc && is_price(call->argv[*i])) {
			if (options->nprices == PRICES_MAX) {
				return command_fail(call, "more than %d prices", PRICES_MAX);
			}
			options->price[options->nprices++] = call->argv[(*i)++];
		}
	} else {
		return command_fail(call, "%s: not an option of what-if, or without its value",
		                    word);
	}
	return true;
}

static bool read_options(struct what_if *what)
{
	const struct command_call *call = what->call;
	size_t i = 0;
	while (i < call->argc && call->argv[i][0] == '-') {
		if (strcmp(call->argv[i], "--") == 0) {
			i++;
			break;
		}
		if (!read_option(what, &i)) {
			return false;
		}
	}
	what->options.file = call->argv + i;
	what->options.nfiles = call->argc - i;
	return true;
}

/* "500/30m,2000/24h" */
static bool parse_limits(struct command_call *call, const char *text,
                         struct budget_limits *limits_out)
{
	char copy[200];
	const char *words[BUDGET_LIMITS_MAX + 1];
	size_t count = 0;
	char *rest = NULL;
	if (strlen(text) >= sizeof copy) {
		return command_fail(call, "%s: not limits", text);
	}
	snprintf(copy, sizeof copy, "%s", text);
	for (char *word = strtok_r(copy, ", ", &rest); word && count < COUNT(words);
	     word = strtok_r(NULL, ", ", &rest)) {
		words[count++] = word;
	}
	return count ? command_limits(call, words, count, limits_out)
	             : command_fail(call, "--limits wants limits, such as %s", DEFAULT_LIMITS);
}

static bool set_rules(struct what_if *what)
{
	struct command_call *call = what->call;
	if (call->config) {
		what->rules = config_gate_rules(call->config);
		what->mail.domain = span_str(call->config->domain);
	} else if (!what->options.limits) {
		struct error why = call->error;
		return command_fail(call, "%s (or say --limits)", why.text);
	}
	if (what->options.limits &&
	    !parse_limits(call, what->options.limits, &what->rules.limits)) {
		return false;
	}
	what->windows = what->rules.limits;
	return what->windows.count || parse_limits(call, DEFAULT_LIMITS, &what->windows);
}

/* ---- gathering ---- */

static bool take_event(void *context, const struct maillog_event *event, struct error *error)
{
	struct what_if *what = context;
	return whatif_add(&what->mail, event, error);
}

static struct span text_of(const json_t *row, const char *key)
{
	const json_t *value = json_object_get(row, key);
	return span_of(json_string_value(value), json_string_length(value));
}

/* A row of `gatepostctl journal`. */
static void take_journal(void *context, json_t *row)
{
	struct what_if *what = context;
	const json_t *list = json_object_get(row, "recipients");
	size_t n = json_array_size(list);
	struct span *recipient = calloc(n + 1, sizeof *recipient);
	for (size_t i = 0; recipient && i < n; i++) {
		const json_t *text = json_array_get(list, i);
		recipient[i] = span_of(json_string_value(text), json_string_length(text));
	}
	const struct maillog_event event = {
		.at = json_integer_value(json_object_get(row, "ms")),
		.account = text_of(row, "account"),
		.client = text_of(row, "client"),
		.recipient = recipient,
		.nrecipients = n,
	};
	if (!recipient) {
		error_set(&what->call->error, "out of memory");
	} else if (n && event.at >= 0 && !what->call->error.text[0]) {
		whatif_add(&what->mail, &event, &what->call->error);
	}
	free(recipient);
	json_decref(row);
}

static bool gather_journal(struct what_if *what)
{
	static const char *const words[] = { "journal" };
	struct command_call *call = what->call;
	call->error.text[0] = '\0';
	return call->ask(call, words, COUNT(words), take_journal, what) && !call->error.text[0];
}

/* What others may have written is not read as root. */
static bool drop_rights(struct command_call *call)
{
	return privs_drop(call->config ? call->config->user : "nobody", &call->error);
}

static bool gather(struct what_if *what)
{
	struct command_call *call = what->call;
	const struct options *options = &what->options;
	if (!options->nfiles) {
		return gather_journal(what) && drop_rights(call);
	}
	return whatif_read_open(options->file, options->nfiles, &what->reading, &call->error) &&
	       drop_rights(call) && whatif_read(&what->reading, take_event, what, &call->error);
}

/* ---- the replay ---- */

static json_t *limit_text(const struct budget_limit *limit)
{
	struct buf text = { .cap = 64 };
	if (limit->window) {
		budget_limit_write(limit, &text);
	}
	json_t *json = command_text(buf_span(&text));
	buf_done(&text);
	return json;
}

static void show_lock(struct what_if *what, const struct whatif_message *message,
                      const struct whatif_judgement *judgement)
{
	struct command_call *call = what->call;
	bool locked = judgement->verdict == GATE_TRIPPED;
	call->emit(call->context, json_pack("{s:s, s:o, s:o, s:s, s:o, s:I, s:I, s:o}", "row",
	                                    "event", "time", command_time(message->at),
	                                    "account", command_text(message->account), "result",
	                                    locked ? "locked" : "refused", "limit",
	                                    limit_text(&judgement->limit), "used",
	                                    (json_int_t)judgement->spent, "asked",
	                                    (json_int_t)judgement->price, "client",
	                                    command_text(message->client)));
}

static void note(struct what_if *what, const struct whatif_message *message,
                 const struct whatif_judgement *judgement)
{
	struct whatif_mail *mail = &what->mail.mail[message->mail];
	struct tally *tally = &what->tally[mail->account];
	mail->price = judgement->price;
	what->from = what->messages ? what->from : message->at;
	what->until = message->at;
	what->messages++;
	what->recipients += message->recipients;
	if (judgement->verdict != GATE_TRIPPED && judgement->verdict != GATE_NEVER) {
		return;
	}
	if (!what->options.once || !(tally->locks + tally->refused)) {
		show_lock(what, message, judgement);
	}
	tally->locks += judgement->verdict == GATE_TRIPPED;
	tally->refused += judgement->verdict == GATE_NEVER;
}

static bool replay(struct what_if *what)
{
	struct command_call *call = what->call;
	struct whatif_message message;
	struct whatif_judgement judgement;
	size_t at = 0;
	what->tally = calloc(what->mail.accounts.count + 1, sizeof *what->tally);
	if (!what->tally || !whatif_sort(&what->mail)) {
		return command_fail(call, "out of memory");
	}
	command_layout(call, COMMAND_TABLE, "time account result limit used asked client");
	while (whatif_next(&what->mail, &at, &message)) {
		if (!whatif_replay_judge(what->replay, &message, &judgement, &call->error)) {
			return false;
		}
		note(what, &message, &judgement);
	}
	return true;
}

/* ---- accounts, and the whole ---- */

/* "420/30m 1800/1d": the highest use of each window. */
static json_t *use_text(const struct what_if *what, const uint64_t *most)
{
	struct buf text = { .cap = 256 };
	for (size_t i = 0; i < what->windows.count; i++) {
		struct budget_limit limit = what->windows.limit[i];
		limit.tokens = most[i] > UINT32_MAX ? UINT32_MAX : (uint32_t)most[i];
		buf_put_str(&text, i ? " " : "");
		budget_limit_write(&limit, &text);
	}
	json_t *json = command_text(buf_span(&text));
	buf_done(&text);
	return json;
}

/* An account of use, to be sorted. */
struct line {
	struct whatif_use use;
	struct tally tally;
};

static int by_use(const void *left, const void *right)
{
	const struct line *a = left, *b = right;
	if (a->tally.locks != b->tally.locks) {
		return a->tally.locks > b->tally.locks ? -1 : 1;
	}
	if (a->use.most[0] != b->use.most[0]) {
		return a->use.most[0] > b->use.most[0] ? -1 : 1;
	}
	return (a->use.account > b->use.account) - (a->use.account < b->use.account);
}

static void show_account(struct what_if *what, const struct line *line)
{
	struct command_call *call = what->call;
	struct span name = names_get(&what->mail.accounts, line->use.account);
	bool hit = line->tally.locks || line->tally.refused;
	if (!hit && !what->options.all) {
		return;
	}
	call->emit(call->context, json_pack("{s:s, s:o, s:I, s:I, s:I, s:I, s:o, s:b}", "row",
	                                    "account", "account", command_text(name), "locked",
	                                    (json_int_t)line->tally.locks, "refused",
	                                    (json_int_t)line->tally.refused, "messages",
	                                    (json_int_t)line->use.messages, "recipients",
	                                    (json_int_t)line->use.recipients, "most",
	                                    use_text(what, line->use.most), "ruled",
	                                    whatif_replay_is_ruled(what->replay, name)));
}

/* The lowest limits are of those whom they rule: not of the exempt. */
static void look_at_use(struct what_if *what, const struct whatif_use *use)
{
	struct span name = names_get(&what->mail.accounts, use->account);
	bool ruled = whatif_replay_is_ruled(what->replay, name);
	for (size_t k = 0; ruled && k < what->windows.count; k++) {
		what->lowest[k] = use->most[k] > what->lowest[k] ? use->most[k]
		                                                 : what->lowest[k];
	}
}

static bool show_accounts(struct what_if *what)
{
	struct command_call *call = what->call;
	struct line *line = calloc(what->mail.accounts.count + 1, sizeof *line);
	size_t n = 0, at = 0;
	if (!line) {
		return command_fail(call, "out of memory");
	}
	whatif_sort_accounts(&what->mail);
	while (whatif_use_next(&what->mail, &what->windows, &at, &line[n].use)) {
		line[n].tally = what->tally[line[n].use.account];
		look_at_use(what, &line[n].use);
		n++;
	}
	qsort(line, n, sizeof *line, by_use);
	command_layout(call, COMMAND_TABLE,
	               "account locked refused messages recipients most ruled");
	for (size_t i = 0; i < n; i++) {
		show_account(what, &line[i]);
	}
	free(line);
	return true;
}

static void show_total(struct what_if *what)
{
	struct command_call *call = what->call;
	uint64_t locks = 0, locked = 0, refused = 0;
	for (size_t i = 0; i < what->mail.accounts.count; i++) {
		locks += what->tally[i].locks;
		locked += what->tally[i].locks > 0;
		refused += what->tally[i].refused;
	}
	json_t *row = json_pack(
	    "{s:s, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "row", "total", "limits",
	    command_limits_text(&what->rules.limits), "from", command_time(what->from), "until",
	    command_time(what->until), "messages", (json_int_t)what->messages, "recipients",
	    (json_int_t)what->recipients, "accounts", (json_int_t)what->mail.accounts.count,
	    "locked_accounts", (json_int_t)locked, "locks", (json_int_t)locks, "refused",
	    (json_int_t)refused, "lowest", use_text(what, what->lowest));
	if (what->reading.bad) {
		json_object_set_new(row, "bad_lines",
		                    json_integer((json_int_t)what->reading.bad));
		json_object_set_new(row, "first_bad",
		                    command_text(span_str(what->reading.first_bad)));
	}
	if (what->mail.unusable) {
		json_object_set_new(row, "no_account",
		                    json_integer((json_int_t)what->mail.unusable));
	}
	command_layout(call, COMMAND_CARD,
	               "limits from until messages recipients accounts locked_accounts locks "
	               "refused lowest bad_lines first_bad no_account");
	call->emit(call->context, row);
}

/* ---- the command ---- */

/* A log of the wrong program is no proof that nobody would be locked. */
static bool has_mail(struct what_if *what)
{
	const struct whatif_reading *reading = &what->reading;
	return what->mail.nmails ||
	       command_fail(what->call,
	                    "no mail of an account that logged in: %llu lines, %llu of them "
	                    "bad%s%s",
	                    (unsigned long long)reading->lines,
	                    (unsigned long long)reading->bad, reading->bad ? ", first " : "",
	                    reading->first_bad);
}

static bool prepare(struct what_if *what)
{
	struct command_call *call = what->call;
	what->replay = whatif_replay_new(&what->rules, &call->error);
	bool good = what->replay != NULL;
	for (size_t i = 0; good && i < what->options.nprices; i++) {
		good = whatif_replay_price(what->replay, span_str(what->options.price[i]),
		                           &call->error);
	}
	return good;
}

static bool run(struct what_if *what)
{
	if (!read_options(what) || !set_rules(what)) {
		return false;
	}
	what->call->error.text[0] = '\0';
	if (!gather(what) || !has_mail(what) || !prepare(what) || !replay(what) ||
	    !show_accounts(what)) {
		return false;
	}
	show_total(what);
	return true;
}

bool command_what_if(struct command_call *call)
{
	struct what_if what = { .call = call };
	if (!call->ask) {
		return command_fail(call, "what-if runs in gatepostctl");
	}
	bool good = run(&what);
	whatif_replay_free(what.replay);
	whatif_read_done(&what.reading);
	whatif_done(&what.mail);
	free(what.tally);
	return good;
}
