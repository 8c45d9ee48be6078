/* Arguments that are wrong: each is refused with a status and a message that names the place. */
#include "abi.h"

static opjournal_buffer result;
static opjournal_journal journal;
static opjournal_namespace ns;

static void config_is_refused(const char *config, const char *named) {
    opjournal_journal out = 99;
    EXPECT(OPJOURNAL_INVALID, opjournal_open(TEXT(config), &out, &result), &result);
    if (!has(&result, named) || !has(&result, "\"code\":\"INVALID\"") || !has(&result, "\"retryable\":false")) {
        fprintf(stderr, "%s: %s does not name %s\n", config, result.data, named);
        exit(1);
    }
    CHECK(out == 99);
}

static void ops_are_refused(const char *ops, opjournal_status status, const char *named) {
    EXPECT(status, opjournal_apply(ns, TEXT(ops), -1, &result), &result);
    if (!has(&result, named) || !has(&result, "\"outcome\":\"none\"")) {
        fprintf(stderr, "%.100s: %s does not name %s\n", ops, result.data, named);
        exit(1);
    }
}

static void query_is_refused(const char *query, const char *named) {
    EXPECT(OPJOURNAL_INVALID, opjournal_query(ns, TEXT(query), &result), &result);
    if (!has(&result, named)) {
        fprintf(stderr, "%.100s: %s does not name %s\n", query, result.data, named);
        exit(1);
    }
}

static void configurations(void) {
    config_is_refused("", "no JSON");
    config_is_refused("[]", "object");
    config_is_refused("{}", "\"member\":\"store\"");
    config_is_refused("{\"store\":\"memory:x\",\"sync_intervall_ms\":1}", "sync_interval_ms");
    config_is_refused("{\"store\":\"memory:x\",\"compaction\":{\"age_threshold_ms\":1}}", "\"member\":\"compaction.age_threshold_ms\"");
    config_is_refused("{\"store\":\"memory:x\",\"store\":\"memory:y\"}", "twice");
    config_is_refused("{\"store\":\"ftp://x\"}", "s3://");
    config_is_refused("{\"store\":\"file:relative\"}", "file:///");
    config_is_refused("{\"store\":\"memory:x\xff\"}", "no JSON");
    opjournal_journal out = 99;
    EXPECT(OPJOURNAL_INVALID, opjournal_open(NULL, 3, &out, &result), &result);
    EXPECT(OPJOURNAL_INVALID, opjournal_open("{}", SIZE_MAX, &out, &result), &result);
    EXPECT(OPJOURNAL_INVALID, opjournal_open(NULL, 0, &out, NULL), NO_RESULT);
    EXPECT(OPJOURNAL_INVALID, opjournal_open(TEXT("{\"store\":\"memory:x\"}"), NULL, &result), &result);
    CHECK(has(&result, "out is NULL") && out == 99);

    size_t length = (size_t)2 << 20;
    char *config = malloc(length);
    CHECK(config != NULL);
    memset(config, ' ', length);
    EXPECT(OPJOURNAL_TOO_LARGE, opjournal_open(config, length, &out, &result), &result);
    free(config);

    const char *with_warning = "{\"store\":\"memory:x\",\"lock_ttl_ms\":1}";
    EXPECT(OPJOURNAL_OK, opjournal_open(TEXT(with_warning), &out, &result), &result);
    CHECK(has(&result, "{\"warnings\":[\"") && has(&result, "lock_ttl_ms"));
    close_journal(out);
}

static void names_and_timeouts(void) {
    opjournal_namespace out = 99;
    const char *wrong[] = {"-a", "_a", ".a", "a/b", "a b", "\xc3\xa4", "a\n"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        EXPECT(OPJOURNAL_INVALID, opjournal_namespace_open(journal, TEXT(wrong[i]), -1, &out, &result), &result);
        CHECK(has(&result, "^[A-Za-z0-9][A-Za-z0-9_-]*$"));
    }
    EXPECT(OPJOURNAL_INVALID, opjournal_namespace_open(journal, "a\0b", 3, -1, &out, &result), &result);
    EXPECT(OPJOURNAL_INVALID, opjournal_namespace_open(journal, "\xff", 1, -1, &out, &result), &result);
    CHECK(has(&result, "not UTF-8 at byte 0"));
    EXPECT(OPJOURNAL_INVALID, opjournal_namespace_open(journal, NULL, 1, -1, &out, &result), &result);
    EXPECT(OPJOURNAL_INVALID, opjournal_namespace_open(journal, TEXT("a"), -1, NULL, &result), &result);
    EXPECT(OPJOURNAL_INVALID, opjournal_namespace_open(journal, TEXT("a"), -2, &out, &result), &result);
    CHECK(has(&result, "timeout_ms") && out == 99);
    EXPECT(OPJOURNAL_INVALID, opjournal_apply(ns, TEXT("[]"), -2, &result), &result);
    EXPECT(OPJOURNAL_INVALID, opjournal_flush(ns, INT64_MIN + 1, &result), &result);
    EXPECT(OPJOURNAL_INVALID, opjournal_quarantine(ns, TEXT("segment-x.json"), -3, &result), &result);
    EXPECT(OPJOURNAL_INVALID, opjournal_close(journal, -2, &result), &result);
    EXPECT(OPJOURNAL_OK, opjournal_stats(journal, &result), &result);
    /* NULL with length 0 is the empty name: the root namespace. */
    EXPECT(OPJOURNAL_OK, opjournal_namespace_open(journal, NULL, 0, OPJOURNAL_TIMEOUT_DEFAULT, &out, &result), &result);
    EXPECT(OPJOURNAL_OK, opjournal_namespace_close(out), NO_RESULT);
}

static void ops_and_queries(void) {
    ops_are_refused("", OPJOURNAL_INVALID, "\"code\":\"INVALID\"");
    ops_are_refused("{", OPJOURNAL_INVALID, "\"code\":\"INVALID\"");
    ops_are_refused("7", OPJOURNAL_INVALID, "\"code\":\"INVALID\"");
    ops_are_refused("{\"op\":\"IntGrow\",\"Key\":\"n\"}", OPJOURNAL_INVALID, "IntGrow");
    ops_are_refused("[{\"op\":\"IntSet\",\"Key\":\"n\",\"Value\":1},{\"op\":\"IntSet\",\"Key\":\"n\"}]", OPJOURNAL_INVALID, "\"op\":1");
    ops_are_refused("{\"op\":\"IntSet\",\"Key\":\"n\",\"Value\":1,\"Extra\":1}", OPJOURNAL_INVALID, "Extra");
    ops_are_refused("{\"op\":\"IntSet\",\"Key\":\"n\",\"Value\":9223372036854775808}", OPJOURNAL_INVALID, "Value");
    ops_are_refused("{\"op\":\"IntSet\",\"Key\":\"n\",\"Key\":\"m\",\"Value\":1}", OPJOURNAL_INVALID, "Key");
    ops_are_refused("{\"op\":\"SetAdd\",\"Key\":\"s\",\"Member\":1.0}", OPJOURNAL_INVALID, "Member");
    ops_are_refused("{\"op\":\"ScalarSet\",\"Key\":\"\xc3(\",\"Value\":1}", OPJOURNAL_INVALID, "not UTF-8 at byte 25");
    EXPECT(OPJOURNAL_INVALID, opjournal_apply(ns, NULL, 5, -1, &result), &result);
    EXPECT(OPJOURNAL_INVALID, opjournal_apply(ns, NULL, 0, -1, &result), &result);
    EXPECT(OPJOURNAL_INVALID, opjournal_apply(ns, "[]", SIZE_MAX / 2 + 2, -1, &result), &result);

    /* Nested without end, and longer than a batch may be. */
    size_t length = 500000;
    char *text = malloc(2 * length + 100);
    CHECK(text != NULL);
    strcpy(text, "{\"op\":\"ScalarSet\",\"Key\":\"n\",\"Value\":");
    size_t at = strlen(text);
    memset(text + at, '[', length);
    memset(text + at + length, ']', length);
    text[at + 2 * length] = '\0';
    EXPECT(OPJOURNAL_INVALID, opjournal_apply(ns, text, at + length, -1, &result), &result);
    EXPECT(OPJOURNAL_INVALID, opjournal_query(ns, text, at + length, &result), &result);
    ops_are_refused(strcat(text, "}"), OPJOURNAL_INVALID, "deep");
    free(text);
    length = (size_t)3 << 20;
    text = malloc(length + 1);
    CHECK(text != NULL);
    memset(text, ' ', length);
    text[length] = '\0';
    ops_are_refused(text, OPJOURNAL_TOO_LARGE, "TOO_LARGE");
    free(text);

    query_is_refused("", "INVALID");
    query_is_refused("{\"op\":\"IntTake\",\"Key\":\"n\"}", "IntTake");
    query_is_refused("{\"op\":\"IntGet\"}", "Key");
    query_is_refused("{\"op\":\"IntGet\",\"Key\":\"n\",\"Limits\":1}", "Limits");
    query_is_refused("{\"op\":\"IntGet\",\"Key\":\"\xff\"}", "not UTF-8 at byte 22");
    EXPECT(OPJOURNAL_INVALID, opjournal_query(ns, NULL, 1, &result), &result);
    EXPECT(OPJOURNAL_INVALID, opjournal_query(ns, NULL, 0, &result), &result);
    EXPECT(OPJOURNAL_INVALID, opjournal_quarantine(ns, TEXT("../rollup.json"), -1, &result), &result);
    EXPECT(OPJOURNAL_INVALID, opjournal_quarantine(ns, NULL, 0, -1, &result), &result);

    /* And the state is as it was. */
    CHECK(strcmp(answer(ns, "{\"op\":\"State\"}", &result), "{}") == 0);
}

static void queues(void) {
    opjournal_queue queue = 99;
    opjournal_completion completion;
    size_t count = 99;
    EXPECT(OPJOURNAL_INVALID, opjournal_queue_open(0, &queue, &result), &result);
    EXPECT(OPJOURNAL_INVALID, opjournal_queue_open((1u << 20) + 1, &queue, &result), &result);
    EXPECT(OPJOURNAL_INVALID, opjournal_queue_open(1, NULL, &result), &result);
    CHECK(queue == 99);
    EXPECT(OPJOURNAL_OK, opjournal_queue_open(1, &queue, &result), &result);
    EXPECT(OPJOURNAL_INVALID, opjournal_queue_poll(queue, NULL, 1, &count), NO_RESULT);
    EXPECT(OPJOURNAL_INVALID, opjournal_queue_poll(queue, &completion, 0, &count), NO_RESULT);
    EXPECT(OPJOURNAL_INVALID, opjournal_queue_poll(queue, &completion, 1, NULL), NO_RESULT);
    EXPECT(OPJOURNAL_INVALID, opjournal_queue_wait(queue, &completion, 1, -2, &count), NO_RESULT);
    EXPECT(OPJOURNAL_INVALID, opjournal_queue_wait(queue, NULL, 1, -1, &count), NO_RESULT);
    EXPECT(OPJOURNAL_TIMED_OUT, opjournal_queue_wait(queue, &completion, 1, 0, &count), NO_RESULT);
    CHECK(count == 99);
    EXPECT(OPJOURNAL_INVALID, opjournal_queue_fd(queue, NULL), NO_RESULT);
    /* What is refused takes no slot. */
    EXPECT(OPJOURNAL_INVALID, opjournal_apply_async(ns, queue, 1, TEXT("{"), -1, &result), &result);
    EXPECT(OPJOURNAL_INVALID, opjournal_apply_async(ns, queue, 1, TEXT("[]"), -2, &result), &result);
    EXPECT(OPJOURNAL_INVALID, opjournal_flush_async(ns, queue, 1, -2, &result), &result);
    EXPECT(OPJOURNAL_INVALID, opjournal_namespace_open_async(journal, queue, 1, TEXT("-"), -1, &result), &result);
    EXPECT(OPJOURNAL_INVALID, opjournal_close_async(journal, queue, 1, -2, &result), &result);
    EXPECT(OPJOURNAL_OK, opjournal_queue_close(queue), NO_RESULT);
    EXPECT(OPJOURNAL_INVALID, opjournal_log_to(-1, NULL, NULL), NO_RESULT);
    EXPECT(OPJOURNAL_INVALID, opjournal_log_to(6, NULL, NULL), NO_RESULT);
    EXPECT(OPJOURNAL_INVALID, opjournal_log_to_queue(6, 0), NO_RESULT);
    EXPECT(OPJOURNAL_OK, opjournal_log_to_queue(0, 0), NO_RESULT);
}

int main(void) {
    configurations();
    journal = open_journal("memory:arguments", "");
    ns = open_namespace(journal, "a");
    names_and_timeouts();
    ops_and_queries();
    queues();
    close_journal(journal);
    opjournal_buffer_free(&result);
    opjournal_buffer_free(&result);
    opjournal_buffer_free(NULL);
    puts("ok arguments");
    return 0;
}
