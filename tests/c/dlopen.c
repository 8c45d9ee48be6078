/* A host that loads the library at run time, unloads it, and loads it again while its threads go on. Argument: the library. */
#include "abi.h"
#include <dlfcn.h>

/* What dlsym finds is a function; ISO C has no cast that says so. */
static void load(void *library, const char *name, void *function, size_t size) {
    void *found = dlsym(library, name);
    CHECK(found != NULL && size == sizeof found);
    memcpy(function, &found, size);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    for (int round = 0; round < 2; round++) {
        void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
        if (library == NULL) {
            fprintf(stderr, "%s\n", dlerror());
            return 1;
        }
        opjournal_status (*open)(const char *, size_t, opjournal_journal *, opjournal_buffer *);
        opjournal_status (*open_ns)(opjournal_journal, const char *, size_t, int64_t, opjournal_namespace *, opjournal_buffer *);
        opjournal_status (*apply_ops)(opjournal_namespace, const char *, size_t, int64_t, opjournal_buffer *);
        opjournal_status (*close)(opjournal_journal, int64_t, opjournal_buffer *);
        uint32_t (*version)(void);
        load(library, "opjournal_open", &open, sizeof open);
        load(library, "opjournal_namespace_open", &open_ns, sizeof open_ns);
        load(library, "opjournal_apply", &apply_ops, sizeof apply_ops);
        load(library, "opjournal_close", &close, sizeof close);
        load(library, "opjournal_abi_version", &version, sizeof version);
        CHECK(version() == OPJOURNAL_ABI_VERSION);
        opjournal_journal journal = 0;
        opjournal_namespace ns = 0;
        CHECK(open(TEXT("{\"store\":\"memory:dlopen\",\"sync_interval_ms\":1}"), &journal, NULL) == OPJOURNAL_OK);
        CHECK(open_ns(journal, TEXT("a"), -1, &ns, NULL) == OPJOURNAL_OK);
        CHECK(apply_ops(ns, TEXT("{\"op\":\"IntAdd\",\"Key\":\"n\",\"Delta\":1}"), -1, NULL) == OPJOURNAL_OK);
        /* The first journal stays open, and its ticks go on, while nobody holds the library. */
        CHECK(round == 0 || close(journal, -1, NULL) == OPJOURNAL_OK);
        CHECK(dlclose(library) == 0);
        CHECK(dlopen(argv[1], RTLD_NOW | RTLD_NOLOAD) != NULL);
    }
    puts("ok dlopen");
    return 0;
}
