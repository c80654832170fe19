/* gatepostctl drill: would an answer to a notice come in, and count? */
#include "server/commands.h"

#include "auth/drill.h"
#include "server/suspension.h"
#include "server/wall.h"

static bool drill_run(struct command_write *write, struct store_txn *txn, int64_t now)
{
	struct suspend_rules rules = config_suspend_rules(write->call->config);
	return drill_begin(txn, &rules, now, wall_ms()) == STORE_OK;
}

static void emit_addressees(struct command_call *call)
{
	const struct config *config = call->config;
	command_layout(call, COMMAND_TABLE, "to");
	for (size_t i = 0; i < config->npostmaster; i++) {
		call->emit(call->context,
		           json_pack("{s:o}", "to", command_text(config->postmaster[i])));
	}
}

bool command_drill(struct command_call *call)
{
	struct command_write write = { .run = drill_run, .call = call, .act = "drill" };
	if (call->config->npostmaster == 0) {
		return command_fail(call, "postmaster is not configured: nobody is told of a "
		                          "suspension, and none happens");
	}
	if (!command_commit(&write)) {
		return false;
	}
	suspension_changed(call->server); /* a notice is due */
	emit_addressees(call);
	return true;
}
