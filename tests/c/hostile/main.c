/*
 * A host that does everything wrong, on many threads at once: handles that are stale, of another kind, flipped or made up; texts that are no
 * UTF-8, no JSON, too deep, too long or not there; places that are NULL; closes while calls are under way; cancels of any tag; queues that
 * are read, waited on and closed by everybody; signals that interrupt, and forks. Nothing may crash, hang, leak, or answer with a status that
 * the header does not name; every call that is accepted completes exactly once.
 *
 *     hostile [CALLS [THREADS [SEED]]]
 *
 * The same seed makes the same calls on each thread; which handles they find, and how the threads interleave, is for the scheduler. The
 * environment may hold OPJOURNAL_TEST_DIR (where the directory store goes), FIGURES (a file for the figures, as JSON), HOSTILE_STALL (seconds
 * without a call after which the watchdog ends the program; 60), HOSTILE_SIGNAL_US (how often every thread is interrupted; 1000) and
 * HOSTILE_RSS_MB (what may be resident at the end; 256, and 0 for no bound). Linux only: /proc.
 *
 * It lies only where the ABI can tell: a pointer that is not NULL is good, and what it points to is as long as is said, or said to be longer
 * than anything can be.
 */
#include "hostile.h"

#include <stdarg.h>
#include <unistd.h>

hostile_plan plan = {.calls = 100000, .threads = 6};
worker workers[MOST_THREADS];
atomic_uint running;

uint64_t setting(const char *name, uint64_t otherwise) {
    const char *value = getenv(name);
    return value == NULL || *value == '\0' ? otherwise : strtoull(value, NULL, 10);
}

void broken(const char *form, ...) {
    va_list values;
    va_start(values, form);
    fprintf(stderr, "hostile: ");
    vfprintf(stderr, form, values);
    fprintf(stderr, "\nagain with: hostile %" PRIu64 " %u %" PRIu64 "\n", plan.calls, plan.threads, plan.seed);
    va_end(values);
    abort();
}

static void make_plan(int argc, char **argv) {
    plan.seed = argc > 3 ? strtoull(argv[3], NULL, 0) : (uint64_t)time(NULL) ^ (uint64_t)getpid() << 32;
    plan.calls = argc > 1 ? strtoull(argv[1], NULL, 0) : plan.calls;
    plan.threads = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 0) : plan.threads;
    HOLDS(plan.threads >= 1 && plan.threads <= MOST_THREADS && plan.calls >= plan.threads);
    plan.calls_of_each = plan.calls / plan.threads;
    printf("   hostile %" PRIu64 " %u %" PRIu64 "\n", plan.calls, plan.threads, plan.seed);
    fflush(stdout);
    const char *parent = getenv("OPJOURNAL_TEST_DIR");
    int len = snprintf(plan.directory, sizeof plan.directory, "%s/hostile-XXXXXX", parent == NULL ? "/tmp" : parent);
    HOLDS(len < (int)sizeof plan.directory && mkdtemp(plan.directory) != NULL);
}

static void *work(void *argument) {
    worker *self = argument;
    for (uint64_t call = 0; call < plan.calls_of_each; call++) {
        /* Each call draws from a stream of its own: what came of those before, which is not replayed, does not change it. */
        self->random = plan.seed + tag_of(self, call) * UINT64_C(0xd1342543de82ef95);
        bool forks_after = one_in(self, 5000);
        call_once(self);
        atomic_store(&self->done, call + 1);
        if (forks_after) {
            atomic_store(&self->doing, "fork");
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

static void start_workers(void) {
    atomic_store(&running, plan.threads);
    for (unsigned i = 0; i < plan.threads; i++) {
        workers[i].number = i;
        atomic_store(&workers[i].doing, "starting");
    }
    for (unsigned i = 0; i < plan.threads; i++) {
        HOLDS(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
    }
}

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int main(int argc, char **argv) {
    uint64_t begun = now_ms();
    make_plan(argc, argv);
    expect_completions();

    /* What the process holds once the library has started and nothing is open. */
    close_journal(open_journal("memory:first", ""));
    size_t descriptors_before = open_descriptors();

    start_watchdog();
    worker keeper = {.random = ~plan.seed};
    stock();
    start_workers();
    start_signals();
    keep(&keeper);
    stop_signals();
    for (unsigned i = 0; i < plan.threads; i++) {
        HOLDS(pthread_join(workers[i].thread, NULL) == 0);
    }
    close_all(&keeper);
    stop_watchdog();

    judge(now_ms() - begun, descriptors_before);
    free(ledger.handles);
    return 0;
}
