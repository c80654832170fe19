/* gatepostctl what-if: past mail before the gate, and what would have become of it. */
#include <stdio.h>
#include <stdlib.h>

#include "server/config.h"
#include "server/privs.h"
#include "server/whatif_show.h"

#define DEFAULT_LIMITS \
	"500/30m,2000/24h" /* windows to tell the use of, where there are none \
	                    */
#define DAY ((int64_t)24 * 3600 * 1000)

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
	struct what_if_options *options = &what->options;
	const char *word = call->argv[(*i)++];
	const char *value = *i < call->argc ? call->argv[*i] : NULL;
	if (strcmp(word, "--all") == 0) {
		options->all = true;
	} else if (strcmp(word, "--once") == 0) {
		options->once = true;
	} else if (strcmp(word, "--classic") == 0) {
		options->classic = true;
	} else if (strcmp(word, "--history") == 0) {
		options->history = true;
	} else if (strcmp(word, "--limits") == 0 && value) {
		options->limits = value;
		++*i;
	} else if (strcmp(word, "--price") == 0 && value && is_price(value)) {
		while (*i < call->argc && is_price(call->argv[*i])) {
			if (options->nprices == WHAT_IF_PRICES_MAX) {
				return command_fail(call, "more than %d prices",
				                    WHAT_IF_PRICES_MAX);
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

/* Of no limits: as many as there may be. */
static uint64_t least_tokens(const struct budget_limits *limits)
{
	uint64_t least = UINT64_MAX;
	for (size_t i = 0; i < limits->count; i++) {
		least = limits->limit[i].tokens < least ? limits->limit[i].tokens : least;
	}
	return least;
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

/* The site's configuration; with the databases of networks that it names. Without one, as the
 * daemon would be without any key. */
static bool set_config(struct what_if *what)
{
	struct command_call *call = what->call;
	bool databases = call->config &&
	                 (call->config->asn_database || call->config->geoip_database);
	if (databases) {
		what->config = config_load(call->config->path, &call->error);
		return what->config != NULL;
	}
	if (!call->config && !what->options.limits) {
		struct error why = call->error;
		return command_fail(call, "%s (or say --limits)", why.text);
	}
	what->config = call->config ? config_ref(call->config) : config_new(false);
	return what->config || command_fail(call, "out of memory");
}

static bool set_prices(struct what_if *what)
{
	const struct what_if_options *options = &what->options;
	struct tariff *tariff = &what->rules.gate.tariff;
	const char *reason;
	if (options->classic) {
		*tariff = tariff_classic();
	}
	for (size_t i = 0; i < options->nprices; i++) {
		if (!tariff_parse(span_str(options->price[i]), tariff, &reason)) {
			return command_fail(what->call, "--price %s: %s", options->price[i],
			                    reason);
		}
	}
	return true;
}

static bool set_rules(struct what_if *what)
{
	struct command_call *call = what->call;
	struct budget_limits *limits = &what->windows.limits;
	if (!set_config(what)) {
		return false;
	}
	what->mail.domain = call->config ? span_str(call->config->domain) : SPAN_NONE;
	secret_random(&what->mail.key, sizeof what->mail.key);
	what->rules = (struct whatif_rules){ .gate = config_gate_rules(what->config),
		                             .config = what->config,
		                             .history = what->options.history };
	if (!set_prices(what) ||
	    (what->options.limits &&
	     !parse_limits(call, what->options.limits, &what->rules.gate.limits))) {
		return false;
	}
	*limits = what->rules.gate.limits;
	what->windows.strangers = what->rules.gate.stranger_limits;
	what->windows.whole = least_tokens(limits);
	return limits->count || parse_limits(call, DEFAULT_LIMITS, limits);
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
	const struct what_if_options *options = &what->options;
	if (!options->nfiles) {
		return gather_journal(what) && drop_rights(call);
	}
	return whatif_read_open(options->file, options->nfiles, &what->reading, &call->error) &&
	       drop_rights(call) && whatif_read(&what->reading, take_event, what, &call->error);
}

/* ---- the replay ---- */

/* Of mail that is held, as the daemon's notices: one line a day. */
static bool is_told(const struct what_if *what, struct what_if_tally *tally, int64_t at,
                    const struct whatif_judgement *judgement)
{
	bool held = judgement->verdict == GATE_HOLD;
	bool again = held && tally->told_at && at - tally->told_at < DAY;
	bool first = !(tally->locks + tally->refused + tally->held);
	if (again || (what->options.once && !first)) {
		return false;
	}
	tally->told_at = held ? at : tally->told_at;
	return true;
}

static void note(struct what_if *what, const struct whatif_message *message,
                 struct whatif_judgement *judgement)
{
	struct what_if_tally *tally = &what->tally[what->mail.mail[message->mail].account];
	if (judgement->verdict == GATE_ALLOW) {
		return;
	}
	if (is_told(what, tally, message->at, judgement)) {
		what_if_show_event(what, message, judgement);
	}
	tally->locks += judgement->verdict == GATE_TRIPPED;
	tally->refused += judgement->verdict == GATE_NEVER;
	tally->held += judgement->verdict == GATE_HOLD;
}

/* Where nobody is stopped: what all of it costs. */
static void note_cost(struct what_if *what, const struct whatif_message *message,
                      struct whatif_judgement *judgement)
{
	struct whatif_mail *mail = &what->mail.mail[message->mail];
	mail->price = judgement->price;
	mail->strangers = judgement->strangers;
	what->from = what->messages ? what->from : message->at;
	what->until = message->at;
	what->messages++;
	what->recipients += message->recipients;
}

static bool replay_all(struct what_if *what,
                       void (*take)(struct what_if *what, const struct whatif_message *message,
                                    struct whatif_judgement *judgement))
{
	struct error *error = &what->call->error;
	struct whatif_replay *replay = whatif_replay_new(&what->rules, error);
	struct whatif_message message;
	struct whatif_judgement judgement;
	size_t at = 0;
	bool good = replay != NULL;
	while (good && whatif_next(&what->mail, &at, &message)) {
		good = whatif_replay_judge(replay, &message, &judgement, error);
		if (good) {
			take(what, &message, &judgement);
		}
	}
	whatif_replay_free(replay);
	return good;
}

static bool replay(struct what_if *what)
{
	struct command_call *call = what->call;
	what->tally = calloc(what->mail.accounts.count + 1, sizeof *what->tally);
	if (!what->tally || !whatif_sort(&what->mail)) {
		return command_fail(call, "out of memory");
	}
	what->rules.unlimited = true;
	if (!replay_all(what, note_cost)) {
		return false;
	}
	what->rules.unlimited = false;
	command_layout(call, COMMAND_TABLE, "time account result limit used asked client bill");
	return replay_all(what, note);
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

static bool run(struct what_if *what)
{
	if (!read_options(what) || !set_rules(what)) {
		return false;
	}
	what->call->error.text[0] = '\0';
	return gather(what) && has_mail(what) && replay(what) && what_if_show_end(what);
}

bool command_what_if(struct command_call *call)
{
	struct what_if what = { .call = call };
	if (!call->ask) {
		return command_fail(call, "what-if runs in gatepostctl");
	}
	bool good = run(&what);
	config_unref(what.config);
	whatif_read_done(&what.reading);
	whatif_done(&what.mail);
	free(what.tally);
	return good;
}
