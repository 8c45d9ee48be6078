/* What the parts of the hostile program share, part by part. main.c says what the program is. */
#ifndef OPJOURNAL_TESTS_HOSTILE_H
#define OPJOURNAL_TESTS_HOSTILE_H

#include "../abi.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

enum { STATUSES = OPJOURNAL_INTERNAL + 1, MOST_THREADS = 64, ROOM = 32 };

/* A set of statuses has the bit of each. */
#define BIT(status) (UINT32_C(1) << (status))

static inline bool is_one_of(opjournal_status status, uint32_t statuses) {
    return status >= 0 && status < STATUSES && (statuses & BIT(status)) != 0;
}

static inline void sleep_us(uint64_t microseconds) {
    const struct timespec moment = {(time_t)(microseconds / 1000000), (long)(microseconds % 1000000) * 1000};
    nanosleep(&moment, NULL);
}

/* main.c: what the command line asks for, and the threads that make the calls. */

typedef struct {
    uint64_t calls;
    uint64_t calls_of_each; /* of each thread */
    uint64_t seed;
    unsigned threads;
    char directory[512]; /* where the directory store is */
} hostile_plan;

typedef struct {
    unsigned number;
    uint64_t random;
    pthread_t thread;
    opjournal_buffer buffers[3];
    /* Of the call that it makes. */
    int function; /* by its row in the table of calls.c */
    uint64_t tag;
    opjournal_buffer *result; /* NULL now and then */
    /* For the watchdog, and for those who cancel. */
    _Atomic(const char *) doing;
    _Atomic uint64_t done; /* how many calls */
} worker;

extern hostile_plan plan;
extern worker workers[MOST_THREADS];
extern atomic_uint running; /* threads that still make calls */

/* A number from the environment. */
uint64_t setting(const char *name, uint64_t otherwise);

/* Ends the program: says what is wrong, and how to run it again. */
void broken(const char *form, ...) __attribute__((noreturn, format(printf, 1, 2)));

#define HOLDS(condition)                                                                                                                   \
    do {                                                                                                                                   \
        if (!(condition)) {                                                                                                                \
            broken("%s:%d: not so: %s", __FILE__, __LINE__, #condition);                                                                   \
        }                                                                                                                                  \
    } while (0)

/* splitmix64 */
static inline uint64_t draw(worker *self) {
    uint64_t z = self->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static inline uint64_t below(worker *self, uint64_t limit) {
    return draw(self) % limit;
}

static inline bool one_in(worker *self, uint64_t count) {
    return below(self, count) == 0;
}

/* handles.c: the handles that everybody uses and anybody may close. */

typedef struct {
    size_t size;
    _Atomic uint64_t handles[24];
} pool;

extern pool journals, namespaces, queues;

/* Every handle that was given out, so that all can be closed at the end, and looked at. While other threads run it needs the lock. */
extern struct ledger {
    pthread_mutex_t lock;
    uint64_t *handles;
    size_t count, room;
} ledger;

void given_out(uint64_t handle);

/* A handle, most often a good one. */
uint64_t pick(worker *self, pool *from);

/* Puts a new handle where everybody finds it, and returns the one that was there. */
uint64_t put(pool *into, size_t place, uint64_t handle);

/* The same at any place; the namespace that was there is closed. */
void put_namespace(worker *self, opjournal_namespace ns);

/* texts.c: texts that calls are given. */

/* In an allocation of exactly its size, without a NUL, and wiped and freed after the call: what reads past it or keeps it is seen. */
typedef struct {
    char *bytes;
    size_t len;
    size_t said; /* what the call is told of the length */
} text;

/* Each is spoiled now and then. */
text config_text(worker *self);
text name_text(worker *self);
text ops_text(worker *self);
text query_text(worker *self);
text segment_text(worker *self);
void text_free(text *borrowed);

/* calls.c: one call of any function, and what it may return. */

/* For a result; NULL now and then. */
opjournal_buffer *pick_buffer(worker *self);
void call_once(worker *self);
/* A result is JSON with a NUL behind it, whatever the status. */
void check_result(const char *whose, opjournal_status status, const opjournal_buffer *result);
/* Returns the members of an object: how often which function returned which status. */
void write_returned(FILE *file);
/* Every function was good for something. */
void check_returned(void);

extern _Atomic uint64_t log_records;
void take_log_record(void *context, int32_t level, const char *json, size_t len);

/* completions.c: every call that is accepted completes exactly once. */

extern _Atomic uint64_t completions;
void expect_completions(void);
/* The tag of a thread's call, and no other's. */
uint64_t tag_of(const worker *caller, uint64_t call);
void note_accepted(uint64_t tag);
void take_completions(worker *self, opjournal_completion *done, size_t count);
/* Gives a queue something to read. The status is that of the call. */
opjournal_status poke(opjournal_namespace ns, opjournal_queue queue);
/* At the end; returns how many were accepted. */
uint64_t check_completions(void);

/* keeper.c: what the main thread does: it opens what there is to begin with, keeps the others from waiting for ever, and closes everything. */

void stock(void);
void keep(worker *self);
void close_all(worker *self);
/* Puts a queue where everybody finds it; the one that was there is closed once it owes nothing. */
void put_queue(size_t place, opjournal_queue queue);

/* fork.c, signals.c, watchdog.c: what happens beside the calls. */

extern _Atomic uint64_t forks, signals_seen;
void fork_once(worker *self);
void start_signals(void);
void stop_signals(void);
void start_watchdog(void);
void stop_watchdog(void);

/* verdict.c: what must hold at the end. */

size_t open_descriptors(void);
void judge(uint64_t milliseconds, size_t descriptors_before);

#endif
