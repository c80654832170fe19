/*
 * What auth/familiar.c and auth/familiar_learn.c share: time as a history counts it, and the
 * networks of a head. Nobody else includes this.
 */
#ifndef GATEPOST_AUTH_FAMILIAR_HEAD_H
#define GATEPOST_AUTH_FAMILIAR_HEAD_H

#include "auth/familiar.h"

#define FAMILIAR_HOUR ((int64_t)3600 * 1000)

uint16_t familiar_day(int64_t at);
uint8_t familiar_month(int64_t at);
int64_t familiar_hour(int64_t at);

/* Is it a contact no more? */
bool familiar_is_forgotten(const struct familiar_rules *rules,
                           const struct history_contact *contact, int64_t now);
/* Is there history enough to charge by? */
bool familiar_is_learned(const struct history_head *head, int64_t now);
bool familiar_is_unused(const struct familiar_rules *rules,
                        const struct history_network *network, int64_t now);
/* Within 24 hours; never at 0. */
bool familiar_is_recent(int64_t at, int64_t now);

/* NULL when it is not there. */
struct history_network *familiar_find(struct history_head *head, uint64_t digest);
/* A new one. Where all places are taken the one unused for longest goes, unripe first, barred
 * last. */
struct history_network *familiar_meet(struct store_txn *txn, struct span account,
                                      struct history_head *head, uint64_t digest, int64_t now);
/* Leaves a free place; a ripe one is shared by one less. */
void familiar_drop(struct store_txn *txn, struct span account, struct history_network *network);
void familiar_drop_barred(struct history_head *head);
/* A password that is newer than the one of their time opens the bars: those networks begin
 * anew. */
void familiar_lift_bars(struct history_head *head, int64_t changed_wall);
/* True when it changed. */
bool familiar_note_country(struct history_network *network, const struct origin *origin);

#endif
