/* One call of any function, with good and bad arguments, and what it may return. */
#include "hostile.h"

/* What no call writes. */
#define UNTOUCHED 99

/* Judge the status of the call that is made, and return it: for functions without a result, for those with one, and for those that complete
   later. */
static opjournal_status returned(const worker *self, opjournal_status status);
static opjournal_status answered(const worker *self, opjournal_status status);
static opjournal_status accepted(const worker *self, opjournal_status status);

static bool no_place(worker *self) {
    return one_in(self, 40);
}

/* Mostly short: a call that waits is a call that others cannot make. */
static int64_t pick_timeout(worker *self) {
    static const int64_t odd[] = {-1, -2, INT64_MIN + 1, INT64_MAX, OPJOURNAL_TIMEOUT_DEFAULT, INT64_MAX / 1000000, 1 << 30};
    return one_in(self, 3) ? odd[below(self, sizeof odd / sizeof *odd)] : (int64_t)below(self, 8);
}

opjournal_buffer *pick_buffer(worker *self) {
    uint64_t which = below(self, 4);
    return which == 3 ? NULL : &self->buffers[which];
}

/* Of a call of any thread, most often one that was made a moment ago. */
static uint64_t pick_tag(worker *self) {
    const worker *other = one_in(self, 2) ? self : &workers[below(self, plan.threads)];
    uint64_t last = atomic_load(&other->done), back = below(self, 64);
    return one_in(self, 20) ? draw(self) : tag_of(other, last > back ? last - back : 0);
}

/* The functions, each once. */

static void call_open(worker *self) {
    text config = config_text(self);
    opjournal_journal journal = UNTOUCHED;
    opjournal_status status = answered(self, opjournal_open(config.bytes, config.said, no_place(self) ? NULL : &journal, self->result));
    HOLDS((status == OPJOURNAL_OK) == (journal != UNTOUCHED));
    if (status == OPJOURNAL_OK) {
        opjournal_journal replaced = put(&journals, below(self, journals.size), journal);
        opjournal_close(replaced, (int64_t)below(self, 3) * 20, NULL);
    }
    text_free(&config);
}

static void call_close(worker *self) {
    answered(self, opjournal_close(pick(self, &journals), pick_timeout(self), self->result));
}

static void call_close_async(worker *self) {
    accepted(self, opjournal_close_async(pick(self, &journals), pick(self, &queues), self->tag, pick_timeout(self), self->result));
}

static void call_stats(worker *self) {
    answered(self, opjournal_stats(pick(self, &journals), self->result));
}

static void call_namespace_open(worker *self) {
    text name = name_text(self);
    opjournal_namespace ns = UNTOUCHED;
    opjournal_status status = answered(self, opjournal_namespace_open(pick(self, &journals), name.bytes, name.said, pick_timeout(self),
                                                                      no_place(self) ? NULL : &ns, self->result));
    HOLDS((status == OPJOURNAL_OK) == (ns != UNTOUCHED));
    if (status == OPJOURNAL_OK) {
        put_namespace(self, ns);
    }
    text_free(&name);
}

static void call_namespace_open_async(worker *self) {
    text name = name_text(self);
    accepted(self, opjournal_namespace_open_async(pick(self, &journals), pick(self, &queues), self->tag, name.bytes, name.said,
                                                  pick_timeout(self), self->result));
    text_free(&name);
}

static void call_namespace_close(worker *self) {
    returned(self, opjournal_namespace_close(pick(self, &namespaces)));
}

static void call_apply(worker *self) {
    text ops = ops_text(self);
    answered(self, opjournal_apply(pick(self, &namespaces), ops.bytes, ops.said, pick_timeout(self), self->result));
    text_free(&ops);
}

static void call_apply_async(worker *self) {
    text ops = ops_text(self);
    accepted(self, opjournal_apply_async(pick(self, &namespaces), pick(self, &queues), self->tag, ops.bytes, ops.said, pick_timeout(self),
                                         self->result));
    text_free(&ops);
}

static void call_query(worker *self) {
    text query = query_text(self);
    answered(self, opjournal_query(pick(self, &namespaces), query.bytes, query.said, self->result));
    text_free(&query);
}

static void call_flush(worker *self) {
    answered(self, opjournal_flush(pick(self, &namespaces), pick_timeout(self), self->result));
}

static void call_flush_async(worker *self) {
    accepted(self, opjournal_flush_async(pick(self, &namespaces), pick(self, &queues), self->tag, pick_timeout(self), self->result));
}

static void call_quarantine(worker *self) {
    text segment = segment_text(self);
    answered(self, opjournal_quarantine(pick(self, &namespaces), segment.bytes, segment.said, pick_timeout(self), self->result));
    text_free(&segment);
}

static void call_buffer_free(worker *self) {
    opjournal_buffer *buffer = pick_buffer(self);
    opjournal_buffer_free(buffer);
    HOLDS(buffer == NULL || (buffer->data == NULL && buffer->len == 0 && buffer->capacity == 0));
    returned(self, OPJOURNAL_OK);
}

static void call_status_name(worker *self) {
    HOLDS(opjournal_status_name((opjournal_status)draw(self)) != NULL && opjournal_version() != NULL);
    returned(self, OPJOURNAL_OK);
}

static void call_queue_open(worker *self) {
    uint32_t capacity = one_in(self, 10) ? (uint32_t)draw(self) : 1 + (uint32_t)below(self, 200);
    opjournal_queue queue = UNTOUCHED;
    opjournal_status status = answered(self, opjournal_queue_open(capacity, no_place(self) ? NULL : &queue, self->result));
    HOLDS((status == OPJOURNAL_OK) == (queue != UNTOUCHED));
    if (status == OPJOURNAL_OK) {
        put_queue(below(self, queues.size), queue);
    }
}

static void call_queue_fd(worker *self) {
    int descriptor = UNTOUCHED;
    int *place = no_place(self) ? NULL : &descriptor;
    opjournal_status status = returned(self, opjournal_queue_fd(pick(self, &queues), place));
    HOLDS(place == NULL || (status == OPJOURNAL_OK ? descriptor >= 0 : descriptor == -1));
}

static void call_cancel(worker *self) {
    returned(self, opjournal_cancel(pick(self, &queues), pick_tag(self)));
}

static void read_queue(worker *self, bool waits) {
    opjournal_completion done[ROOM], *places = no_place(self) ? NULL : done;
    size_t count = UNTOUCHED, *count_place = no_place(self) ? NULL : &count;
    size_t most = one_in(self, 30) ? 0 : 1 + below(self, ROOM);
    opjournal_queue queue = pick(self, &queues);
    memset(done, 0xff, sizeof done); /* output only: what it held is neither read nor freed */
    opjournal_status status = waits ? opjournal_queue_wait(queue, places, most, pick_timeout(self), count_place)
                                    : opjournal_queue_poll(queue, places, most, count_place);
    returned(self, status);
    if (status == OPJOURNAL_OK) {
        HOLDS(places != NULL && count_place != NULL && count <= most && (count > 0 || !waits));
        take_completions(self, done, count);
    } else {
        HOLDS(count == UNTOUCHED);
    }
}

static void call_queue_poll(worker *self) {
    read_queue(self, false);
}

static void call_queue_wait(worker *self) {
    read_queue(self, true);
}

static void call_queue_close(worker *self) {
    returned(self, opjournal_queue_close(pick(self, &queues)));
}

_Atomic uint64_t log_records;

void take_log_record(void *context, int32_t level, const char *json, size_t len) {
    static atomic_bool delivering;
    HOLDS(!atomic_exchange(&delivering, true)); /* one call at a time */
    HOLDS(context == &log_records && level >= OPJOURNAL_LOG_ERROR && level <= OPJOURNAL_LOG_TRACE);
    HOLDS(strlen(json) == len && json[0] == '{' && json[len - 1] == '}');
    atomic_fetch_add(&log_records, 1);
    atomic_store(&delivering, false);
}

static int32_t pick_level(worker *self) {
    return (int32_t)below(self, 9) - 1;
}

static void call_log_to(worker *self) {
    returned(self, opjournal_log_to(pick_level(self), one_in(self, 2) ? take_log_record : NULL, &log_records));
}

static void call_log_to_queue(worker *self) {
    returned(self, opjournal_log_to_queue(pick_level(self), pick(self, &queues)));
}

#define OK BIT(OPJOURNAL_OK)
#define INVALID BIT(OPJOURNAL_INVALID)
#define BAD_HANDLE BIT(OPJOURNAL_BAD_HANDLE)
#define HANDLES (OK | BAD_HANDLE | BIT(OPJOURNAL_CLOSED))
#define BUSY BIT(OPJOURNAL_BUSY)
#define TIMED_OUT BIT(OPJOURNAL_TIMED_OUT)
#define READ_ONLY BIT(OPJOURNAL_READ_ONLY)
#define TOO_LARGE BIT(OPJOURNAL_TOO_LARGE)

/* The stores are good and never away, so no status that tells of a store is among these but of a directory that is not there. */
static const struct {
    const char *name;
    void (*call)(worker *);
    unsigned weight; /* of a thousand calls how many */
    uint32_t may_return;
} functions[] = {
    {"open", call_open, 3, OK | INVALID | BUSY | TIMED_OUT | TOO_LARGE | BIT(OPJOURNAL_NO_SUCH_STORE)},
    {"close", call_close, 1, OK | BAD_HANDLE | INVALID | TIMED_OUT},
    {"namespace_open", call_namespace_open, 55, HANDLES | INVALID | BUSY | TIMED_OUT},
    {"namespace_close", call_namespace_close, 6, OK | BAD_HANDLE},
    {"apply", call_apply, 100, HANDLES | INVALID | BUSY | TIMED_OUT | READ_ONLY | TOO_LARGE},
    {"query", call_query, 195, HANDLES | INVALID},
    {"flush", call_flush, 50, HANDLES | INVALID | TIMED_OUT},
    {"quarantine", call_quarantine, 10, HANDLES | INVALID | TIMED_OUT | READ_ONLY},
    {"stats", call_stats, 30, HANDLES},
    {"buffer_free", call_buffer_free, 20, OK},
    {"status_name", call_status_name, 20, OK},
    {"queue_open", call_queue_open, 10, OK | INVALID | BUSY},
    {"queue_fd", call_queue_fd, 20, HANDLES | INVALID},
    {"namespace_open_async", call_namespace_open_async, 30, HANDLES | INVALID | BUSY},
    {"apply_async", call_apply_async, 170, HANDLES | INVALID | BUSY | READ_ONLY | TOO_LARGE},
    {"flush_async", call_flush_async, 60, HANDLES | INVALID | BUSY},
    {"close_async", call_close_async, 1, HANDLES | INVALID | BUSY},
    {"cancel", call_cancel, 60, HANDLES},
    {"queue_poll", call_queue_poll, 90, HANDLES | INVALID},
    {"queue_wait", call_queue_wait, 59, HANDLES | INVALID | TIMED_OUT},
    {"queue_close", call_queue_close, 4, OK | BAD_HANDLE | BUSY},
    {"log_to", call_log_to, 3, OK | INVALID},
    {"log_to_queue", call_log_to_queue, 3, HANDLES | INVALID},
};
enum { FUNCTIONS = sizeof functions / sizeof *functions };

static _Atomic uint64_t counts[FUNCTIONS][STATUSES];

void check_result(const char *whose, opjournal_status status, const opjournal_buffer *result) {
    HOLDS(result->data != NULL && result->capacity > result->len && result->data[result->len] == '\0');
    HOLDS(memchr(result->data, '\0', result->len) == NULL);
    if (status == OPJOURNAL_OK) {
        HOLDS(result->len > 0);
        return;
    }
    char code[64];
    snprintf(code, sizeof code, "\"code\":\"%s\"", opjournal_status_name(status));
    if (result->data[0] != '{' || strstr(result->data, code) == NULL || strstr(result->data, "\"message\":\"") == NULL) {
        broken("%s is %s: %s", whose, opjournal_status_name(status), result->data);
    }
}

static opjournal_status judged(const worker *self, opjournal_status status, const opjournal_buffer *result) {
    const char *name = functions[self->function].name;
    if (!is_one_of(status, functions[self->function].may_return)) {
        broken("%s is %s: %s", name, opjournal_status_name(status), said(result));
    }
    atomic_fetch_add_explicit(&counts[self->function][status], 1, memory_order_relaxed);
    if (result != NULL) {
        check_result(name, status, result);
    }
    return status;
}

static opjournal_status returned(const worker *self, opjournal_status status) {
    return judged(self, status, NULL);
}

static opjournal_status answered(const worker *self, opjournal_status status) {
    return judged(self, status, self->result);
}

static opjournal_status accepted(const worker *self, opjournal_status status) {
    if (status == OPJOURNAL_OK) {
        note_accepted(self->tag);
    }
    return answered(self, status);
}

void call_once(worker *self) {
    uint64_t chosen = below(self, 1000);
    self->function = 0;
    while (chosen >= functions[self->function].weight) {
        chosen -= functions[self->function++].weight;
    }
    self->result = pick_buffer(self);
    self->tag = tag_of(self, atomic_load(&self->done));
    atomic_store(&self->doing, functions[self->function].name);
    functions[self->function].call(self);
}

void write_returned(FILE *file) {
    for (int function = 0; function < FUNCTIONS; function++) {
        const char *between = "";
        fprintf(file, "%s\"%s\":{", function == 0 ? "" : ",", functions[function].name);
        for (int status = 0; status < STATUSES; status++) {
            uint64_t count = atomic_load(&counts[function][status]);
            if (count > 0) {
                fprintf(file, "%s\"%s\":%" PRIu64, between, opjournal_status_name(status), count);
                between = ",";
            }
        }
        fprintf(file, "}");
    }
}

void check_returned(void) {
    for (int function = 0; function < FUNCTIONS; function++) {
        /* There is nothing to quarantine. */
        HOLDS(atomic_load(&counts[function][OPJOURNAL_OK]) > 0 || functions[function].call == call_quarantine);
    }
}
