#include "opjournal_dl.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#ifdef __APPLE__
#define DEFAULT_NAME "libopjournal.0.dylib"
#else
#define DEFAULT_NAME "libopjournal.so.0"
#endif

/* Gives back what was loaded and says why it cannot be used. */
static opjournal_dl_status refuse(opjournal_dl *out, opjournal_dl_status status, char *message, size_t size, const char *format, ...) {
    if (size > 0) {
        va_list arguments;
        va_start(arguments, format);
        (void)vsnprintf(message, size, format, arguments);
        va_end(arguments);
    }
    /* After the message: what dlerror returned does not outlive the next call of the loader. */
    opjournal_dl_close(out);
    return status;
}

opjournal_dl_status opjournal_dl_open(const char *path, opjournal_dl *out, char *message, size_t size) {
    const char *name = path == NULL ? DEFAULT_NAME : path;
    uint32_t version;
    memset(out, 0, sizeof *out);
    /* Local: a host may hold other libraries with Rust inside, and none of them should see this one's symbols. */
    out->handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (out->handle == NULL) {
        const char *reason = dlerror();
        return refuse(out, OPJOURNAL_DL_NOT_LOADED, message, size, "%s", reason == NULL ? name : reason);
    }
    /* ISO C knows no cast from an object pointer to a function pointer; POSIX promises that the bytes are the same. */
#define LOAD(result, function, parameters)                                                                                           \
    do {                                                                                                                             \
        void *symbol = dlsym(out->handle, "opjournal_" #function);                                                                   \
        if (symbol == NULL)                                                                                                          \
            return refuse(out, OPJOURNAL_DL_MISSING_SYMBOL, message, size, "%s has no function opjournal_%s", name, #function);      \
        memcpy(&out->function, &symbol, sizeof symbol);                                                                              \
    } while (0);
    OPJOURNAL_DL_FUNCTIONS(LOAD)
#undef LOAD
    version = out->abi_version();
    /* Nothing is ever taken away under one SONAME, so a library newer than the header does. */
    if (version < OPJOURNAL_ABI_VERSION)
        return refuse(out, OPJOURNAL_DL_TOO_OLD, message, size, "%s has ABI version %lu, this program needs at least %lu", name,
                      (unsigned long)version, (unsigned long)OPJOURNAL_ABI_VERSION);
    if (size > 0) message[0] = '\0';
    return OPJOURNAL_DL_OK;
}

void opjournal_dl_close(opjournal_dl *library) {
    if (library->handle != NULL) (void)dlclose(library->handle);
    memset(library, 0, sizeof *library);
}
