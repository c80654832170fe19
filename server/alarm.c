#include "server/alarm.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "auth/facts.h"
#include "server/commands.h"
#include "server/log.h"

struct alarm {
	uv_process_t process;
	uv_pipe_t in;
	uv_write_t write;
	char *text;
	int handles; /* open ones of the two */
};

static void on_handle_closed(uv_handle_t *handle)
{
	struct alarm *alarm = handle->data;
	if (--alarm->handles == 0) {
		free(alarm->text);
		free(alarm);
	}
}

static void on_exit_of(uv_process_t *process, int64_t status, int signal)
{
	struct log_line line;
	log_begin(&line, status || signal ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, "alarm-ended");
	log_number(&line, "status", status);
	log_number(&line, "signal", signal);
	log_end(&line);
	uv_close((uv_handle_t *)process, on_handle_closed);
}

static void on_written(uv_write_t *write, int status)
{
	(void)status; /* it need not read */
	struct alarm *alarm = write->data;
	uv_close((uv_handle_t *)&alarm->in, on_handle_closed);
}

static char *facts_text(const struct incident *incident)
{
	struct bill bill;
	if (!bill_unpack(incident->reasons, &bill)) {
		memset(&bill, 0, sizeof bill);
	}
	json_t *networks = json_array();
	for (size_t i = 0; i < FACTS_NETWORKS && bill.facts.network[i].text[0]; i++) {
		json_array_append_new(networks,
		                      command_text(span_str(bill.facts.network[i].text)));
	}
	json_t *subjects = json_array();
	for (size_t i = 0; i < FACTS_SUBJECTS && bill.facts.subject[i][0]; i++) {
		json_array_append_new(subjects, command_text(span_str(bill.facts.subject[i])));
	}
	json_t *json = json_pack(
	    "{s:s, s:I, s:o, s:o, s:o, s:I, s:I, s:I, s:s, s:o, s:o}", "event", "suspended",
	    "incident", (json_int_t)incident->number, "account",
	    command_text(incident->account), "opened", command_time(incident->opened_wall),
	    "cause", command_text(incident->cause), "limit", (json_int_t)bill.limit.tokens,
	    "window_seconds", (json_int_t)(bill.limit.window / 1000), "spent",
	    (json_int_t)bill.spent, "apppass", bill.apppass, "networks", networks, "subjects",
	    subjects);
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	json_decref(json);
	return text;
}

static void spawn(struct alarm *alarm, uv_loop_t *loop, char *program)
{
	char *args[] = { program, NULL };
	uv_stdio_container_t stdio[3] = {
		{ .flags = UV_CREATE_PIPE | UV_READABLE_PIPE,
		  .data.stream = (uv_stream_t *)&alarm->in },
		{ .flags = UV_IGNORE },
		{ .flags = UV_INHERIT_FD, .data.fd = 2 },
	};
	uv_process_options_t options = {
		.file = program,
		.args = args,
		.exit_cb = on_exit_of,
		.stdio = stdio,
		.stdio_count = 3,
	};
	uv_pipe_init(loop, &alarm->in, 0);
	alarm->in.data = alarm->process.data = alarm->write.data = alarm;
	alarm->handles = 2;
	int status = uv_spawn(loop, &alarm->process, &options);
	if (status) {
		log_fault(LOG_LEVEL_ERROR, "alarm-failed", uv_strerror(status));
		uv_close((uv_handle_t *)&alarm->in, on_handle_closed);
		uv_close((uv_handle_t *)&alarm->process, on_handle_closed);
		return;
	}
	uv_buf_t bytes = uv_buf_init(alarm->text, (unsigned)strlen(alarm->text));
	uv_unref((uv_handle_t *)&alarm->process); /* it may outlive us */
	if (uv_write(&alarm->write, (uv_stream_t *)&alarm->in, &bytes, 1, on_written)) {
		uv_close((uv_handle_t *)&alarm->in, on_handle_closed);
	}
}

void alarm_run(struct server *server, uv_timer_t *timer, const struct incident *incident)
{
	struct config *config = server_config(server);
	struct alarm *alarm = config->on_suspend ? calloc(1, sizeof *alarm) : NULL;
	if (alarm) {
		alarm->text = facts_text(incident);
		if (alarm->text) {
			spawn(alarm, timer->loop, config->on_suspend);
		} else {
			free(alarm);
		}
	}
	config_unref(config);
}
