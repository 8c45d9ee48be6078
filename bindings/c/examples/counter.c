/*
 * counter: adds one to a counter that every process on the same store shares, and prints it.
 *
 *     counter file:///tmp/journal
 *     counter s3://my-bucket/some/root
 */
#include <opjournal.h>
#include <opjournal_builder.h>
#include <opjournal_result.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Says what went wrong, in the library's words. */
static int failed(const char *what, opjournal_status status, const opjournal_buffer *result) {
    char message[512] = "";
    (void)opjournal_result_member_string(result->data, result->len, "message", message, sizeof message, NULL);
    fprintf(stderr, "%s: %s: %s\n", what, opjournal_status_name(status), message);
    return 1;
}

/* Adds one and reads the counter; returns 0 if both worked. */
static int count(opjournal_namespace ns, opjournal_builder *builder, opjournal_buffer *result) {
    const char *text;
    size_t len;
    int64_t visits;
    opjournal_status status;

    opjournal_builder_clear(builder);
    opjournal_op_int_add(builder, opjournal_text("visits"), 1);
    if (opjournal_builder_array(builder, &text, &len) != OPJOURNAL_BUILD_OK) {
        fprintf(stderr, "%s\n", opjournal_builder_message(builder));
        return 1;
    }
    status = opjournal_apply(ns, text, len, OPJOURNAL_TIMEOUT_DEFAULT, result);
    if (status != OPJOURNAL_OK) return failed("apply", status, result);

    opjournal_builder_clear(builder);
    opjournal_query_int_get(builder, opjournal_text("visits"));
    if (opjournal_builder_object(builder, &text, &len) != OPJOURNAL_BUILD_OK) {
        fprintf(stderr, "%s\n", opjournal_builder_message(builder));
        return 1;
    }
    status = opjournal_query(ns, text, len, result);
    if (status != OPJOURNAL_OK) return failed("query", status, result);
    if (opjournal_result_int(result->data, result->len, &visits) != OPJOURNAL_RESULT_OK) return failed("answer", status, result);
    printf("%" PRId64 "\n", visits);
    return 0;
}

int main(int argc, char **argv) {
    opjournal_builder builder;
    opjournal_buffer result = {NULL, 0, 0};
    opjournal_journal journal = 0;
    opjournal_namespace ns = 0;
    opjournal_status status;
    const char *config;
    size_t len;
    int code;

    if (argc != 2) {
        fprintf(stderr, "usage: counter STORE-URL\n");
        return 2;
    }
    opjournal_builder_init(&builder);
    opjournal_object_begin(&builder);
    opjournal_object_member(&builder, "store", opjournal_text(argv[1]));
    opjournal_object_end(&builder);
    if (opjournal_builder_object(&builder, &config, &len) != OPJOURNAL_BUILD_OK) {
        fprintf(stderr, "%s\n", opjournal_builder_message(&builder));
        opjournal_builder_free(&builder);
        return 1;
    }
    status = opjournal_open(config, len, &journal, &result);
    if (status != OPJOURNAL_OK) {
        code = failed("open", status, &result);
    } else {
        status = opjournal_namespace_open(journal, "counter", 7, OPJOURNAL_TIMEOUT_DEFAULT, &ns, &result);
        code = status == OPJOURNAL_OK ? count(ns, &builder, &result) : failed("namespace_open", status, &result);
        /* Closes its namespaces too, after the writes that are on their way. */
        status = opjournal_close(journal, OPJOURNAL_TIMEOUT_DEFAULT, &result);
        if (status != OPJOURNAL_OK) code = failed("close", status, &result);
    }
    opjournal_buffer_free(&result);
    opjournal_builder_free(&builder);
    return code;
}
