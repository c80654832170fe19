/* A configuration out of its file: through libConfuse, into the object, and what its keys say
 * together. */
#include "server/config_table.h"

#include <arpa/inet.h>
#include <confuse.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>

#define FILE_MAX  ((size_t)1024 * 1024)
#define TITLE_MAX 32
#define KEYS_MAX  64 /* of a block */

/* ---- the file ---- */

struct load {
	const char *path;
	struct error *error;
	char *text; /* NUL-terminated */
	size_t len;
	cfg_t *file;
	struct config_notes notes;
	struct config *config;
};

/* "FILE:LINE: what: fault", without the line when it is 0, without `what` when that is empty.
 */
__attribute__((format(printf, 4, 5))) static bool
fail(const struct load *load, int line, const char *what, const char *format, ...)
{
	struct error reason;
	char number[16] = "";
	va_list args;
	va_start(args, format);
	vsnprintf(reason.text, sizeof reason.text, format, args);
	va_end(args);
	if (line > 0) {
		snprintf(number, sizeof number, ":%d", line);
	}
	error_set(load->error, "%s%s: %s%s%s", load->path, number, what, what[0] ? ": " : "",
	          reason.text);
	return false;
}

static bool read_file(struct load *load)
{
	FILE *file = fopen(load->path, "re");
	load->text = malloc(FILE_MAX + 1);
	bool good = file && load->text;
	if (good) {
		errno = 0;
		load->len = fread(load->text, 1, FILE_MAX, file);
		load->text[load->len] = '\0';
		good = !ferror(file);
	}
	if (!good) {
		fail(load, 0, "", "%s", strerror(errno ? errno : ENOMEM));
	} else if (load->len == FILE_MAX) {
		good = fail(load, 0, "", "is larger than 1 MiB");
	}
	if (file) {
		fclose(file);
	}
	return good;
}

static bool clean(struct load *load)
{
	struct config_fault fault;
	return config_scan_clean(load->text, load->len, &fault) ||
	       fail(load, fault.line, "", "%s", fault.error.text);
}

/* ---- through libConfuse ---- */

/* "key", "tls: key" or "listen NAME: key". */
struct name {
	char text[160];
};

static struct name name_key(enum config_block block, const char *title, const char *key)
{
	struct name name;
	const char *kind = config_blocks[block].name;
	snprintf(name.text, sizeof name.text, "%s%s%.40s%s%.60s", kind,
	         title && title[0] ? " " : "", title ? title : "",
	         kind[0] && key[0] ? ": " : "", key);
	return name;
}

/* libConfuse hands no pointer of ours to its error function. config_load is for one thread at a
 * time anyway: its lexer has static state. */
static struct load *loading;

/* Its first word is the fault, what follows is a consequence. */
__attribute__((format(printf, 2, 0))) static void hear_error(cfg_t *where, const char *format,
                                                             va_list args)
{
	char text[256];
	if (loading->error->text[0]) {
		return;
	}
	if (strcmp(format, "no such option '%s'") != 0) {
		vsnprintf(text, sizeof text, format, args);
		fail(loading, where->line, "", "%s", text);
		return;
	}
	enum config_block block = CONFIG_TOP;
	for (size_t i = CONFIG_TOP + 1; i < CONFIG_BLOCKS; i++) {
		block = strcmp(where->name, config_blocks[i].name) == 0 ? (enum config_block)i
		                                                        : block;
	}
	struct name name = name_key(block, where->title, va_arg(args, const char *));
	fail(loading, where->line, name.text, "there is no such key");
}

/* All values are strings to libConfuse; their types are ours. */
static size_t block_options(enum config_block block, cfg_opt_t *options)
{
	size_t n = 0;
	for (size_t i = 0; i < config_nrows; i++) {
		const struct config_row *row = &config_rows[i];
		if (row->block == block) {
			options[n++] =
			    row->type->count
				? (cfg_opt_t)CFG_STR_LIST(row->name, NULL, CFGF_NODEFAULT)
				: (cfg_opt_t)CFG_STR(row->name, NULL, CFGF_NODEFAULT);
		}
	}
	return n;
}

static bool parse(struct load *load)
{
	cfg_opt_t option[CONFIG_BLOCKS][KEYS_MAX];
	size_t top = block_options(CONFIG_TOP, option[CONFIG_TOP]);
	for (size_t i = CONFIG_TOP + 1; i < CONFIG_BLOCKS; i++) {
		const struct config_block_info *info = &config_blocks[i];
		cfg_flag_t flags = info->most ? CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES
		                              : CFGF_NONE;
		option[i][block_options((enum config_block)i, option[i])] =
		    (cfg_opt_t)CFG_END();
		option[CONFIG_TOP][top++] = (cfg_opt_t)CFG_SEC(info->name, option[i], flags);
	}
	option[CONFIG_TOP][top] = (cfg_opt_t)CFG_END();
	load->file = cfg_init(option[CONFIG_TOP], CFGF_NONE);
	if (!load->file) {
		return fail(load, 0, "", "no memory");
	}
	loading = load;
	cfg_set_error_function(load->file, hear_error);
	bool good = cfg_parse_buf(load->file, load->text) == CFG_SUCCESS;
	loading = NULL;
	if (!good && !load->error->text[0]) {
		fail(load, load->file->line, "", "can not be read from here on");
	}
	return good;
}

static bool note(struct load *load)
{
	struct config_fault fault;
	return config_scan_note(span_of(load->text, load->len), &load->notes, &fault) ||
	       fail(load, fault.line, "", "%s", fault.error.text);
}

/* ---- into the object ---- */

/* The line of a value, else of its key, else of its block; 0 when all of it is a default. */
static int line_of(const struct load *load, enum config_block block, const char *title,
                   const char *key, size_t value)
{
	const char *kind = config_blocks[block].name;
	const struct config_note *found = config_note_find(&load->notes, kind, title, key,
	                                                   value);
	found = found ? found : config_note_find(&load->notes, kind, title, key, 0);
	found = found ? found : config_note_find(&load->notes, kind, title, "", 0);
	return found ? found->line : 0;
}

/* One key that is given: all its values. */
static bool store_values(struct load *load, const struct config_row *row, cfg_t *section,
                         void *object)
{
	const char *title = cfg_title(section);
	struct name name = name_key(row->block, title, row->name);
	cfg_opt_t *option = cfg_getopt(section, row->name);
	struct config_slot slot = { .memory = &load->config->memory,
		                    .object = object,
		                    .count = cfg_opt_size(option) };
	int line = line_of(load, row->block, title, row->name, 0);
	if (row->type->count && (int64_t)slot.count > row->max) {
		return fail(load, line, name.text, "has more than %lld values",
		            (long long)row->max);
	}
	if (row->type->count && (int64_t)slot.count < row->min) {
		return fail(load, line, name.text, "needs a value");
	}
	for (; slot.index < slot.count; slot.index++) {
		struct config_value value;
		struct error fault;
		const char *text = cfg_opt_getnstr(option, (unsigned)slot.index);
		if (!row->type->parse(row, span_str(text), &value, &fault)) {
			line = line_of(load, row->block, title, row->name, slot.index + 1);
			return fail(load, line, name.text, "\"%.80s\": %s", text, fault.text);
		}
		if (!row->type->store(row, &slot, &value)) {
			return fail(load, 0, name.text, "no memory");
		}
	}
	return true;
}

static bool fill_block(struct load *load, enum config_block block, cfg_t *section, void *object)
{
	const char *title = cfg_title(section);
	for (size_t i = 0; i < config_nrows; i++) {
		const struct config_row *row = &config_rows[i];
		if (row->block != block) {
			continue;
		}
		if (config_note_find(&load->notes, config_blocks[block].name, title, row->name,
		                     0)) {
			if (!store_values(load, row, section, object)) {
				return false;
			}
		} else if (!row->initial && !row->derived) {
			struct name name = name_key(block, title, row->name);
			return fail(load, line_of(load, block, title, row->name, 0), name.text,
			            "is missing");
		} else if (!config_row_init(row, &load->config->memory, object, false)) {
			return fail(load, 0, row->name, "no memory");
		}
	}
	return true;
}

static bool title_is_valid(const char *title)
{
	size_t n = strlen(title);
	return n > 0 && n <= TITLE_MAX &&
	       n == strspn(title,
	                   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
}

/* All titled blocks of a kind into an array of `size` bytes each, whose first member is the
 * name. */
static bool fill_blocks(struct load *load, enum config_block block, void *array, size_t size,
                        size_t *count_out)
{
	const char *kind = config_blocks[block].name;
	for (unsigned i = 0; i < cfg_size(load->file, kind); i++) {
		cfg_t *section = cfg_getnsec(load->file, kind, i);
		char **object = (char **)((char *)array + i * size);
		struct name name = name_key(block, cfg_title(section), "");
		int line = line_of(load, block, cfg_title(section), "", 0);
		if (i == config_blocks[block].most) {
			return fail(load, line, name.text, "more than %u such blocks", i);
		}
		if (!title_is_valid(cfg_title(section))) {
			return fail(load, line, name.text,
			            "a name has letters, digits, dots and hyphens");
		}
		if (!config_copy_text(&load->config->memory, span_str(cfg_title(section)),
		                      false, object)) {
			return fail(load, 0, kind, "no memory");
		}
		if (!fill_block(load, block, section, object)) {
			return false;
		}
		*count_out = i + 1;
	}
	return true;
}

static bool fill(struct load *load)
{
	struct config *config = load->config = config_new_empty();
	if (!config ||
	    !config_copy_text(&config->memory, span_str(load->path), false, &config->path)) {
		return fail(load, 0, "", "no memory");
	}
	return fill_block(load, CONFIG_TOP, load->file, config) &&
	       fill_block(load, CONFIG_TLS, cfg_getsec(load->file, "tls"), config) &&
	       fill_blocks(load, CONFIG_LISTEN, config->listener, sizeof config->listener[0],
	                   &config->nlisteners) &&
	       fill_blocks(load, CONFIG_SMARTHOST, config->smarthost,
	                   sizeof config->smarthost[0], &config->nsmarthosts);
}

/* ---- what keys say together ---- */

static bool check_names(struct load *load)
{
	struct config *config = load->config;
	if ((!config->hostname && !config_derive_hostname(config)) ||
	    (!config->domain && !config_derive_domain(config, config->hostname)) ||
	    !config_derive_mail(config, config->hostname, config->domain) ||
	    !config_derive_listeners(config)) {
		return fail(load, 0, "", "no memory");
	}
	if (!config->hostname) {
		return fail(load, 0, "hostname",
		            "is missing, and the machine's own name has no dot");
	}
	if (!config->domain) {
		return fail(load, 0, "domain", "is missing, and hostname has none");
	}
	return true;
}

static bool check_smarthosts(struct load *load)
{
	return load->config->nsmarthosts > 0 ||
	       fail(load, 0, "smarthost", "at least one smarthost block is needed");
}

struct place {
	unsigned char ip[sizeof(struct in6_addr)];
	int family;
	unsigned port;
};

static struct place place_of(const struct config_listener *listener, size_t address)
{
	struct place place = { .family = AF_INET, .port = listener->port };
	const char *text = listener->address[address];
	if (inet_pton(AF_INET, text, place.ip) != 1) {
		place.family = AF_INET6;
		inet_pton(AF_INET6, text, place.ip);
	}
	return place;
}

/* SO_REUSEPORT would let both have it, and clients would meet one or the other. */
static bool check_listeners(struct load *load)
{
	struct place places[CONFIG_LISTENERS_MAX * CONFIG_ADDRESSES_MAX];
	const struct config *config = load->config;
	size_t n = 0;
	for (size_t i = 0; i < config->nlisteners; i++) {
		const struct config_listener *listener = &config->listener[i];
		for (size_t a = 0; a < listener->naddresses; a++, n++) {
			places[n] = place_of(listener, a);
			for (size_t before = 0; before < n; before++) {
				if (memcmp(&places[before], &places[n], sizeof places[n]) ==
				    0) {
					struct name name = name_key(CONFIG_LISTEN,
					                            listener->name, "address");
					int line = line_of(load, CONFIG_LISTEN, listener->name,
					                   "address", a + 1);
					return fail(load, line, name.text,
					            "\"%s\": port %u is given twice",
					            listener->address[a], listener->port);
				}
			}
		}
	}
	return true;
}

static bool check_limits(struct load *load)
{
	const struct budget_limits *limits = &load->config->limits;
	for (size_t i = 0; i < limits->count; i++) {
		for (size_t before = 0; before < i; before++) {
			if (limits->limit[before].window == limits->limit[i].window) {
				return fail(load,
				            line_of(load, CONFIG_TOP, "", "limits", i + 1),
				            "limits", "value %zu has the window of value %zu",
				            i + 1, before + 1);
			}
		}
	}
	return true;
}

/* Only the site's own MTA hands in answers, and nobody else's passwords go in the clear. */
static bool check_roles(struct load *load)
{
	for (size_t i = 0; i < load->config->nlisteners; i++) {
		const struct config_listener *listener = &load->config->listener[i];
		bool reply = listener->role == CONFIG_ROLE_REPLY;
		const struct {
			bool fault;
			const char *key, *reason;
		} checks[] = {
			{ listener->tls == CONFIG_TLS_NONE && !reply, "tls",
			  "none is for role = reply only" },
			{ listener->npeers && !reply, "peers", "are for role = reply only" },
			{ reply && !listener->npeers, "peers",
			  "role = reply needs those who may connect" },
		};
		for (size_t c = 0; c < COUNT(checks); c++) {
			if (checks[c].fault) {
				struct name name = name_key(CONFIG_LISTEN, listener->name,
				                            checks[c].key);
				return fail(load,
				            line_of(load, CONFIG_LISTEN, listener->name,
				                    checks[c].key, 0),
				            name.text, "%s", checks[c].reason);
			}
		}
	}
	return true;
}

/* One notice a postmaster. */
static bool check_postmasters(struct load *load)
{
	const struct config *config = load->config;
	for (size_t i = 0; i < config->npostmaster; i++) {
		for (size_t before = 0; before < i; before++) {
			if (span_eq_nocase(config->postmaster[i], config->postmaster[before])) {
				return fail(load,
				            line_of(load, CONFIG_TOP, "", "postmaster", i + 1),
				            "postmaster", "value %zu is value %zu again", i + 1,
				            before + 1);
			}
		}
	}
	return true;
}

/* Mail to an address of this form never leaves: a notice would come back to us, as an answer.
 */
static bool check_reply_address(struct load *load)
{
	const struct config *config = load->config;
	struct span pattern = span_str(config->reply_address);
	const char *reason = "";
	int line = line_of(load, CONFIG_TOP, "", "reply_address", 0);
	if (!orders_pattern_is_valid(pattern, &reason)) {
		return fail(load, line, "reply_address", "\"%.80s\": %s", config->reply_address,
		            reason);
	}
	struct span from = span_str(config->notice_from);
	for (size_t i = 0; i <= config->npostmaster; i++) {
		struct span one = i ? config->postmaster[i - 1] : from;
		if (gate_pattern_matches(pattern, one)) {
			return fail(load, line, "reply_address", "takes %s: \"%.*s\"",
			            i ? "a postmaster" : "notice_from", SPAN_ARG(one));
		}
	}
	return true;
}

static bool check_program(struct load *load)
{
	const char *path = load->config->on_suspend;
	struct stat found;
	const char *reason = NULL;
	if (path && stat(path, &found) != 0) {
		reason = strerror(errno);
	} else if (path && (!S_ISREG(found.st_mode) || !(found.st_mode & 0111))) {
		reason = "is no program";
	}
	return !reason || fail(load, line_of(load, CONFIG_TOP, "", "on_suspend", 0),
	                       "on_suspend", "\"%.80s\": %s", path, reason);
}

/* An account must be able to send one message of the largest size. */
static bool check_sizes(struct load *load)
{
	const struct config *config = load->config;
	const struct {
		const char *key;
		int64_t bytes;
	} rows[] = {
		{ "queued_bytes", config->queued_bytes },
		{ "uncommitted_bytes", config->uncommitted_bytes },
		{ "store_size", config->store_size },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (config->message_size > rows[i].bytes) {
			int line = line_of(load, CONFIG_TOP, "", "message_size", 0);
			line = line ? line : line_of(load, CONFIG_TOP, "", rows[i].key, 0);
			return fail(load, line, "message_size", "is more than %s", rows[i].key);
		}
	}
	return true;
}

/* ---- the whole ---- */

struct config *config_load(const char *path, struct error *error)
{
	static bool (*const steps[])(struct load *) = {
		read_file,
		clean,
		parse,
		note,
		fill,
		check_names,
		check_smarthosts,
		check_listeners,
		check_limits,
		check_sizes,
		check_roles,
		check_postmasters,
		check_reply_address,
		check_program,
	};
	struct error own = { "" };
	struct load load = { .path = path, .error = &own };
	bool good = true;
	for (size_t i = 0; good && i < COUNT(steps); i++) {
		good = steps[i](&load);
	}
	if (!good) {
		error_set(error, "%s", own.text);
		config_unref(load.config);
		load.config = NULL;
	}
	if (load.file) {
		cfg_free(load.file);
	}
	free(load.notes.note);
	free(load.text);
	return load.config;
}
