/*
 * A host that does everything wrong, on many threads at once: handles that are stale, of another kind, flipped or made up; texts that are no
 * UTF-8, no JSON, too deep, too long or not there; places that are NULL; closes while calls are under way; cancels of any tag; queues that
 * are read, waited on and closed by everybody; signals that interrupt, and forks. Nothing may crash, hang, leak, or answer with a status that
 * the header does not name; every call that is accepted completes exactly once.
 *
 *     hostile [CALLS [THREADS [SEED]]]
 *
 * The same seed makes the same calls on each thread; how the threads interleave is for the scheduler. The environment may hold
 * OPJOURNAL_TEST_DIR (where the directory store goes), FIGURES (a file for the figures, as JSON), HOSTILE_STALL (seconds without a call after
 * which the watchdog ends the program; 60), HOSTILE_SIGNAL_US (how often every thread is interrupted; 1000) and HOSTILE_RSS_MB (what may be
 * resident at the end; 256, and 0 for no bound). Linux only: /proc.
 *
 * It lies only where the ABI can tell: a pointer that is not NULL is good, and what it points to is as long as is said, or said to be longer
 * than anything can be.
 */
#include "abi.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BIT(status) (1u << (status))
#define HANDLES (BIT(OPJOURNAL_OK) | BIT(OPJOURNAL_BAD_HANDLE) | BIT(OPJOURNAL_CLOSED))
#define INVALID BIT(OPJOURNAL_INVALID)
#define BUSY BIT(OPJOURNAL_BUSY)
#define TIMED_OUT BIT(OPJOURNAL_TIMED_OUT)

/* name, of a thousand calls how many, and the statuses that it may return here. The stores are good and never away, so no status that tells
   of a store is among them but of a directory that is not there. */
#define FUNCTIONS(F)                                                                                                                       \
    F(open, 3, BIT(OPJOURNAL_OK) | INVALID | BUSY | TIMED_OUT | BIT(OPJOURNAL_TOO_LARGE) | BIT(OPJOURNAL_NO_SUCH_STORE))                    \
    F(close, 1, BIT(OPJOURNAL_OK) | BIT(OPJOURNAL_BAD_HANDLE) | INVALID | TIMED_OUT)                                                        \
    F(namespace_open, 55, HANDLES | INVALID | BUSY | TIMED_OUT)                                                                             \
    F(namespace_close, 6, BIT(OPJOURNAL_OK) | BIT(OPJOURNAL_BAD_HANDLE))                                                                   \
    F(apply, 100, HANDLES | INVALID | BUSY | TIMED_OUT | BIT(OPJOURNAL_READ_ONLY) | BIT(OPJOURNAL_TOO_LARGE))                               \
    F(query, 195, HANDLES | INVALID)                                                                                                        \
    F(flush, 50, HANDLES | INVALID | TIMED_OUT)                                                                                             \
    F(quarantine, 10, HANDLES | INVALID | TIMED_OUT | BIT(OPJOURNAL_READ_ONLY))                                                             \
    F(stats, 30, HANDLES)                                                                                                                   \
    F(buffer_free, 20, BIT(OPJOURNAL_OK))                                                                                                   \
    F(status_name, 20, BIT(OPJOURNAL_OK))                                                                                                   \
    F(queue_open, 10, BIT(OPJOURNAL_OK) | INVALID | BUSY)                                                                                   \
    F(queue_fd, 20, HANDLES | INVALID)                                                                                                      \
    F(namespace_open_async, 30, HANDLES | INVALID | BUSY)                                                                                   \
    F(apply_async, 170, HANDLES | INVALID | BUSY | BIT(OPJOURNAL_READ_ONLY) | BIT(OPJOURNAL_TOO_LARGE))                                     \
    F(flush_async, 60, HANDLES | INVALID | BUSY)                                                                                            \
    F(close_async, 1, HANDLES | INVALID | BUSY)                                                                                             \
    F(cancel, 60, HANDLES)                                                                                                                  \
    F(queue_poll, 90, HANDLES | INVALID)                                                                                                    \
    F(queue_wait, 59, HANDLES | INVALID | TIMED_OUT)                                                                                        \
    F(queue_close, 4, BIT(OPJOURNAL_OK) | BIT(OPJOURNAL_BAD_HANDLE) | BUSY)                                                                 \
    F(log_to, 3, BIT(OPJOURNAL_OK) | INVALID)                                                                                               \
    F(log_to_queue, 3, HANDLES | INVALID)

#define AS_NUMBER(name, weight, statuses) CALL_##name,
enum { FUNCTIONS(AS_NUMBER) FUNCTION_COUNT };
#define AS_NAME(name, weight, statuses) #name,
static const char *const names[FUNCTION_COUNT] = {FUNCTIONS(AS_NAME)};
#define AS_WEIGHT(name, weight, statuses) weight,
static const unsigned weights[FUNCTION_COUNT] = {FUNCTIONS(AS_WEIGHT)};
#define AS_STATUSES(name, weight, statuses) statuses,
static const uint32_t may_return[FUNCTION_COUNT] = {FUNCTIONS(AS_STATUSES)};

/* By kind: how a completion may end. */
static const uint32_t may_end[] = {
    [OPJOURNAL_KIND_NAMESPACE_OPEN] = BIT(OPJOURNAL_OK) | BIT(OPJOURNAL_CLOSED) | TIMED_OUT | BUSY | BIT(OPJOURNAL_CANCELLED),
    [OPJOURNAL_KIND_APPLY] = BIT(OPJOURNAL_OK) | BIT(OPJOURNAL_CLOSED) | TIMED_OUT | BIT(OPJOURNAL_CANCELLED),
    [OPJOURNAL_KIND_FLUSH] = BIT(OPJOURNAL_OK) | BIT(OPJOURNAL_CLOSED) | TIMED_OUT | BIT(OPJOURNAL_CANCELLED),
    [OPJOURNAL_KIND_CLOSE] = BIT(OPJOURNAL_OK) | TIMED_OUT | BIT(OPJOURNAL_CANCELLED),
    [OPJOURNAL_KIND_LOG] = BIT(OPJOURNAL_OK),
};

enum { JOURNALS = 8, NAMESPACES = 24, QUEUES = 8, MOST_THREADS = 64, ROOM = 32 };
enum { STATUSES = OPJOURNAL_INTERNAL + 1 };

/* What everybody uses and anybody may close. */
static _Atomic uint64_t journals[JOURNALS], namespaces[NAMESPACES], queues[QUEUES];

typedef struct {
    uint64_t random;
    unsigned number;
    uint64_t calls;
    pthread_t thread;
    opjournal_buffer buffers[3];
    /* What it is doing, for the watchdog. */
    _Atomic(const char *) doing;
    _Atomic uint64_t done;
} worker;

static worker workers[MOST_THREADS];
static unsigned threads = 6;
static uint64_t all_calls = 100000, seed;
static char directory[512];
static _Atomic uint64_t returned[FUNCTION_COUNT][STATUSES], completions, forks, signals_seen, records;
static atomic_uint running;
/* By tag: 1 accepted, and 2 for each completion. */
static _Atomic unsigned char *tags;
static uint64_t tags_of_each;
#define POKE (UINT64_C(1) << 63)
static _Atomic uint64_t pokes, poked;

static void broken(const char *form, ...) __attribute__((noreturn, format(printf, 1, 2)));

static void broken(const char *form, ...) {
    va_list values;
    va_start(values, form);
    fprintf(stderr, "hostile: ");
    vfprintf(stderr, form, values);
    fprintf(stderr, "\nagain with: hostile %" PRIu64 " %u %" PRIu64 "\n", all_calls, threads, seed);
    va_end(values);
    abort();
}

#define HOLDS(condition)                                                                                                                   \
    do {                                                                                                                                   \
        if (!(condition)) {                                                                                                                \
            broken("line %d: not so: %s", __LINE__, #condition);                                                                           \
        }                                                                                                                                  \
    } while (0)

/* splitmix64 */
static uint64_t draw(worker *self) {
    uint64_t z = self->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static uint64_t below(worker *self, uint64_t limit) {
    return draw(self) % limit;
}

static bool one_in(worker *self, uint64_t count) {
    return below(self, count) == 0;
}

/* Every handle that was given out, so that all can be closed at the end, and looked at. */
static pthread_mutex_t ledger_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    uint64_t *handles;
    size_t count, room;
} ledger;

static void given_out(uint64_t handle) {
    HOLDS(handle != 0);
    pthread_mutex_lock(&ledger_lock);
    if (ledger.count == ledger.room) {
        ledger.room = ledger.room == 0 ? 1024 : 2 * ledger.room;
        ledger.handles = realloc(ledger.handles, ledger.room * sizeof *ledger.handles);
        HOLDS(ledger.handles != NULL);
    }
    ledger.handles[ledger.count++] = handle;
    pthread_mutex_unlock(&ledger_lock);
}

static uint64_t any_given_out(worker *self) {
    pthread_mutex_lock(&ledger_lock);
    uint64_t handle = ledger.count == 0 ? 0 : ledger.handles[below(self, ledger.count)];
    pthread_mutex_unlock(&ledger_lock);
    return handle;
}

/* A handle, most often a good one of the kind. */
static uint64_t pick(worker *self, _Atomic uint64_t *pool, size_t count) {
    uint64_t handle = atomic_load(&pool[below(self, count)]);
    switch (below(self, 20)) {
    case 0:
        return below(self, 3);
    case 1:
        return draw(self);
    case 2:
        return handle ^ UINT64_C(1) << below(self, 64);
    case 3:
        return any_given_out(self);
    case 4:
        return UINT64_MAX - below(self, 3);
    default:
        return handle;
    }
}

#define PICK(pool) pick(self, pool, sizeof pool / sizeof *pool)

/* Mostly short: a call that waits is a call that others cannot make. */
static int64_t pick_timeout(worker *self) {
    static const int64_t odd[] = {-1, -2, INT64_MIN + 1, INT64_MAX, OPJOURNAL_TIMEOUT_DEFAULT, INT64_MAX / 1000000, 1 << 30};
    return one_in(self, 3) ? odd[below(self, sizeof odd / sizeof *odd)] : (int64_t)below(self, 8);
}

static opjournal_buffer *pick_buffer(worker *self) {
    uint64_t which = below(self, 4);
    return which == 3 ? NULL : &self->buffers[which];
}

/* A text in an allocation of exactly its size, without a NUL, and wiped and freed after the call: what reads past it or keeps it is seen. */
typedef struct {
    char *bytes;
    size_t len;
    size_t said;
} text;

static text text_of(const char *bytes, size_t len) {
    text made = {malloc(len == 0 ? 1 : len), len, len};
    HOLDS(made.bytes != NULL);
    memcpy(made.bytes, bytes, len);
    return made;
}

static void text_free(text *borrowed) {
    if (borrowed->bytes != NULL) {
        memset(borrowed->bytes, '!', borrowed->len);
    }
    free(borrowed->bytes);
}

/* Spoils a text, now and then. */
static text spoiled(worker *self, text good) {
    if (!one_in(self, 4)) {
        return good;
    }
    switch (below(self, 9)) {
    case 0: /* bytes that are no UTF-8, or no JSON */
        for (uint64_t i = 1 + below(self, 3); i > 0 && good.len > 0; i--) {
            good.bytes[below(self, good.len)] = (char)draw(self);
        }
        break;
    case 1: /* not all of it */
        good.said = below(self, good.len + 1);
        break;
    case 2: /* longer than anything can be */
        good.said = SIZE_MAX - below(self, 9);
        break;
    case 3:
        good.said = (size_t)PTRDIFF_MAX + 1 + below(self, 9);
        break;
    case 4: /* not there, with a length */
        text_free(&good);
        good = (text){NULL, 0, 1 + below(self, 99)};
        break;
    case 5: /* not there */
        text_free(&good);
        good = (text){NULL, 0, 0};
        break;
    case 6: { /* deeper than anything may be */
        size_t depth = one_in(self, 20) ? 300000 : 1 + below(self, 400);
        text_free(&good);
        good = (text){malloc(depth), depth, depth};
        HOLDS(good.bytes != NULL);
        memset(good.bytes, one_in(self, 2) ? '[' : '{', depth);
        break;
    }
    case 7: { /* over every limit */
        size_t len = one_in(self, 50) ? (size_t)2 << 20 : 300;
        text_free(&good);
        good = (text){malloc(len), len, len};
        HOLDS(good.bytes != NULL);
        memset(good.bytes, one_in(self, 2) ? ' ' : '\xff', len);
        break;
    }
    default: /* a NUL inside */
        if (good.len > 0) {
            good.bytes[below(self, good.len)] = '\0';
        }
    }
    return good;
}

static text formatted(const char *form, ...) __attribute__((format(printf, 1, 2)));

static text formatted(const char *form, ...) {
    char line[2048];
    va_list values;
    va_start(values, form);
    int len = vsnprintf(line, sizeof line, form, values);
    va_end(values);
    HOLDS(len >= 0 && (size_t)len < sizeof line);
    return text_of(line, (size_t)len);
}

static size_t an_op(worker *self, char *out, size_t room) {
    static const char *const forms[] = {
        "{\"op\":\"IntAdd\",\"Key\":\"n%u\",\"Delta\":%d}",
        "{\"op\":\"IntMul\",\"Key\":\"n%u\",\"Factor\":%d}",
        "{\"op\":\"IntDiv\",\"Key\":\"n%u\",\"Divisor\":%d}",
        "{\"op\":\"ScalarSet\",\"Key\":\"v%u\",\"Value\":[{\"x\":%d},null,1.50,\"\\u2028<>&\"]}",
        "{\"op\":\"ScalarDelete\",\"Key\":\"l%u\"}",
        "{\"op\":\"SetAdd\",\"Key\":\"s%u\",\"Member\":%d}",
        "{\"op\":\"SetRemove\",\"Key\":\"s%u\",\"Member\":%d}",
        "{\"op\":\"MapSet\",\"Key\":\"m%u\",\"MapKey\":[%d],\"Value\":\"\xf0\x9f\x8c\x8d\"}",
        "{\"op\":\"MapDelete\",\"Key\":\"m%u\",\"MapKey\":[%d]}",
        "{\"op\":\"IntMapAdd\",\"Key\":\"i%u\",\"MapKey\":\"a\",\"Delta\":%d}",
        "{\"op\":\"IntMapDiv\",\"Key\":\"i%u\",\"MapKey\":\"a\",\"Divisor\":%d}",
        "{\"op\":\"ListAppend\",\"Key\":\"l%u\",\"Value\":%d}",
    };
    /* Not every form takes the number. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    return (size_t)snprintf(out, room, forms[below(self, sizeof forms / sizeof *forms)], (unsigned)below(self, 4), (int)below(self, 40) - 8);
#pragma GCC diagnostic pop
}

static text ops_text(worker *self) {
    char line[2048] = "[";
    size_t count = below(self, 5), at = 1;
    if (one_in(self, 2)) {
        size_t len = an_op(self, line, sizeof line);
        return spoiled(self, text_of(line, len));
    }
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            line[at++] = ',';
        }
        at += an_op(self, line + at, sizeof line - at);
    }
    line[at++] = ']';
    return spoiled(self, text_of(line, at));
}

static text query_text(worker *self) {
    unsigned number = (unsigned)below(self, 4);
    switch (below(self, 8)) {
    case 0:
        return spoiled(self, formatted("{\"op\":\"State\"}"));
    case 1:
        return spoiled(self, formatted("[{\"op\":\"IntGet\",\"Key\":\"n%u\"},{\"op\":\"Digest\"},{\"op\":\"Names\"}]", number));
    case 2:
        return spoiled(self, formatted("{\"op\":\"MapEntries\",\"Key\":\"m%u\",\"Limit\":%u}", number, 1 + number));
    case 3:
        return spoiled(self, formatted("{\"op\":\"ListEntries\",\"Key\":\"l%u\",\"After\":%u}", number, number));
    case 4:
        return spoiled(self, formatted("{\"op\":\"Outcome\",\"Segment\":\"segment-%u.json\"}", number));
    case 5:
        return spoiled(self, formatted("{\"op\":\"SetMembers\",\"Key\":\"s%u\",\"Prefix\":\"\"}", number));
    default:
        return spoiled(self, formatted("{\"op\":\"IntGet\",\"Key\":\"n%u\"}", number));
    }
}

static text name_text(worker *self) {
    static const char *const few[] = {"", "a", "b", "orders", "x_y-z"};
    const char *name = few[below(self, sizeof few / sizeof *few)];
    return spoiled(self, text_of(name, strlen(name)));
}

static text config_text(worker *self) {
    /* Stores in memory go with their last journal; new names let the old ones go. */
    unsigned sync = 20 + (unsigned)below(self, 2000), commit = one_in(self, 4) ? (unsigned)below(self, 40) : 0;
    unsigned name = (unsigned)(self->calls / 4000 * 3 + below(self, 3));
    switch (below(self, 8)) {
    case 0:
        return spoiled(self, formatted("{\"store\":\"file://%s\",\"sync_interval_ms\":%u}", directory, sync));
    case 1:
        return spoiled(self, formatted("{\"store\":\"file://%s/not-there\"}", directory));
    case 2:
        return spoiled(self, formatted("{\"store\":\"memory:h%u\",\"read_only\":true,\"lock_ttl_ms\":[]}", name));
    case 3:
        return spoiled(self, formatted("{\"store\":\"memory:h%u\",\"limits\":{\"waiting_bytes\":2000,\"batch_bytes\":600}}", name));
    default:
        return spoiled(self, formatted("{\"store\":\"memory:h%u\",\"sync_interval_ms\":%u,\"commit_interval_ms\":%u}", name, sync, commit));
    }
}

/* A result is JSON with a NUL behind it, whatever the status. */
static void check_result(int function, opjournal_status status, const opjournal_buffer *result) {
    if (result == NULL) {
        return;
    }
    HOLDS(result->data != NULL && result->capacity > result->len && result->data[result->len] == '\0');
    HOLDS(memchr(result->data, '\0', result->len) == NULL);
    if (status == OPJOURNAL_OK) {
        HOLDS(result->len > 0);
        return;
    }
    char code[64];
    snprintf(code, sizeof code, "\"code\":\"%s\"", opjournal_status_name(status));
    if (result->data[0] != '{' || strstr(result->data, code) == NULL || strstr(result->data, "\"message\":\"") == NULL) {
        broken("%s is %s: %s", names[function], opjournal_status_name(status), result->data);
    }
}

static void check_status(int function, opjournal_status status, const opjournal_buffer *result) {
    if (status < 0 || status >= STATUSES || (may_return[function] & BIT(status)) == 0) {
        broken("%s is %s: %s", names[function], opjournal_status_name(status), said(result));
    }
    atomic_fetch_add_explicit(&returned[function][status], 1, memory_order_relaxed);
    check_result(function, status, result);
}

/* Queues that are to be closed, once they owe nothing. */
static pthread_mutex_t retiring_lock = PTHREAD_MUTEX_INITIALIZER;
static opjournal_queue retiring[4096];
static size_t retiring_count;

static void retire(opjournal_queue queue) {
    pthread_mutex_lock(&retiring_lock);
    HOLDS(retiring_count < sizeof retiring / sizeof *retiring);
    retiring[retiring_count++] = queue;
    pthread_mutex_unlock(&retiring_lock);
}

/* Puts a handle where everybody finds it, and returns the one that was there. */
static uint64_t publish(worker *self, _Atomic uint64_t *pool, size_t count, uint64_t handle) {
    given_out(handle);
    return atomic_exchange(&pool[below(self, count)], handle);
}

static void publish_namespace(worker *self, opjournal_namespace ns) {
    opjournal_namespace_close(publish(self, namespaces, NAMESPACES, ns));
}

static void take_completions(worker *self, opjournal_completion *done, size_t count) {
    for (size_t i = 0; i < count; i++) {
        opjournal_completion *one = &done[i];
        HOLDS(one->kind >= 1 && one->kind < sizeof may_end / sizeof *may_end && one->reserved[0] == 0 && one->reserved[1] == 0);
        if (one->status < 0 || one->status >= STATUSES || (may_end[one->kind] & BIT(one->status)) == 0) {
            broken("a completion of kind %" PRIu32 " is %s: %s", one->kind, opjournal_status_name(one->status), said(&one->result));
        }
        HOLDS(one->result.data != NULL && one->result.data[one->result.len] == '\0');
        if (one->kind == OPJOURNAL_KIND_LOG) {
            HOLDS(one->tag == 0);
        } else if ((one->tag & POKE) != 0) {
            atomic_fetch_add(&poked, 1);
        } else {
            HOLDS(one->tag < threads * tags_of_each);
            /* A completion may be read before the call that it is of has returned. */
            HOLDS(atomic_fetch_add(&tags[one->tag], 2) < 2);
        }
        if (one->kind == OPJOURNAL_KIND_NAMESPACE_OPEN && one->status == OPJOURNAL_OK) {
            unsigned long long ns = 0;
            HOLDS(sscanf(one->result.data, "{\"namespace\":%llu}", &ns) == 1);
            publish_namespace(self, ns);
        }
        atomic_fetch_add_explicit(&completions, 1, memory_order_relaxed);
        opjournal_buffer_free(&one->result);
    }
}

static atomic_bool delivering;

static void sink(void *context, int32_t level, const char *json, size_t len) {
    HOLDS(!atomic_exchange(&delivering, true)); /* one call at a time */
    HOLDS(context == &records && level >= OPJOURNAL_LOG_ERROR && level <= OPJOURNAL_LOG_TRACE);
    HOLDS(strlen(json) == len && json[0] == '{' && json[len - 1] == '}');
    atomic_fetch_add(&records, 1);
    atomic_store(&delivering, false);
}

/* In the child of a fork every call says so and returns. */
static void in_child(worker *self) {
    opjournal_completion done;
    uint64_t out = 55;
    size_t count = 55;
    int descriptor = 55;
    opjournal_buffer *result = pick_buffer(self);
    signal(SIGALRM, SIG_DFL);
    alarm(60);
#define FORKED(call)                                                                                                                       \
    do {                                                                                                                                   \
        if ((call) != OPJOURNAL_FORKED) {                                                                                                  \
            _exit(3);                                                                                                                      \
        }                                                                                                                                  \
    } while (0)
    FORKED(opjournal_open(TEXT("{\"store\":\"memory:child\"}"), &out, result));
    FORKED(opjournal_namespace_open(PICK(journals), TEXT("a"), -1, &out, result));
    FORKED(opjournal_apply(PICK(namespaces), TEXT("[]"), -1, result));
    FORKED(opjournal_query(PICK(namespaces), TEXT("{\"op\":\"State\"}"), result));
    FORKED(opjournal_flush(PICK(namespaces), -1, result));
    FORKED(opjournal_quarantine(PICK(namespaces), TEXT("segment-x.json"), -1, result));
    FORKED(opjournal_stats(PICK(journals), result));
    FORKED(opjournal_queue_open(1, &out, result));
    FORKED(opjournal_queue_fd(PICK(queues), &descriptor));
    FORKED(opjournal_namespace_open_async(PICK(journals), PICK(queues), 1, TEXT("a"), -1, result));
    FORKED(opjournal_apply_async(PICK(namespaces), PICK(queues), 1, TEXT("[]"), -1, result));
    FORKED(opjournal_flush_async(PICK(namespaces), PICK(queues), 1, -1, result));
    FORKED(opjournal_close_async(PICK(journals), PICK(queues), 1, -1, result));
    FORKED(opjournal_cancel(PICK(queues), 1));
    FORKED(opjournal_queue_poll(PICK(queues), &done, 1, &count));
    FORKED(opjournal_queue_wait(PICK(queues), &done, 1, -1, &count));
    FORKED(opjournal_queue_close(PICK(queues)));
    FORKED(opjournal_log_to(OPJOURNAL_LOG_INFO, sink, &records));
    FORKED(opjournal_log_to_queue(OPJOURNAL_LOG_INFO, PICK(queues)));
    FORKED(opjournal_namespace_close(PICK(namespaces)));
    FORKED(opjournal_close(PICK(journals), -1, result));
    opjournal_buffer_free(result);
    _exit(out == 55 && count == 55 && descriptor == -1 && opjournal_abi_version() == OPJOURNAL_ABI_VERSION ? 0 : 4);
}

static void fork_once(worker *self) {
    int status = 0;
    /* The child picks handles as well: nobody else may hold the lock of the list as it is made. */
    pthread_mutex_lock(&ledger_lock);
    pid_t child = fork();
    pthread_mutex_unlock(&ledger_lock);
    if (child == 0) {
        in_child(self);
    }
    HOLDS(child > 0);
    while (waitpid(child, &status, 0) != child) {
        HOLDS(errno == EINTR);
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        broken("a forked child ended with %x", (unsigned)status);
    }
    atomic_fetch_add(&forks, 1);
}

static uint64_t pick_tag(worker *self) {
    /* Of any thread, and most often of a call that was made a moment ago. */
    worker *other = one_in(self, 2) ? self : &workers[below(self, threads)];
    uint64_t last = atomic_load_explicit(&other->done, memory_order_relaxed), back = below(self, 64);
    return one_in(self, 20) ? draw(self) : other->number * tags_of_each + (last > back ? last - back : 0);
}

/* Accepted: exactly one completion. */
static void note_accepted(uint64_t tag, opjournal_status status) {
    if (status == OPJOURNAL_OK) {
        unsigned char before = atomic_fetch_add(&tags[tag], 1);
        HOLDS(before == 0 || before == 2);
    }
}

static void call_once(worker *self, uint64_t number) {
    uint64_t chosen = below(self, 1000), tag = self->number * tags_of_each + number, out = 99, replaced;
    int function = 0, descriptor = 99;
    opjournal_buffer *result = pick_buffer(self);
    opjournal_completion done[ROOM];
    size_t count = 99, most;
    opjournal_status status = OPJOURNAL_OK;
    text given = {NULL, 0, 0};
    bool no_place = one_in(self, 40);
    while (chosen >= weights[function]) {
        chosen -= weights[function++];
    }
    atomic_store_explicit(&self->doing, names[function], memory_order_relaxed);
    switch (function) {
    case CALL_open:
        given = config_text(self);
        status = opjournal_open(given.bytes, given.said, no_place ? NULL : &out, result);
        check_status(function, status, result);
        HOLDS((status == OPJOURNAL_OK) == (out != 99));
        if (status == OPJOURNAL_OK && (replaced = publish(self, journals, JOURNALS, out)) != 0) {
            opjournal_close(replaced, (int64_t)below(self, 3) * 20, NULL);
        }
        break;
    case CALL_close:
        status = opjournal_close(PICK(journals), pick_timeout(self), result);
        check_status(function, status, result);
        break;
    case CALL_namespace_open:
        given = name_text(self);
        status = opjournal_namespace_open(PICK(journals), given.bytes, given.said, pick_timeout(self), no_place ? NULL : &out, result);
        check_status(function, status, result);
        HOLDS((status == OPJOURNAL_OK) == (out != 99));
        if (status == OPJOURNAL_OK) {
            publish_namespace(self, out);
        }
        break;
    case CALL_namespace_close:
        status = opjournal_namespace_close(PICK(namespaces));
        check_status(function, status, NULL);
        break;
    case CALL_apply:
        given = ops_text(self);
        status = opjournal_apply(PICK(namespaces), given.bytes, given.said, pick_timeout(self), result);
        check_status(function, status, result);
        break;
    case CALL_query:
        given = query_text(self);
        status = opjournal_query(PICK(namespaces), given.bytes, given.said, result);
        check_status(function, status, result);
        break;
    case CALL_flush:
        status = opjournal_flush(PICK(namespaces), pick_timeout(self), result);
        check_status(function, status, result);
        break;
    case CALL_quarantine:
        given = spoiled(self, formatted("segment-0199d7a1-0000-7000-8000-%012u.json", (unsigned)below(self, 99)));
        status = opjournal_quarantine(PICK(namespaces), given.bytes, given.said, pick_timeout(self), result);
        check_status(function, status, result);
        break;
    case CALL_stats:
        status = opjournal_stats(PICK(journals), result);
        check_status(function, status, result);
        break;
    case CALL_buffer_free:
        opjournal_buffer_free(result);
        HOLDS(result == NULL || (result->data == NULL && result->len == 0 && result->capacity == 0));
        check_status(function, OPJOURNAL_OK, NULL);
        break;
    case CALL_status_name:
        HOLDS(opjournal_status_name((opjournal_status)draw(self)) != NULL && opjournal_version() != NULL);
        check_status(function, OPJOURNAL_OK, NULL);
        break;
    case CALL_queue_open:
        status = opjournal_queue_open(one_in(self, 10) ? (uint32_t)draw(self) : 1 + (uint32_t)below(self, 200), no_place ? NULL : &out, result);
        check_status(function, status, result);
        HOLDS((status == OPJOURNAL_OK) == (out != 99));
        if (status == OPJOURNAL_OK && (replaced = publish(self, queues, QUEUES, out)) != 0) {
            retire(replaced);
        }
        break;
    case CALL_queue_fd:
        status = opjournal_queue_fd(PICK(queues), no_place ? NULL : &descriptor);
        check_status(function, status, NULL);
        HOLDS(no_place || (status == OPJOURNAL_OK ? descriptor >= 0 : descriptor == -1));
        break;
    case CALL_namespace_open_async:
        given = name_text(self);
        status = opjournal_namespace_open_async(PICK(journals), PICK(queues), tag, given.bytes, given.said, pick_timeout(self), result);
        note_accepted(tag, status);
        check_status(function, status, result);
        break;
    case CALL_apply_async:
        given = ops_text(self);
        status = opjournal_apply_async(PICK(namespaces), PICK(queues), tag, given.bytes, given.said, pick_timeout(self), result);
        note_accepted(tag, status);
        check_status(function, status, result);
        break;
    case CALL_flush_async:
        status = opjournal_flush_async(PICK(namespaces), PICK(queues), tag, pick_timeout(self), result);
        note_accepted(tag, status);
        check_status(function, status, result);
        break;
    case CALL_close_async:
        status = opjournal_close_async(PICK(journals), PICK(queues), tag, pick_timeout(self), result);
        note_accepted(tag, status);
        check_status(function, status, result);
        break;
    case CALL_cancel:
        status = opjournal_cancel(PICK(queues), pick_tag(self));
        check_status(function, status, NULL);
        break;
    case CALL_queue_poll:
    case CALL_queue_wait:
        most = one_in(self, 30) ? 0 : 1 + below(self, ROOM);
        memset(done, 0xff, sizeof done); /* output only: what it held is neither read nor freed */
        opjournal_completion *places = one_in(self, 40) ? NULL : done;
        status = function == CALL_queue_poll
                     ? opjournal_queue_poll(PICK(queues), places, most, no_place ? NULL : &count)
                     : opjournal_queue_wait(PICK(queues), places, most, pick_timeout(self), no_place ? NULL : &count);
        check_status(function, status, NULL);
        if (status == OPJOURNAL_OK) {
            HOLDS(places != NULL && !no_place && count <= most && (count > 0 || function == CALL_queue_poll));
            take_completions(self, done, count);
        } else {
            HOLDS(count == 99);
        }
        break;
    case CALL_queue_close:
        status = opjournal_queue_close(PICK(queues));
        check_status(function, status, NULL);
        break;
    case CALL_log_to:
        status = opjournal_log_to((int32_t)below(self, 9) - 1, one_in(self, 2) ? sink : NULL, &records);
        check_status(function, status, NULL);
        break;
    case CALL_log_to_queue:
        status = opjournal_log_to_queue((int32_t)below(self, 9) - 1, PICK(queues));
        check_status(function, status, NULL);
        break;
    }
    text_free(&given);
}

static void *work(void *argument) {
    worker *self = argument;
    for (uint64_t number = 0; number < tags_of_each; number++) {
        call_once(self, number);
        self->calls = number + 1;
        atomic_store_explicit(&self->done, number + 1, memory_order_relaxed);
        if (one_in(self, 5000)) {
            atomic_store_explicit(&self->doing, "fork", memory_order_relaxed);
            fork_once(self);
        }
    }
    atomic_store(&self->doing, "ended");
    for (size_t i = 0; i < sizeof self->buffers / sizeof *self->buffers; i++) {
        opjournal_buffer_free(&self->buffers[i]);
    }
    atomic_fetch_sub(&running, 1);
    return NULL;
}

static void count_signal(int number) {
    (void)number;
    atomic_fetch_add_explicit(&signals_seen, 1, memory_order_relaxed);
}

/* Interrupts the workers, each in what it is doing, until they have ended. */
static void *storm(void *argument) {
    const struct timespec moment = {0, (long)*(uint64_t *)argument * 1000};
    while (atomic_load(&running) > 0) {
        for (unsigned i = 0; i < threads; i++) {
            pthread_kill(workers[i].thread, SIGUSR1);
        }
        nanosleep(&moment, NULL);
    }
    return NULL;
}

static atomic_bool over;

/* Ends the program where no call returns any more, and says what each thread is in. */
static void *watchdog(void *argument) {
    const struct timespec moment = {0, 100000000};
    uint64_t stall = *(uint64_t *)argument, before = 0, quiet = 0;
    while (!atomic_load(&over)) {
        uint64_t now = atomic_load(&completions);
        nanosleep(&moment, NULL);
        for (unsigned i = 0; i < threads; i++) {
            now += atomic_load(&workers[i].done);
        }
        quiet = now == before ? quiet + 1 : 0;
        before = now;
        if (quiet >= 10 * stall) {
            for (unsigned i = 0; i < threads; i++) {
                fprintf(stderr, "thread %u is in its call %" PRIu64 ": %s\n", i, atomic_load(&workers[i].done), atomic_load(&workers[i].doing));
            }
            broken("no call has returned for %" PRIu64 " seconds", stall);
        }
    }
    return NULL;
}

/* Closes queues that owe nothing more. What they still hold is read first. */
static void close_retired(worker *self, bool logs_off) {
    opjournal_completion done[ROOM];
    size_t count = 0;
    if (logs_off) {
        opjournal_log_to(OPJOURNAL_LOG_OFF, NULL, NULL);
    }
    pthread_mutex_lock(&retiring_lock);
    for (size_t i = 0; i < retiring_count;) {
        opjournal_queue queue = retiring[i];
        pthread_mutex_unlock(&retiring_lock);
        while (opjournal_queue_poll(queue, done, ROOM, &count) == OPJOURNAL_OK && count > 0) {
            take_completions(self, done, count);
        }
        opjournal_status status = opjournal_queue_close(queue);
        HOLDS(status == OPJOURNAL_OK || status == OPJOURNAL_BUSY);
        pthread_mutex_lock(&retiring_lock);
        if (status == OPJOURNAL_OK) {
            retiring[i] = retiring[--retiring_count];
        } else {
            i++;
        }
    }
    pthread_mutex_unlock(&retiring_lock);
}

static size_t entries(const char *path) {
    size_t count = 0;
    DIR *listed = opendir(path);
    HOLDS(listed != NULL);
    while (readdir(listed) != NULL) {
        count++;
    }
    closedir(listed);
    return count;
}

static uint64_t resident_mb(void) {
    unsigned long long all = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    HOLDS(file != NULL && fscanf(file, "%llu %llu", &all, &resident) == 2);
    fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE) >> 20;
}

/* While the workers run: every queue gets something to read now and then, so that no wait lasts for ever, and what is retired is closed. */
static void keep(worker *self) {
    const struct timespec moment = {0, 20000000};
    opjournal_journal journal = 0;
    opjournal_namespace ns = 0;
    for (uint64_t round = 0; atomic_load(&running) > 0; round++) {
        for (size_t i = 0; i < QUEUES; i++) {
            opjournal_queue queue = atomic_load(&queues[i]);
            opjournal_status status = opjournal_flush_async(ns, queue, POKE | round, 0, NULL);
            if (status == OPJOURNAL_OK) {
                atomic_fetch_add(&pokes, 1);
            } else if (opjournal_query(ns, TEXT("{\"op\":\"Names\"}"), NULL) != OPJOURNAL_OK) {
                /* Not yet there, or hit by a handle that was made up. */
                opjournal_namespace_close(ns);
                opjournal_close(journal, 0, NULL);
                journal = open_journal("memory:keeper", ",\"sync_interval_ms\":3600000");
                given_out(journal);
                if (opjournal_namespace_open(journal, TEXT("k"), -1, &ns, NULL) == OPJOURNAL_OK) {
                    given_out(ns);
                }
            } else if (status == OPJOURNAL_CLOSED || status == OPJOURNAL_BAD_HANDLE) {
                opjournal_queue fresh = 0;
                HOLDS(opjournal_queue_open(64, &fresh, NULL) == OPJOURNAL_OK);
                given_out(fresh);
                opjournal_queue old = atomic_exchange(&queues[i], fresh);
                if (old != 0) {
                    retire(old);
                }
            }
        }
        /* Waits on a queue that is to be closed end with the close, or where it owes something for long, with what is poked into it. */
        pthread_mutex_lock(&retiring_lock);
        for (size_t i = 0; i < retiring_count && round % 16 == 1; i++) {
            if (opjournal_flush_async(ns, retiring[i], POKE | round, 0, NULL) == OPJOURNAL_OK) {
                atomic_fetch_add(&pokes, 1);
            }
        }
        pthread_mutex_unlock(&retiring_lock);
        nanosleep(&moment, NULL);
        if (round % 2 == 0) {
            close_retired(self, round % 16 == 0);
        }
    }
}

/* Everything is closed, in any order and twice; afterwards nothing is open. */
static void close_all(worker *self) {
    const struct timespec moment = {0, 2000000};
    opjournal_completion done[ROOM];
    size_t count = 0;
    HOLDS(opjournal_log_to(OPJOURNAL_LOG_OFF, NULL, NULL) == OPJOURNAL_OK);
    for (size_t i = 0; i < ledger.count; i++) {
        opjournal_status status = opjournal_close(ledger.handles[i], -1, NULL);
        HOLDS(status == OPJOURNAL_OK || status == OPJOURNAL_BAD_HANDLE);
    }
    /* Completions that wait here may hand out more namespaces, of journals that are closed. */
    for (size_t i = 0; i < ledger.count; i++) {
        while (opjournal_queue_close(ledger.handles[i]) == OPJOURNAL_BUSY) {
            HOLDS(opjournal_queue_poll(ledger.handles[i], done, ROOM, &count) == OPJOURNAL_OK);
            take_completions(self, done, count);
            if (count == 0) {
                nanosleep(&moment, NULL);
            }
        }
    }
    for (size_t i = 0; i < ledger.count; i++) {
        opjournal_namespace_close(ledger.handles[i]);
        opjournal_namespace_close(ledger.handles[i]);
    }
    for (size_t i = 0; i < ledger.count; i++) {
        opjournal_status as_journal = opjournal_stats(ledger.handles[i], NULL);
        opjournal_status as_namespace = opjournal_query(ledger.handles[i], TEXT("{\"op\":\"Names\"}"), NULL);
        opjournal_status as_queue = opjournal_queue_poll(ledger.handles[i], done, ROOM, &count);
        /* Of one kind, and closed. */
        HOLDS((as_journal == OPJOURNAL_CLOSED) + (as_namespace == OPJOURNAL_CLOSED) + (as_queue == OPJOURNAL_CLOSED) == 1);
        HOLDS((as_journal == OPJOURNAL_BAD_HANDLE) + (as_namespace == OPJOURNAL_BAD_HANDLE) + (as_queue == OPJOURNAL_BAD_HANDLE) == 2);
    }
}

/* Something to begin with. */
static void stock(worker *self) {
    static const char *const few[] = {"", "a", "b"};
    for (size_t i = 0; i < JOURNALS; i++) {
        char store[600];
        if (i == 0) {
            snprintf(store, sizeof store, "file://%s", directory);
        } else {
            snprintf(store, sizeof store, "memory:h%zu", i % 3);
        }
        opjournal_journal journal = open_journal(store, ",\"sync_interval_ms\":50");
        given_out(journal);
        atomic_store(&journals[i], journal);
        for (size_t j = 0; j < 3; j++) {
            publish_namespace(self, open_namespace(journal, few[j]));
        }
    }
    for (size_t i = 0; i < QUEUES; i++) {
        opjournal_queue queue = 0;
        HOLDS(opjournal_queue_open(64, &queue, NULL) == OPJOURNAL_OK);
        given_out(queue);
        atomic_store(&queues[i], queue);
    }
}

static uint64_t setting(const char *name, uint64_t otherwise) {
    const char *value = getenv(name);
    return value == NULL || *value == '\0' ? otherwise : strtoull(value, NULL, 10);
}

static void write_figures(uint64_t milliseconds, uint64_t accepted, size_t descriptors, uint64_t resident) {
    const char *path = getenv("FIGURES");
    FILE *file = path == NULL || *path == '\0' ? NULL : fopen(path, "w");
    if (file == NULL) {
        return;
    }
    fprintf(file,
            "{\"calls\":%" PRIu64 ",\"threads\":%u,\"seed\":%" PRIu64 ",\"milliseconds\":%" PRIu64 ",\"accepted\":%" PRIu64 ",\"completions\":%" PRIu64
            ",\"forks\":%" PRIu64 ",\"signals\":%" PRIu64 ",\"log_records\":%" PRIu64 ",\"handles\":%zu,\"descriptors\":%zu,\"resident_mb\":%" PRIu64
            ",\"returned\":{",
            tags_of_each * threads, threads, seed, milliseconds, accepted, atomic_load(&completions), atomic_load(&forks),
            atomic_load(&signals_seen), atomic_load(&records), ledger.count, descriptors, resident);
    for (int function = 0; function < FUNCTION_COUNT; function++) {
        const char *between = "";
        fprintf(file, "%s\"%s\":{", function == 0 ? "" : ",", names[function]);
        for (int status = 0; status < STATUSES; status++) {
            if (atomic_load(&returned[function][status]) > 0) {
                fprintf(file, "%s\"%s\":%" PRIu64, between, opjournal_status_name(status), atomic_load(&returned[function][status]));
                between = ",";
            }
        }
        fprintf(file, "}");
    }
    fprintf(file, "}}\n");
    HOLDS(fclose(file) == 0);
}

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int main(int argc, char **argv) {
    uint64_t begun = now_ms(), stall = setting("HOSTILE_STALL", 60), bound = setting("HOSTILE_RSS_MB", 256);
    uint64_t interval = setting("HOSTILE_SIGNAL_US", 1000) % 1000000;
    seed = argc > 3 ? strtoull(argv[3], NULL, 0) : (uint64_t)time(NULL) ^ (uint64_t)getpid() << 32;
    all_calls = argc > 1 ? strtoull(argv[1], NULL, 0) : all_calls;
    threads = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 0) : threads;
    HOLDS(threads >= 1 && threads <= MOST_THREADS && all_calls >= threads);
    tags_of_each = all_calls / threads;
    tags = calloc(threads * tags_of_each, 1);
    HOLDS(tags != NULL);
    printf("   hostile %" PRIu64 " %u %" PRIu64 "\n", all_calls, threads, seed);
    fflush(stdout);
    const char *parent = getenv("OPJOURNAL_TEST_DIR");
    HOLDS(snprintf(directory, sizeof directory, "%s/hostile-XXXXXX", parent == NULL ? "/tmp" : parent) < (int)sizeof directory);
    HOLDS(mkdtemp(directory) != NULL);

    /* What the process holds once the library has started and nothing is open. */
    close_journal(open_journal("memory:first", ""));
    size_t descriptors = entries("/proc/self/fd");

    pthread_t dog, stormer;
    sigset_t interrupts, before;
    sigemptyset(&interrupts);
    sigaddset(&interrupts, SIGUSR1);
    sigaddset(&interrupts, SIGALRM);
    struct sigaction action = {.sa_handler = count_signal}; /* no SA_RESTART: what can be interrupted is */
    HOLDS(sigaction(SIGUSR1, &action, NULL) == 0 && sigaction(SIGALRM, &action, NULL) == 0);
    HOLDS(pthread_sigmask(SIG_BLOCK, &interrupts, &before) == 0);
    HOLDS(pthread_create(&dog, NULL, watchdog, &stall) == 0);
    HOLDS(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    worker keeper = {.random = ~seed, .number = 0};
    stock(&keeper);
    atomic_store(&running, threads);
    for (unsigned i = 0; i < threads; i++) {
        workers[i].number = i;
        workers[i].random = seed ^ (uint64_t)(i + 1) << 56;
        atomic_store(&workers[i].doing, "starting");
    }
    for (unsigned i = 0; i < threads; i++) {
        HOLDS(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
    }
    HOLDS(pthread_create(&stormer, NULL, storm, &interval) == 0);
    /* And signals to the process as a whole, for whichever thread they hit. */
    const struct itimerval often = {{0, (suseconds_t)interval}, {0, (suseconds_t)interval}}, never = {{0, 0}, {0, 0}};
    HOLDS(setitimer(ITIMER_REAL, &often, NULL) == 0);
    keep(&keeper);
    HOLDS(setitimer(ITIMER_REAL, &never, NULL) == 0);
    HOLDS(pthread_join(stormer, NULL) == 0);
    for (unsigned i = 0; i < threads; i++) {
        HOLDS(pthread_join(workers[i].thread, NULL) == 0);
    }
    close_all(&keeper);
    atomic_store(&over, true);
    HOLDS(pthread_join(dog, NULL) == 0);

    uint64_t accepted = 0;
    for (uint64_t tag = 0; tag < threads * tags_of_each; tag++) {
        unsigned char what = atomic_load(&tags[tag]);
        if (what != 0 && what != 3) {
            broken("the call with the tag %" PRIu64 " was %saccepted, and completed %d times", tag, what & 1 ? "" : "not ", what >> 1);
        }
        accepted += what == 3;
    }
    HOLDS(atomic_load(&pokes) == atomic_load(&poked));
    size_t left = entries("/proc/self/fd");
    if (left != descriptors) {
        broken("%zu descriptors are open; there were %zu", left, descriptors);
    }
    uint64_t resident = resident_mb();
    if (bound > 0 && resident > bound) {
        broken("%" PRIu64 " MB are resident, more than %" PRIu64, resident, bound);
    }
    /* A run that is long enough reaches the good side of every function too. */
    for (int function = 0; function < FUNCTION_COUNT && all_calls >= 20000; function++) {
        HOLDS(atomic_load(&returned[function][OPJOURNAL_OK]) > 0 || function == CALL_quarantine);
    }
    write_figures(now_ms() - begun, accepted, left, resident);
    printf("ok hostile: %" PRIu64 " calls on %u threads, %" PRIu64 " accepted and completed, %" PRIu64 " forks, %" PRIu64 " signals, %" PRIu64
           " log records, %zu handles, %" PRIu64 " MB, seed %" PRIu64 "\n",
           threads * tags_of_each, threads, accepted, atomic_load(&forks), atomic_load(&signals_seen), atomic_load(&records), ledger.count, resident,
           seed);
    free(ledger.handles);
    free((void *)tags);
    return 0;
}
