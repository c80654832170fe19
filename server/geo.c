#include "server/geo.h"

#include <errno.h>
#include <fcntl.h>
#include <maxminddb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/config.h"

#define PATHS_MAX   3
#define PROBE_STEPS 1000000 /* in a database, in which the field is looked for */
#define PROBE_DEPTH 256
#define DIGITS_MAX  10

struct geo {
	MMDB_s db;
};

/* Everybody calls it otherwise. */
static const char *const paths[][PATHS_MAX][3] = {
	[GEO_ASN] = { { "autonomous_system_number", NULL }, { "asn", NULL } },
	[GEO_COUNTRY] = { { "country", "iso_code", NULL },
	                  { "country_code", NULL },
	                  { "country", NULL } },
};

const char *geo_library(void)
{
	static char text[64];
	snprintf(text, sizeof text, "libmaxminddb %s", MMDB_lib_version());
	return text;
}

/* ---- fields ---- */

/* "AS64500", or without the letters. */
static uint32_t read_digits(struct span text)
{
	uint64_t number = 0;
	text = span_starts_nocase(text, SPAN_LIT("AS")) ? span_from(text, 2) : text;
	if (text.len == 0 || text.len > DIGITS_MAX) {
		return 0;
	}
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9') {
			return 0;
		}
		number = number * 10 + (uint64_t)(text.ptr[i] - '0');
	}
	return number <= UINT32_MAX ? (uint32_t)number : 0;
}

static uint32_t asn_of(const MMDB_entry_data_s *data)
{
	switch (data->type) {
	case MMDB_DATA_TYPE_UINT16:
		return data->uint16;
	case MMDB_DATA_TYPE_UINT32:
		return data->uint32;
	case MMDB_DATA_TYPE_UINT64:
		return data->uint64 <= UINT32_MAX ? (uint32_t)data->uint64 : 0;
	case MMDB_DATA_TYPE_UTF8_STRING:
		return read_digits(span_of(data->utf8_string, data->data_size));
	default:
		return 0;
	}
}

static bool is_letter(char c)
{
	c = span_lower(c);
	return c >= 'a' && c <= 'z';
}

/* Two letters, as one number in upper case; 0 for anything else. */
static uint32_t country_of(const MMDB_entry_data_s *data)
{
	const char *text = data->utf8_string;
	if (data->type != MMDB_DATA_TYPE_UTF8_STRING || data->data_size != 2 ||
	    !is_letter(text[0]) || !is_letter(text[1])) {
		return 0;
	}
	return (uint32_t)((text[0] & 0x5f) << 8 | (text[1] & 0x5f));
}

/* A field of an entry, 0: it has none. */
static uint32_t field_of(MMDB_entry_s *entry, enum geo_kind kind)
{
	uint32_t value = 0;
	for (size_t i = 0; value == 0 && i < PATHS_MAX && paths[kind][i][0]; i++) {
		MMDB_entry_data_s data;
		if (MMDB_aget_value(entry, &data, paths[kind][i]) == MMDB_SUCCESS &&
		    data.has_data) {
			value = kind == GEO_ASN ? asn_of(&data) : country_of(&data);
		}
	}
	return value;
}

/* ---- opening ---- */

/* A copy in memory. -1 with a reason. */
static int copy_file(const char *path, struct error *reason)
{
	struct stat found;
	off_t done = 0;
	int from = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int to = from < 0 ? -1 : memfd_create("gatepost-mmdb", MFD_CLOEXEC);
	bool good = to >= 0 && fstat(from, &found) == 0;
	const char *why = good ? NULL : strerror(errno);
	if (good && !S_ISREG(found.st_mode)) {
		why = "is no file";
	} else if (good && found.st_size > GEO_BYTES_MAX) {
		why = "is too large";
	}
	while (!why && done < found.st_size) {
		ssize_t n = sendfile(to, from, &done, (size_t)(found.st_size - done));
		why = n > 0 ? NULL : n == 0 ? "has become shorter" : strerror(errno);
	}
	if (from >= 0) {
		close(from);
	}
	if (why) {
		error_set(reason, "%s", why);
		if (to >= 0) {
			close(to);
		}
	}
	return why ? -1 : to;
}

static bool map(struct geo *geo, const char *path, struct error *reason)
{
	char name[64];
	int copy = copy_file(path, reason);
	if (copy < 0) {
		return false;
	}
	snprintf(name, sizeof name, "/proc/self/fd/%d", copy);
	int status = MMDB_open(name, MMDB_MODE_MMAP, &geo->db);
	close(copy);
	if (status != MMDB_SUCCESS) {
		error_set(reason, "is no good MMDB database: %s", MMDB_strerror(status));
	}
	return status == MMDB_SUCCESS;
}

/* Is there any such field among its first entries? Each node is met once, unless it is damaged:
 * then the stack or the count ends it. */
static bool has_field(const MMDB_s *db, enum geo_kind kind)
{
	uint64_t stack[PROBE_DEPTH] = { 0 };
	size_t depth = 1, steps = 0;
	while (depth && depth + 2 <= PROBE_DEPTH && steps < PROBE_STEPS) {
		MMDB_search_node_s node;
		if (MMDB_read_node(db, (uint32_t)stack[--depth], &node) != MMDB_SUCCESS) {
			return false;
		}
		const struct {
			uint8_t type;
			uint64_t record;
			MMDB_entry_s *entry;
		} side[2] = {
			{ node.right_record_type, node.right_record, &node.right_record_entry },
			{ node.left_record_type, node.left_record, &node.left_record_entry },
		};
		for (size_t i = 0; i < COUNT(side); i++, steps++) {
			if (side[i].type == MMDB_RECORD_TYPE_SEARCH_NODE) {
				stack[depth++] = side[i].record;
			} else if (side[i].type == MMDB_RECORD_TYPE_DATA &&
			           field_of(side[i].entry, kind)) {
				return true;
			}
		}
	}
	return false;
}

struct geo *geo_open(const char *path, enum geo_kind kind, struct error *reason)
{
	struct geo *geo = calloc(1, sizeof *geo);
	if (!geo) {
		error_set(reason, "no memory");
		return NULL;
	}
	if (!map(geo, path, reason)) {
		free(geo);
		return NULL;
	}
	if (!has_field(&geo->db, kind)) {
		error_set(reason, "has no %s in it, or is damaged",
		          kind == GEO_ASN ? "AS numbers" : "countries");
		geo_close(geo);
		return NULL;
	}
	return geo;
}

void geo_close(struct geo *geo)
{
	if (geo) {
		MMDB_close(&geo->db);
		free(geo);
	}
}

/* ---- looking up ---- */

/* IPv4 is a family of its own there. */
static struct sockaddr_storage address_of(const unsigned char address[NETWORK_ADDRESS_BYTES])
{
	union {
		struct sockaddr_storage any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} to = { .any = { .ss_family = AF_INET6 } };
	memcpy(&to.v6.sin6_addr, address, sizeof to.v6.sin6_addr);
	if (IN6_IS_ADDR_V4MAPPED(&to.v6.sin6_addr)) {
		to.v4 = (struct sockaddr_in){ .sin_family = AF_INET };
		memcpy(&to.v4.sin_addr, address + 12, sizeof to.v4.sin_addr);
	}
	return to.any;
}

static uint32_t look_up(const struct geo *geo, enum geo_kind kind,
                        const unsigned char address[NETWORK_ADDRESS_BYTES])
{
	if (!geo) {
		return 0;
	}
	struct sockaddr_storage to = address_of(address);
	int status = MMDB_SUCCESS;
	MMDB_lookup_result_s found = MMDB_lookup_sockaddr(&geo->db, (struct sockaddr *)&to,
	                                                  &status);
	return status == MMDB_SUCCESS && found.found_entry ? field_of(&found.entry, kind) : 0;
}

uint32_t geo_asn(const struct geo *geo, const unsigned char address[NETWORK_ADDRESS_BYTES])
{
	return look_up(geo, GEO_ASN, address);
}

void geo_country(const struct geo *geo, const unsigned char address[NETWORK_ADDRESS_BYTES],
                 char country_out[GEO_COUNTRY_MAX])
{
	uint32_t letters = look_up(geo, GEO_COUNTRY, address);
	country_out[0] = (char)(letters >> 8);
	country_out[1] = (char)(letters & 0xff);
	country_out[2] = '\0';
}

void geo_of(const struct config *config, const unsigned char address[NETWORK_ADDRESS_BYTES],
            uint32_t *asn_out, char country_out[GEO_COUNTRY_MAX])
{
	*asn_out = geo_asn(config->asn, address);
	geo_country(config->country, address, country_out);
}
