/* Asynchronous calls: accepted means exactly one completion, whatever happens; refused means none. */
#include "abi.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#define OP "{\"op\":\"IntAdd\",\"Key\":\"n\",\"Delta\":1}"
/* The second write of a namespace waits for an hour, not sent: as long as a test needs it to be under way. */
#define SLOW ",\"commit_interval_ms\":3600000,\"sync_interval_ms\":3600000"

static opjournal_buffer result;

/* Reads one completion, which must be of this call and have ended so; `named` is part of its result. */
static void next(opjournal_queue queue, uint64_t tag, uint32_t kind, opjournal_status status, const char *named) {
    opjournal_completion done;
    size_t count = 0;
    memset(&done, 0xff, sizeof done); /* output only: what it held is neither read nor freed */
    EXPECT(OPJOURNAL_OK, opjournal_queue_wait(queue, &done, 1, -1, &count), NO_RESULT);
    CHECK(count == 1);
    if (done.tag != tag || done.kind != kind || done.status != status || !has(&done.result, named)) {
        fprintf(stderr, "tag %" PRIu64 ", kind %" PRIu32 ", %s: %s\n", done.tag, done.kind, opjournal_status_name(done.status), done.result.data);
        exit(1);
    }
    CHECK(done.reserved[0] == 0 && done.reserved[1] == 0);
    opjournal_buffer_free(&done.result);
}

static opjournal_namespace namespace_of(opjournal_queue queue) {
    opjournal_completion done;
    size_t count = 0;
    unsigned long long ns = 0;
    EXPECT(OPJOURNAL_OK, opjournal_queue_wait(queue, &done, 1, -1, &count), NO_RESULT);
    CHECK(done.kind == OPJOURNAL_KIND_NAMESPACE_OPEN);
    EXPECT(OPJOURNAL_OK, done.status, &done.result);
    CHECK(sscanf(done.result.data, "{\"namespace\":%llu}", &ns) == 1);
    opjournal_buffer_free(&done.result);
    return ns;
}

static bool is_readable(int descriptor) {
    struct pollfd poll_it = {descriptor, POLLIN, 0};
    return poll(&poll_it, 1, 0) == 1;
}

static void each_kind(void) {
    opjournal_queue queue = 0;
    EXPECT(OPJOURNAL_OK, opjournal_queue_open(8, &queue, &result), &result);
    opjournal_journal journal = open_journal("memory:kinds", "");
    EXPECT(OPJOURNAL_OK, opjournal_namespace_open_async(journal, queue, 1, TEXT("a"), OPJOURNAL_TIMEOUT_DEFAULT, &result), &result);
    CHECK(has(&result, "{}"));
    opjournal_namespace ns = namespace_of(queue);
    EXPECT(OPJOURNAL_OK, opjournal_apply_async(ns, queue, 2, TEXT(OP), -1, &result), &result);
    next(queue, 2, OPJOURNAL_KIND_APPLY, OPJOURNAL_OK, "{\"segment\":\"segment-");
    EXPECT(OPJOURNAL_OK, opjournal_flush_async(ns, queue, 3, -1, &result), &result);
    next(queue, 3, OPJOURNAL_KIND_FLUSH, OPJOURNAL_OK, "{}");
    CHECK(strcmp(answer(ns, "{\"op\":\"IntGet\",\"Key\":\"n\"}", &result), "1") == 0);
    EXPECT(OPJOURNAL_OK, opjournal_close_async(journal, queue, UINT64_MAX, OPJOURNAL_TIMEOUT_DEFAULT, &result), &result);
    EXPECT(OPJOURNAL_CLOSED, opjournal_apply(ns, TEXT(OP), -1, &result), &result);
    next(queue, UINT64_MAX, OPJOURNAL_KIND_CLOSE, OPJOURNAL_OK, "{\"unknown\":[]}");
    EXPECT(OPJOURNAL_CLOSED, opjournal_close_async(journal, queue, 9, -1, &result), &result);
    close_journal(journal);
    EXPECT(OPJOURNAL_OK, opjournal_queue_close(queue), NO_RESULT);
}

/* Slots are taken at submission; cancel withdraws; the queue does not close while it owes. */
static void full_and_cancelled(void) {
    opjournal_queue queue = 0;
    opjournal_completion done[4];
    size_t count = 99;
    EXPECT(OPJOURNAL_OK, opjournal_queue_open(3, &queue, &result), &result);
    opjournal_journal journal = open_journal("memory:full", SLOW);
    opjournal_namespace ns = open_namespace(journal, "a");
    apply(ns, OP);
    EXPECT(OPJOURNAL_OK, opjournal_apply_async(ns, queue, 7, TEXT(OP), -1, &result), &result);
    EXPECT(OPJOURNAL_OK, opjournal_apply_async(ns, queue, 8, TEXT(OP), -1, &result), &result);
    EXPECT(OPJOURNAL_OK, opjournal_apply_async(ns, queue, 7, TEXT(OP), -1, &result), &result);
    EXPECT(OPJOURNAL_BUSY, opjournal_apply_async(ns, queue, 9, TEXT(OP), -1, &result), &result);
    CHECK(has(&result, "\"retryable\":true") && has(&result, "\"outcome\":\"none\""));
    EXPECT(OPJOURNAL_BUSY, opjournal_flush_async(ns, queue, 9, -1, &result), &result);
    EXPECT(OPJOURNAL_BUSY, opjournal_namespace_open_async(journal, queue, 9, TEXT("b"), -1, &result), &result);
    EXPECT(OPJOURNAL_BUSY, opjournal_close_async(journal, queue, 9, -1, &result), &result);
    EXPECT(OPJOURNAL_OK, opjournal_stats(journal, &result), &result);
    EXPECT(OPJOURNAL_BUSY, opjournal_queue_close(queue), NO_RESULT);
    EXPECT(OPJOURNAL_OK, opjournal_queue_poll(queue, done, 4, &count), NO_RESULT);
    CHECK(count == 0);

    /* Both calls with the tag, and not the other. */
    EXPECT(OPJOURNAL_OK, opjournal_cancel(queue, 12345), NO_RESULT);
    EXPECT(OPJOURNAL_OK, opjournal_cancel(queue, 7), NO_RESULT);
    next(queue, 7, OPJOURNAL_KIND_APPLY, OPJOURNAL_CANCELLED, "\"outcome\":\"none\"");
    next(queue, 7, OPJOURNAL_KIND_APPLY, OPJOURNAL_CANCELLED, "\"outcome\":\"none\"");
    EXPECT(OPJOURNAL_TIMED_OUT, opjournal_queue_wait(queue, done, 1, 1, &count), NO_RESULT);
    EXPECT(OPJOURNAL_OK, opjournal_cancel(queue, 8), NO_RESULT);
    EXPECT(OPJOURNAL_OK, opjournal_cancel(queue, 8), NO_RESULT);
    next(queue, 8, OPJOURNAL_KIND_APPLY, OPJOURNAL_CANCELLED, "\"outcome\":\"none\"");

    /* A deadline withdraws as well. */
    EXPECT(OPJOURNAL_OK, opjournal_apply_async(ns, queue, 10, TEXT(OP), 1, &result), &result);
    next(queue, 10, OPJOURNAL_KIND_APPLY, OPJOURNAL_TIMED_OUT, "\"outcome\":\"none\"");
    EXPECT(OPJOURNAL_TIMED_OUT, opjournal_apply(ns, TEXT(OP), 1, &result), &result);
    CHECK(has(&result, "\"outcome\":\"none\""));
    EXPECT(OPJOURNAL_TIMED_OUT, opjournal_apply(ns, TEXT(OP), 0, &result), &result);
    CHECK(strcmp(answer(ns, "{\"op\":\"IntGet\",\"Key\":\"n\"}", &result), "1") == 0);
    close_journal(journal);
    EXPECT(OPJOURNAL_OK, opjournal_queue_close(queue), NO_RESULT);
}

/* Closing the journal ends what is under way; each call still completes once. */
static void closed_under_way(void) {
    opjournal_queue queue = 0;
    EXPECT(OPJOURNAL_OK, opjournal_queue_open(64, &queue, &result), &result);
    opjournal_journal journal = open_journal("memory:under-way", SLOW);
    opjournal_namespace ns = open_namespace(journal, "a");
    apply(ns, OP);
    for (uint64_t tag = 0; tag < 20; tag++) {
        EXPECT(OPJOURNAL_OK, opjournal_apply_async(ns, queue, tag, TEXT(OP), -1, &result), &result);
    }
    EXPECT(OPJOURNAL_OK, opjournal_close_async(journal, queue, 20, 50, &result), &result);
    int seen[21] = {0};
    for (size_t total = 0; total < 21;) {
        opjournal_completion done[5];
        size_t count = 0;
        EXPECT(OPJOURNAL_OK, opjournal_queue_wait(queue, done, 5, -1, &count), NO_RESULT);
        CHECK(count >= 1 && count <= 5);
        for (size_t i = 0; i < count; i++) {
            CHECK(done[i].tag < 21 && seen[done[i].tag]++ == 0);
            opjournal_buffer_free(&done[i].result);
        }
        total += count;
    }
    EXPECT(OPJOURNAL_OK, opjournal_namespace_close(ns), NO_RESULT);
    EXPECT(OPJOURNAL_OK, opjournal_queue_close(queue), NO_RESULT);
}

/* The descriptor, for an event loop. */
static void descriptor(void) {
    opjournal_queue queue = 0;
    opjournal_completion done[2];
    size_t count = 0;
    int fd = -1, same = -1;
    EXPECT(OPJOURNAL_OK, opjournal_queue_open(8, &queue, &result), &result);
    EXPECT(OPJOURNAL_OK, opjournal_queue_fd(queue, &fd), NO_RESULT);
    EXPECT(OPJOURNAL_OK, opjournal_queue_fd(queue, &same), NO_RESULT);
    CHECK(fd >= 0 && fd == same && (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    CHECK(!is_readable(fd));
    opjournal_journal journal = open_journal("memory:descriptor", "");
    opjournal_namespace ns = open_namespace(journal, "a");
    for (uint64_t tag = 0; tag < 5; tag++) {
        EXPECT(OPJOURNAL_OK, opjournal_apply_async(ns, queue, tag, TEXT(OP), -1, &result), &result);
    }
    for (size_t total = 0; total < 5;) {
        struct pollfd poll_it = {fd, POLLIN, 0};
        CHECK(poll(&poll_it, 1, -1) == 1);
        do {
            EXPECT(OPJOURNAL_OK, opjournal_queue_poll(queue, done, 2, &count), NO_RESULT);
            for (size_t i = 0; i < count; i++) {
                EXPECT(OPJOURNAL_OK, done[i].status, &done[i].result);
                opjournal_buffer_free(&done[i].result);
            }
            total += count;
        } while (count == 2);
    }
    CHECK(!is_readable(fd));
    close_journal(journal);
    EXPECT(OPJOURNAL_OK, opjournal_queue_close(queue), NO_RESULT);
    CHECK(fcntl(fd, F_GETFD) == -1);
}

#define SUBMITTERS 4
#define CALLS 500

typedef struct {
    opjournal_namespace ns;
    opjournal_queue queue;
    uint64_t first;
} submitter;

static void *submit(void *argument) {
    submitter *self = argument;
    opjournal_buffer own = {NULL, 0, 0};
    for (uint64_t i = 0; i < CALLS; i++) {
        opjournal_status status;
        do {
            status = opjournal_apply_async(self->ns, self->queue, self->first + i, TEXT(OP), -1, &own);
        } while (status == OPJOURNAL_BUSY && sched_yield() == 0);
        EXPECT(OPJOURNAL_OK, status, &own);
    }
    opjournal_buffer_free(&own);
    return NULL;
}

/* Many submitters, a queue that is often full, and every call completes once. */
static void load(void) {
    static unsigned char seen[SUBMITTERS * CALLS];
    opjournal_queue queue = 0;
    pthread_t threads[SUBMITTERS];
    submitter submitters[SUBMITTERS];
    EXPECT(OPJOURNAL_OK, opjournal_queue_open(32, &queue, &result), &result);
    opjournal_journal journal = open_journal("memory:load", "");
    opjournal_namespace ns = open_namespace(journal, "a");
    for (int i = 0; i < SUBMITTERS; i++) {
        submitters[i] = (submitter){ns, queue, (uint64_t)i * CALLS};
        CHECK(pthread_create(&threads[i], NULL, submit, &submitters[i]) == 0);
    }
    for (size_t total = 0; total < SUBMITTERS * CALLS;) {
        opjournal_completion done[16];
        size_t count = 0;
        EXPECT(OPJOURNAL_OK, opjournal_queue_wait(queue, done, 16, -1, &count), NO_RESULT);
        for (size_t i = 0; i < count; i++) {
            EXPECT(OPJOURNAL_OK, done[i].status, &done[i].result);
            CHECK(done[i].tag < SUBMITTERS * CALLS && seen[done[i].tag]++ == 0);
            opjournal_buffer_free(&done[i].result);
        }
        total += count;
    }
    for (int i = 0; i < SUBMITTERS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    CHECK(strcmp(answer(ns, "{\"op\":\"IntGet\",\"Key\":\"n\"}", &result), "2000") == 0);
    close_journal(journal);
    EXPECT(OPJOURNAL_OK, opjournal_queue_close(queue), NO_RESULT);
}

int main(void) {
    each_kind();
    full_and_cancelled();
    closed_under_way();
    descriptor();
    load();
    opjournal_buffer_free(&result);
    puts("ok queue");
    return 0;
}
