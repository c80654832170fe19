/* gatepostctl: the command line of the control socket. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <termios.h>
#include <unistd.h>

#include "server/commands.h"
#include "server/privs.h"

#define DEFAULT_CONFIG "/etc/gatepost/gatepost.conf"
#define PASSWORD_MAX   1024
#define WORDS_MAX      4096 /* names of files, mostly */
#define ROWS_MAX       1000 /* looked at for the width of columns */
#define COLUMN_MAX     40

static const char *program = "gatepostctl";

static int complain(int code, const char *text)
{
	fprintf(stderr, "%s: %s\n", program, text);
	return code;
}

/* ---- what people see ---- */

struct output {
	bool json;
	bool ended;
	bool good;
	char error[600];
	char layout[16];
	char columns[400];
	json_t *rows; /* of the present layout, not yet printed */
	bool header_done;
	size_t width[32];
};

static void value_text(const json_t *value, char *text, size_t size)
{
	if (json_is_string(value)) {
		snprintf(text, size, "%s", json_string_value(value));
	} else if (json_is_integer(value)) {
		snprintf(text, size, "%lld", (long long)json_integer_value(value));
	} else if (json_is_boolean(value)) {
		snprintf(text, size, "%s", json_is_true(value) ? "yes" : "no");
	} else {
		snprintf(text, size, "%s", "");
	}
	/* Bytes from outside do not steer a terminal. */
	for (char *at = text; *at; at++) {
		if ((unsigned char)*at < 0x20 || *at == 0x7f) {
			*at = '?';
		}
	}
}

/* Column number `n` of the list; false behind the last. */
static bool column(const char *columns, size_t n, char *name, size_t size)
{
	struct span rest = span_str(columns);
	for (; n; n--) {
		rest = span_from(rest, span_find(rest, ' ') + 1);
	}
	rest = span_first(rest, span_find(rest, ' '));
	snprintf(name, size, "%.*s", SPAN_ARG(rest));
	return rest.len > 0;
}

static void print_row(struct output *output, const json_t *row)
{
	char name[64];
	char text[1024];
	for (size_t i = 0; column(output->columns, i, name, sizeof name); i++) {
		value_text(json_object_get(row, name), text, sizeof text);
		size_t width = i < COUNT(output->width) ? output->width[i] : 0;
		printf("%s%-*s", i ? "  " : "", (int)width, row ? text : name);
	}
	putchar('\n');
}

static void measure(struct output *output)
{
	char name[64];
	char text[1024];
	for (size_t i = 0;
	     i < COUNT(output->width) && column(output->columns, i, name, sizeof name); i++) {
		output->width[i] = strlen(name);
		for (size_t k = 0; k < json_array_size(output->rows); k++) {
			value_text(json_object_get(json_array_get(output->rows, k), name), text,
			           sizeof text);
			size_t len = strlen(text) < COLUMN_MAX ? strlen(text) : COLUMN_MAX;
			output->width[i] = len > output->width[i] ? len : output->width[i];
		}
	}
}

static void print_card(struct output *output, const json_t *row)
{
	char name[64];
	char text[1024];
	for (size_t i = 0; column(output->columns, i, name, sizeof name); i++) {
		value_text(json_object_get(row, name), text, sizeof text);
		if (*text) {
			printf("%-18s %s\n", name, text);
		}
	}
}

static bool is_layout(const struct output *output, const char *name)
{
	return strcmp(output->layout, name) == 0;
}

/* Prints what was gathered; of a table the header first, once. */
static void flush_rows(struct output *output)
{
	bool table = is_layout(output, "table");
	if (table && !output->header_done && json_array_size(output->rows)) {
		measure(output);
		print_row(output, NULL);
		output->header_done = true;
	}
	for (size_t i = 0; i < json_array_size(output->rows); i++) {
		const json_t *row = json_array_get(output->rows, i);
		if (is_layout(output, "card")) {
			print_card(output, row);
		} else {
			print_row(output, row);
		}
	}
	json_array_clear(output->rows);
}

static void take_layout(struct output *output, const json_t *line)
{
	flush_rows(output);
	snprintf(output->layout, sizeof output->layout, "%s",
	         json_string_value(json_object_get(line, "layout")));
	snprintf(output->columns, sizeof output->columns, "%s",
	         json_string_value(json_object_get(line, "columns")));
	output->header_done = false;
	memset(output->width, 0, sizeof output->width);
}

/* One line of an answer; it takes the reference. */
static void take_line(void *context, json_t *line)
{
	struct output *output = context;
	json_t *ok = json_object_get(line, "ok");
	if (ok) {
		output->ended = true;
		output->good = json_is_true(ok);
		const char *error = json_string_value(json_object_get(line, "error"));
		snprintf(output->error, sizeof output->error, "%s", error ? error : "failed");
	} else if (json_object_get(line, "layout")) {
		take_layout(output, line);
	} else if (is_layout(output, output->json ? "prose" : "data")) {
		/* not for these eyes */
	} else if (output->json || is_layout(output, "json")) {
		json_dumpf(line, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		json_array_append(output->rows, line);
		if (json_array_size(output->rows) == ROWS_MAX) {
			flush_rows(output);
		}
	}
	json_decref(line);
}

/* ---- passwords ---- */

static bool read_line(FILE *in, char *text, size_t size)
{
	if (!fgets(text, (int)size, in)) {
		return false;
	}
	text[strcspn(text, "\r\n")] = '\0';
	return true;
}

static bool ask(const char *prompt, char *text, size_t size)
{
	struct termios old;
	FILE *terminal = fopen("/dev/tty", "r+");
	if (!terminal || tcgetattr(fileno(terminal), &old)) {
		return false;
	}
	struct termios silent = old;
	silent.c_lflag &= (tcflag_t)~ECHO;
	tcsetattr(fileno(terminal), TCSAFLUSH, &silent);
	fputs(prompt, terminal);
	fflush(terminal);
	bool good = read_line(terminal, text, size);
	fputc('\n', terminal);
	tcsetattr(fileno(terminal), TCSAFLUSH, &old);
	fclose(terminal);
	return good;
}

/* From the terminal, twice; or the first line of stdin. Never from the command line, where `ps`
 * shows it. */
static int read_password(char *password)
{
	char again[PASSWORD_MAX];
	if (!isatty(STDIN_FILENO)) {
		return read_line(stdin, password, PASSWORD_MAX)
		           ? 0
		           : complain(EX_NOINPUT, "no password on stdin");
	}
	if (!ask("Password: ", password, PASSWORD_MAX) ||
	    !ask("Once more: ", again, sizeof again)) {
		return complain(EX_NOINPUT, "cannot read a password from the terminal");
	}
	bool same = strcmp(password, again) == 0;
	secret_cleanse(again, sizeof again);
	return same ? 0 : complain(EX_DATAERR, "the two are not the same");
}

/* ---- the daemon ---- */

/* -1 with errno. */
static int connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof address.sun_path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(address.sun_path, path, strlen(path));
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address)) {
		int fault = errno;
		close(fd);
		errno = fault;
		return -1;
	}
	return fd;
}

/* The request's bytes, with `file` beside them when it is not -1. */
static bool send_request(int fd, const char *text, int file)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} ancillary = { .bytes = { 0 } };
	struct iovec part = { .iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text) };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	if (file >= 0) {
		message.msg_control = &ancillary;
		message.msg_controllen = sizeof ancillary;
		ancillary.header.cmsg_level = SOL_SOCKET;
		ancillary.header.cmsg_type = SCM_RIGHTS;
		ancillary.header.cmsg_len = CMSG_LEN(sizeof file);
		memcpy(CMSG_DATA(&ancillary.header), &file, sizeof file);
	}
	return sendmsg(fd, &message, MSG_NOSIGNAL) == (ssize_t)strlen(text);
}

static char *make_request(const char *const *words, size_t count, const char *password)
{
	json_t *list = json_array();
	for (size_t i = 0; i < count; i++) {
		json_array_append_new(list, command_text(span_str(words[i])));
	}
	json_t *request = json_pack("{s:o}", "command", list);
	if (password) {
		json_object_set_new(request, "password",
		                    json_stringn_nocheck(password, strlen(password)));
	}
	char *dump = json_dumps(request, JSON_COMPACT | JSON_ENSURE_ASCII);
	json_decref(request);
	size_t len = dump ? strlen(dump) : 0;
	char *text = dump ? malloc(len + 2) : NULL;
	if (text) {
		memcpy(text, dump, len);
		memcpy(text + len, "\n", 2);
	}
	if (dump) {
		secret_cleanse(dump, len);
	}
	free(dump);
	return text;
}

/* Each line of the answer to `take`, with the reference, up to the last, which has `ok`. */
static bool ask_daemon(int fd, const char *request, int file,
                       void (*take)(void *context, json_t *line), void *context)
{
	FILE *in = fdopen(fd, "r");
	char *line = NULL;
	size_t size = 0;
	bool ended = false;
	bool sent = in && request && send_request(fd, request, file);
	while (sent && !ended && getline(&line, &size, in) > 0) {
		json_t *json = json_loads(line, 0, NULL);
		ended = json_object_get(json, "ok") != NULL;
		if (json) {
			take(context, json);
		}
	}
	free(line);
	if (in) {
		fclose(in);
	} else {
		close(fd);
	}
	return ended;
}

/* ---- without the daemon ---- */

static int run_alone(const struct command *command, struct command_call *call,
                     struct output *output)
{
	struct store_options options = {
		.size = (uint64_t)call->config->store_size,
		.longest_window = BUDGET_WINDOW_MAX,
	};
	if (!privs_make_dir(call->config->data_dir, call->config->user, 0700, &call->error) ||
	    !privs_drop(call->config->user, &call->error)) {
		return complain(EX_CANTCREAT, call->error.text);
	}
	enum store_result result = store_open(call->config->data_dir, &options, &call->store,
	                                      &call->error);
	if (result != STORE_OK) {
		return complain(result == STORE_IN_USE ? EX_TEMPFAIL : EX_DATAERR,
		                call->error.text);
	}
	call->emit = take_line;
	call->context = output;
	call->who = "gatepostctl, the daemon being down";
	output->good = command->run(call);
	output->ended = true;
	snprintf(output->error, sizeof output->error, "%s", call->error.text);
	store_close(call->store);
	return 0;
}

/* ---- commands that run here ---- */

/* The answer to a command of another command. */
struct inner {
	void (*take)(void *context, json_t *line);
	void *context;
	struct output end; /* only `ended`, `good` and `error` */
};

static void take_inner(void *context, json_t *line)
{
	struct inner *inner = context;
	if (json_object_get(line, "ok")) {
		take_line(&inner->end, line);
	} else if (json_object_get(line, "layout")) {
		json_decref(line);
	} else {
		inner->take(inner->context, line);
	}
}

static bool ask_inner(struct command_call *call, const char *const *words, size_t count,
                      void (*take)(void *context, json_t *line), void *context)
{
	struct inner inner = { .take = take, .context = context };
	int fd = call->config ? connect_to(call->config->control) : -1;
	if (fd < 0) {
		return command_fail(call, "gatepost can not be asked: %s",
		                    call->config ? strerror(errno) : "without configuration");
	}
	char *text = make_request(words, count, NULL);
	bool answered = ask_daemon(fd, text, call->file, take_inner, &inner);
	free(text);
	return (answered && inner.end.good) ||
	       command_fail(call, "%s",
	                    answered ? inner.end.error : "the daemon gave no answer");
}

static void run_here(const struct command *command, struct command_call *call,
                     struct output *output)
{
	call->emit = take_line;
	call->context = output;
	call->ask = ask_inner;
	call->who = "gatepostctl";
	output->good = command->run(call);
	output->ended = true;
	snprintf(output->error, sizeof output->error, "%s", call->error.text);
}

/* ---- command line ---- */

static int usage(FILE *out, int code)
{
	fputs("usage: gatepostctl [-c FILE] [--json] COMMAND\n\n", out);
	for (size_t i = 0; i < commands_count; i++) {
		char words[80];
		snprintf(words, sizeof words, "%s %s", commands[i].name, commands[i].arguments);
		fprintf(out, "  %-56s %s\n", words, commands[i].help);
	}
	return code;
}

static int finish(struct output *output)
{
	flush_rows(output);
	if (!output->good) {
		return complain(EXIT_FAILURE, output->error);
	}
	return fflush(stdout) ? EX_IOERR : 0;
}

/* The words of the command line, and how the answer is wanted. */
struct request {
	const struct command *command;
	const char *words[WORDS_MAX];
	size_t count;
	size_t used; /* of them by the command's name */
	bool json;
	bool help;
};

static int carry_out(const struct request *request, struct command_call *call,
                     struct output *output)
{
	const struct command *command = request->command;
	if (command->file == COMMAND_FILES_OWN) {
		run_here(command, call, output);
		return finish(output);
	}
	int fd = connect_to(call->config->control);
	if (fd >= 0) {
		char *text = make_request(request->words, request->count, call->password);
		bool answered = ask_daemon(fd, text, call->file, take_line, output);
		if (text) {
			secret_cleanse(text, strlen(text));
		}
		free(text);
		if (command->file == COMMAND_FILE_MADE &&
		    (fsync(call->file) || !output->good)) {
			unlink(call->argv[0]);
		}
		return answered ? finish(output)
		                : complain(EX_UNAVAILABLE, "the daemon gave no answer");
	}
	char text[300];
	snprintf(text, sizeof text, "%s: %s", call->config->control, strerror(errno));
	if (errno != ENOENT && errno != ECONNREFUSED) {
		return complain(errno == EACCES ? EX_NOPERM : EX_UNAVAILABLE, text);
	}
	if (!command->offline) {
		snprintf(text, sizeof text, "gatepost is not running (nobody at %s)",
		         call->config->control);
		return complain(EX_UNAVAILABLE, text);
	}
	int code = run_alone(command, call, output);
	return code ? code : finish(output);
}

static int run(const struct request *request, struct command_call *call)
{
	struct output output = { .rows = json_array(), .json = request->json };
	int code = carry_out(request, call, &output);
	json_decref(output.rows);
	return code;
}

static int open_file(const struct command *command, struct command_call *call)
{
	static const struct {
		int flags, fault;
	} ways[] = {
		[COMMAND_FILE_MADE] = { O_WRONLY | O_CREAT | O_EXCL, EX_CANTCREAT },
		[COMMAND_FILE_READ] = { O_RDONLY, EX_NOINPUT },
	};
	char text[300];
	if (command->file == COMMAND_FILE_NONE || command->file == COMMAND_FILES_OWN) {
		return 0;
	}
	call->file = open(call->argv[0], ways[command->file].flags | O_CLOEXEC, 0600);
	snprintf(text, sizeof text, "%s: %s", call->argv[0], strerror(errno));
	return call->file >= 0 ? 0 : complain(ways[command->file].fault, text);
}

/* What the command wants beside its words, then the command. */
static int prepare(const struct request *request, struct command_call *call)
{
	const struct command *command = request->command;
	char password[PASSWORD_MAX] = "";
	int code = command->wants_password ? read_password(password) : 0;
	call->argv = request->words + request->used;
	call->argc = request->count - request->used;
	call->password = command->wants_password ? password : NULL;
	code = code ? code : open_file(command, call);
	code = code ? code : run(request, call);
	secret_cleanse(password, sizeof password);
	return code;
}

/* False when it makes no sense. */
static bool read_words(int argc, char **argv, struct request *request, const char **path)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-c") == 0 && i + 1 < argc && !request->count) {
			*path = argv[++i];
		} else if (strcmp(argv[i], "--json") == 0) {
			request->json = true;
		} else if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
			request->help = true;
			return false;
		} else if (request->count == WORDS_MAX ||
		           (argv[i][0] == '-' && !request->count)) {
			return false;
		} else {
			request->words[request->count++] = argv[i];
		}
	}
	request->command = command_find(request->words, request->count, &request->used);
	size_t arguments = request->count - request->used;
	return request->command && arguments >= request->command->least &&
	       arguments <= request->command->most;
}

int main(int argc, char **argv)
{
	const char *path = DEFAULT_CONFIG;
	struct request request = { .count = 0 };
	if (!read_words(argc, argv, &request, &path)) {
		return request.help ? usage(stdout, 0) : usage(stderr, EX_USAGE);
	}
	struct error error = { "" };
	struct command_call call = { .file = -1, .config = config_load_alone(path, &error) };
	if (!call.config && request.command->file != COMMAND_FILES_OWN) {
		return complain(EX_CONFIG, error.text);
	}
	call.error = error; /* why there is none */
	int code = prepare(&request, &call);
	config_unref(call.config);
	return code;
}
