/* Log records: to a function, to another one, to a queue, to nowhere. */
#include "abi.h"
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#define OP "{\"op\":\"IntAdd\",\"Key\":\"n\",\"Delta\":1}"

typedef struct {
    atomic_int records;
    atomic_bool gone;
} counter;

static void count(void *context, int32_t level, const char *json, size_t len) {
    counter *self = context;
    opjournal_buffer result = {NULL, 0, 0};
    CHECK(!atomic_load(&self->gone));
    CHECK(level >= OPJOURNAL_LOG_ERROR && level <= OPJOURNAL_LOG_DEBUG);
    CHECK(strlen(json) == len && json[0] == '{' && json[len - 1] == '}');
    CHECK(strstr(json, "\"level\":\"") != NULL && strstr(json, "\"target\":\"opjournal") != NULL && strstr(json, "\"message\":\"") != NULL);
    CHECK(strstr(json, "\"time\":\"20") != NULL && strstr(json, "TOPSECRET") == NULL);
    /* Forbidden, and harmless. */
    EXPECT(OPJOURNAL_BUSY, opjournal_log_to(OPJOURNAL_LOG_ERROR, count, context), &result);
    atomic_fetch_add(&self->records, 1);
}

static atomic_bool entered, replacing, replaced;

/* Stays inside until somebody wants to replace it, and a while longer: meanwhile the replacement must not have come about. */
static void linger(void *context, int32_t level, const char *json, size_t len) {
    const struct timespec moment = {0, 1000000};
    (void)context, (void)level, (void)json, (void)len;
    if (atomic_exchange(&entered, true)) {
        return;
    }
    while (!atomic_load(&replacing)) {
        nanosleep(&moment, NULL);
    }
    for (int i = 0; i < 100; i++) {
        CHECK(!atomic_load(&replaced));
        nanosleep(&moment, NULL);
    }
}

static void *replace(void *argument) {
    (void)argument;
    while (!atomic_load(&entered)) {
    }
    atomic_store(&replacing, true);
    EXPECT(OPJOURNAL_OK, opjournal_log_to(OPJOURNAL_LOG_OFF, NULL, NULL), NO_RESULT);
    atomic_store(&replaced, true);
    return NULL;
}

static void work(const char *store) {
    opjournal_journal journal = open_journal(store, "");
    opjournal_namespace ns = open_namespace(journal, "a");
    apply(ns, OP);
    EXPECT(OPJOURNAL_OK, opjournal_flush(ns, -1, NULL), NO_RESULT);
    close_journal(journal);
}

int main(void) {
    counter first = {0}, second = {0};
    opjournal_journal journal = open_journal("memory:logs", ",\"sync_interval_ms\":1");
    opjournal_namespace ns = open_namespace(journal, "busy");

    EXPECT(OPJOURNAL_OK, opjournal_log_to(OPJOURNAL_LOG_DEBUG, count, &first), NO_RESULT);
    work("memory:logs");
    CHECK(atomic_load(&first.records) > 0);
    for (int round = 0; round < 200; round++) {
        counter *old = round % 2 == 0 ? &first : &second, *new = round % 2 == 0 ? &second : &first;
        atomic_store(&new->gone, false);
        EXPECT(OPJOURNAL_OK, opjournal_log_to(OPJOURNAL_LOG_DEBUG, count, new), NO_RESULT);
        atomic_store(&old->gone, true);
        apply(ns, OP);
    }

    /* Off: nothing more. */
    EXPECT(OPJOURNAL_OK, opjournal_log_to(OPJOURNAL_LOG_OFF, count, &first), NO_RESULT);
    atomic_store(&first.gone, true);
    atomic_store(&second.gone, true);
    work("memory:logs");
    EXPECT(OPJOURNAL_OK, opjournal_log_to(OPJOURNAL_LOG_DEBUG, NULL, NULL), NO_RESULT);
    work("memory:logs");

    /* The call that replaces a function waits until it has returned. */
    pthread_t replacer;
    EXPECT(OPJOURNAL_OK, opjournal_log_to(OPJOURNAL_LOG_INFO, linger, NULL), NO_RESULT);
    CHECK(pthread_create(&replacer, NULL, replace, NULL) == 0);
    work("memory:logs");
    CHECK(pthread_join(replacer, NULL) == 0 && atomic_load(&replaced));

    /* To a queue, of which records take half at most; the next one tells how many found no room. */
    opjournal_queue queue = 0;
    opjournal_completion done[4];
    size_t fetched = 0;
    bool dropped = false;
    EXPECT(OPJOURNAL_OK, opjournal_queue_open(4, &queue, NULL), NO_RESULT);
    EXPECT(OPJOURNAL_OK, opjournal_log_to_queue(OPJOURNAL_LOG_DEBUG, queue), NO_RESULT);
    for (int round = 0; round < 5 && !dropped; round++) {
        work("memory:logs");
        EXPECT(OPJOURNAL_OK, opjournal_queue_wait(queue, done, 4, -1, &fetched), NO_RESULT);
        CHECK(fetched >= 1 && fetched <= 2);
        for (size_t i = 0; i < fetched; i++) {
            CHECK(done[i].kind == OPJOURNAL_KIND_LOG && done[i].status == OPJOURNAL_OK && done[i].tag == 0);
            CHECK(has(&done[i].result, "\"target\":\"opjournal"));
            dropped = dropped || has(&done[i].result, "\"dropped\":");
            opjournal_buffer_free(&done[i].result);
        }
    }
    CHECK(dropped);
    EXPECT(OPJOURNAL_OK, opjournal_log_to_queue(OPJOURNAL_LOG_OFF, 0), NO_RESULT);
    EXPECT(OPJOURNAL_OK, opjournal_queue_poll(queue, done, 4, &fetched), NO_RESULT);
    for (size_t i = 0; i < fetched; i++) {
        opjournal_buffer_free(&done[i].result);
    }
    EXPECT(OPJOURNAL_OK, opjournal_queue_close(queue), NO_RESULT);
    EXPECT(OPJOURNAL_CLOSED, opjournal_log_to_queue(OPJOURNAL_LOG_INFO, queue), NO_RESULT);

    /* A queue that is closed while records go to it gets no more. */
    EXPECT(OPJOURNAL_OK, opjournal_queue_open(4, &queue, NULL), NO_RESULT);
    EXPECT(OPJOURNAL_OK, opjournal_log_to_queue(OPJOURNAL_LOG_ERROR, queue), NO_RESULT);
    EXPECT(OPJOURNAL_OK, opjournal_queue_close(queue), NO_RESULT);
    work("memory:logs");
    close_journal(journal);
    puts("ok logs");
    return 0;
}
