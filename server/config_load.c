/* A configuration out of its file: through libConfuse, into the object. */
#include "server/config_load.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

#define FILE_MAX  ((size_t)1024 * 1024)
#define TITLE_MAX 32
#define KEYS_MAX  128 /* of a block */

/* ---- the file ---- */

bool config_load_fail(const struct config_load *load, int line, const char *what,
                      const char *format, ...)
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

static bool read_file(struct config_load *load)
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
		config_load_fail(load, 0, "", "%s", strerror(errno ? errno : ENOMEM));
	} else if (load->len == FILE_MAX) {
		good = config_load_fail(load, 0, "", "is larger than 1 MiB");
	}
	if (file) {
		fclose(file);
	}
	return good;
}

static bool clean(struct config_load *load)
{
	struct config_fault fault;
	return config_scan_clean(load->text, load->len, &fault) ||
	       config_load_fail(load, fault.line, "", "%s", fault.error.text);
}

/* ---- through libConfuse ---- */

struct config_name config_name_key(enum config_block block, const char *title, const char *key)
{
	struct config_name name;
	const char *kind = config_blocks[block].name;
	snprintf(name.text, sizeof name.text, "%s%s%.80s%s%.60s", kind,
	         title && title[0] ? " " : "", title ? title : "",
	         kind[0] && key[0] ? ": " : "", key);
	return name;
}

/* libConfuse hands no pointer of ours to its error function. config_load is for one thread at a
 * time anyway: its lexer has static state. */
static struct config_load *loading;

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
		config_load_fail(loading, where->line, "", "%s", text);
		return;
	}
	enum config_block block = CONFIG_TOP;
	for (size_t i = CONFIG_TOP + 1; i < CONFIG_BLOCKS; i++) {
		block = strcmp(where->name, config_blocks[i].name) == 0 ? (enum config_block)i
		                                                        : block;
	}
	struct config_name name = config_name_key(block, where->title,
	                                          va_arg(args, const char *));
	config_load_fail(loading, where->line, name.text, "there is no such key");
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

static bool parse(struct config_load *load)
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
		return config_load_fail(load, 0, "", "no memory");
	}
	loading = load;
	cfg_set_error_function(load->file, hear_error);
	bool good = cfg_parse_buf(load->file, load->text) == CFG_SUCCESS;
	loading = NULL;
	if (!good && !load->error->text[0]) {
		config_load_fail(load, load->file->line, "", "can not be read from here on");
	}
	return good;
}

static bool note(struct config_load *load)
{
	struct config_fault fault;
	return config_scan_note(span_of(load->text, load->len), &load->notes, &fault) ||
	       config_load_fail(load, fault.line, "", "%s", fault.error.text);
}

/* ---- into the object ---- */

int config_load_line(const struct config_load *load, enum config_block block, const char *title,
                     const char *key, size_t value)
{
	const char *kind = config_blocks[block].name;
	const struct config_note *found = config_note_find(&load->notes, kind, title, key,
	                                                   value);
	found = found ? found : config_note_find(&load->notes, kind, title, key, 0);
	found = found ? found : config_note_find(&load->notes, kind, title, "", 0);
	return found ? found->line : 0;
}

bool config_load_fail_key(const struct config_load *load, const char *key, size_t value,
                          const char *format, ...)
{
	struct error fault;
	va_list args;
	va_start(args, format);
	vsnprintf(fault.text, sizeof fault.text, format, args);
	va_end(args);
	return config_load_fail(load, config_load_line(load, CONFIG_TOP, "", key, value), key,
	                        "%s", fault.text);
}

/* One key that is given: all its values. */
static bool store_values(struct config_load *load, const struct config_row *row, cfg_t *section,
                         void *object)
{
	const char *title = cfg_title(section);
	struct config_name name = config_name_key(row->block, title, row->name);
	cfg_opt_t *option = cfg_getopt(section, row->name);
	struct config_slot slot = { .memory = &load->config->memory,
		                    .object = object,
		                    .count = cfg_opt_size(option) };
	int line = config_load_line(load, row->block, title, row->name, 0);
	if (row->preset) {
		row->preset(row, object);
	}
	if (row->type->count && (int64_t)slot.count > row->max) {
		return config_load_fail(load, line, name.text, "has more than %lld values",
		                        (long long)row->max);
	}
	if (row->type->count && (int64_t)slot.count < row->min) {
		return config_load_fail(load, line, name.text, "needs a value");
	}
	for (; slot.index < slot.count; slot.index++) {
		struct config_value value;
		struct error fault;
		const char *text = cfg_opt_getnstr(option, (unsigned)slot.index);
		if (!row->type->parse(row, span_str(text), &value, &fault)) {
			line = config_load_line(load, row->block, title, row->name,
			                        slot.index + 1);
			return config_load_fail(load, line, name.text, "\"%.80s\": %s", text,
			                        fault.text);
		}
		if (!row->type->store(row, &slot, &value)) {
			return config_load_fail(load, 0, name.text, "no memory");
		}
	}
	return true;
}

static bool fill_block(struct config_load *load, enum config_block block, cfg_t *section,
                       void *object)
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
			struct config_name name = config_name_key(block, title, row->name);
			return config_load_fail(
			    load, config_load_line(load, block, title, row->name, 0), name.text,
			    "is missing");
		} else if (!config_row_init(row, &load->config->memory, object, false)) {
			return config_load_fail(load, 0, row->name, "no memory");
		}
	}
	return true;
}

/* NULL when it is a good one. */
static const char *fault_of_title(enum config_block block, const char *title)
{
	if (config_blocks[block].address) {
		struct config_value value;
		bool good = config_parse_mailbox(NULL, span_str(title), &value, NULL);
		return good ? NULL : "is no mail address";
	}
	size_t n = strlen(title);
	bool good = n > 0 && n <= TITLE_MAX &&
	            n == strspn(title, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                               "0123456789._-");
	return good ? NULL : "a name has letters, digits, dots and hyphens";
}

/* All titled blocks of a kind into an array of `size` bytes each, whose first member is the
 * name. */
static bool fill_blocks(struct config_load *load, enum config_block block, void *array,
                        size_t size, size_t *count_out)
{
	const char *kind = config_blocks[block].name;
	for (unsigned i = 0; i < cfg_size(load->file, kind); i++) {
		cfg_t *section = cfg_getnsec(load->file, kind, i);
		char **object = (char **)((char *)array + i * size);
		struct config_name name = config_name_key(block, cfg_title(section), "");
		int line = config_load_line(load, block, cfg_title(section), "", 0);
		if (i == config_blocks[block].most) {
			return config_load_fail(load, line, name.text,
			                        "more than %u such blocks", i);
		}
		const char *fault = fault_of_title(block, cfg_title(section));
		if (fault) {
			return config_load_fail(load, line, name.text, "%s", fault);
		}
		if (!config_copy_text(&load->config->memory, span_str(cfg_title(section)),
		                      false, object)) {
			return config_load_fail(load, 0, kind, "no memory");
		}
		if (!fill_block(load, block, section, object)) {
			return false;
		}
		*count_out = i + 1;
	}
	return true;
}

static bool fill(struct config_load *load)
{
	struct config *config = load->config = config_new_empty();
	if (!config ||
	    !config_copy_text(&config->memory, span_str(load->path), false, &config->path)) {
		return config_load_fail(load, 0, "", "no memory");
	}
	return fill_block(load, CONFIG_TOP, load->file, config) &&
	       fill_block(load, CONFIG_TLS, cfg_getsec(load->file, "tls"), config) &&
	       fill_blocks(load, CONFIG_LISTEN, config->listener, sizeof config->listener[0],
	                   &config->nlisteners) &&
	       fill_blocks(load, CONFIG_SMARTHOST, config->smarthost,
	                   sizeof config->smarthost[0], &config->nsmarthosts) &&
	       fill_blocks(load, CONFIG_DEVICE, config->device, sizeof config->device[0],
	                   &config->ndevices) &&
	       fill_blocks(load, CONFIG_NETWORK, config->network, sizeof config->network[0],
	                   &config->nnetworks) &&
	       fill_blocks(load, CONFIG_LIST, config->list, sizeof config->list[0],
	                   &config->nlists);
}

/* ---- the whole ---- */

/* `others`: the files of others, too. */
static struct config *load_steps(const char *path, bool others, struct error *error)
{
	static bool (*const steps[])(struct config_load *) = {
		read_file,
		clean,
		parse,
		note,
		fill,
		config_check,
		config_check_guard,
		config_check_auth,
		config_check_hooks,
		config_check_files,
	};
	struct error own = { "" };
	struct config_load load = { .path = path, .error = &own };
	bool good = true;
	for (size_t i = 0; good && i < COUNT(steps); i++) {
		good = (steps[i] == config_check_files && !others) || steps[i](&load);
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

struct config *config_load(const char *path, struct error *error)
{
	return load_steps(path, true, error);
}

struct config *config_load_alone(const char *path, struct error *error)
{
	return load_steps(path, false, error);
}
