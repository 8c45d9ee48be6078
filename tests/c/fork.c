/* After fork the child is told so by every call, and the parent goes on. */
#include "abi.h"
#include "memcheck.h"
#include <sys/wait.h>
#include <unistd.h>

#define OP "{\"op\":\"IntAdd\",\"Key\":\"n\",\"Delta\":1}"
#define QUERY "{\"op\":\"IntGet\",\"Key\":\"n\"}"

static void sink(void *context, int32_t level, const char *json, size_t len) {
    (void)context, (void)level, (void)json, (void)len;
}

static void in_child(opjournal_journal journal, opjournal_namespace ns, opjournal_queue queue, opjournal_buffer *result) {
    opjournal_completion completion;
    opjournal_journal out = 55;
    size_t count = 55;
    int fd = 55;
    alarm(60); /* a call that waits for threads that are not there would wait for ever */
    CHECK(opjournal_abi_version() == OPJOURNAL_ABI_VERSION);
    CHECK(strcmp(opjournal_version(), "0.1.0") == 0);
    CHECK(strcmp(opjournal_status_name(OPJOURNAL_FORKED), "FORKED") == 0);
    EXPECT(OPJOURNAL_FORKED, opjournal_open(TEXT("{\"store\":\"memory:x\"}"), &out, result), result);
    CHECK(has(result, "\"code\":\"FORKED\"") && out == 55);
    EXPECT(OPJOURNAL_FORKED, opjournal_close(journal, -1, result), result);
    EXPECT(OPJOURNAL_FORKED, opjournal_namespace_open(journal, TEXT("a"), -1, &out, result), result);
    EXPECT(OPJOURNAL_FORKED, opjournal_namespace_close(ns), NO_RESULT);
    EXPECT(OPJOURNAL_FORKED, opjournal_apply(ns, TEXT(OP), -1, result), result);
    EXPECT(OPJOURNAL_FORKED, opjournal_query(ns, TEXT(QUERY), result), result);
    EXPECT(OPJOURNAL_FORKED, opjournal_flush(ns, -1, result), result);
    EXPECT(OPJOURNAL_FORKED, opjournal_quarantine(ns, TEXT("segment-x.json"), -1, result), result);
    EXPECT(OPJOURNAL_FORKED, opjournal_stats(journal, result), result);
    EXPECT(OPJOURNAL_FORKED, opjournal_queue_open(1, &out, result), result);
    EXPECT(OPJOURNAL_FORKED, opjournal_queue_fd(queue, &fd), NO_RESULT);
    CHECK(fd == -1);
    EXPECT(OPJOURNAL_FORKED, opjournal_namespace_open_async(journal, queue, 1, TEXT("a"), -1, result), result);
    EXPECT(OPJOURNAL_FORKED, opjournal_apply_async(ns, queue, 1, TEXT(OP), -1, result), result);
    EXPECT(OPJOURNAL_FORKED, opjournal_flush_async(ns, queue, 1, -1, result), result);
    EXPECT(OPJOURNAL_FORKED, opjournal_close_async(journal, queue, 1, -1, result), result);
    EXPECT(OPJOURNAL_FORKED, opjournal_cancel(queue, 1), NO_RESULT);
    EXPECT(OPJOURNAL_FORKED, opjournal_queue_poll(queue, &completion, 1, &count), NO_RESULT);
    EXPECT(OPJOURNAL_FORKED, opjournal_queue_wait(queue, &completion, 1, -1, &count), NO_RESULT);
    EXPECT(OPJOURNAL_FORKED, opjournal_queue_close(queue), NO_RESULT);
    EXPECT(OPJOURNAL_FORKED, opjournal_log_to(OPJOURNAL_LOG_INFO, sink, NULL), NO_RESULT);
    EXPECT(OPJOURNAL_FORKED, opjournal_log_to_queue(OPJOURNAL_LOG_INFO, queue), NO_RESULT);
    CHECK(count == 55);
    opjournal_buffer_free(result);
    CHECK(result->data == NULL);
}

static void child_succeeds(pid_t child) {
    int status = 0;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void) {
    opjournal_buffer result = {NULL, 0, 0};

    /* A child of a process that had not used the library may use it. */
    pid_t child = fork();
    if (child == 0) {
        opjournal_journal journal = open_journal("memory:child", "");
        close_journal(journal);
        _exit(0);
    }
    child_succeeds(child);

    opjournal_queue queue = 0;
    EXPECT(OPJOURNAL_OK, opjournal_queue_open(4, &queue, &result), &result);
    opjournal_journal journal = open_journal("memory:fork", "");
    opjournal_namespace ns = open_namespace(journal, "a");
    apply(ns, OP);
    answer(ns, QUERY, &result);
    child = fork();
    if (child == 0) {
        forgive_leaks();
        in_child(journal, ns, queue, &result);
        _exit(0);
    }
    child_succeeds(child);

    apply(ns, OP);
    CHECK(strcmp(answer(ns, QUERY, &result), "2") == 0);
    close_journal(journal);
    EXPECT(OPJOURNAL_OK, opjournal_queue_close(queue), NO_RESULT);
    opjournal_buffer_free(&result);
    puts("ok fork");
    return 0;
}
