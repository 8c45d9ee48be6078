/* What must hold once everything is closed, and the figures of the run. */
#include "hostile.h"

#include <dirent.h>
#include <unistd.h>

size_t open_descriptors(void) {
    size_t count = 0;
    DIR *listed = opendir("/proc/self/fd");
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

static void write_figures(uint64_t calls, uint64_t milliseconds, uint64_t accepted, size_t descriptors, uint64_t resident) {
    const char *path = getenv("FIGURES");
    FILE *file = path == NULL || *path == '\0' ? NULL : fopen(path, "w");
    if (file == NULL) {
        return;
    }
    fprintf(file,
            "{\"calls\":%" PRIu64 ",\"threads\":%u,\"seed\":%" PRIu64 ",\"milliseconds\":%" PRIu64 ",\"accepted\":%" PRIu64 ",\"completions\":%" PRIu64
            ",\"forks\":%" PRIu64 ",\"signals\":%" PRIu64 ",\"log_records\":%" PRIu64 ",\"handles\":%zu,\"descriptors\":%zu,\"resident_mb\":%" PRIu64
            ",\"returned\":{",
            calls, plan.threads, plan.seed, milliseconds, accepted, atomic_load(&completions), atomic_load(&forks), atomic_load(&signals_seen),
            atomic_load(&log_records), ledger.count, descriptors, resident);
    write_returned(file);
    fprintf(file, "}}\n");
    HOLDS(fclose(file) == 0);
}

void judge(uint64_t milliseconds, size_t descriptors_before) {
    uint64_t calls = plan.threads * plan.calls_of_each, accepted = check_completions();
    /* What was given up at the end of a close, such as a write of a file, may take a moment more to let go of its descriptor. */
    size_t descriptors = open_descriptors();
    for (int looks = 0; descriptors != descriptors_before && looks < 1000; looks++) {
        sleep_us(10000);
        descriptors = open_descriptors();
    }
    if (descriptors != descriptors_before) {
        broken("%zu descriptors are open; there were %zu", descriptors, descriptors_before);
    }
    uint64_t resident = resident_mb(), bound = setting("HOSTILE_RSS_MB", 256);
    if (bound > 0 && resident > bound) {
        broken("%" PRIu64 " MB are resident, more than %" PRIu64, resident, bound);
    }
    if (plan.calls >= 20000) {
        check_returned();
    }
    write_figures(calls, milliseconds, accepted, descriptors, resident);
    printf("ok hostile: %" PRIu64 " calls on %u threads, %" PRIu64 " accepted and completed, %" PRIu64 " forks, %" PRIu64 " signals, %" PRIu64
           " log records, %zu handles, %" PRIu64 " MB, seed %" PRIu64 "\n",
           calls, plan.threads, accepted, atomic_load(&forks), atomic_load(&signals_seen), atomic_load(&log_records), ledger.count, resident,
           plan.seed);
}
