/* Forks, whose children call everything: in the child of a fork every call says so and returns. */
#include "../memcheck.h"
#include "hostile.h"

#include <errno.h>
#include <execinfo.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

_Atomic uint64_t forks;

/* How a child ends that was not refused, one whose out-parameters were written, and one that hangs. */
enum { NOT_REFUSED = 3, WRITTEN = 4, HANGS = 5 };

/* What a child is doing: it has one thread. */
static const char *volatile doing;

#define REFUSED(call)                                                                                                                      \
    do {                                                                                                                                   \
        doing = #call;                                                                                                                     \
        if ((call) != OPJOURNAL_FORKED) {                                                                                                  \
            _exit(NOT_REFUSED);                                                                                                            \
        }                                                                                                                                  \
    } while (0)

/* Says where a child hangs. Not all of this may be called in a handler; where that hangs as well, the next alarm ends the child. */
static void tell_where(int number) {
    void *frames[64];
    signal(number, SIG_DFL);
    alarm(10);
    dprintf(STDERR_FILENO, "hostile: a forked child hangs in %s\n", doing);
    backtrace_symbols_fd(frames, backtrace(frames, 64), STDERR_FILENO);
    _exit(HANGS);
}

static void in_child(worker *self) {
    opjournal_completion done;
    uint64_t out = 55;
    size_t count = 55;
    int descriptor = 55;
    opjournal_buffer *result = pick_buffer(self);
    forgive_leaks();
    doing = "its own first calls";
    signal(SIGALRM, tell_where);
    alarm(60);
    REFUSED(opjournal_open(TEXT("{\"store\":\"memory:child\"}"), &out, result));
    REFUSED(opjournal_namespace_open(pick(self, &journals), TEXT("a"), -1, &out, result));
    REFUSED(opjournal_apply(pick(self, &namespaces), TEXT("[]"), -1, result));
    REFUSED(opjournal_query(pick(self, &namespaces), TEXT("{\"op\":\"State\"}"), result));
    REFUSED(opjournal_flush(pick(self, &namespaces), -1, result));
    REFUSED(opjournal_quarantine(pick(self, &namespaces), TEXT("segment-x.json"), -1, result));
    REFUSED(opjournal_stats(pick(self, &journals), result));
    REFUSED(opjournal_queue_open(1, &out, result));
    REFUSED(opjournal_queue_fd(pick(self, &queues), &descriptor));
    REFUSED(opjournal_namespace_open_async(pick(self, &journals), pick(self, &queues), 1, TEXT("a"), -1, result));
    REFUSED(opjournal_apply_async(pick(self, &namespaces), pick(self, &queues), 1, TEXT("[]"), -1, result));
    REFUSED(opjournal_flush_async(pick(self, &namespaces), pick(self, &queues), 1, -1, result));
    REFUSED(opjournal_close_async(pick(self, &journals), pick(self, &queues), 1, -1, result));
    REFUSED(opjournal_cancel(pick(self, &queues), 1));
    REFUSED(opjournal_queue_poll(pick(self, &queues), &done, 1, &count));
    REFUSED(opjournal_queue_wait(pick(self, &queues), &done, 1, -1, &count));
    REFUSED(opjournal_queue_close(pick(self, &queues)));
    REFUSED(opjournal_log_to(OPJOURNAL_LOG_INFO, take_log_record, &log_records));
    REFUSED(opjournal_log_to_queue(OPJOURNAL_LOG_INFO, pick(self, &queues)));
    REFUSED(opjournal_namespace_close(pick(self, &namespaces)));
    REFUSED(opjournal_close(pick(self, &journals), -1, result));
    doing = "opjournal_buffer_free";
    opjournal_buffer_free(result);
    doing = "opjournal_abi_version";
    /* The descriptor is the one that is written whatever the status. */
    _exit(out == 55 && count == 55 && descriptor == -1 && opjournal_abi_version() == OPJOURNAL_ABI_VERSION ? 0 : WRITTEN);
}

void fork_once(worker *self) {
    int status = 0;
    /* Loads what a child's backtrace needs: it may be in the midst of an allocation. */
    void *frame;
    backtrace(&frame, 1);
    /* The child picks handles as well: nobody else may hold the lock of the ledger as it is made. */
    pthread_mutex_lock(&ledger.lock);
    pid_t child = fork();
    pthread_mutex_unlock(&ledger.lock);
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
