/* The reads of a replica: one thread that reads, and many at once. */
#define _GNU_SOURCE /* RUSAGE_THREAD */
#include "replica.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define MOST_READERS 64
/* Calls of a reader before it is measured: they allocate its buffer. */
#define WARM_UP 1000

/* A MapGet whose key is spelled anew for each call. */
struct map_get {
    char text[96];
    size_t len;
    char *digits_end;
    uint64_t entries;
    uint64_t random;
    int64_t stride;
    opjournal_buffer result;
};

static void map_get_begin(struct map_get *call, uint64_t entries, int64_t stride)
{
    static const char text[] = "{\"op\":\"MapGet\",\"Key\":\"" MAP "\",\"MapKey\":\"object/00000000\"}";
    memset(call, 0, sizeof *call);
    memcpy(call->text, text, sizeof text);
    call->len = sizeof text - 1;
    call->digits_end = strrchr(call->text, '"');
    call->entries = entries;
    call->stride = stride;
    call->random = (uint64_t)wall() ^ (uint64_t)(uintptr_t)call;
}

static void map_get_call(struct map_get *call, opjournal_namespace ns)
{
    static const char found[] = "{\"found\":true,";
    uint64_t number = call->stride ? draw(&call->random) % call->entries : call->entries / 2;
    /* The digits at their places: snprintf would take longer than the query. */
    for (char *digit = call->digits_end - 1; digit > call->digits_end - 9; digit--, number /= 10)
        *digit = (char)('0' + number % 10);
    opjournal_status status = opjournal_query(ns, call->text, call->len, &call->result);
    if (status != OPJOURNAL_OK || memcmp(call->result.data, found, sizeof found - 1) != 0) {
        check(status, "opjournal_query", &call->result);
        fail("an entry is not there");
    }
}

/* The answer of what was done several times: how long one took. */
static void print_one(int64_t took, int64_t worked, int64_t count)
{
    printf("{\"wall\":%.1f,\"cpu\":%.1f}\n", (double)took / (double)count, (double)worked / (double)count);
}

void get(opjournal_namespace ns, uint64_t entries, int64_t count, int64_t stride)
{
    struct map_get call;
    map_get_begin(&call, entries, stride);
    int64_t begun = wall(), worked = thread_cpu();
    for (int64_t index = 0; index < count; index++)
        map_get_call(&call, ns);
    worked = thread_cpu() - worked;
    print_one(wall() - begun, worked, count);
    opjournal_buffer_free(&call.result);
}

void query(opjournal_namespace ns, int64_t count, const char *text)
{
    opjournal_buffer result = {NULL, 0, 0};
    size_t len = strlen(text);
    int64_t begun = wall(), worked = thread_cpu();
    for (int64_t index = 0; index < count; index++)
        check(opjournal_query(ns, text, len, &result), "opjournal_query", &result);
    worked = thread_cpu() - worked;
    print_one(wall() - begun, worked, count);
    opjournal_buffer_free(&result);
}

/*
 * How often each time was seen: the times below 128 ns one by one, and 64 steps for each doubling from there on. So a time
 * is told to one part in 64, and counting one is quick.
 */
#define STEPS_SHIFT 6
#define STEPS 4096

static size_t step_of(uint64_t nanoseconds)
{
    unsigned shift = 0;
    while (nanoseconds >> shift >= 2u << STEPS_SHIFT)
        shift++;
    return ((size_t)shift << STEPS_SHIFT) + (size_t)(nanoseconds >> shift);
}

static uint64_t time_of(size_t step)
{
    size_t shift = step >> STEPS_SHIFT;
    shift -= shift > 0;
    return (uint64_t)(step - (shift << STEPS_SHIFT)) << shift;
}

struct reader {
    pthread_t thread;
    pthread_barrier_t *ready;
    opjournal_namespace ns;
    struct map_get call;
    int64_t ms;
    int64_t calls;
    int64_t took;
    long waits;
    uint64_t seen[STEPS];
};

/* How often this thread gave its core away because it had to wait for something. That it was made to give it away is no wait. */
static long waits(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_THREAD, &usage) != 0)
        fail("getrusage failed");
    return usage.ru_nvcsw;
}

static void *read_on(void *argument)
{
    struct reader *reader = argument;
    for (int index = 0; index < WARM_UP; index++)
        map_get_call(&reader->call, reader->ns);
    pthread_barrier_wait(reader->ready);
    long waited = waits();
    int64_t begun = wall(), last = begun;
    while (last - begun < reader->ms * 1000000) {
        map_get_call(&reader->call, reader->ns);
        int64_t now = wall();
        reader->seen[step_of((uint64_t)(now - last))]++;
        reader->calls++;
        last = now;
    }
    reader->took = last - begun;
    reader->waits = waits() - waited;
    return NULL;
}

/* The time that a share of the calls did not exceed. */
static uint64_t quantile(const uint64_t *seen, int64_t calls, double share)
{
    uint64_t passed = 0;
    size_t step = 0;
    while (step < STEPS - 1 && (double)(passed += seen[step]) < share * (double)calls)
        step++;
    return time_of(step);
}

void readers(opjournal_namespace ns, uint64_t entries, int64_t count, int64_t ms, int64_t stride)
{
    pthread_barrier_t ready;
    if (count > MOST_READERS)
        fail("too many readers");
    struct reader *all = calloc((size_t)count, sizeof *all);
    if (!all || pthread_barrier_init(&ready, NULL, (unsigned)count) != 0)
        fail("no memory");
    for (int64_t index = 0; index < count; index++) {
        struct reader *reader = &all[index];
        reader->ready = &ready;
        reader->ns = ns;
        reader->ms = ms;
        map_get_begin(&reader->call, entries, stride);
        if (pthread_create(&reader->thread, NULL, read_on, reader) != 0)
            fail("no thread");
    }
    /* What all of them saw is gathered at the first. */
    int64_t calls = 0;
    long waited = 0;
    double rate = 0;
    for (int64_t index = 0; index < count; index++) {
        struct reader *reader = &all[index];
        if (pthread_join(reader->thread, NULL) != 0)
            fail("a reader is lost");
        calls += reader->calls;
        waited += reader->waits;
        rate += (double)reader->calls / (double)reader->took * 1e9;
        for (size_t step = 0; index > 0 && step < STEPS; step++)
            all->seen[step] += reader->seen[step];
        opjournal_buffer_free(&reader->call.result);
    }
    printf("{\"rate\":%.0f,\"median\":%" PRIu64 ",\"p999\":%" PRIu64 ",\"most\":%" PRIu64 ",\"waits\":%ld}\n", rate,
           quantile(all->seen, calls, 0.5), quantile(all->seen, calls, 0.999), quantile(all->seen, calls, 1), waited);
    pthread_barrier_destroy(&ready);
    free(all);
}
