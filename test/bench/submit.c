/*
 * A load generator: so many mail clients, each a thread with blocking TLS 1.3, submit mail as
 * fast as they are answered. Prints messages a second, the time from the final dot to its 250,
 * and the CPU time and memory of the server. Exits 1 when a message was refused or lost.
 *
 * --journal FILE gets `message-id fnv64-of-body nrcpt user` of every 250, to be compared with
 * the journal of the sink. --lossy is for crash tests: a lost connection, a 4xx and a refused
 * connect are expected, the client goes on with its next message until 10 s brought nothing.
 * The journal then gets the line with a `?` in front, too, before the final dot, when nobody
 * can know yet, and with a `!` when that was refused.
 * --pause MS between the messages of a client. After SIGTERM no new message is begun.
 * --idle N opens N sessions that log in and then say nothing, and prints what each costs.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "keep.h"
#include "link.h"

#define LOSSY_PATIENCE_US 10e6

struct options {
	unsigned port, clients, messages, reuse, recipients, size, users, pid, idle, pause;
	enum link_tls tls;
	bool pipelining, lossy, json;
	const char *user; /* a %d in it is the number of the user, from 1 */
	const char *pass;
	int journal;
};

struct load {
	struct options options;
	SSL_CTX *context;
	atomic_uint next;       /* messages that were taken up */
	unsigned long long run; /* makes message ids unique */
	struct buf body;
};

struct client {
	struct load *load;
	unsigned number;
	pthread_t thread;
	struct link link;
	unsigned on_link; /* messages through this connection */
	char user[256];
	struct buf out;
	double *times; /* microseconds from dot to 250 */
	unsigned taken, refused, lost;
	double last_success;
	char problem[600]; /* the first */
};

static double now_us(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static atomic_bool stopping;

static void stop(int number)
{
	(void)number;
	atomic_store(&stopping, true);
}

/* ---- one client ---- */

static void note(struct client *client, const char *where)
{
	if (!client->problem[0]) {
		snprintf(client->problem, sizeof client->problem, "%s: %s", where,
		         client->link.reply);
	}
}

/* The user's name: the pattern with its %d replaced. */
static void name_user(const struct options *options, unsigned number, char *out, size_t size)
{
	const char *hole = strstr(options->user, "%d");
	if (hole) {
		snprintf(out, size, "%.*s%u%s", (int)(hole - options->user), options->user,
		         number % options->users + 1, hole + 2);
	} else {
		snprintf(out, size, "%s", options->user);
	}
}

static bool connect_client(struct client *client)
{
	const struct options *options = &client->load->options;
	client->on_link = 0;
	if (!link_open(&client->link, client->load->context, options->port, options->tls)) {
		note(client, "connect");
		return false;
	}
	if (options->pass && link_login(&client->link, client->user, options->pass) != 235) {
		note(client, "login");
		link_close(&client->link);
		return false;
	}
	return true;
}

static void put_command(struct client *client, unsigned i)
{
	unsigned n = client->load->options.recipients;
	if (i == 0) {
		buf_printf(&client->out, "MAIL FROM:<%s>\r\n", client->user);
	} else if (i <= n) {
		buf_printf(&client->out, "RCPT TO:<r%u@recipients.example>\r\n", i);
	} else {
		buf_put_str(&client->out, "DATA\r\n");
	}
}

static bool send_out(struct client *client)
{
	bool ok = link_send(&client->link, buf_span(&client->out));
	buf_clear(&client->out);
	return ok;
}

/* MAIL, RCPT ... DATA; the code of the first reply that is not as it should be, or 354. */
static unsigned send_envelope(struct client *client)
{
	const struct options *options = &client->load->options;
	unsigned last = options->recipients + 1;
	unsigned bad = 0;
	for (unsigned i = 0; options->pipelining && i <= last; i++) {
		put_command(client, i);
	}
	for (unsigned i = 0; i <= last; i++) {
		if (!options->pipelining) {
			put_command(client, i);
		}
		if (client->out.len && !send_out(client)) {
			return 0;
		}
		unsigned code = link_reply(&client->link);
		if (code == 0) {
			return 0;
		}
		if (code != (i == last ? 354 : 250) && !bad) {
			note(client, "envelope");
			bad = code;
			if (!options->pipelining) {
				return bad;
			}
		}
	}
	return bad ? bad : 354;
}

static void put_text(struct client *client, unsigned message, char *id, size_t size)
{
	const struct load *load = client->load;
	snprintf(id, size, "<%llx.%u@bench.example>", load->run, message);
	buf_printf(&client->out,
	           "From: <%s>\r\nTo: <r1@recipients.example>\r\nSubject: message %u\r\n"
	           "Date: Wed, 25 Nov 2026 03:00:00 +0000\r\nMessage-ID: %s\r\n\r\n",
	           client->user, message, id);
}

/* One write a line: it is there even if we are killed next. */
static void write_journal(const struct options *options, const char *line)
{
	size_t n = strlen(line);
	if (options->journal >= 0 && write(options->journal, line, n) != (ssize_t)n) {
		perror("submit: journal");
		exit(1);
	}
}

/* The code of the answer that decides, 0 when the connection was lost. */
static unsigned send_message(struct client *client, unsigned message)
{
	const struct load *load = client->load;
	const struct options *options = &load->options;
	char id[100], line[500] = "? ";
	unsigned code = send_envelope(client);
	if (code != 354) {
		return code;
	}
	put_text(client, message, id, sizeof id);
	size_t header = client->out.len;
	buf_printf(&client->out, "%s\r\n", id); /* no two bodies are alike */
	buf_put(&client->out, buf_span(&load->body));
	if (options->journal >= 0) {
		struct span body = span_from(buf_span(&client->out), header);
		snprintf(line + 2, sizeof line - 2, "%s %016llx %u %s\n", id,
		         (unsigned long long)keep_fnv64(body), options->recipients,
		         client->user);
	}
	if (options->lossy) {
		write_journal(options, line);
	}
	buf_put_str(&client->out, ".\r\n");
	if (!link_send(&client->link, buf_span(&client->out))) {
		return 0;
	}
	double dot = now_us();
	code = link_reply(&client->link);
	if (code == 250) {
		client->times[client->taken++] = now_us() - dot;
		write_journal(options, line + 2);
	} else {
		note(client, "final dot");
		if (code && options->lossy) {
			line[0] = '!';
			write_journal(options, line);
		}
	}
	return code;
}

/* False when it is time to give up. */
static bool survive(struct client *client)
{
	bool going = client->load->options.lossy && !atomic_load(&stopping) &&
	             now_us() - client->last_success < LOSSY_PATIENCE_US;
	if (going) {
		usleep(20000);
	}
	return going;
}

static bool do_message(struct client *client, unsigned message)
{
	const struct options *options = &client->load->options;
	if (client->link.fd >= 0 && client->on_link == options->reuse) {
		link_quit(&client->link);
	}
	while (client->link.fd < 0 && !connect_client(client)) {
		if (!survive(client)) {
			client->lost++;
			return false;
		}
	}
	unsigned code = send_message(client, message);
	buf_clear(&client->out);
	client->on_link++;
	if (code == 250) {
		client->last_success = now_us();
		return true;
	}
	client->lost += code == 0;
	client->refused += code != 0;
	/* what is left of the transaction goes with the connection */
	link_close(&client->link);
	return code != 0 || survive(client);
}

static void *run_client(void *arg)
{
	struct client *client = arg;
	struct load *load = client->load;
	unsigned message;
	client->last_success = now_us();
	while (!atomic_load(&stopping) &&
	       (message = atomic_fetch_add(&load->next, 1)) < load->options.messages) {
		if (!do_message(client, message)) {
			break;
		}
		usleep(load->options.pause * 1000);
	}
	link_quit(&client->link);
	return NULL;
}

/* ---- the server's costs ---- */

/* Milliseconds of CPU that `pid` has used so far. */
static double cpu_ms(unsigned pid)
{
	char path[64];
	unsigned long user = 0, system = 0;
	snprintf(path, sizeof path, "/proc/%u/stat", pid);
	FILE *file = pid ? fopen(path, "r") : NULL;
	if (file) {
		if (fscanf(file, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
		           &user, &system) != 2) {
			user = system = 0;
		}
		fclose(file);
	}
	return (double)(user + system) * 1000.0 / (double)sysconf(_SC_CLK_TCK);
}

static double rss_kb(unsigned pid)
{
	char path[64];
	unsigned long pages = 0;
	snprintf(path, sizeof path, "/proc/%u/statm", pid);
	FILE *file = pid ? fopen(path, "r") : NULL;
	if (file) {
		if (fscanf(file, "%*u %lu", &pages) != 1) {
			pages = 0;
		}
		fclose(file);
	}
	return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1024.0;
}

static int run_idle(struct load *load)
{
	const struct options *options = &load->options;
	struct client *clients = calloc(options->idle, sizeof *clients);
	unsigned open = 0;
	double before = rss_kb(options->pid);
	for (; clients && open < options->idle; open++) {
		clients[open].load = load;
		name_user(options, open, clients[open].user, sizeof clients[open].user);
		if (!connect_client(&clients[open])) {
			fprintf(stderr, "submit: session %u: %s\n", open,
			        clients[open].problem);
			break;
		}
	}
	double each = open ? (rss_kb(options->pid) - before) / open : 0;
	printf(options->json ? "{\"idle\":%u,\"kb_per_session\":%.2f}\n"
	                     : "%u idle sessions: %.2f kB each\n",
	       open, each);
	bool ok = open == options->idle;
	while (open) {
		link_close(&clients[--open].link);
	}
	free(clients);
	return ok ? 0 : 1;
}

/* ---- the whole run ---- */

struct totals {
	unsigned taken, refused, lost;
	double seconds, cpu, p50, p99;
	const char *problem;
};

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;
	return (x > y) - (x < y);
}

static struct totals sum_up(struct client *clients, unsigned n, double *times)
{
	struct totals totals = { .problem = "" };
	for (unsigned i = 0; i < n; i++) {
		memcpy(times + totals.taken, clients[i].times,
		       clients[i].taken * sizeof *times);
		totals.taken += clients[i].taken;
		totals.refused += clients[i].refused;
		totals.lost += clients[i].lost;
		totals.problem = totals.problem[0] ? totals.problem : clients[i].problem;
	}
	qsort(times, totals.taken, sizeof *times, by_size);
	if (totals.taken) {
		totals.p50 = times[totals.taken / 2] / 1e3;
		totals.p99 = times[(size_t)totals.taken * 99 / 100] / 1e3;
	}
	return totals;
}

static void print_totals(const struct options *options, const struct totals *totals)
{
	double rate = totals->taken / totals->seconds;
	double cpu = totals->taken ? totals->cpu / totals->taken : 0;
	printf(
	    options->json
		? "{\"clients\":%u,\"reuse\":%u,\"recipients\":%u,\"size\":%u,\"taken\":%u,"
		  "\"refused\":%u,\"lost\":%u,\"seconds\":%.3f,\"messages_per_s\":%.1f,"
		  "\"recipients_per_s\":%.1f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,"
		  "\"cpu_ms_per_message\":%.4f}\n"
		: "%u clients, %u a connection, %u recipients, %u bytes: %u taken, %u refused, "
		  "%u lost in %.2f s; %.0f messages/s, %.0f recipients/s, dot to 250 p50 %.2f "
		  "ms, "
		  "p99 %.2f ms; %.3f ms of CPU a message\n",
	    options->clients, options->reuse, options->recipients, options->size, totals->taken,
	    totals->refused, totals->lost, totals->seconds, rate, rate * options->recipients,
	    totals->p50, totals->p99, cpu);
	if (totals->problem[0]) {
		fprintf(stderr, "submit: the first problem: %s\n", totals->problem);
	}
}

static void start_client(struct load *load, struct client *client, unsigned number)
{
	client->load = load;
	client->number = number;
	client->link.fd = -1;
	client->out.cap = (size_t)1 << 30;
	client->times = malloc(load->options.messages * sizeof *client->times);
	name_user(&load->options, number, client->user, sizeof client->user);
	if (!client->times || pthread_create(&client->thread, NULL, run_client, client)) {
		fprintf(stderr, "submit: cannot start client %u\n", number);
		exit(1);
	}
}

static int run_load(struct load *load)
{
	const struct options *options = &load->options;
	struct client *clients = calloc(options->clients, sizeof *clients);
	double *times = calloc(options->messages + 1, sizeof *times);
	if (!clients || !times) {
		return 1;
	}
	double cpu = cpu_ms(options->pid);
	double began = now_us();
	for (unsigned i = 0; i < options->clients; i++) {
		start_client(load, &clients[i], i);
	}
	for (unsigned i = 0; i < options->clients; i++) {
		pthread_join(clients[i].thread, NULL);
	}
	double seconds = (now_us() - began) / 1e6;
	struct totals totals = sum_up(clients, options->clients, times);
	totals.seconds = seconds;
	totals.cpu = cpu_ms(options->pid) - cpu;
	print_totals(options, &totals);
	bool all = totals.taken == options->messages;
	for (unsigned i = 0; i < options->clients; i++) {
		buf_done(&clients[i].out);
		free(clients[i].times);
	}
	free(clients);
	free(times);
	return all || options->lossy ? 0 : 1;
}

/* Lines of letters, as long as the option says; the id stands in front of it in each message.
 */
static void make_body(struct load *load)
{
	buf_init(&load->body, (size_t)load->options.size + 100);
	for (unsigned line = 0; load->body.len < load->options.size; line++) {
		for (unsigned i = 0; i < 74; i++) {
			buf_put_byte(&load->body, (char)('a' + (line * 7 + i * i) % 26));
		}
		buf_put_str(&load->body, line % 10 ? "\r\n" : ".\r\n");
	}
}

static unsigned number(const char *text, unsigned min)
{
	char *end = NULL;
	unsigned long value = strtoul(text, &end, 10);
	if (!*text || *end || value < min || value > 1U << 30) {
		fprintf(stderr, "submit: %s is no number from %u\n", text, min);
		exit(64);
	}
	return (unsigned)value;
}

static const struct option long_options[] = {
	{ "port", 1, NULL, 'p' },       { "plain", 0, NULL, 'P' },
	{ "starttls", 0, NULL, 'S' },   { "implicit", 0, NULL, 'I' },
	{ "user", 1, NULL, 'u' },       { "pass", 1, NULL, 'w' },
	{ "users", 1, NULL, 'U' },      { "clients", 1, NULL, 'c' },
	{ "messages", 1, NULL, 'm' },   { "reuse", 1, NULL, 'k' },
	{ "recipients", 1, NULL, 'r' }, { "size", 1, NULL, 's' },
	{ "pipelining", 0, NULL, 'l' }, { "journal", 1, NULL, 'j' },
	{ "pid", 1, NULL, 'i' },        { "idle", 1, NULL, 'd' },
	{ "lossy", 0, NULL, 'x' },      { "json", 0, NULL, 'J' },
	{ "pause", 1, NULL, 'z' },      { NULL, 0, NULL, 0 },
};

static const char usage[] =
    "usage: submit --port N [--starttls|--implicit|--plain] [--user NAME] [--pass WORD]\n"
    "  [--users N] [--clients N] [--messages M] [--reuse K] [--recipients R] [--size BYTES]\n"
    "  [--pipelining] [--journal FILE] [--pid PID] [--idle N] [--lossy] [--json]\n"
    "  [--pause MS]\n";

static void read_option(struct options *options, int option, const char *value)
{
	switch (option) {
	case 'p':
		options->port = number(value, 1);
		break;
	case 'P':
		options->tls = LINK_PLAIN;
		break;
	case 'S':
		options->tls = LINK_STARTTLS;
		break;
	case 'I':
		options->tls = LINK_IMPLICIT;
		break;
	case 'u':
		options->user = value;
		break;
	case 'w':
		options->pass = value;
		break;
	case 'U':
		options->users = number(value, 1);
		break;
	case 'c':
		options->clients = number(value, 1);
		break;
	case 'm':
		options->messages = number(value, 1);
		break;
	case 'k':
		options->reuse = number(value, 1);
		break;
	case 'r':
		options->recipients = number(value, 1);
		break;
	case 's':
		options->size = number(value, 0);
		break;
	case 'l':
		options->pipelining = true;
		break;
	case 'i':
		options->pid = number(value, 1);
		break;
	case 'd':
		options->idle = number(value, 1);
		break;
	case 'z':
		options->pause = number(value, 0);
		break;
	case 'x':
		options->lossy = true;
		break;
	case 'J':
		options->json = true;
		break;
	case 'j':
		options->journal = open(value, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
		if (options->journal < 0) {
			perror(value);
			exit(1);
		}
		break;
	default:
		fputs(usage, stderr);
		exit(64);
	}
}

int main(int argc, char **argv)
{
	struct timespec start;
	clock_gettime(CLOCK_REALTIME, &start);
	struct load load = {
		.options = { .clients = 1,
		             .messages = 1,
		             .reuse = 1,
		             .recipients = 1,
		             .size = 5000,
		             .users = 1,
		             .user = "user%d@example.org",
		             .tls = LINK_STARTTLS,
		             .journal = -1 },
		.context = link_context(),
		.run = (unsigned long long)start.tv_sec * 1000000000ULL +
		       (unsigned long long)start.tv_nsec,
	};
	int option;
	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		read_option(&load.options, option, optarg);
	}
	if (!load.options.port || !load.context) {
		fputs(usage, stderr);
		return 64;
	}
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, stop);
	make_body(&load);
	int code = load.options.idle ? run_idle(&load) : run_load(&load);
	buf_done(&load.body);
	SSL_CTX_free(load.context);
	return code;
}
