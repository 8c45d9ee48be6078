/* What the main thread does while the others make their calls, and before and after. */
#include "hostile.h"

/* Queues that are to be closed, once they owe nothing. */
static struct {
    pthread_mutex_t lock;
    opjournal_queue queues[4096];
    size_t count;
} retired = {.lock = PTHREAD_MUTEX_INITIALIZER};

void put_queue(size_t place, opjournal_queue queue) {
    opjournal_queue old = put(&queues, place, queue);
    if (old == 0) {
        return;
    }
    pthread_mutex_lock(&retired.lock);
    HOLDS(retired.count < sizeof retired.queues / sizeof *retired.queues);
    retired.queues[retired.count++] = old;
    pthread_mutex_unlock(&retired.lock);
}

static void put_new_queue(size_t place) {
    opjournal_queue queue = 0;
    HOLDS(opjournal_queue_open(64, &queue, NULL) == OPJOURNAL_OK);
    put_queue(place, queue);
}

void stock(void) {
    static const char *const names[] = {"", "a", "b"};
    for (size_t i = 0; i < journals.size; i++) {
        char store[600];
        if (i == 0) {
            snprintf(store, sizeof store, "file://%s", plan.directory);
        } else {
            snprintf(store, sizeof store, "memory:h%zu", i % 3);
        }
        opjournal_journal journal = open_journal(store, ",\"sync_interval_ms\":50");
        put(&journals, i, journal);
        for (size_t j = 0; j < 3; j++) {
            put(&namespaces, 3 * i + j, open_namespace(journal, names[j]));
        }
    }
    for (size_t i = 0; i < queues.size; i++) {
        put_new_queue(i);
    }
}

/* The keeper's own, which hostile calls hit with handles that they make up. */
static opjournal_journal own_journal;
static opjournal_namespace own_namespace;

static bool own_is_open(void) {
    return opjournal_query(own_namespace, TEXT("{\"op\":\"Names\"}"), NULL) == OPJOURNAL_OK;
}

static void open_own(void) {
    opjournal_namespace_close(own_namespace);
    opjournal_close(own_journal, 0, NULL);
    own_journal = open_journal("memory:keeper", ",\"sync_interval_ms\":3600000");
    given_out(own_journal);
    if (opjournal_namespace_open(own_journal, TEXT("k"), -1, &own_namespace, NULL) == OPJOURNAL_OK) {
        given_out(own_namespace);
    }
}

/* Every queue gets something to read, so that no wait lasts for ever; one that somebody closed is replaced. */
static void poke_queues(void) {
    for (size_t i = 0; i < queues.size; i++) {
        opjournal_status status = poke(own_namespace, atomic_load(&queues.handles[i]));
        if (status == OPJOURNAL_OK) {
            continue;
        }
        if (!own_is_open()) {
            open_own();
        } else if (status == OPJOURNAL_CLOSED || status == OPJOURNAL_BAD_HANDLE) {
            put_new_queue(i);
        }
    }
}

/* A wait on a retired queue ends as that is closed, or, where it owes something for long, with what is poked into it. */
static void poke_retired(void) {
    pthread_mutex_lock(&retired.lock);
    for (size_t i = 0; i < retired.count; i++) {
        poke(own_namespace, retired.queues[i]);
    }
    pthread_mutex_unlock(&retired.lock);
}

/* Closes those that owe nothing more. What they still hold is read first. */
static void close_retired(worker *self) {
    opjournal_completion done[ROOM];
    size_t count = 0, left = 0;
    pthread_mutex_lock(&retired.lock);
    for (size_t i = 0; i < retired.count; i++) {
        opjournal_queue queue = retired.queues[i];
        while (opjournal_queue_poll(queue, done, ROOM, &count) == OPJOURNAL_OK && count > 0) {
            take_completions(self, done, count);
        }
        opjournal_status status = opjournal_queue_close(queue);
        HOLDS(status == OPJOURNAL_OK || status == OPJOURNAL_BUSY);
        if (status == OPJOURNAL_BUSY) {
            retired.queues[left++] = queue;
        }
    }
    retired.count = left;
    pthread_mutex_unlock(&retired.lock);
}

void keep(worker *self) {
    for (uint64_t round = 0; atomic_load(&running) > 0; round++) {
        poke_queues();
        if (round % 16 == 1) {
            poke_retired();
        }
        sleep_us(20000);
        if (round % 16 == 0) {
            /* A queue that gets log records owes them without end. */
            opjournal_log_to(OPJOURNAL_LOG_OFF, NULL, NULL);
        }
        if (round % 2 == 0) {
            close_retired(self);
        }
    }
}

/* Of one kind, and closed. */
static void check_closed(uint64_t handle) {
    opjournal_completion done[ROOM];
    size_t count = 0;
    opjournal_status as_journal = opjournal_stats(handle, NULL);
    opjournal_status as_namespace = opjournal_query(handle, TEXT("{\"op\":\"Names\"}"), NULL);
    opjournal_status as_queue = opjournal_queue_poll(handle, done, ROOM, &count);
    HOLDS((as_journal == OPJOURNAL_CLOSED) + (as_namespace == OPJOURNAL_CLOSED) + (as_queue == OPJOURNAL_CLOSED) == 1);
    HOLDS((as_journal == OPJOURNAL_BAD_HANDLE) + (as_namespace == OPJOURNAL_BAD_HANDLE) + (as_queue == OPJOURNAL_BAD_HANDLE) == 2);
}

/* In any order and twice, each handle as if it were of any kind; afterwards nothing is open. */
void close_all(worker *self) {
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
                sleep_us(2000);
            }
        }
    }
    for (size_t i = 0; i < ledger.count; i++) {
        opjournal_namespace_close(ledger.handles[i]);
        opjournal_namespace_close(ledger.handles[i]);
    }
    for (size_t i = 0; i < ledger.count; i++) {
        check_closed(ledger.handles[i]);
    }
}
