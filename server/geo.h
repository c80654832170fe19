/*
 * Where an address is from: its autonomous system and its country, out of MMDB databases that
 * the site gets from somebody (MaxMind, DB-IP, the free sets). The wall to libmaxminddb. A
 * database is copied when it is opened: one that is written over in place while it is mapped
 * would end the process.
 */
#ifndef GATEPOST_SERVER_GEO_H
#define GATEPOST_SERVER_GEO_H

#include "proto/error.h"
#include "proto/network.h"

#define GEO_BYTES_MAX   ((int64_t)1 << 30)
#define GEO_COUNTRY_MAX 3 /* "DE" and a NUL */

struct geo;
struct config;

enum geo_kind { GEO_ASN, GEO_COUNTRY };

/* NULL with a reason: no MMDB database, a damaged one, or nothing of that kind in it. */
struct geo *geo_open(const char *path, enum geo_kind kind, struct error *reason);
/* NULL is accepted. */
void geo_close(struct geo *geo);

/* Any thread. NULL, and what is not in it: 0, and "". */
uint32_t geo_asn(const struct geo *geo, const unsigned char address[NETWORK_ADDRESS_BYTES]);
void geo_country(const struct geo *geo, const unsigned char address[NETWORK_ADDRESS_BYTES],
                 char country_out[GEO_COUNTRY_MAX]);

/* The same of the databases of a configuration. */
void geo_of(const struct config *config, const unsigned char address[NETWORK_ADDRESS_BYTES],
            uint32_t *asn_out, char country_out[GEO_COUNTRY_MAX]);

/* "libmaxminddb 1.7.1" */
const char *geo_library(void);

#endif
