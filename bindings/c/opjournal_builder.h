/*
 * opjournal_builder: writes the JSON that the library takes. C99, nothing but libc. It knows JSON, UTF-8 and the names of
 * ops and queries; what they mean is the library's. Answers are read with opjournal_result.h.
 *
 *     opjournal_builder batch;
 *     const char *ops;
 *     size_t len;
 *     opjournal_builder_init(&batch);
 *     opjournal_op_int_add(&batch, opjournal_text("total"), 1);
 *     opjournal_op_map_set(&batch, opjournal_text("last"), opjournal_text(user), opjournal_int(now));
 *     if (opjournal_builder_array(&batch, &ops, &len) == OPJOURNAL_BUILD_OK)
 *         status = opjournal_apply(ns, ops, len, OPJOURNAL_TIMEOUT_DEFAULT, &result);
 *     else
 *         fprintf(stderr, "%s\n", opjournal_builder_message(&batch));
 *     opjournal_builder_free(&batch);
 *
 * Errors are sticky: after the first one every call does nothing, and the text is not handed out. So nothing needs to be
 * checked but the end. A builder may be used by one thread at a time; two builders share nothing.
 */
#ifndef OPJOURNAL_BUILDER_H
#define OPJOURNAL_BUILDER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Values ------------------------------------------------------------------------------------------------------ */

/*
 * A key, member or value on its way into a text. Made by the functions below; the members are private. The bytes that it
 * points to are borrowed until the call that it is passed to returns.
 */
typedef struct opjournal_value {
    int32_t kind;
    const char *text;
    size_t len;
    int64_t number;
} opjournal_value;

/* A string: `text` up to its NUL. NULL is an error that the builder reports. */
opjournal_value opjournal_text(const char *text);
/* A string of `len` bytes of UTF-8, which may contain NUL. */
opjournal_value opjournal_string(const char *text, size_t len);
opjournal_value opjournal_int(int64_t number);
/* `false` for 0, `true` for anything else. */
opjournal_value opjournal_bool(int truth);
opjournal_value opjournal_null(void);
/*
 * Any JSON value as text: objects, arrays, fractions. The builder checks that it is exactly one well-formed value, nested
 * at most OPJOURNAL_BUILDER_DEPTH deep, so text from a stranger cannot add members or ops; what is in it is up to you.
 */
opjournal_value opjournal_json(const char *json, size_t len);

#define OPJOURNAL_BUILDER_DEPTH 128

/* ---- The builder ------------------------------------------------------------------------------------------------- */

typedef int32_t opjournal_build_status;
#define OPJOURNAL_BUILD_OK 0
#define OPJOURNAL_BUILD_OUT_OF_MEMORY 1 /* the allocator refused */
#define OPJOURNAL_BUILD_TOO_LARGE 2     /* the text would be longer than `limit` */
#define OPJOURNAL_BUILD_NOT_UTF8 3      /* an argument is not valid UTF-8 */
#define OPJOURNAL_BUILD_NOT_JSON 4      /* an argument of opjournal_json is not one well-formed value */
#define OPJOURNAL_BUILD_MISSING 5       /* an argument is NULL, or was not made by a function above */
#define OPJOURNAL_BUILD_MISUSE 6        /* calls in an order that makes no text; the message names it */

/* Yours: zero it once (or call opjournal_builder_init), reuse it, free it. The text grows as needed. */
typedef struct opjournal_builder {
    char *data;      /* private: "[item,item]" and a NUL */
    size_t len;      /* private */
    size_t capacity; /* private */
    size_t limit;    /* yours to set: the greatest length of the text in bytes; 0: no limit */
    size_t items;    /* read only: how many ops, queries or objects the text holds */
    opjournal_build_status status; /* read only: the first error */
    int32_t in_object;             /* private */
    int32_t has_member;            /* private */
    const char *op;                /* private: what is being written, for messages */
    char message[192];             /* private: see opjournal_builder_message */
} opjournal_builder;

void opjournal_builder_init(opjournal_builder *builder);
/* Empties it, errors included; keeps its memory and its limit. */
void opjournal_builder_clear(opjournal_builder *builder);
/* Releases its memory. It is then as after opjournal_builder_init; freeing it again does no harm. */
void opjournal_builder_free(opjournal_builder *builder);

/*
 * The text as an array: for opjournal_apply one atomic batch, for opjournal_query an answer that is an array. It belongs to
 * the builder, ends in a NUL (not counted in `len`) and is valid until the next call that changes the builder. `*text` and
 * `*len` are written on OK only; otherwise the first error is returned.
 */
opjournal_build_status opjournal_builder_array(opjournal_builder *builder, const char **text, size_t *len);
/*
 * The same without the brackets and without a NUL, for exactly one item (else OPJOURNAL_BUILD_MISUSE): one query, whose
 * answer then stands alone; a configuration.
 */
opjournal_build_status opjournal_builder_object(opjournal_builder *builder, const char **text, size_t *len);
/*
 * The first error as a sentence that names item (counted from 0) and argument, as in
 * "item 2 (IntMapAdd): MapKey is not UTF-8 at byte 17"; "" if there is none.
 */
const char *opjournal_builder_message(const opjournal_builder *builder);

/* ---- Ops: what each does is told in the data model; integers wrap, keys and members may be any JSON value --------- */

void opjournal_op_scalar_set(opjournal_builder *builder, opjournal_value key, opjournal_value value);
void opjournal_op_scalar_delete(opjournal_builder *builder, opjournal_value key);
void opjournal_op_int_set(opjournal_builder *builder, opjournal_value key, int64_t value);
void opjournal_op_int_add(opjournal_builder *builder, opjournal_value key, int64_t delta);
void opjournal_op_int_mul(opjournal_builder *builder, opjournal_value key, int64_t factor);
void opjournal_op_int_div(opjournal_builder *builder, opjournal_value key, int64_t divisor);
void opjournal_op_set_add(opjournal_builder *builder, opjournal_value key, opjournal_value member);
void opjournal_op_set_remove(opjournal_builder *builder, opjournal_value key, opjournal_value member);
void opjournal_op_int_map_set(opjournal_builder *builder, opjournal_value key, opjournal_value map_key, int64_t value);
void opjournal_op_int_map_add(opjournal_builder *builder, opjournal_value key, opjournal_value map_key, int64_t delta);
void opjournal_op_int_map_mul(opjournal_builder *builder, opjournal_value key, opjournal_value map_key, int64_t factor);
void opjournal_op_int_map_div(opjournal_builder *builder, opjournal_value key, opjournal_value map_key, int64_t divisor);
void opjournal_op_int_map_delete(opjournal_builder *builder, opjournal_value key, opjournal_value map_key);
void opjournal_op_map_set(opjournal_builder *builder, opjournal_value key, opjournal_value map_key, opjournal_value value);
void opjournal_op_map_delete(opjournal_builder *builder, opjournal_value key, opjournal_value map_key);
void opjournal_op_list_append(opjournal_builder *builder, opjournal_value key, opjournal_value value);

/* ---- Queries ----------------------------------------------------------------------------------------------------- */

/*
 * A part of a collection. Zeroed, it asks for everything, as NULL does. With any member set the answer is
 * `{"items":[...],"next":KEY}`; ask again with `after` = opjournal_json(KEY) until there is no `next`.
 */
typedef struct opjournal_page {
    int64_t limit;          /* at most so many items; 0: no limit */
    opjournal_value after;  /* only what comes after this key; for lists an index, opjournal_int */
    opjournal_value prefix; /* only string keys that begin with this string */
} opjournal_page;

void opjournal_query_scalar_get(opjournal_builder *builder, opjournal_value key);
void opjournal_query_map_get(opjournal_builder *builder, opjournal_value key, opjournal_value map_key);
void opjournal_query_int_get(opjournal_builder *builder, opjournal_value key);
void opjournal_query_int_map_get(opjournal_builder *builder, opjournal_value key, opjournal_value map_key);
void opjournal_query_set_contains(opjournal_builder *builder, opjournal_value key, opjournal_value member);
void opjournal_query_set_members(opjournal_builder *builder, opjournal_value key, const opjournal_page *page);
void opjournal_query_map_keys(opjournal_builder *builder, opjournal_value key, const opjournal_page *page);
void opjournal_query_int_map_keys(opjournal_builder *builder, opjournal_value key, const opjournal_page *page);
void opjournal_query_map_entries(opjournal_builder *builder, opjournal_value key, const opjournal_page *page);
void opjournal_query_int_map_entries(opjournal_builder *builder, opjournal_value key, const opjournal_page *page);
void opjournal_query_list_entries(opjournal_builder *builder, opjournal_value key, const opjournal_page *page);
void opjournal_query_list_len(opjournal_builder *builder, opjournal_value key);
void opjournal_query_set_len(opjournal_builder *builder, opjournal_value key);
void opjournal_query_map_len(opjournal_builder *builder, opjournal_value key);
void opjournal_query_int_map_len(opjournal_builder *builder, opjournal_value key);
void opjournal_query_names(opjournal_builder *builder);
void opjournal_query_state(opjournal_builder *builder);
void opjournal_query_digest(opjournal_builder *builder);
/* How old the state is, without its hash. */
void opjournal_query_age(opjournal_builder *builder);
/* `segment` as an error or an answer of opjournal_apply named it. */
void opjournal_query_outcome(opjournal_builder *builder, opjournal_value segment);

/* ---- Any other object: a configuration, or an op newer than this file ---------------------------------------------- */

void opjournal_object_begin(opjournal_builder *builder);
/* Writes the member as it is given; an object within the object goes in as opjournal_json of another builder's text. */
void opjournal_object_member(opjournal_builder *builder, const char *name, opjournal_value value);
void opjournal_object_end(opjournal_builder *builder);

#ifdef __cplusplus
}
#endif

#endif
