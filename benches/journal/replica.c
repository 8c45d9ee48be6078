/*
 * One replica, for `make bench`: a process that does what standard input says with the shared library as it is installed,
 * and measures it. Times are nanoseconds, memory is bytes; each command is answered by one line of JSON.
 *
 *     replica CONFIG                       opens a journal, and answers {}
 *
 *     open NAMESPACE                       opens a namespace, once: {"wall","cpu"}
 *     opens PREFIX COUNT                   opens the namespaces PREFIX0, PREFIX1, ..., and says nothing about them: {"wall","cpu"}
 *     idle MS                              does nothing for MS milliseconds, while the library goes on: {"wall","cpu"}
 *     memory                               {"resident","peak","allocated"}; the last is 0 in a program without allocations.c
 *     get NAMESPACE ENTRIES COUNT STRIDE   COUNT MapGets; STRIDE 1: at random, 0: always the same key. {"wall","cpu"} of one call
 *     query NAMESPACE COUNT QUERY          COUNT times the same query, spelled without spaces: {"wall","cpu"} of one
 *     readers NAMESPACE ENTRIES N MS STRIDE
 *                                          N threads with MapGets for MS milliseconds: how many they make a second together; the
 *                                          median, the 99.9th percentile and the longest of single calls; how often a reader had
 *                                          to wait: {"rate","median","p999","most","waits"}
 *     apply NAMESPACE ENTRIES COUNT OPS    COUNT batches of OPS ops, one after the other: {"walls":[...],"cpus":[...]}
 *     append NAMESPACE COUNT OPS           the same with appends to a list
 *     flush NAMESPACE COUNT                COUNT Flushes, one after the other: {"walls":[...],"cpus":[...]}
 *     flushes NAMESPACE COUNT              COUNT Flushes at once: {"wall"}
 *     callers NAMESPACE ENTRIES N MS       N callers, each with one op at a time, for MS milliseconds: {"ops","wall","cpu"}
 *     stats                                the answer of opjournal_stats
 *
 * Ops are MapSets of entries that are drawn at random, or ListAppends, on the name "objects". Any failure ends the process
 * with a message and status 1.
 */
#include "replica.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MOST_NAMESPACES 8
#define MOST_CALLERS 1024
/* One op as text takes less. */
#define OP_BYTES 160
/* What the library still does after a call returned is counted as well, if it is done within this time. */
#define AFTERMATH_MS 20

static opjournal_journal journal;
static struct {
    char name[64];
    opjournal_namespace handle;
} namespaces[MOST_NAMESPACES];
static int namespace_count;
static opjournal_buffer answer;
static uint64_t random_state;

void fail(const char *what)
{
    fprintf(stderr, "replica: %s\n", what);
    exit(1);
}

void check(opjournal_status status, const char *what, const opjournal_buffer *result)
{
    if (status != OPJOURNAL_OK) {
        fprintf(stderr, "replica: %s: %s %s\n", what, opjournal_status_name(status), result->data ? result->data : "");
        exit(1);
    }
}

static int64_t now(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

int64_t wall(void)
{
    return now(CLOCK_MONOTONIC);
}

static int64_t cpu(void)
{
    return now(CLOCK_PROCESS_CPUTIME_ID);
}

int64_t thread_cpu(void)
{
    return now(CLOCK_THREAD_CPUTIME_ID);
}

static void rest(int64_t ms)
{
    struct timespec time = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    nanosleep(&time, NULL);
}

/* SplitMix64. */
uint64_t draw(uint64_t *state)
{
    uint64_t mixed = *state += 0x9e3779b97f4a7c15u;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return mixed ^ (mixed >> 31);
}

static opjournal_namespace find(const char *name)
{
    for (int index = 0; index < namespace_count; index++)
        if (strcmp(namespaces[index].name, name) == 0)
            return namespaces[index].handle;
    fail("a namespace that was not opened");
    return 0;
}

static void open_namespace(const char *name)
{
    if (namespace_count == MOST_NAMESPACES)
        fail("too many namespaces");
    int64_t begun = wall(), worked = cpu();
    opjournal_status status = opjournal_namespace_open(journal, name, strlen(name), 120000, &namespaces[namespace_count].handle, &answer);
    int64_t took = wall() - begun;
    check(status, "opjournal_namespace_open", &answer);
    rest(AFTERMATH_MS);
    snprintf(namespaces[namespace_count++].name, sizeof namespaces[0].name, "%s", name);
    printf("{\"wall\":%" PRId64 ",\"cpu\":%" PRId64 "}\n", took, cpu() - worked);
}

static void open_many(const char *prefix, int64_t count)
{
    int64_t begun = wall(), worked = cpu();
    for (int64_t index = 0; index < count; index++) {
        char name[80];
        opjournal_namespace ns;
        int len = snprintf(name, sizeof name, "%s%" PRId64, prefix, index);
        check(opjournal_namespace_open(journal, name, (size_t)len, OPJOURNAL_TIMEOUT_DEFAULT, &ns, &answer), "opjournal_namespace_open", &answer);
    }
    printf("{\"wall\":%" PRId64 ",\"cpu\":%" PRId64 "}\n", wall() - begun, cpu() - worked);
}

static void idle(int64_t ms)
{
    int64_t begun = wall(), worked = cpu();
    rest(ms);
    printf("{\"wall\":%" PRId64 ",\"cpu\":%" PRId64 "}\n", wall() - begun, cpu() - worked);
}

/* A line such as "Rss:   1234 kB" of a file of /proc, in bytes. */
static int64_t kilobytes(const char *path, const char *label)
{
    char line[256];
    long long found = -1;
    FILE *file = fopen(path, "r");
    if (!file)
        fail("cannot read /proc");
    while (found < 0 && fgets(line, sizeof line, file))
        if (strncmp(line, label, strlen(label)) == 0)
            found = atoll(line + strlen(label));
    fclose(file);
    if (found < 0)
        fail("/proc does not tell the memory");
    return (int64_t)found * 1024;
}

/* Stands in where allocations.c is not linked. */
__attribute__((weak)) uint64_t allocated(void)
{
    return 0;
}

static void memory(void)
{
    printf("{\"resident\":%" PRId64 ",\"peak\":%" PRId64 ",\"allocated\":%" PRIu64 "}\n", kilobytes("/proc/self/smaps_rollup", "Rss:"),
           kilobytes("/proc/self/status", "VmHWM:"), allocated());
}

/* 46 bytes, and nothing that repeats. */
static size_t write_value(char *out)
{
    return (size_t)sprintf(out, "\"%016" PRIx64 "%016" PRIx64 "%014" PRIx64 "\"", draw(&random_state), draw(&random_state),
                           draw(&random_state) >> 8);
}

/* Writes a MapSet of a drawn entry, or where there are no entries a ListAppend. */
static size_t write_op(char *out, uint64_t entries)
{
    size_t len;
    if (entries > 0)
        len = (size_t)sprintf(out, "{\"op\":\"MapSet\",\"Key\":\"" MAP "\",\"MapKey\":\"object/%08" PRIu64 "\",\"Value\":",
                              draw(&random_state) % entries);
    else
        len = (size_t)sprintf(out, "{\"op\":\"ListAppend\",\"Key\":\"" MAP "\",\"Value\":");
    len += write_value(out + len);
    out[len++] = '}';
    return len;
}

/* The answer of what was done several times: how long each took. */
static void print_each(const int64_t *walls, const int64_t *cpus, int64_t count)
{
    printf("{\"walls\":[");
    for (int64_t index = 0; index < count; index++)
        printf("%s%" PRId64, index ? "," : "", walls[index]);
    printf("],\"cpus\":[");
    for (int64_t index = 0; index < count; index++)
        printf("%s%" PRId64, index ? "," : "", cpus[index]);
    printf("]}\n");
}

static void apply(opjournal_namespace ns, uint64_t entries, int64_t count, int64_t ops)
{
    char *batch = malloc((size_t)ops * OP_BYTES + 2);
    int64_t *walls = malloc(2 * (size_t)count * sizeof *walls), *cpus = walls + count;
    if (!batch || !walls)
        fail("no memory");
    for (int64_t index = 0; index < count; index++) {
        size_t len = 0;
        for (int64_t op = 0; op < ops; op++) {
            batch[len++] = op ? ',' : '[';
            len += write_op(batch + len, entries);
        }
        batch[len++] = ']';
        int64_t begun = wall(), worked = cpu();
        opjournal_status status = opjournal_apply(ns, batch, len, OPJOURNAL_TIMEOUT_DEFAULT, &answer);
        walls[index] = wall() - begun;
        cpus[index] = cpu() - worked;
        check(status, "opjournal_apply", &answer);
    }
    print_each(walls, cpus, count);
    free(batch);
    free(walls);
}

static void flush(opjournal_namespace ns, int64_t count)
{
    int64_t *walls = malloc(2 * (size_t)count * sizeof *walls), *cpus = walls + count;
    if (!walls)
        fail("no memory");
    for (int64_t index = 0; index < count; index++) {
        int64_t begun = wall(), worked = cpu();
        opjournal_status status = opjournal_flush(ns, OPJOURNAL_TIMEOUT_DEFAULT, &answer);
        walls[index] = wall() - begun;
        check(status, "opjournal_flush", &answer);
        rest(AFTERMATH_MS);
        cpus[index] = cpu() - worked;
    }
    print_each(walls, cpus, count);
    free(walls);
}

static void flush_at_once(opjournal_namespace ns, int64_t count)
{
    opjournal_queue queue;
    check(opjournal_queue_open((uint32_t)count, &queue, &answer), "opjournal_queue_open", &answer);
    int64_t begun = wall();
    for (int64_t index = 0; index < count; index++)
        check(opjournal_flush_async(ns, queue, 0, OPJOURNAL_TIMEOUT_DEFAULT, &answer), "opjournal_flush_async", &answer);
    for (int64_t index = 0; index < count; index++) {
        opjournal_completion done;
        size_t ready = 0;
        check(opjournal_queue_wait(queue, &done, 1, OPJOURNAL_TIMEOUT_NEVER, &ready), "opjournal_queue_wait", &answer);
        check(done.status, "a Flush", &done.result);
        opjournal_buffer_free(&done.result);
    }
    printf("{\"wall\":%" PRId64 "}\n", wall() - begun);
    check(opjournal_queue_close(queue), "opjournal_queue_close", &answer);
}

static void submit(opjournal_namespace ns, opjournal_queue queue, uint64_t entries)
{
    char op[OP_BYTES];
    check(opjournal_apply_async(ns, queue, 0, op, write_op(op, entries), OPJOURNAL_TIMEOUT_DEFAULT, &answer), "opjournal_apply_async", &answer);
}

/* Callers that each submit their next op when they hear of the last one. */
static void callers(opjournal_namespace ns, uint64_t entries, int64_t count, int64_t ms)
{
    static opjournal_completion done[MOST_CALLERS];
    opjournal_queue queue;
    if (count > MOST_CALLERS)
        fail("too many callers");
    check(opjournal_queue_open((uint32_t)count, &queue, &answer), "opjournal_queue_open", &answer);
    for (int64_t index = 0; index < count; index++)
        submit(ns, queue, entries);
    int64_t waiting = count, acknowledged = 0, begun = wall(), worked = cpu(), took = 0, work = 0;
    while (waiting > 0) {
        size_t ready = 0;
        check(opjournal_queue_wait(queue, done, MOST_CALLERS, OPJOURNAL_TIMEOUT_NEVER, &ready), "opjournal_queue_wait", &answer);
        for (size_t index = 0; index < ready; index++) {
            check(done[index].status, "a batch", &done[index].result);
            opjournal_buffer_free(&done[index].result);
        }
        waiting -= (int64_t)ready;
        if (took > 0)
            continue;
        acknowledged += (int64_t)ready;
        if (wall() - begun >= ms * 1000000) {
            took = wall() - begun;
            work = cpu() - worked;
            continue;
        }
        for (size_t index = 0; index < ready; index++, waiting++)
            submit(ns, queue, entries);
    }
    check(opjournal_queue_close(queue), "opjournal_queue_close", &answer);
    printf("{\"ops\":%" PRId64 ",\"wall\":%" PRId64 ",\"cpu\":%" PRId64 "}\n", acknowledged, took, work);
}

/* Does what a line says; whether it is a command. */
static bool obey(const char *line)
{
    char command[16], name[64], text[160];
    int64_t a = 0, b = 0, c = 0, d = 0;
    int words = sscanf(line, "%15s %63s %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64, command, name, &a, &b, &c, &d);
    if (words == 2 && strcmp(command, "open") == 0)
        open_namespace(name);
    else if (words == 3 && strcmp(command, "opens") == 0 && a > 0)
        open_many(name, a);
    else if (words == 2 && strcmp(command, "idle") == 0 && atoll(name) > 0)
        idle(atoll(name));
    else if (words == 1 && strcmp(command, "memory") == 0)
        memory();
    else if (words == 5 && strcmp(command, "get") == 0 && a > 0 && b > 0)
        get(find(name), (uint64_t)a, b, c);
    else if (strcmp(command, "query") == 0 && a > 0 && sscanf(line, "%*s %*s %*s %159s", text) == 1)
        query(find(name), a, text);
    else if (words == 6 && strcmp(command, "readers") == 0 && a > 0 && b > 0 && c > 0)
        readers(find(name), (uint64_t)a, b, c, d);
    else if (words == 5 && strcmp(command, "apply") == 0 && a > 0 && b > 0 && c > 0)
        apply(find(name), (uint64_t)a, b, c);
    else if (words == 4 && strcmp(command, "append") == 0 && a > 0 && b > 0)
        apply(find(name), 0, a, b);
    else if (words == 3 && strcmp(command, "flush") == 0 && a > 0)
        flush(find(name), a);
    else if (words == 3 && strcmp(command, "flushes") == 0 && a > 0)
        flush_at_once(find(name), a);
    else if (words == 5 && strcmp(command, "callers") == 0 && a > 0 && b > 0)
        callers(find(name), (uint64_t)a, b, c);
    else if (words == 1 && strcmp(command, "stats") == 0) {
        check(opjournal_stats(journal, &answer), "opjournal_stats", &answer);
        printf("%s\n", answer.data);
    } else
        return false;
    return true;
}

int main(int argc, char **argv)
{
    char line[256];
    if (argc != 2)
        fail("usage: replica CONFIG");
    random_state = (uint64_t)wall();
    check(opjournal_open(argv[1], strlen(argv[1]), &journal, &answer), "opjournal_open", &answer);
    printf("{}\n");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        if (!obey(line))
            fail("an unknown command");
        fflush(stdout);
    }
    check(opjournal_close(journal, OPJOURNAL_TIMEOUT_DEFAULT, &answer), "opjournal_close", &answer);
    opjournal_buffer_free(&answer);
    return 0;
}
