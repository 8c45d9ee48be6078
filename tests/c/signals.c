/* The library's threads are few, named, and block all signals; no handler is installed and the caller's mask stays. Linux only: /proc. */
#include "abi.h"
#include "memcheck.h"
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>

/* The line of a file in /proc that begins with `name`, without it; empty where there is none. */
static void field(const char *path, const char *name, char *out, size_t size) {
    char line[512];
    FILE *file = fopen(path, "r");
    out[0] = '\0';
    if (file == NULL) {
        return; /* a thread that has ended meanwhile */
    }
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0) {
            snprintf(out, size, "%s", line + strlen(name) + strspn(line + strlen(name), " \t"));
            out[strcspn(out, "\n")] = '\0';
        }
    }
    fclose(file);
}

/* The signals that are a program's, as a mask of /proc: the C library keeps some for itself, and handles them once there are threads. */
static uint64_t can_be_used(void) {
    uint64_t mask = 0;
    for (int signal_number = 1; signal_number <= SIGRTMAX; signal_number++) {
        if (signal_number < 32 || signal_number >= SIGRTMIN) {
            mask |= UINT64_C(1) << (signal_number - 1);
        }
    }
    return mask;
}

int main(void) {
    char caught_before[64], caught_after[64], path[300], name[64], blocked[64];
    sigset_t mask_before, mask_after;
    CHECK(pthread_sigmask(SIG_SETMASK, NULL, &mask_before) == 0);
    field("/proc/self/status", "SigCgt:", caught_before, sizeof caught_before);
    CHECK(caught_before[0] != '\0');

    const char *store = directory_store("signals");
    CHECK(mkdir(store + strlen("file://"), 0700) == 0);
    opjournal_journal journal = open_journal(store, "");
    opjournal_namespace ns = open_namespace(journal, "a");
    apply(ns, "{\"op\":\"IntSet\",\"Key\":\"n\",\"Value\":1}");
    EXPECT(OPJOURNAL_OK, opjournal_flush(ns, -1, NULL), NO_RESULT);

    field("/proc/self/status", "SigCgt:", caught_after, sizeof caught_after);
    uint64_t installed = (strtoull(caught_after, NULL, 16) & ~strtoull(caught_before, NULL, 16)) & can_be_used();
    if (installed != 0) {
        fprintf(stderr, "handlers were installed, for the signals %" PRIx64 "\n", installed);
        exit(1);
    }
    CHECK(pthread_sigmask(SIG_SETMASK, NULL, &mask_after) == 0);
    for (int signal_number = 1; signal_number <= SIGRTMAX; signal_number++) {
        CHECK(sigismember(&mask_before, signal_number) == sigismember(&mask_after, signal_number));
    }

    uint64_t all = can_be_used() & ~(UINT64_C(1) << (SIGKILL - 1) | UINT64_C(1) << (SIGSTOP - 1));
    if (is_under_valgrind()) {
        all &= ~(UINT64_C(1) << (SIGRTMAX - 1));
    }
    int threads = 0;
    DIR *tasks = opendir("/proc/self/task");
    CHECK(tasks != NULL);
    for (struct dirent *entry; (entry = readdir(tasks)) != NULL;) {
        snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
        field(path, "Name:", name, sizeof name);
        if (strncmp(name, "opjournal-", strlen("opjournal-")) != 0) {
            continue;
        }
        field(path, "SigBlk:", blocked, sizeof blocked);
        if (blocked[0] == '\0') {
            continue;
        }
        if ((strtoull(blocked, NULL, 16) & all) != all) {
            fprintf(stderr, "the thread %s blocks only %s\n", name, blocked);
            exit(1);
        }
        threads++;
    }
    closedir(tasks);
    CHECK(threads >= 2 && threads <= 10);
    close_journal(journal);
    puts("ok signals");
    return 0;
}
