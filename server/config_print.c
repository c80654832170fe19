#include "server/config_table.h"

#define TEXT_MAX       ((size_t)4 * 1024 * 1024)
#define SAMPLE_COLUMNS 96

static void flush(struct buf *out, FILE *file)
{
	if (out->len) {
		fwrite(out->ptr, 1, out->len, file);
	}
	buf_done(out);
}

/* NAME { key = value key = value }, one line, without empty lists. */
static void write_block(enum config_block block, const char *title, const void *object,
                        struct buf *out)
{
	buf_printf(out, "%s ", config_blocks[block].name);
	if (config_blocks[block].address) {
		config_put_quoted(span_str(title), out);
	} else {
		buf_put_str(out, title);
	}
	buf_put_str(out, title[0] ? " {" : "{");
	for (size_t i = 0; i < config_nrows; i++) {
		const struct config_row *row = &config_rows[i];
		bool empty = row->block == block &&
		             (!config_row_is_set(row, object) ||
		              (row->type->count && row->type->count(row, object) == 0));
		if (row->block == block && !empty) {
			buf_put_byte(out, ' ');
			config_row_write(row, object, out);
		}
	}
	buf_put_str(out, " }\n");
}

/* All blocks of a kind. */
static void write_blocks(const struct config *config, enum config_block block, struct buf *out)
{
	if (block == CONFIG_TLS) {
		write_block(block, "", config, out);
	}
	for (size_t i = 0; block == CONFIG_LISTEN && i < config->nlisteners; i++) {
		write_block(block, config->listener[i].name, &config->listener[i], out);
	}
	for (size_t i = 0; block == CONFIG_SMARTHOST && i < config->nsmarthosts; i++) {
		write_block(block, config->smarthost[i].name, &config->smarthost[i], out);
	}
	for (size_t i = 0; block == CONFIG_DEVICE && i < config->ndevices; i++) {
		write_block(block, config->device[i].name, &config->device[i], out);
	}
	for (size_t i = 0; block == CONFIG_NETWORK && i < config->nnetworks; i++) {
		write_block(block, config->network[i].name, &config->network[i], out);
	}
	for (size_t i = 0; block == CONFIG_LIST && i < config->nlists; i++) {
		write_block(block, config->list[i].address, &config->list[i], out);
	}
}

/* A key of the top, or all blocks of a kind, as text. */
static void write_part(const struct config *config, const char *name, struct buf *out)
{
	for (size_t i = CONFIG_TOP + 1; i < CONFIG_BLOCKS; i++) {
		if (strcmp(name, config_blocks[i].name) == 0) {
			write_blocks(config, (enum config_block)i, out);
		}
	}
	for (size_t i = 0; i < config_nrows; i++) {
		const struct config_row *row = &config_rows[i];
		if (row->block == CONFIG_TOP && strcmp(name, row->name) == 0 &&
		    config_row_is_set(row, config)) {
			config_row_write(row, config, out);
			buf_put_byte(out, '\n');
		}
	}
}

/* Appends it, when it differs. */
static bool write_difference(const struct config *from, const struct config *to,
                             const char *name, struct buf *out)
{
	struct buf old = { .cap = TEXT_MAX }, new = { .cap = TEXT_MAX };
	write_part(from, name, &old);
	write_part(to, name, &new);
	bool differs = !span_eq(buf_span(&old), buf_span(&new));
	if (differs) {
		buf_put(out, buf_span(&new));
	}
	buf_done(&old);
	buf_done(&new);
	return differs;
}

void config_print(const struct config *config, FILE *out)
{
	struct buf text = { .cap = TEXT_MAX };
	struct config *defaults = config_new(false);
	if (!defaults || !config_derive_hostname(defaults) ||
	    !config_derive_domain(defaults, config->hostname) ||
	    !config_derive_mail(defaults, config->hostname, config->domain)) {
		config_unref(defaults);
		return;
	}
	for (size_t i = 0; i < config_nrows; i++) {
		if (config_rows[i].block == CONFIG_TOP) {
			write_difference(defaults, config, config_rows[i].name, &text);
		}
	}
	for (size_t i = CONFIG_TOP + 1; i < CONFIG_BLOCKS; i++) {
		write_difference(defaults, config, config_blocks[i].name, &text);
	}
	config_unref(defaults);
	flush(&text, out);
}

/* The name of a file may be the same and what it says another. */
static bool secret_differs(const struct config *old, const struct config *new, const char *name)
{
	const struct {
		const char *name, *old, *new;
	} rows[] = {
		{ "ldap_password_file", old->backend.ldap.password,
		  new->backend.ldap.password },
		{ "sql_password_file", old->backend.sql.password, new->backend.sql.password },
		{ "oauth_secret_file", old->oauth.client_secret, new->oauth.client_secret },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (strcmp(rows[i].name, name) == 0) {
			return strcmp(rows[i].old ? rows[i].old : "",
			              rows[i].new ? rows[i].new : "") != 0;
		}
	}
	return false;
}

bool config_needs_restart(const struct config *old, const struct config *new, char *keys_out,
                          size_t size)
{
	/* Those of logins: Cyrus is told once a process. */
	static const char *const fixed[] = {
		"listen",
		"workers",
		"data_dir",
		"control",
		"user",
		"domain",
		"auth",
		"mechanisms",
		"auth_socket",
		"auth_service",
		"auth_realms",
		"auth_timeout",
		"sasldb",
		"sql_engine",
		"sql_database",
		"sql_host",
		"sql_user",
		"sql_password_file",
		"sql_select",
		"ldap_uri",
		"ldap_starttls",
		"ldap_ca",
		"ldap_bind_dn",
		"ldap_password_file",
		"ldap_base",
		"ldap_filter",
		"ldap_account",
		"oauth_jwks",
		"oauth_issuer",
		"oauth_audience",
		"oauth_claim",
		"oauth_introspect",
		"oauth_client_id",
		"oauth_secret_file",
		"oauth_ca",
	};
	struct buf keys = { .cap = 1024 };
	for (size_t i = 0; i < COUNT(fixed); i++) {
		struct buf ignored = { .cap = TEXT_MAX };
		if (write_difference(old, new, fixed[i], &ignored) ||
		    secret_differs(old, new, fixed[i])) {
			buf_printf(&keys, "%s%s", keys.len ? ", " : "", fixed[i]);
		}
		buf_done(&ignored);
	}
	bool needs = keys.len > 0;
	snprintf(keys_out, size, "%.*s", SPAN_ARG(buf_span(&keys)));
	buf_done(&keys);
	return needs;
}

/* ---- man page ---- */

/* scdoc reads * and _ as marks. */
static void put_scdoc(const char *text, struct buf *out)
{
	for (; *text; text++) {
		if (strchr("*_\\", *text)) {
			buf_put_byte(out, '\\');
		}
		buf_put_byte(out, *text);
	}
}

/* The default of a row in its own syntax, without the key. */
static void write_default(const struct config_row *row, struct buf *out)
{
	struct config config = { 0 };
	struct config_listener listener = { 0 };
	struct config_smarthost smarthost = { 0 };
	struct config_device device = { 0 };
	struct config_network network = { 0 };
	struct lists_block list = { 0 };
	void *const object[CONFIG_BLOCKS] = { &config, &config,  &listener, &smarthost,
		                              &device, &network, &list };
	struct buf line = { .cap = TEXT_MAX };
	arena_init(&config.memory, TEXT_MAX);
	if (config_row_init(row, &config.memory, object[row->block], false)) {
		config_row_write(row, object[row->block], &line);
		buf_drop(&line, strlen(row->name) + strlen(" = "));
		buf_put(out, buf_span(&line));
	}
	buf_done(&line);
	arena_done(&config.memory);
}

static void write_entry(const struct config_row *row, struct buf *out)
{
	struct buf range = { .cap = 256 }, text = { .cap = TEXT_MAX };
	buf_put_byte(out, '*');
	put_scdoc(row->name, out);
	buf_printf(out, "* = _%s_\n\t", row->type->name);
	put_scdoc(row->sentence, out);
	config_row_write_range(row, &range);
	if (range.len) {
		buf_printf(&text, " %.*s.", SPAN_ARG(buf_span(&range)));
	}
	if (row->explain) {
		row->explain(&text);
	}
	if (row->initial) {
		buf_put_str(&text, " Default: ");
		write_default(row, &text);
	} else {
		buf_put_str(&text, row->derived ? " Default: " : " Must be given");
		buf_put_str(&text, row->derived ? row->derived : "");
	}
	buf_put_byte(&text, '\0');
	put_scdoc(text.ptr, out);
	buf_put_str(out, ".\n\n");
	buf_done(&range);
	buf_done(&text);
}

void config_print_manual(FILE *out)
{
	struct buf text = { .cap = TEXT_MAX };
	for (size_t block = 0; block < CONFIG_BLOCKS; block++) {
		const struct config_block_info *info = &config_blocks[block];
		if (info->name[0]) {
			buf_printf(&text, "## %s %s{ }\n\n", info->name,
			           info->address ? "ADDRESS "
			           : info->most  ? "NAME "
			                         : "");
			put_scdoc(info->sentence, &text);
			buf_put_str(&text, "\n\n");
		}
		for (size_t i = 0; i < config_nrows; i++) {
			if (config_rows[i].block == block) {
				write_entry(&config_rows[i], &text);
			}
		}
	}
	flush(&text, out);
}

/* ---- sample file ---- */

/* A comment of short lines; those behind the first are indented by `indent`. */
static void put_comment(struct span words, size_t indent, struct buf *out)
{
	size_t column = 1;
	buf_put_byte(out, '#');
	while (words.len) {
		struct span word = span_first(words, span_find(words, ' '));
		if (column + 1 + word.len > SAMPLE_COLUMNS) {
			buf_printf(out, "\n#%*s", (int)indent, "");
			column = 1 + indent;
		}
		buf_put_byte(out, ' ');
		buf_put(out, word);
		column += 1 + word.len;
		words = span_from(words, word.len + 1);
	}
	buf_put_byte(out, '\n');
}

/* `named`: the comment is all that stands there of it. */
static void put_row_comment(const struct config_row *row, bool named, struct buf *out)
{
	struct buf words = { .cap = 4096 }, range = { .cap = 256 };
	if (named) {
		buf_printf(&words, "%s%s: ", row->block == CONFIG_TOP ? "" : "  ", row->name);
	}
	buf_put_str(&words, row->sentence);
	config_row_write_range(row, &range);
	if (range.len) {
		buf_printf(&words, " (%.*s)", SPAN_ARG(buf_span(&range)));
	}
	put_comment(buf_span(&words), row->block == CONFIG_TOP ? 0 : 4, out);
	buf_done(&words);
	buf_done(&range);
}

static void put_sample_block(const struct config *sample, enum config_block block,
                             struct buf *out)
{
	buf_put_byte(out, '\n');
	put_comment(span_str(config_blocks[block].sentence), 0, out);
	for (size_t i = 0; i < config_nrows; i++) {
		if (config_rows[i].block == block) {
			put_row_comment(&config_rows[i], true, out);
		}
	}
	write_blocks(sample, block, out);
}

void config_print_sample(FILE *out)
{
	static const char head[] =
	    "# Gatepost, see gatepost.conf(5). Lines with a # in front show the defaults.\n"
	    "# Check with gatepost -t, then reload with systemctl reload gatepost.\n";
	struct buf text = { .cap = TEXT_MAX };
	struct config *sample = config_new(true);
	buf_put_str(&text, head);
	enum config_block before = CONFIG_TOP;
	for (size_t i = 0; sample && i < config_nrows; i++) {
		const struct config_row *row = &config_rows[i];
		if (row->block == CONFIG_TOP) {
			buf_put_byte(&text, '\n');
			bool set = config_row_is_set(row, sample);
			put_row_comment(row, !set, &text);
			buf_put_str(&text, set && !row->sample ? "#" : "");
			write_part(sample, row->name, &text);
		} else if (row->block != before) {
			put_sample_block(sample, row->block, &text);
		}
		before = row->block;
	}
	config_unref(sample);
	flush(&text, out);
}
