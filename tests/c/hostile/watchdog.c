/* Ends the program where no call returns any more, and says what each thread is in. */
#include "hostile.h"

#include <signal.h>

static pthread_t dog;
static atomic_bool over;

static uint64_t returned_so_far(void) {
    uint64_t sum = atomic_load(&completions);
    for (unsigned i = 0; i < plan.threads; i++) {
        sum += atomic_load(&workers[i].done);
    }
    return sum;
}

static void *watch(void *unused) {
    const uint64_t stall = setting("HOSTILE_STALL", 60), looks_a_second = 10;
    /* Its sleep is its clock: no signal may end that early. */
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    for (uint64_t before = 0, quiet = 0; !atomic_load(&over); sleep_us(1000000 / looks_a_second)) {
        uint64_t now = returned_so_far();
        quiet = now == before ? quiet + 1 : 0;
        before = now;
        if (quiet >= looks_a_second * stall) {
            for (unsigned i = 0; i < plan.threads; i++) {
                fprintf(stderr, "thread %u is in its call %" PRIu64 ": %s\n", i, atomic_load(&workers[i].done), atomic_load(&workers[i].doing));
            }
            broken("no call has returned for %" PRIu64 " seconds", stall);
        }
    }
    return unused;
}

void start_watchdog(void) {
    HOLDS(pthread_create(&dog, NULL, watch, NULL) == 0);
}

void stop_watchdog(void) {
    atomic_store(&over, true);
    HOLDS(pthread_join(dog, NULL) == 0);
}
