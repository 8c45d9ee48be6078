/* The handles that everybody uses and anybody may close, and a record of all that there ever were. */
#include "hostile.h"

pool journals = {.size = 8}, namespaces = {.size = 24}, queues = {.size = 8};

struct ledger ledger = {.lock = PTHREAD_MUTEX_INITIALIZER};

void given_out(uint64_t handle) {
    HOLDS(handle != 0);
    pthread_mutex_lock(&ledger.lock);
    if (ledger.count == ledger.room) {
        ledger.room = ledger.room == 0 ? 1024 : 2 * ledger.room;
        ledger.handles = realloc(ledger.handles, ledger.room * sizeof *ledger.handles);
        HOLDS(ledger.handles != NULL);
    }
    ledger.handles[ledger.count++] = handle;
    pthread_mutex_unlock(&ledger.lock);
}

static uint64_t any_given_out(worker *self) {
    pthread_mutex_lock(&ledger.lock);
    uint64_t handle = ledger.count == 0 ? 0 : ledger.handles[below(self, ledger.count)];
    pthread_mutex_unlock(&ledger.lock);
    return handle;
}

uint64_t pick(worker *self, pool *from) {
    uint64_t handle = atomic_load(&from->handles[below(self, from->size)]);
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

uint64_t put(pool *into, size_t place, uint64_t handle) {
    HOLDS(place < into->size);
    given_out(handle);
    return atomic_exchange(&into->handles[place], handle);
}

void put_namespace(worker *self, opjournal_namespace ns) {
    opjournal_namespace_close(put(&namespaces, below(self, namespaces.size), ns));
}
