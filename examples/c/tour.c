/*
 * tour: a counter, a map, a set, a list, a scalar and an atomic batch, written, read back and digested.
 *
 *     tour file:///tmp/journal         writes, then reads
 *     tour file:///tmp/journal read    reads only
 *
 * The same program stands beside this one in other languages; all print the same. bindings/c/examples shows more of C: events.c runs
 * everything through one event loop, demo.c settles writes whose outcome is unknown.
 */
#include <opjournal.h>
#include <opjournal_builder.h>
#include <opjournal_result.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NUL_INSIDE opjournal_string("nul\0inside", 10)
#define AT_ONCE 5

typedef struct {
    opjournal_journal journal;
    opjournal_namespace ns;
    opjournal_queue queue;
    opjournal_builder builder; /* one is enough: a text is only borrowed for the call */
    opjournal_buffer result;   /* of calls; completions bring their own */
} tour;

/* What a failed call answered. Like most functions below: 1 if it worked, 0 after a message. */
static int failed(const char *what, opjournal_status status, const opjournal_buffer *result) {
    char message[512] = "";
    (void)opjournal_result_member_string(result->data, result->len, "message", message, sizeof message, NULL);
    fprintf(stderr, "tour: %s: %s: %s\n", what, opjournal_status_name(status), message);
    return 0;
}

/* The text of the builder, and the builder ready for the next one once the text was used. */
static int text_of(tour *self, const char **text, size_t *len) {
    if (opjournal_builder_array(&self->builder, text, len) == OPJOURNAL_BUILD_OK) return 1;
    fprintf(stderr, "tour: %s\n", opjournal_builder_message(&self->builder));
    return 0;
}

/* Writes what the builder holds as one atomic batch and waits until it is durable. */
static opjournal_status apply(tour *self) {
    const char *ops;
    size_t len;
    opjournal_status status = OPJOURNAL_INTERNAL;
    if (text_of(self, &ops, &len)) status = opjournal_apply(self->ns, ops, len, OPJOURNAL_TIMEOUT_DEFAULT, &self->result);
    opjournal_builder_clear(&self->builder);
    return status;
}

/* The same without waiting. Accepted means exactly one completion; refused means none. */
static int submit(tour *self, uint64_t tag) {
    const char *ops;
    size_t len;
    opjournal_status status;
    if (!text_of(self, &ops, &len)) return 0;
    status = opjournal_apply_async(self->ns, self->queue, tag, ops, len, OPJOURNAL_TIMEOUT_DEFAULT, &self->result);
    opjournal_builder_clear(&self->builder);
    return status == OPJOURNAL_OK ? 1 : failed("apply_async", status, &self->result);
}

/* Reads so many completions. A program with an event loop would poll the queue's descriptor instead of waiting here. */
static int complete(tour *self, size_t owed) {
    int worked = 1;
    while (owed > 0) {
        opjournal_completion completions[AT_ONCE];
        size_t count, i;
        opjournal_status status = opjournal_queue_wait(self->queue, completions, AT_ONCE, OPJOURNAL_TIMEOUT_NEVER, &count);
        if (status != OPJOURNAL_OK) {
            fprintf(stderr, "tour: queue_wait: %s\n", opjournal_status_name(status));
            return 0;
        }
        for (i = 0; i < count; i++) {
            if (completions[i].kind == OPJOURNAL_KIND_APPLY) {
                owed--;
                if (completions[i].status != OPJOURNAL_OK) worked = failed("apply", completions[i].status, &completions[i].result);
            }
            opjournal_buffer_free(&completions[i].result); /* also of a kind that nobody knows yet */
        }
    }
    return worked;
}

static int submit_several(tour *self) {
    uint64_t sent = 0;
    opjournal_op_int_add(&self->builder, opjournal_text("total"), (INT64_C(1) << 53) + 1);
    if (submit(self, sent)) sent++;
    opjournal_op_map_set(&self->builder, opjournal_text("prices"), opjournal_text("tea"), opjournal_int(180));
    if (submit(self, sent)) sent++;
    opjournal_op_map_set(&self->builder, opjournal_text("prices"), opjournal_text("café"), opjournal_int(250));
    if (submit(self, sent)) sent++;
    opjournal_op_set_add(&self->builder, opjournal_text("seen"), opjournal_text("tea"));
    if (submit(self, sent)) sent++;
    opjournal_op_set_add(&self->builder, opjournal_text("seen"), NUL_INSIDE);
    if (submit(self, sent)) sent++;
    /* What was accepted has a completion, also where another one was refused. */
    return complete(self, (size_t)sent) && sent == 5;
}

static void print_refusal(const opjournal_buffer *result) {
    char code[32] = "", field[32] = "", outcome[16] = "", message[512] = "";
    int64_t op = -1;
    int retryable = 0;
    (void)opjournal_result_member_string(result->data, result->len, "code", code, sizeof code, NULL);
    (void)opjournal_result_member_string(result->data, result->len, "field", field, sizeof field, NULL);
    (void)opjournal_result_member_string(result->data, result->len, "outcome", outcome, sizeof outcome, NULL);
    (void)opjournal_result_member_string(result->data, result->len, "message", message, sizeof message, NULL);
    (void)opjournal_result_member_int(result->data, result->len, "op", &op);
    (void)opjournal_result_member_bool(result->data, result->len, "retryable", &retryable);
    printf("refused: %s at op %" PRId64 ", field %s; outcome %s, retryable %s\n", code, op, field, outcome, retryable ? "yes" : "no");
    printf("message: %s\n", message);
}

static int write_all(tour *self) {
    static const char order[] = "{\"what\":\"tea\",\"quantity\":1}";
    opjournal_status status;

    /* One write that blocks this thread until it is durable. */
    opjournal_op_scalar_set(&self->builder, opjournal_text("greeting"), opjournal_text("Grüße, 世界 👋"));
    status = apply(self);
    if (status != OPJOURNAL_OK) return failed("apply", status, &self->result);

    /* Several on their way at once, each a batch of its own. They share requests to the store. */
    if (!submit_several(self)) return 0;

    /* One batch over several names: every replica sees all of it or nothing. */
    opjournal_op_int_add(&self->builder, opjournal_text("stock"), -1);
    opjournal_op_int_map_add(&self->builder, opjournal_text("sold"), opjournal_text("tea"), 1);
    opjournal_op_list_append(&self->builder, opjournal_text("orders"), opjournal_json(order, sizeof order - 1));
    status = apply(self);
    if (status != OPJOURNAL_OK) return failed("apply", status, &self->result);

    /* A batch with a mistake in its second op is refused whole. The builder's own function for IntAdd would not make this one. */
    opjournal_op_int_add(&self->builder, opjournal_text("stock"), 1);
    opjournal_object_begin(&self->builder);
    opjournal_object_member(&self->builder, "op", opjournal_text("IntAdd"));
    opjournal_object_member(&self->builder, "Key", opjournal_text("stock"));
    opjournal_object_member(&self->builder, "Delta", opjournal_text("one"));
    opjournal_object_end(&self->builder);
    if (apply(self) != OPJOURNAL_OK) print_refusal(&self->result);
    return 1;
}

/* The next answer of several. Past the last one it is empty, which no reader takes for a value. */
static opjournal_slice next(const tour *self, size_t *cursor) {
    opjournal_slice answer = {"", 0};
    (void)opjournal_result_item(self->result.data, self->result.len, cursor, &answer);
    return answer;
}

static void print_int(const char *name, opjournal_slice answer) {
    int64_t number = 0;
    (void)opjournal_result_int(answer.data, answer.len, &number);
    printf("%s: %" PRId64 "\n", name, number);
}

static void print_prices(opjournal_slice entries) {
    const char *before = "prices: ";
    opjournal_slice entry;
    size_t cursor = 0;
    while (opjournal_result_item(entries.data, entries.len, &cursor, &entry) == OPJOURNAL_RESULT_OK) {
        opjournal_slice key, value;
        char name[64] = "";
        int64_t price = 0;
        size_t part = 0;
        if (opjournal_result_item(entry.data, entry.len, &part, &key) == OPJOURNAL_RESULT_OK &&
            opjournal_result_item(entry.data, entry.len, &part, &value) == OPJOURNAL_RESULT_OK) {
            (void)opjournal_result_string(key.data, key.len, name, sizeof name, NULL);
            (void)opjournal_result_int(value.data, value.len, &price);
            printf("%s%s %" PRId64, before, name, price);
            before = ", ";
        }
    }
    printf("\n");
}

static void print_orders(opjournal_slice orders) {
    const char *before = "orders: ";
    opjournal_slice order;
    size_t cursor = 0;
    while (opjournal_result_item(orders.data, orders.len, &cursor, &order) == OPJOURNAL_RESULT_OK) {
        char what[64] = "";
        int64_t quantity = 0;
        (void)opjournal_result_member_string(order.data, order.len, "what", what, sizeof what, NULL);
        (void)opjournal_result_member_int(order.data, order.len, "quantity", &quantity);
        printf("%s%" PRId64 " %s", before, quantity, what);
        before = ", ";
    }
    printf("\n");
}

static int read_all(tour *self) {
    char greeting[128] = "none", digest[80] = "";
    opjournal_slice answer;
    const char *queries;
    size_t len, cursor = 0;
    int64_t seen = 0;
    int nul = 0;
    opjournal_status status = opjournal_flush(self->ns, OPJOURNAL_TIMEOUT_DEFAULT, &self->result);
    if (status != OPJOURNAL_OK) return failed("flush", status, &self->result);

    /* Several queries in one are answered from one state. */
    opjournal_query_scalar_get(&self->builder, opjournal_text("greeting"));
    opjournal_query_int_get(&self->builder, opjournal_text("total"));
    opjournal_query_int_get(&self->builder, opjournal_text("stock"));
    opjournal_query_map_entries(&self->builder, opjournal_text("prices"), NULL);
    opjournal_query_set_len(&self->builder, opjournal_text("seen"));
    opjournal_query_set_contains(&self->builder, opjournal_text("seen"), NUL_INSIDE);
    opjournal_query_list_entries(&self->builder, opjournal_text("orders"), NULL);
    opjournal_query_digest(&self->builder);
    if (!text_of(self, &queries, &len)) return 0;
    status = opjournal_query(self->ns, queries, len, &self->result);
    if (status != OPJOURNAL_OK) return failed("query", status, &self->result);

    answer = next(self, &cursor);
    (void)opjournal_result_member_string(answer.data, answer.len, "value", greeting, sizeof greeting, NULL);
    printf("greeting: %s\n", greeting);
    print_int("total", next(self, &cursor));
    print_int("stock", next(self, &cursor));
    print_prices(next(self, &cursor));
    answer = next(self, &cursor);
    (void)opjournal_result_int(answer.data, answer.len, &seen);
    answer = next(self, &cursor);
    (void)opjournal_result_bool(answer.data, answer.len, &nul);
    printf("seen: %" PRId64 " %s NUL\n", seen, nul ? "with" : "without");
    print_orders(next(self, &cursor));
    answer = next(self, &cursor);
    (void)opjournal_result_member_string(answer.data, answer.len, "sha256", digest, sizeof digest, NULL);
    printf("digest: %s\n", digest);
    return 1;
}

static int open_all(tour *self, const char *store, int reading) {
    const char *config;
    size_t len;
    opjournal_status status;
    opjournal_object_begin(&self->builder);
    opjournal_object_member(&self->builder, "store", opjournal_text(store));
    opjournal_object_member(&self->builder, "read_only", opjournal_bool(reading));
    opjournal_object_end(&self->builder);
    if (opjournal_builder_object(&self->builder, &config, &len) != OPJOURNAL_BUILD_OK) {
        fprintf(stderr, "tour: %s\n", opjournal_builder_message(&self->builder));
        return 0;
    }
    status = opjournal_open(config, len, &self->journal, &self->result);
    opjournal_builder_clear(&self->builder);
    if (status != OPJOURNAL_OK) return failed("open", status, &self->result);
    status = opjournal_queue_open(64, &self->queue, &self->result);
    if (status != OPJOURNAL_OK) return failed("queue_open", status, &self->result);
    status = opjournal_namespace_open(self->journal, "tour", 4, OPJOURNAL_TIMEOUT_DEFAULT, &self->ns, &self->result);
    return status == OPJOURNAL_OK ? 1 : failed("namespace_open", status, &self->result);
}

/* Closes what is open. Any order is safe, but a queue is closed last, when it owes nothing. */
static int close_all(tour *self) {
    int worked = 1;
    opjournal_status status;
    if (self->ns != 0) (void)opjournal_namespace_close(self->ns);
    if (self->journal != 0) {
        status = opjournal_close(self->journal, OPJOURNAL_TIMEOUT_DEFAULT, &self->result);
        if (status != OPJOURNAL_OK) worked = failed("close", status, &self->result);
    }
    if (self->queue != 0) {
        status = opjournal_queue_close(self->queue);
        if (status != OPJOURNAL_OK) {
            fprintf(stderr, "tour: queue_close: %s\n", opjournal_status_name(status));
            worked = 0;
        }
    }
    opjournal_buffer_free(&self->result);
    opjournal_builder_free(&self->builder);
    return worked;
}

int main(int argc, char **argv) {
    const int reading = argc == 3 && strcmp(argv[2], "read") == 0;
    tour self;
    int worked;
    if (argc != 2 && !reading) {
        fprintf(stderr, "usage: tour STORE-URL [read]\n");
        return 2;
    }
    memset(&self, 0, sizeof self);
    opjournal_builder_init(&self.builder);
    worked = open_all(&self, argv[1], reading) && (reading || write_all(&self)) && read_all(&self);
    worked = close_all(&self) && worked;
    return worked ? 0 : 1;
}
