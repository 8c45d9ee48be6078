/*
 * demo: one of several writers on one namespace, in the way a program that may be killed at any moment has to write.
 * The Go program bindings/go/cmd/opjournal-demo does the same with the same flags.
 *
 * Every batch counts itself: "by_writer" says how many batches of this writer are in the state. So after a crash nothing has
 * to be remembered: flush, ask, and go on from there. A batch whose answer the killed process never saw is either counted or not.
 */
#include <opjournal.h>
#include <opjournal_builder.h>
#include <opjournal_result.h>

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define RUN_SECONDS 120

static const char usage[] =
    "usage: demo [-config JSON | -store URL] [-ns NAME] -writer NAME [-count N] [-wait TOTAL] [-crash-after K]\n"
    "  -config JSON     the configuration; without it -store, without that the variable OPJOURNAL_CONFIG\n"
    "  -store URL       file:///DIR, s3://BUCKET/ROOT or memory:NAME\n"
    "  -ns NAME         the namespace, default \"demo\"\n"
    "  -writer NAME     who writes\n"
    "  -count N         how many batches this writer has in the end, default 100\n"
    "  -wait TOTAL      wait until all writers together have so many\n"
    "  -crash-after K   kill this process with one batch on its way, after K that were acknowledged\n";

typedef struct {
    const char *config, *store, *ns, *writer;
    int64_t count, wait, crash_after; /* wait, crash_after: -1 where not given */
    time_t deadline;                  /* of the whole run, on the monotonic clock */
    opjournal_journal journal;
    opjournal_namespace handle;
    opjournal_builder builder;
    opjournal_buffer result;
} program;

static time_t now(void) {
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec;
}

/* What is left of the run, as a timeout; 0 when it is over. */
static int64_t time_left(const program *self) {
    time_t at = now();
    return at >= self->deadline ? 0 : (int64_t)(self->deadline - at) * 1000;
}

static void pause_briefly(void) {
    struct timespec time = {0, 50 * 1000 * 1000};
    (void)nanosleep(&time, NULL);
}

static int failed(const program *self, const char *what, opjournal_status status) {
    char message[512] = "";
    (void)opjournal_result_member_string(self->result.data, self->result.len, "message", message, sizeof message, NULL);
    fprintf(stderr, "%s: %s: %s: %s\n", self->writer, what, opjournal_status_name(status), message);
    return 0;
}

static int failed_to_build(const program *self) {
    fprintf(stderr, "%s: %s\n", self->writer, opjournal_builder_message(&self->builder));
    return 0;
}

/* Whether the call that just failed may be made again as it is, after a moment: nothing was written, and the library expects better. */
static int may_try_again(const program *self) {
    char outcome[16] = "";
    int retryable = 0;
    (void)opjournal_result_member_string(self->result.data, self->result.len, "outcome", outcome, sizeof outcome, NULL);
    (void)opjournal_result_member_bool(self->result.data, self->result.len, "retryable", &retryable);
    if (strcmp(outcome, "none") != 0 || !retryable || time_left(self) == 0) return 0;
    pause_briefly();
    return 1;
}

/* Waits until all that was acknowledged anywhere is visible here. Like most functions below: 1 if it worked, 0 after a message. */
static int flush(program *self) {
    for (;;) {
        opjournal_status status = opjournal_flush(self->handle, time_left(self), &self->result);
        if (status == OPJOURNAL_OK) return 1;
        if (!may_try_again(self)) return failed(self, "flush", status);
    }
}

/* Asks what the builder holds, as one query or as several; the answer is in `result`. */
static int query(program *self) {
    const char *text;
    size_t len;
    opjournal_status status;
    opjournal_build_status built = self->builder.items == 1 ? opjournal_builder_object(&self->builder, &text, &len)
                                                            : opjournal_builder_array(&self->builder, &text, &len);
    if (built != OPJOURNAL_BUILD_OK) return failed_to_build(self);
    status = opjournal_query(self->handle, text, len, &self->result);
    return status == OPJOURNAL_OK ? 1 : failed(self, "query", status);
}

static int open_all(program *self) {
    const char *config = self->config;
    size_t len = 0;
    opjournal_status status;
    if (config != NULL) {
        len = strlen(config);
    } else {
        opjournal_builder_clear(&self->builder);
        opjournal_object_begin(&self->builder);
        opjournal_object_member(&self->builder, "store", opjournal_text(self->store));
        opjournal_object_end(&self->builder);
        if (opjournal_builder_object(&self->builder, &config, &len) != OPJOURNAL_BUILD_OK) return failed_to_build(self);
    }
    status = opjournal_open(config, len, &self->journal, &self->result);
    if (status != OPJOURNAL_OK) return failed(self, "open", status);
    for (;;) {
        status = opjournal_namespace_open(self->journal, self->ns, strlen(self->ns), time_left(self), &self->handle, &self->result);
        if (status == OPJOURNAL_OK) return 1;
        if (!may_try_again(self)) return failed(self, "namespace_open", status);
    }
}

/* How many batches of this writer are in the state, whoever wrote them and however that process ended. */
static int read_resume(program *self, int64_t *out) {
    opjournal_builder_clear(&self->builder);
    opjournal_query_int_map_get(&self->builder, opjournal_text("by_writer"), opjournal_text(self->writer));
    if (!flush(self) || !query(self)) return 0;
    if (opjournal_result_int(self->result.data, self->result.len, out) != OPJOURNAL_RESULT_OK) return failed(self, "answer", OPJOURNAL_OK);
    return 1;
}

/* Puts batch `number` into the builder and gives its text. */
static int build_batch(program *self, int64_t number, const char **ops, size_t *len) {
    opjournal_builder *batch = &self->builder;
    opjournal_value writer = opjournal_text(self->writer);
    char entry[320];
    (void)snprintf(entry, sizeof entry, "%s/%" PRId64, self->writer, number);
    opjournal_builder_clear(batch);
    opjournal_op_int_add(batch, opjournal_text("total"), 1);
    opjournal_op_int_map_add(batch, opjournal_text("by_writer"), writer, 1);
    opjournal_op_set_add(batch, opjournal_text("writers"), writer);
    opjournal_op_map_set(batch, opjournal_text("last"), writer, opjournal_int(number));
    opjournal_op_list_append(batch, opjournal_text("log"), opjournal_text(entry));
    return opjournal_builder_array(batch, ops, len) == OPJOURNAL_BUILD_OK ? 1 : failed_to_build(self);
}

/*
 * A write whose outcome the library could not learn in time: nothing may be repeated before it is known. Flush waits for it.
 * Returns 1 if it was applied, 0 if it never will be, -1 after a message.
 */
static int settle(program *self, int64_t number, const char *segment) {
    char outcome[16] = "";
    for (;;) {
        if (!flush(self)) return -1;
        opjournal_builder_clear(&self->builder);
        opjournal_query_outcome(&self->builder, opjournal_text(segment));
        if (!query(self)) return -1;
        (void)opjournal_result_string(self->result.data, self->result.len, outcome, sizeof outcome, NULL);
        if (strcmp(outcome, "unknown") != 0) break;
        if (time_left(self) == 0) {
            fprintf(stderr, "%s: the outcome of %s is still open\n", self->writer, segment);
            return -1;
        }
        pause_briefly();
    }
    printf("settled %s %" PRId64 " %s\n", self->writer, number, outcome);
    return strcmp(outcome, "applied") == 0;
}

static int write_batch(program *self, int64_t number) {
    for (;;) {
        char outcome[16] = "", segment[128] = "";
        const char *ops;
        size_t len;
        opjournal_status status;
        if (!build_batch(self, number, &ops, &len)) return 0;
        status = opjournal_apply(self->handle, ops, len, time_left(self), &self->result);
        if (status == OPJOURNAL_OK) return 1;
        (void)opjournal_result_member_string(self->result.data, self->result.len, "outcome", outcome, sizeof outcome, NULL);
        (void)opjournal_result_member_string(self->result.data, self->result.len, "segment", segment, sizeof segment, NULL);
        if (strcmp(outcome, "unknown") == 0) {
            int applied = settle(self, number, segment);
            if (applied < 0) return 0;
            if (applied) return 1;
        } else if (!may_try_again(self)) {
            return failed(self, "apply", status);
        }
    }
}

/* The end of this process with a batch on its way, as the worst moment would have it. Returns only after a message. */
static int crash(program *self, int64_t number) {
    opjournal_queue queue;
    const char *ops;
    size_t len;
    opjournal_status status = opjournal_queue_open(1, &queue, &self->result);
    if (status != OPJOURNAL_OK) return failed(self, "queue_open", status);
    if (!build_batch(self, number, &ops, &len)) return 0;
    status = opjournal_apply_async(self->handle, queue, 0, ops, len, OPJOURNAL_TIMEOUT_DEFAULT, &self->result);
    if (status != OPJOURNAL_OK) return failed(self, "apply_async", status);
    (void)kill(getpid(), SIGKILL);
    return 0;
}

/* Waits for the other writers and prints the line that all of them must agree on. */
static int finish(program *self) {
    for (;;) {
        opjournal_slice total_text, digest_text;
        char digest[80];
        size_t cursor = 0;
        int64_t total = 0;
        if (!flush(self)) return 0;
        opjournal_builder_clear(&self->builder);
        opjournal_query_int_get(&self->builder, opjournal_text("total"));
        opjournal_query_digest(&self->builder);
        if (!query(self)) return 0;
        if (opjournal_result_item(self->result.data, self->result.len, &cursor, &total_text) != OPJOURNAL_RESULT_OK ||
            opjournal_result_item(self->result.data, self->result.len, &cursor, &digest_text) != OPJOURNAL_RESULT_OK ||
            opjournal_result_int(total_text.data, total_text.len, &total) != OPJOURNAL_RESULT_OK ||
            opjournal_result_member_string(digest_text.data, digest_text.len, "sha256", digest, sizeof digest, NULL) != OPJOURNAL_RESULT_OK)
            return failed(self, "answer", OPJOURNAL_OK);
        if (self->wait <= 0 || total == self->wait) {
            printf("digest %s total %" PRId64 "\n", digest, total);
            return 1;
        }
        if (total > self->wait || time_left(self) == 0) {
            fprintf(stderr, "%s: the total is %" PRId64 ", not %" PRId64 "\n", self->writer, total, self->wait);
            return 0;
        }
        pause_briefly();
    }
}

static int run(program *self) {
    int64_t resume = 0, number, acknowledged = 0;
    if (!open_all(self) || !read_resume(self, &resume)) return 0;
    printf("start %s resume %" PRId64 "\n", self->writer, resume);
    for (number = resume + 1; number <= self->count; number++) {
        if (acknowledged == self->crash_after) return crash(self, number);
        if (!write_batch(self, number)) return 0;
        acknowledged++;
        printf("acked %s %" PRId64 "\n", self->writer, number);
    }
    return finish(self);
}

/* A number of the command line, 0 or more; exits where it is none. */
static int64_t parse_number(const char *text) {
    int64_t number;
    if (opjournal_result_int(text, strlen(text), &number) != OPJOURNAL_RESULT_OK || number < 0) {
        fprintf(stderr, "not a number: %s\n%s", text, usage);
        exit(2);
    }
    return number;
}

static void parse(program *self, int argc, char **argv) {
    int i;
    self->ns = "demo";
    self->count = 100;
    self->wait = self->crash_after = -1;
    for (i = 1; i + 1 < argc; i += 2) {
        const char *flag = argv[i], *value = argv[i + 1];
        if (strcmp(flag, "-config") == 0) self->config = value;
        else if (strcmp(flag, "-store") == 0) self->store = value;
        else if (strcmp(flag, "-ns") == 0) self->ns = value;
        else if (strcmp(flag, "-writer") == 0) self->writer = value;
        else if (strcmp(flag, "-count") == 0) self->count = parse_number(value);
        else if (strcmp(flag, "-wait") == 0) self->wait = parse_number(value);
        else if (strcmp(flag, "-crash-after") == 0) self->crash_after = parse_number(value);
        else break;
    }
    if (self->config == NULL && self->store == NULL) self->config = getenv("OPJOURNAL_CONFIG");
    if (i != argc || self->writer == NULL || strlen(self->writer) > 256 || (self->config == NULL && self->store == NULL)) {
        fputs(usage, stderr);
        exit(2);
    }
}

int main(int argc, char **argv) {
    program self;
    int worked;
    memset(&self, 0, sizeof self);
    parse(&self, argc, argv);
    self.deadline = now() + RUN_SECONDS;
    /* Whoever reads this through a pipe acts on single lines. */
    (void)setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    worked = run(&self);
    if (self.journal != 0) {
        opjournal_status status = opjournal_close(self.journal, OPJOURNAL_TIMEOUT_DEFAULT, &self.result);
        if (status != OPJOURNAL_OK) worked = failed(&self, "close", status);
    }
    opjournal_buffer_free(&self.result);
    opjournal_builder_free(&self.builder);
    return worked ? 0 : 1;
}
