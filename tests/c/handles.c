/* Handles: zero, foreign, closed twice, used after close, closed in any order and while others are in a call. */
#include "abi.h"
#include <pthread.h>
#include <stdatomic.h>

#define IS_GONE(call)                                                                                                                      \
    do {                                                                                                                                   \
        opjournal_status gone_ = (call);                                                                                                   \
        if (gone_ != OPJOURNAL_CLOSED && gone_ != OPJOURNAL_BAD_HANDLE) {                                                                  \
            fprintf(stderr, "%s:%d: %s is %s\n", __FILE__, __LINE__, #call, opjournal_status_name(gone_));                                 \
            exit(1);                                                                                                                       \
        }                                                                                                                                  \
    } while (0)

#define OP "{\"op\":\"IntAdd\",\"Key\":\"n\",\"Delta\":1}"
#define QUERY "{\"op\":\"IntGet\",\"Key\":\"n\"}"

/* Every function that takes a handle, with handles of which none is good. */
static void nothing_works(opjournal_journal journal, opjournal_namespace ns, opjournal_queue queue, opjournal_queue good_queue, opjournal_status expected) {
    opjournal_buffer result = {NULL, 0, 0};
    opjournal_completion completion;
    opjournal_namespace out = 77;
    size_t count = 77;
    int descriptor = 77;
    EXPECT(expected, opjournal_namespace_open(journal, TEXT("a"), 0, &out, &result), &result);
    CHECK(has(&result, expected == OPJOURNAL_CLOSED ? "\"code\":\"CLOSED\"" : "\"code\":\"BAD_HANDLE\""));
    CHECK(out == 77);
    EXPECT(expected, opjournal_stats(journal, &result), &result);
    EXPECT(expected, opjournal_close_async(journal, good_queue, 1, -1, &result), &result);
    EXPECT(expected, opjournal_namespace_open_async(journal, good_queue, 1, TEXT("a"), -1, &result), &result);
    EXPECT(expected, opjournal_apply(ns, TEXT(OP), -1, &result), &result);
    EXPECT(expected, opjournal_query(ns, TEXT(QUERY), &result), &result);
    EXPECT(expected, opjournal_flush(ns, -1, &result), &result);
    EXPECT(expected, opjournal_quarantine(ns, TEXT("segment-x.json"), -1, &result), &result);
    EXPECT(expected, opjournal_apply_async(ns, good_queue, 1, TEXT(OP), -1, &result), &result);
    EXPECT(expected, opjournal_flush_async(ns, good_queue, 1, -1, &result), &result);
    EXPECT(expected, opjournal_queue_fd(queue, &descriptor), NO_RESULT);
    CHECK(descriptor == -1);
    EXPECT(expected, opjournal_cancel(queue, 1), NO_RESULT);
    EXPECT(expected, opjournal_queue_poll(queue, &completion, 1, &count), NO_RESULT);
    EXPECT(expected, opjournal_queue_wait(queue, &completion, 1, 0, &count), NO_RESULT);
    EXPECT(expected, opjournal_log_to_queue(OPJOURNAL_LOG_ERROR, queue), NO_RESULT);
    CHECK(count == 77);
    /* Without a result too. */
    EXPECT(expected, opjournal_query(ns, TEXT(QUERY), NULL), NO_RESULT);
    EXPECT(expected, opjournal_apply(ns, TEXT(OP), -1, NULL), NO_RESULT);
    opjournal_buffer_free(&result);
}

static void *wait_for_ever(void *argument) {
    opjournal_completion completion;
    size_t count = 0;
    opjournal_queue queue = *(opjournal_queue *)argument;
    EXPECT(OPJOURNAL_CLOSED, opjournal_queue_wait(queue, &completion, 1, OPJOURNAL_TIMEOUT_DEFAULT, &count), NO_RESULT);
    return NULL;
}

static _Atomic(opjournal_namespace) shared_namespace;
static atomic_int calls_done;
static atomic_bool stop;

/* Uses a namespace that may be closed at any moment. */
static void *use(void *argument) {
    opjournal_buffer result = {NULL, 0, 0};
    int which = *(int *)argument;
    while (!atomic_load(&stop)) {
        opjournal_namespace ns = atomic_load(&shared_namespace);
        opjournal_status status = which == 0   ? opjournal_apply(ns, TEXT(OP), -1, &result)
                                  : which == 1 ? opjournal_flush(ns, -1, &result)
                                               : opjournal_query(ns, TEXT(QUERY), &result);
        if (status != OPJOURNAL_OK && status != OPJOURNAL_CLOSED && status != OPJOURNAL_BAD_HANDLE) {
            fprintf(stderr, "call %d: %s: %s\n", which, opjournal_status_name(status), said(&result));
            exit(1);
        }
        atomic_fetch_add(&calls_done, 1);
    }
    opjournal_buffer_free(&result);
    return NULL;
}

static void close_while_others_call(void) {
    pthread_t threads[6];
    int which[6] = {0, 0, 1, 1, 2, 2};
    atomic_store(&shared_namespace, 0);
    for (int i = 0; i < 6; i++) {
        CHECK(pthread_create(&threads[i], NULL, use, &which[i]) == 0);
    }
    for (int round = 0; round < 20; round++) {
        opjournal_journal journal = open_journal("memory:closing", "");
        opjournal_namespace ns = open_namespace(journal, "a");
        int before = atomic_load(&calls_done);
        atomic_store(&shared_namespace, ns);
        while (atomic_load(&calls_done) < before + 50) {
        }
        if (round % 2 == 0) {
            EXPECT(OPJOURNAL_OK, opjournal_namespace_close(ns), NO_RESULT);
        }
        close_journal(journal);
        EXPECT(OPJOURNAL_OK, opjournal_namespace_close(ns), NO_RESULT);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 6; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
}

/* A store in memory is gone when the last journal on it is closed, though no handle on its namespaces is. */
static void what_was_in_memory_is_gone(void) {
    opjournal_buffer result = {NULL, 0, 0};
    for (int round = 0; round < 100; round++) {
        opjournal_journal journal = open_journal("memory:gone", "");
        opjournal_namespace ns = open_namespace(journal, "a");
        apply(ns, OP);
        CHECK(strcmp(answer(ns, QUERY, &result), "1") == 0);
        close_journal(journal);
        EXPECT(OPJOURNAL_CLOSED, opjournal_query(ns, TEXT(QUERY), &result), &result);
    }
    opjournal_buffer_free(&result);
}

int main(void) {
    opjournal_queue queue = 0, good_queue = 0;
    EXPECT(OPJOURNAL_OK, opjournal_queue_open(4, &good_queue, NULL), NO_RESULT);
    EXPECT(OPJOURNAL_OK, opjournal_queue_open(4, &queue, NULL), NO_RESULT);
    opjournal_journal journal = open_journal("memory:handles", "");
    opjournal_namespace ns = open_namespace(journal, "a");
    apply(ns, OP);

    /* Zero, never given out, and of another kind. */
    nothing_works(0, 0, 0, good_queue, OPJOURNAL_BAD_HANDLE);
    nothing_works(UINT64_MAX, 1, ns + (UINT64_C(1) << 40), good_queue, OPJOURNAL_BAD_HANDLE);
    nothing_works(ns, queue, journal, good_queue, OPJOURNAL_BAD_HANDLE);
    nothing_works(queue, journal, ns, good_queue, OPJOURNAL_BAD_HANDLE);
    EXPECT(OPJOURNAL_BAD_HANDLE, opjournal_close(0, 0, NULL), NO_RESULT);
    EXPECT(OPJOURNAL_BAD_HANDLE, opjournal_close(ns, 0, NULL), NO_RESULT);
    EXPECT(OPJOURNAL_BAD_HANDLE, opjournal_namespace_close(journal), NO_RESULT);
    EXPECT(OPJOURNAL_BAD_HANDLE, opjournal_queue_close(ns), NO_RESULT);

    /* A namespace handle that was closed is gone, another on the same namespace is not. */
    opjournal_namespace again = open_namespace(journal, "a");
    EXPECT(OPJOURNAL_OK, opjournal_namespace_close(ns), NO_RESULT);
    EXPECT(OPJOURNAL_OK, opjournal_namespace_close(ns), NO_RESULT);
    IS_GONE(opjournal_query(ns, TEXT(QUERY), NULL));
    apply(again, OP);

    /* The journal first, its namespace afterwards. */
    close_journal(journal);
    close_journal(journal);
    EXPECT(OPJOURNAL_CLOSED, opjournal_query(again, TEXT(QUERY), NULL), NO_RESULT);
    EXPECT(OPJOURNAL_CLOSED, opjournal_apply(again, TEXT(OP), -1, NULL), NO_RESULT);
    EXPECT(OPJOURNAL_OK, opjournal_namespace_close(again), NO_RESULT);
    EXPECT(OPJOURNAL_OK, opjournal_queue_close(queue), NO_RESULT);
    EXPECT(OPJOURNAL_OK, opjournal_queue_close(queue), NO_RESULT);
    nothing_works(journal, again, queue, good_queue, OPJOURNAL_CLOSED);

    /* What comes into the same place does not answer to the old handle. */
    opjournal_journal next = open_journal("memory:handles", "");
    opjournal_namespace next_ns = open_namespace(next, "a");
    CHECK(next != journal && next_ns != again && next_ns != ns);
    IS_GONE(opjournal_stats(journal, NULL));
    close_journal(journal);
    EXPECT(OPJOURNAL_OK, opjournal_namespace_close(again), NO_RESULT);
    EXPECT(OPJOURNAL_OK, opjournal_query(next_ns, TEXT(QUERY), NULL), NO_RESULT);
    close_journal(next);

    /* Waiters wake when their queue is closed. */
    pthread_t waiters[3];
    for (int i = 0; i < 3; i++) {
        CHECK(pthread_create(&waiters[i], NULL, wait_for_ever, &good_queue) == 0);
    }
    EXPECT(OPJOURNAL_OK, opjournal_queue_close(good_queue), NO_RESULT);
    for (int i = 0; i < 3; i++) {
        CHECK(pthread_join(waiters[i], NULL) == 0);
    }
    close_while_others_call();
    what_was_in_memory_is_gone();
    puts("ok handles");
    return 0;
}
