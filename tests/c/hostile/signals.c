/* Signals that interrupt the threads in what they are doing, without SA_RESTART: what can be interrupted is. */
#include "hostile.h"

#include <signal.h>
#include <sys/time.h>

_Atomic uint64_t signals_seen;
static pthread_t sender;
static uint64_t interval_us;

static void count_signal(int number) {
    (void)number;
    atomic_fetch_add_explicit(&signals_seen, 1, memory_order_relaxed);
}

/* To each thread that makes calls, until they have ended. */
static void *send_signals(void *unused) {
    while (atomic_load(&running) > 0) {
        for (unsigned i = 0; i < plan.threads; i++) {
            pthread_kill(workers[i].thread, SIGUSR1);
        }
        sleep_us(interval_us);
    }
    return unused;
}

/* To the process as a whole, for whichever thread it hits; 0: no more. */
static void send_alarms(suseconds_t every) {
    const struct itimerval timer = {{0, every}, {0, every}};
    HOLDS(setitimer(ITIMER_REAL, &timer, NULL) == 0);
}

void start_signals(void) {
    interval_us = setting("HOSTILE_SIGNAL_US", 1000) % 1000000;
    const struct sigaction action = {.sa_handler = count_signal};
    HOLDS(sigaction(SIGUSR1, &action, NULL) == 0 && sigaction(SIGALRM, &action, NULL) == 0);
    HOLDS(pthread_create(&sender, NULL, send_signals, NULL) == 0);
    send_alarms((suseconds_t)interval_us);
}

void stop_signals(void) {
    send_alarms(0);
    HOLDS(pthread_join(sender, NULL) == 0);
}
