/*
 * The inner paths that lead through the C ABI, for `make instructions`; the others are in src/main.rs, which says how both are used.
 *
 *     abi                          the names of the paths
 *     abi PATH DIRECTORY           takes a path some times on the rollup in the directory, and prints how many times
 *
 * Callgrind counts what the calling thread does in opjournal_query, in the library as it is installed.
 */
#include "opjournal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As in src/main.rs. */
#define ENTRIES 20000
#define SMALL 1000
#define TIMES 1000

static opjournal_namespace ns;
static opjournal_buffer answer;

static void check(opjournal_status status, const char *what)
{
    if (status != OPJOURNAL_OK) {
        fprintf(stderr, "abi: %s: %s %s\n", what, opjournal_status_name(status), answer.data ? answer.data : "");
        exit(1);
    }
}

/* Numbers below `below` in an order that no cache foresees, the same in every run. */
static unsigned scattered(unsigned below)
{
    static uint64_t number = 1;
    number = number * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((number >> 33) % below);
}

static const struct path {
    const char *name;
    /* With the number of an entry in its place. */
    const char *query;
    /* 0: always the same entry. */
    unsigned below;
    /* How many entries are changed above the rollup before. */
    unsigned changed;
} paths[] = {
    {"query/map_get_hot", "{\"op\":\"MapGet\",\"Key\":\"m\",\"MapKey\":\"object/%08u\"}", 0, 0},
    {"query/map_get_random", "{\"op\":\"MapGet\",\"Key\":\"m\",\"MapKey\":\"object/%08u\"}", ENTRIES, 0},
    {"query/map_get_above_changes", "{\"op\":\"MapGet\",\"Key\":\"m\",\"MapKey\":\"object/%08u\"}", ENTRIES, SMALL},
    {"query/set_contains", "{\"op\":\"SetContains\",\"Key\":\"m\",\"Member\":\"object/%08u\"}", ENTRIES, 0},
    {"query/int_get", "{\"op\":\"IntGet\",\"Key\":\"name/%08u\"}", SMALL, 0},
    {"query/scalar_get", "{\"op\":\"ScalarGet\",\"Key\":\"name/%08u\"}", SMALL, 0},
    {"query/list_page", "{\"op\":\"ListEntries\",\"Key\":\"l\",\"Limit\":100,\"After\":%u}", SMALL - 100, 0},
    {"query/map_page", "{\"op\":\"MapEntries\",\"Key\":\"m\",\"Limit\":100,\"After\":\"object/%08u\"}", ENTRIES - 100, 0},
};
#define PATHS (sizeof paths / sizeof paths[0])

static void change(unsigned entries)
{
    static char batch[SMALL * 100];
    size_t len = 0;
    for (unsigned number = 0; number < entries; number++)
        len += (size_t)snprintf(batch + len, sizeof batch - len, "%c{\"op\":\"MapSet\",\"Key\":\"m\",\"MapKey\":\"object/%08u\",\"Value\":%u}",
                                number > 0 ? ',' : '[', scattered(ENTRIES), number);
    if (len > 0) {
        batch[len++] = ']';
        check(opjournal_apply(ns, batch, len, OPJOURNAL_TIMEOUT_DEFAULT, &answer), "opjournal_apply");
    }
}

static void take(const struct path *path)
{
    for (unsigned time = 0; time < TIMES; time++) {
        char query[160];
        int len = snprintf(query, sizeof query, path->query, path->below > 0 ? scattered(path->below) : ENTRIES / 2);
        check(opjournal_query(ns, query, (size_t)len, &answer), "opjournal_query");
    }
}

int main(int count, char **arguments)
{
    if (count == 1) {
        for (size_t index = 0; index < PATHS; index++)
            puts(paths[index].name);
        return 0;
    }
    size_t index = 0;
    while (count == 3 && index < PATHS && strcmp(paths[index].name, arguments[1]) != 0)
        index++;
    if (count != 3 || index == PATHS) {
        fprintf(stderr, "usage: abi [PATH DIRECTORY]\n");
        return 2;
    }
    /* Without ticks between, which would be work of other threads. */
    char config[4096];
    opjournal_journal journal;
    int len = snprintf(config, sizeof config, "{\"store\":\"file://%s\",\"sync_interval_ms\":86400000}", arguments[2]);
    check(opjournal_open(config, (size_t)len, &journal, &answer), "opjournal_open");
    check(opjournal_namespace_open(journal, "ns", 2, OPJOURNAL_TIMEOUT_NEVER, &ns, &answer), "opjournal_namespace_open");
    change(paths[index].changed);
    take(&paths[index]);
    printf("%d\n", TIMES);
    check(opjournal_close(journal, OPJOURNAL_TIMEOUT_NEVER, &answer), "opjournal_close");
    opjournal_buffer_free(&answer);
    return 0;
}
