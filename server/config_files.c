/* The files of others that the configuration names: who is behind a list, and where an address
 * is from. */
#include "server/config_load.h"
#include "server/geo.h"

static bool read_lists(struct config_load *load)
{
	struct config *config = load->config;
	const struct lists_rules rules = {
		.block = config->list,
		.nblocks = config->nlists,
		.file = config->list_file,
		.nfiles = config->nlist_files,
		.domain = span_str(config->domain),
	};
	struct lists_fault fault;
	if (lists_read(&rules, &config->memory, &config->lists, &fault)) {
		return true;
	}
	if (fault.where == LISTS_FILE) {
		return config_load_fail_key(load, "list_files", fault.source + 1, "%s",
		                            fault.error.text);
	}
	if (fault.where == LISTS_BLOCK) {
		const char *title = config->list[fault.source].address;
		return config_load_fail(
		    load, config_load_line(load, CONFIG_LIST, title, "members_file", 0),
		    config_name_key(CONFIG_LIST, title, "members_file").text, "%s",
		    fault.error.text);
	}
	error_set(load->error, "%s", fault.error.text);
	return false;
}

static bool open_database(struct config_load *load, const char *key, const char *path,
                          enum geo_kind kind, struct geo **geo_out)
{
	struct error reason;
	*geo_out = path ? geo_open(path, kind, &reason) : NULL;
	return !path || *geo_out ||
	       config_load_fail_key(load, key, 0, "\"%.200s\": %s", path, reason.text);
}

static bool open_databases(struct config_load *load)
{
	struct config *config = load->config;
	return open_database(load, "asn_database", config->asn_database, GEO_ASN,
	                     &config->asn) &&
	       open_database(load, "geoip_database", config->geoip_database, GEO_COUNTRY,
	                     &config->country);
}

bool config_check_files(struct config_load *load)
{
	return read_lists(load) && open_databases(load);
}
