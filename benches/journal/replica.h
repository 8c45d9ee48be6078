/* What the parts of the replica (replica.c) share. */
#ifndef OPJOURNAL_BENCH_REPLICA_H
#define OPJOURNAL_BENCH_REPLICA_H

#include "opjournal.h"

#define MAP "objects"

/* Ends the process with a message. */
void fail(const char *what);
/* Ends the process unless a call did what it says. */
void check(opjournal_status status, const char *what, const opjournal_buffer *result);

/* In nanoseconds. */
int64_t wall(void);
int64_t thread_cpu(void);

/* A number that looks drawn; `state` goes on with each. */
uint64_t draw(uint64_t *state);

/* reads.c: measured reads, each answered by a line of JSON. */
void get(opjournal_namespace ns, uint64_t entries, int64_t count, int64_t stride);
void query(opjournal_namespace ns, int64_t count, const char *text);
void readers(opjournal_namespace ns, uint64_t entries, int64_t count, int64_t ms, int64_t stride);

/* allocations.c: what was asked of the allocator since the process began; 0 in a program without it. */
uint64_t allocated(void);

#endif
