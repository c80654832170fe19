/*
 * A search for a password in all memory of this process. It never stands in clear in the
 * program. To be included by one file of a program.
 */
#ifndef GATEPOST_TEST_AUTH_RESIDUE_H
#define GATEPOST_TEST_AUTH_RESIDUE_H

#include "proto/span.h"

#include <stdio.h>

#define MASK        0x55
#define RESIDUE_LEN 24

static const unsigned char residue_masked[RESIDUE_LEN] = {
	0x0f, 0x24, 0x62, 0x78, 0x27, 0x30, 0x26, 0x3c, 0x31, 0x20, 0x30, 0x78,
	0x3a, 0x33, 0x78, 0x34, 0x78, 0x39, 0x3a, 0x32, 0x3c, 0x3b, 0x78, 0x70,
};

/* "Zq7-residue-of-a-login-%" never stands in clear in this program. */
static inline void unmask(char out[RESIDUE_LEN + 1])
{
	for (size_t i = 0; i < RESIDUE_LEN; i++) {
		out[i] = (char)(residue_masked[i] ^ MASK);
	}
	out[RESIDUE_LEN] = '\0';
}

__attribute__((noinline, no_sanitize("address", "thread"))) static size_t
count_in(const unsigned char *at, size_t len)
{
	size_t found = 0;
	for (size_t i = 0; i + RESIDUE_LEN <= len; i++) {
		size_t same = 0;
		while (same < RESIDUE_LEN && at[i + same] == (residue_masked[same] ^ MASK)) {
			same++;
		}
		found += same == RESIDUE_LEN;
	}
	return found;
}

/* In all writable memory of this process but the sanitizer's own great maps. */
static inline size_t count_copies(void)
{
	char line[1024];
	size_t found = 0;
	FILE *maps = fopen("/proc/self/maps", "r");
	assert_non_null(maps);
	while (fgets(line, sizeof line, maps)) {
		unsigned long from = 0;
		unsigned long to = 0;
		char mode[8] = "";
		if (sscanf(line, "%lx-%lx %7s", &from, &to, mode) == 3 &&
		    strncmp(mode, "rw-p", 4) == 0 && to - from <= (unsigned long)64 << 20) {
			found += count_in((const unsigned char *)from, to - from);
		}
	}
	fclose(maps);
	return found;
}

#endif
