/*
 * opjournal_result: reads the library's answers as far as every C host has to, without a JSON library; to walk through deep
 * values, use one. C99, nothing but libc. Nothing is allocated, and nothing but strings is copied. Every function writes its
 * out-parameters on OPJOURNAL_RESULT_OK only, unless it says otherwise. Any thread may call any of them.
 */
#ifndef OPJOURNAL_RESULT_H
#define OPJOURNAL_RESULT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef int32_t opjournal_result_status;
#define OPJOURNAL_RESULT_OK 0
#define OPJOURNAL_RESULT_ABSENT 1     /* no such member; no more items */
#define OPJOURNAL_RESULT_WRONG_TYPE 2 /* well-formed, but not what was asked for, or an integer out of range */
#define OPJOURNAL_RESULT_TOO_SMALL 3  /* the buffer; the length needed was written */
#define OPJOURNAL_RESULT_MALFORMED 4  /* not JSON */

/* A part of the text it was read from, and valid as long as that. Not NUL-terminated. */
typedef struct opjournal_slice {
    const char *data;
    size_t len;
} opjournal_slice;

/* The whole text as an integer (the answer of IntGet, IntMapGet, the lengths). */
opjournal_result_status opjournal_result_int(const char *json, size_t len, int64_t *out);
/* The same for ids, which use all 64 bits. */
opjournal_result_status opjournal_result_uint(const char *json, size_t len, uint64_t *out);
/* The whole text as a truth value, 0 or 1 (the answer of SetContains). */
opjournal_result_status opjournal_result_bool(const char *json, size_t len, int *out);
/*
 * The whole text as a string, unescaped into `buffer` with a NUL behind it. `*needed` (may be NULL) is set to its length
 * without the NUL on OK and on TOO_SMALL; a string that contains NUL is told by this length. `buffer` may be NULL if `size` is 0.
 */
opjournal_result_status opjournal_result_string(const char *json, size_t len, char *buffer, size_t size, size_t *needed);
/*
 * The value of a member of an object, at its top level. `name` is compared with the member's name as it stands in the text;
 * the names in the library's answers need no escapes.
 */
opjournal_result_status opjournal_result_member(const char *json, size_t len, const char *name, opjournal_slice *out);
/*
 * The items of an array, one after the other: `*cursor` is 0 before the first call, and is moved on by each. ABSENT after the
 * last one. The text is read once over all calls.
 */
opjournal_result_status opjournal_result_item(const char *json, size_t len, size_t *cursor, opjournal_slice *out);

/* opjournal_result_member and the reader of that name in one. */
opjournal_result_status opjournal_result_member_int(const char *json, size_t len, const char *name, int64_t *out);
opjournal_result_status opjournal_result_member_uint(const char *json, size_t len, const char *name, uint64_t *out);
opjournal_result_status opjournal_result_member_bool(const char *json, size_t len, const char *name, int *out);
opjournal_result_status opjournal_result_member_string(const char *json, size_t len, const char *name, char *buffer, size_t size,
                                                       size_t *needed);

#ifdef __cplusplus
}
#endif

#endif
