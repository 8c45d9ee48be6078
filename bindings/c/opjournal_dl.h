/*
 * opjournal_dl: loads the shared library at run time, for hosts that must start where it is not installed, or that choose
 * it by path. C99; link with the C library only (before glibc 2.34 with -ldl too).
 *
 *     opjournal_dl library;
 *     char message[256];
 *     if (opjournal_dl_open(NULL, &library, message, sizeof message) != OPJOURNAL_DL_OK)
 *         fprintf(stderr, "%s\n", message);
 *     else
 *         status = library.apply(ns, ops, len, OPJOURNAL_TIMEOUT_DEFAULT, &result);
 */
#ifndef OPJOURNAL_DL_H
#define OPJOURNAL_DL_H

#include <stddef.h>
#include <stdint.h>

#include "opjournal.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Every function of opjournal.h as X(return type, name without "opjournal_", parameters). */
#define OPJOURNAL_DL_FUNCTIONS(X)                                                                                                    \
    X(uint32_t, abi_version, (void))                                                                                                 \
    X(const char *, version, (void))                                                                                                 \
    X(const char *, status_name, (opjournal_status status))                                                                          \
    X(opjournal_status, open, (const char *config, size_t config_len, opjournal_journal *out, opjournal_buffer *result))             \
    X(opjournal_status, close, (opjournal_journal journal, int64_t timeout_ms, opjournal_buffer *result))                            \
    X(opjournal_status, namespace_open, (opjournal_journal journal, const char *name, size_t name_len, int64_t timeout_ms,           \
                                         opjournal_namespace *out, opjournal_buffer *result))                                        \
    X(opjournal_status, namespace_close, (opjournal_namespace ns))                                                                   \
    X(opjournal_status, apply, (opjournal_namespace ns, const char *ops, size_t ops_len, int64_t timeout_ms,                         \
                                opjournal_buffer *result))                                                                           \
    X(opjournal_status, query, (opjournal_namespace ns, const char *query, size_t query_len, opjournal_buffer *result))              \
    X(opjournal_status, flush, (opjournal_namespace ns, int64_t timeout_ms, opjournal_buffer *result))                               \
    X(opjournal_status, quarantine, (opjournal_namespace ns, const char *key, size_t key_len, int64_t timeout_ms,                    \
                                     opjournal_buffer *result))                                                                      \
    X(opjournal_status, stats, (opjournal_journal journal, opjournal_buffer *result))                                                \
    X(void, buffer_free, (opjournal_buffer *buffer))                                                                                 \
    X(opjournal_status, queue_open, (uint32_t capacity, opjournal_queue *out, opjournal_buffer *result))                             \
    X(opjournal_status, queue_fd, (opjournal_queue queue, int *out))                                                                 \
    X(opjournal_status, namespace_open_async, (opjournal_journal journal, opjournal_queue queue, uint64_t tag, const char *name,     \
                                               size_t name_len, int64_t timeout_ms, opjournal_buffer *result))                       \
    X(opjournal_status, apply_async, (opjournal_namespace ns, opjournal_queue queue, uint64_t tag, const char *ops, size_t ops_len,  \
                                      int64_t timeout_ms, opjournal_buffer *result))                                                 \
    X(opjournal_status, flush_async, (opjournal_namespace ns, opjournal_queue queue, uint64_t tag, int64_t timeout_ms,               \
                                      opjournal_buffer *result))                                                                     \
    X(opjournal_status, close_async, (opjournal_journal journal, opjournal_queue queue, uint64_t tag, int64_t timeout_ms,            \
                                      opjournal_buffer *result))                                                                     \
    X(opjournal_status, cancel, (opjournal_queue queue, uint64_t tag))                                                               \
    X(opjournal_status, queue_poll, (opjournal_queue queue, opjournal_completion *out, size_t max, size_t *count))                   \
    X(opjournal_status, queue_wait, (opjournal_queue queue, opjournal_completion *out, size_t max, int64_t timeout_ms,               \
                                     size_t *count))                                                                                 \
    X(opjournal_status, queue_close, (opjournal_queue queue))                                                                        \
    X(opjournal_status, log_to, (int32_t level, void (*sink)(void *context, int32_t level, const char *json, size_t len),            \
                                 void *context))                                                                                     \
    X(opjournal_status, log_to_queue, (int32_t level, opjournal_queue queue))

/* The library, loaded: its functions under their names without the prefix. Copy it freely; close one of the copies, once. */
typedef struct opjournal_dl {
    void *handle; /* private */
#define OPJOURNAL_DL_MEMBER(result, name, parameters) result(*name) parameters;
    OPJOURNAL_DL_FUNCTIONS(OPJOURNAL_DL_MEMBER)
#undef OPJOURNAL_DL_MEMBER
} opjournal_dl;

typedef int32_t opjournal_dl_status;
#define OPJOURNAL_DL_OK 0
#define OPJOURNAL_DL_NOT_LOADED 1     /* not found, not readable, or made for another machine: the message is the system's */
#define OPJOURNAL_DL_MISSING_SYMBOL 2 /* not this library, or older than this header; the message names the first missing function */
#define OPJOURNAL_DL_TOO_OLD 3        /* its ABI version is below OPJOURNAL_ABI_VERSION; a higher one is fine */

/*
 * Loads the library at `path` (NULL: "libopjournal.so.0", on macOS "libopjournal.0.dylib", wherever the system's loader looks)
 * and fills `*out`. On failure `*out` is zeroed, nothing stays loaded, and `message` (may be NULL if `size` is 0) says why,
 * cut to `size`. May be called from any thread, and more than once: the library is then loaded once, with handles in common.
 */
opjournal_dl_status opjournal_dl_open(const char *path, opjournal_dl *out, char *message, size_t size);

/* Gives the library back and zeroes `*library`. The code stays mapped, since its threads may run; close journals first. */
void opjournal_dl_close(opjournal_dl *library);

#ifdef __cplusplus
}
#endif

#endif
