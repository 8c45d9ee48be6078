/* What every C test of the ABI uses, besides the checks that need no library. */
#ifndef OPJOURNAL_TESTS_ABI_H
#define OPJOURNAL_TESTS_ABI_H

#include "check.h"
#include "opjournal.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* `call` returns `expected`; otherwise tells what it returned, and what it said in `result`. */
#define EXPECT(expected, call, result)                                                                                                     \
    do {                                                                                                                                   \
        opjournal_status status_ = (call);                                                                                                 \
        if (status_ != (expected)) {                                                                                                       \
            fprintf(stderr, "%s:%d: %s is %s, not %s: %s\n", __FILE__, __LINE__, #call, opjournal_status_name(status_),                    \
                    opjournal_status_name(expected), said(result));                                                                        \
            exit(1);                                                                                                                       \
        }                                                                                                                                  \
    } while (0)

#define NO_RESULT ((opjournal_buffer *)NULL)

static inline const char *said(const opjournal_buffer *result) {
    return result != NULL && result->data != NULL ? result->data : "";
}

/* A text argument: pointer and length. */
#define TEXT(text) (text), strlen(text)

/* Whether a result holds a text, and ends with the NUL that it promises. */
static inline bool has(const opjournal_buffer *result, const char *part) {
    CHECK(result->data != NULL && result->capacity > result->len && result->data[result->len] == '\0');
    CHECK(strlen(result->data) == result->len);
    return strstr(result->data, part) != NULL;
}

/* Opens a journal; `members` follow the store, such as ",\"read_only\":true". */
static inline opjournal_journal open_journal(const char *store, const char *members) {
    char config[2048];
    opjournal_buffer result = {NULL, 0, 0};
    opjournal_journal journal = 0;
    CHECK(snprintf(config, sizeof config, "{\"store\":\"%s\"%s}", store, members) < (int)sizeof config);
    EXPECT(OPJOURNAL_OK, opjournal_open(TEXT(config), &journal, &result), &result);
    CHECK(journal != 0);
    opjournal_buffer_free(&result);
    return journal;
}

static inline opjournal_namespace open_namespace(opjournal_journal journal, const char *name) {
    opjournal_buffer result = {NULL, 0, 0};
    opjournal_namespace ns = 0;
    EXPECT(OPJOURNAL_OK, opjournal_namespace_open(journal, TEXT(name), OPJOURNAL_TIMEOUT_DEFAULT, &ns, &result), &result);
    CHECK(ns != 0);
    opjournal_buffer_free(&result);
    return ns;
}

static inline void apply(opjournal_namespace ns, const char *ops) {
    opjournal_buffer result = {NULL, 0, 0};
    EXPECT(OPJOURNAL_OK, opjournal_apply(ns, TEXT(ops), OPJOURNAL_TIMEOUT_DEFAULT, &result), &result);
    CHECK(has(&result, "{\"segment\":\"segment-"));
    opjournal_buffer_free(&result);
}

/* The answer to a query, in a buffer that the next call of this function uses again. */
static inline const char *answer(opjournal_namespace ns, const char *query, opjournal_buffer *result) {
    EXPECT(OPJOURNAL_OK, opjournal_query(ns, TEXT(query), result), result);
    CHECK(has(result, ""));
    return result->data;
}

static inline void close_journal(opjournal_journal journal) {
    opjournal_buffer result = {NULL, 0, 0};
    EXPECT(OPJOURNAL_OK, opjournal_close(journal, OPJOURNAL_TIMEOUT_DEFAULT, &result), &result);
    CHECK(has(&result, "{\"unknown\":[]}"));
    opjournal_buffer_free(&result);
}

/* The URL of a directory of its own below the one that the runner gives. */
static inline const char *directory_store(const char *name) {
    static char url[1024];
    const char *directory = getenv("OPJOURNAL_TEST_DIR");
    char path[1000];
    CHECK(directory != NULL);
    CHECK(snprintf(path, sizeof path, "%s/%s", directory, name) < (int)sizeof path);
    CHECK(snprintf(url, sizeof url, "file://%s", path) < (int)sizeof url);
    return url;
}

#endif
