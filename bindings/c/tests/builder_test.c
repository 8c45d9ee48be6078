/* The builder: every text it can write, what it refuses, and what it does when memory ends. */
#include <stdint.h>
#include <stdlib.h>

/* Included as source, so that the allocator can be made to refuse: allocation number `refuse_at` fails (0: none). */
static int refuse_at, allocations;
static void *counting_realloc(void *old, size_t size) {
    allocations++;
    return allocations == refuse_at ? NULL : realloc(old, size);
}
#define realloc counting_realloc
#include "../opjournal_builder.c"
#undef realloc

#include "check.h"

static opjournal_builder builder;

#define K opjournal_text("k")
#define M opjournal_text("m")

#define CHECK_OBJECT(call, wanted)                                                                                                  \
    do {                                                                                                                            \
        const char *out_text;                                                                                                       \
        size_t out_len;                                                                                                             \
        opjournal_builder_clear(&builder);                                                                                          \
        call;                                                                                                                       \
        CHECK_TEXT(opjournal_builder_message(&builder), "");                                                                        \
        CHECK(opjournal_builder_object(&builder, &out_text, &out_len) == OPJOURNAL_BUILD_OK);                                       \
        CHECK_BYTES(out_text, out_len, wanted, strlen(wanted));                                                                     \
    } while (0)

#define CHECK_REFUSED(call, status, sentence)                                                                                       \
    do {                                                                                                                            \
        const char *out_text = NULL;                                                                                                \
        size_t out_len = 7;                                                                                                         \
        opjournal_builder_clear(&builder);                                                                                          \
        call;                                                                                                                       \
        CHECK(opjournal_builder_array(&builder, &out_text, &out_len) == (status));                                                  \
        CHECK(out_text == NULL && out_len == 7);                                                                                    \
        CHECK_TEXT(opjournal_builder_message(&builder), sentence);                                                                  \
    } while (0)

static void every_op(void) {
    CHECK_OBJECT(opjournal_op_scalar_set(&builder, K, M), "{\"op\":\"ScalarSet\",\"Key\":\"k\",\"Value\":\"m\"}");
    CHECK_OBJECT(opjournal_op_scalar_delete(&builder, K), "{\"op\":\"ScalarDelete\",\"Key\":\"k\"}");
    CHECK_OBJECT(opjournal_op_int_set(&builder, K, 7), "{\"op\":\"IntSet\",\"Key\":\"k\",\"Value\":7}");
    CHECK_OBJECT(opjournal_op_int_add(&builder, K, -7), "{\"op\":\"IntAdd\",\"Key\":\"k\",\"Delta\":-7}");
    CHECK_OBJECT(opjournal_op_int_mul(&builder, K, 0), "{\"op\":\"IntMul\",\"Key\":\"k\",\"Factor\":0}");
    CHECK_OBJECT(opjournal_op_int_div(&builder, K, 3), "{\"op\":\"IntDiv\",\"Key\":\"k\",\"Divisor\":3}");
    CHECK_OBJECT(opjournal_op_set_add(&builder, K, M), "{\"op\":\"SetAdd\",\"Key\":\"k\",\"Member\":\"m\"}");
    CHECK_OBJECT(opjournal_op_set_remove(&builder, K, M), "{\"op\":\"SetRemove\",\"Key\":\"k\",\"Member\":\"m\"}");
    CHECK_OBJECT(opjournal_op_int_map_set(&builder, K, M, 1), "{\"op\":\"IntMapSet\",\"Key\":\"k\",\"MapKey\":\"m\",\"Value\":1}");
    CHECK_OBJECT(opjournal_op_int_map_add(&builder, K, M, 1), "{\"op\":\"IntMapAdd\",\"Key\":\"k\",\"MapKey\":\"m\",\"Delta\":1}");
    CHECK_OBJECT(opjournal_op_int_map_mul(&builder, K, M, 1), "{\"op\":\"IntMapMul\",\"Key\":\"k\",\"MapKey\":\"m\",\"Factor\":1}");
    CHECK_OBJECT(opjournal_op_int_map_div(&builder, K, M, 1), "{\"op\":\"IntMapDiv\",\"Key\":\"k\",\"MapKey\":\"m\",\"Divisor\":1}");
    CHECK_OBJECT(opjournal_op_int_map_delete(&builder, K, M), "{\"op\":\"IntMapDelete\",\"Key\":\"k\",\"MapKey\":\"m\"}");
    CHECK_OBJECT(opjournal_op_map_set(&builder, K, M, opjournal_null()), "{\"op\":\"MapSet\",\"Key\":\"k\",\"MapKey\":\"m\",\"Value\":null}");
    CHECK_OBJECT(opjournal_op_map_delete(&builder, K, M), "{\"op\":\"MapDelete\",\"Key\":\"k\",\"MapKey\":\"m\"}");
    CHECK_OBJECT(opjournal_op_list_append(&builder, K, opjournal_int(5)), "{\"op\":\"ListAppend\",\"Key\":\"k\",\"Value\":5}");
}

static void every_query(void) {
    opjournal_page page, none;
    memset(&none, 0, sizeof none);
    memset(&page, 0, sizeof page);
    page.limit = 10;
    page.after = opjournal_text("a\"b");
    page.prefix = opjournal_text("p");
    CHECK_OBJECT(opjournal_query_scalar_get(&builder, K), "{\"op\":\"ScalarGet\",\"Key\":\"k\"}");
    CHECK_OBJECT(opjournal_query_map_get(&builder, K, M), "{\"op\":\"MapGet\",\"Key\":\"k\",\"MapKey\":\"m\"}");
    CHECK_OBJECT(opjournal_query_int_get(&builder, K), "{\"op\":\"IntGet\",\"Key\":\"k\"}");
    CHECK_OBJECT(opjournal_query_int_map_get(&builder, K, M), "{\"op\":\"IntMapGet\",\"Key\":\"k\",\"MapKey\":\"m\"}");
    CHECK_OBJECT(opjournal_query_set_contains(&builder, K, M), "{\"op\":\"SetContains\",\"Key\":\"k\",\"Member\":\"m\"}");
#define CHECK_COLLECTION(function, op)                                                                                              \
    do {                                                                                                                            \
        CHECK_OBJECT(function(&builder, K, NULL), "{\"op\":\"" op "\",\"Key\":\"k\"}");                                             \
        CHECK_OBJECT(function(&builder, K, &none), "{\"op\":\"" op "\",\"Key\":\"k\"}");                                            \
        CHECK_OBJECT(function(&builder, K, &page),                                                                                  \
                     "{\"op\":\"" op "\",\"Key\":\"k\",\"Limit\":10,\"After\":\"a\\\"b\",\"Prefix\":\"p\"}");                       \
    } while (0)
    CHECK_COLLECTION(opjournal_query_set_members, "SetMembers");
    CHECK_COLLECTION(opjournal_query_map_keys, "MapKeys");
    CHECK_COLLECTION(opjournal_query_int_map_keys, "IntMapKeys");
    CHECK_COLLECTION(opjournal_query_map_entries, "MapEntries");
    CHECK_COLLECTION(opjournal_query_int_map_entries, "IntMapEntries");
    CHECK_COLLECTION(opjournal_query_list_entries, "ListEntries");
    CHECK_OBJECT(opjournal_query_list_len(&builder, K), "{\"op\":\"ListLen\",\"Key\":\"k\"}");
    CHECK_OBJECT(opjournal_query_set_len(&builder, K), "{\"op\":\"SetLen\",\"Key\":\"k\"}");
    CHECK_OBJECT(opjournal_query_map_len(&builder, K), "{\"op\":\"MapLen\",\"Key\":\"k\"}");
    CHECK_OBJECT(opjournal_query_int_map_len(&builder, K), "{\"op\":\"IntMapLen\",\"Key\":\"k\"}");
    CHECK_OBJECT(opjournal_query_names(&builder), "{\"op\":\"Names\"}");
    CHECK_OBJECT(opjournal_query_state(&builder), "{\"op\":\"State\"}");
    CHECK_OBJECT(opjournal_query_digest(&builder), "{\"op\":\"Digest\"}");
    CHECK_OBJECT(opjournal_query_age(&builder), "{\"op\":\"Age\"}");
    CHECK_OBJECT(opjournal_query_outcome(&builder, opjournal_text("segment-1.json")),
                 "{\"op\":\"Outcome\",\"Segment\":\"segment-1.json\"}");
    page.limit = 0;
    page.prefix = none.prefix;
    page.after = opjournal_int(41);
    CHECK_OBJECT(opjournal_query_list_entries(&builder, K, &page), "{\"op\":\"ListEntries\",\"Key\":\"k\",\"After\":41}");
}

static void every_kind_of_value(void) {
#define CHECK_VALUE(value, wanted) \
    CHECK_OBJECT(opjournal_op_scalar_set(&builder, K, value), "{\"op\":\"ScalarSet\",\"Key\":\"k\",\"Value\":" wanted "}")
    CHECK_VALUE(opjournal_int(INT64_MIN), "-9223372036854775808");
    CHECK_VALUE(opjournal_int(INT64_MAX), "9223372036854775807");
    CHECK_VALUE(opjournal_int(0), "0");
    CHECK_VALUE(opjournal_bool(0), "false");
    CHECK_VALUE(opjournal_bool(-3), "true");
    CHECK_VALUE(opjournal_null(), "null");
    CHECK_VALUE(opjournal_text(""), "\"\"");
    CHECK_VALUE(opjournal_string(NULL, 0), "\"\"");
    CHECK_VALUE(opjournal_json("1.50", 4), "1.50");
    CHECK_VALUE(opjournal_json(" [1,{\"a\":[null,true,-0.5e+3]}] ", 31), " [1,{\"a\":[null,true,-0.5e+3]}] ");
    CHECK_OBJECT(opjournal_op_int_map_add(&builder, K, opjournal_int(5), INT64_MIN),
                 "{\"op\":\"IntMapAdd\",\"Key\":\"k\",\"MapKey\":5,\"Delta\":-9223372036854775808}");
}

static void hostile_strings(void) {
    int c;
    CHECK_VALUE(opjournal_text("\"\\/\b\f\n\r\t<&>"), "\"\\\"\\\\/\\b\\f\\n\\r\\t<&>\"");
    CHECK_VALUE(opjournal_string("a\0b", 3), "\"a\\u0000b\"");
    CHECK_VALUE(opjournal_text("\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"),
                "\"\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"");
    CHECK_VALUE(opjournal_text("\",\"op\":\"IntSet"), "\"\\\",\\\"op\\\":\\\"IntSet\"");
    for (c = 1; c < 0x20; c++) {
        char raw[2], escaped[64];
        const char *letter = strchr("\bb\ff\nn\rr\tt", c);
        raw[0] = (char)c;
        raw[1] = '\0';
        if (letter != NULL) snprintf(escaped, sizeof escaped, "{\"op\":\"ScalarDelete\",\"Key\":\"\\%c\"}", letter[1]);
        else snprintf(escaped, sizeof escaped, "{\"op\":\"ScalarDelete\",\"Key\":\"\\u%04x\"}", (unsigned)c);
        CHECK_OBJECT(opjournal_op_scalar_delete(&builder, opjournal_text(raw)), escaped);
    }
}

static void what_is_not_utf8_is_named(void) {
    /* Lone continuation, cut off, overlong (2, 3, 4 bytes), surrogate, past U+10FFFF, never a lead byte. */
    static const char *const bad[] = {"\x80",         "\xc3",         "\xe2\x82",         "\xf0\x9f\x98", "\xc0\xaf",         "\xc1\xbf",
                                      "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf5\x80\x80\x80", "\xf4\x90\x80\x80", "\xff",
                                      "\xc3(",        "\xe2(\xa1",    "\xe2\x82(",        "\xf0(\x8c\xbc", "\xf0\x90(\xbc",    "\xf0\x28\x8c\x28"};
    size_t i;
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        char json[16];
        CHECK_REFUSED(opjournal_op_set_add(&builder, K, opjournal_text(bad[i])), OPJOURNAL_BUILD_NOT_UTF8,
                      "item 0 (SetAdd): Member is not UTF-8 at byte 0");
        snprintf(json, sizeof json, "\"%s\"", bad[i]);
        CHECK_REFUSED(opjournal_op_set_add(&builder, K, opjournal_json(json, strlen(json))), OPJOURNAL_BUILD_NOT_JSON,
                      "item 0 (SetAdd): Member is not one well-formed JSON value");
    }
    CHECK_REFUSED(
        {
            opjournal_op_int_add(&builder, K, 1);
            opjournal_op_int_add(&builder, K, 1);
            opjournal_op_int_map_add(&builder, K, opjournal_text("0123456789abcdef\n\xff"), 1);
            opjournal_op_int_add(&builder, opjournal_text("\xff"), 1);
        },
        OPJOURNAL_BUILD_NOT_UTF8, "item 2 (IntMapAdd): MapKey is not UTF-8 at byte 17");
    /* The bytes after the length are not looked at. */
    CHECK_OBJECT(opjournal_op_scalar_delete(&builder, opjournal_string("k\xff", 1)), "{\"op\":\"ScalarDelete\",\"Key\":\"k\"}");
}

static void what_is_not_json_is_refused(void) {
    static const char *const bad[] = {"",       " ",      "1 2",     "01",      "-",       "1.",     ".5",      "1e",         "+1",      "tru",
                                      "True",   "nan",    "\"a",     "\"\n\"",  "\"\\x\"", "\"\\u12g4\"", "\"\\", "\"\\u12",   "{",       "[",
                                      "[1,]",   "{\"a\"}", "{\"a\":}", "{a:1}",  "{\"a\":1,}", "[1 2]", "1},{\"op\":\"IntSet\"", "]",   "\"\\",    "'a'",
                                      "[1}",    "{\"a\":1]", "{1:2}", "1,",     "\"a\"b",   "--1",    "0x10",    "1e+",       "nulll",   "\"\t\""};
    char deep[2 * (OPJOURNAL_BUILDER_DEPTH + 1)];
    size_t i;
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        /* A copy of the exact size, so that a read past the end is seen by the sanitizer. */
        size_t len = strlen(bad[i]);
        char *copy = (char *)malloc(len == 0 ? 1 : len);
        CHECK(copy != NULL);
        memcpy(copy, bad[i], len);
        CHECK_REFUSED(opjournal_op_list_append(&builder, K, opjournal_json(copy, len)), OPJOURNAL_BUILD_NOT_JSON,
                      "item 0 (ListAppend): Value is not one well-formed JSON value");
        free(copy);
    }
    memset(deep, '[', OPJOURNAL_BUILDER_DEPTH + 1);
    memset(deep + OPJOURNAL_BUILDER_DEPTH + 1, ']', OPJOURNAL_BUILDER_DEPTH + 1);
    CHECK_REFUSED(opjournal_op_list_append(&builder, K, opjournal_json(deep, sizeof deep)), OPJOURNAL_BUILD_NOT_JSON,
                  "item 0 (ListAppend): Value is not one well-formed JSON value");
    opjournal_builder_clear(&builder);
    opjournal_op_list_append(&builder, K, opjournal_json(deep + 1, sizeof deep - 2));
    CHECK_TEXT(opjournal_builder_message(&builder), "");
}

static void misuse_is_told(void) {
    opjournal_value unmade;
    const char *text;
    size_t len;
    memset(&unmade, 0, sizeof unmade);
    CHECK_REFUSED(opjournal_op_int_add(&builder, opjournal_text(NULL), 1), OPJOURNAL_BUILD_MISSING, "item 0 (IntAdd): Key is missing");
    CHECK_REFUSED(opjournal_op_map_set(&builder, K, opjournal_string(NULL, 3), M), OPJOURNAL_BUILD_MISSING,
                  "item 0 (MapSet): MapKey is missing");
    CHECK_REFUSED(opjournal_op_map_set(&builder, K, M, opjournal_json(NULL, 0)), OPJOURNAL_BUILD_MISSING, "item 0 (MapSet): Value is missing");
    CHECK_REFUSED(opjournal_op_scalar_set(&builder, K, unmade), OPJOURNAL_BUILD_MISSING, "item 0 (ScalarSet): Value is missing");
    CHECK_REFUSED(opjournal_op_int_add(&builder, opjournal_int(5), 1), OPJOURNAL_BUILD_MISUSE,
                  "item 0 (IntAdd): Key must be made by opjournal_text or opjournal_string");
    CHECK_REFUSED(opjournal_op_int_add(&builder, opjournal_json("\"k\"", 3), 1), OPJOURNAL_BUILD_MISUSE,
                  "item 0 (IntAdd): Key must be made by opjournal_text or opjournal_string");
    CHECK_REFUSED(opjournal_query_outcome(&builder, opjournal_null()), OPJOURNAL_BUILD_MISUSE,
                  "item 0 (Outcome): Segment must be made by opjournal_text or opjournal_string");
    CHECK_REFUSED(opjournal_object_begin(&builder), OPJOURNAL_BUILD_MISUSE, "item 0 (object): opjournal_object_end is missing");
    CHECK_REFUSED(opjournal_object_end(&builder), OPJOURNAL_BUILD_MISUSE,
                  "item 0 (object): opjournal_object_end before opjournal_object_begin");
    CHECK_REFUSED(opjournal_object_member(&builder, "a", K), OPJOURNAL_BUILD_MISUSE,
                  "item 0 (object): a member before opjournal_object_begin");
    CHECK_REFUSED(
        {
            opjournal_object_begin(&builder);
            opjournal_op_int_add(&builder, K, 1);
        },
        OPJOURNAL_BUILD_MISUSE, "item 0 (object): begun before opjournal_object_end");
    CHECK_REFUSED(
        {
            opjournal_object_begin(&builder);
            opjournal_object_member(&builder, NULL, K);
        },
        OPJOURNAL_BUILD_MISSING, "item 0 (object): the name of a member is missing");
    opjournal_builder_clear(&builder);
    CHECK(opjournal_builder_object(&builder, &text, &len) == OPJOURNAL_BUILD_MISUSE);
    CHECK_TEXT(opjournal_builder_message(&builder), "item 0 (object): one item is due, neither none nor more");
    opjournal_builder_clear(&builder);
    opjournal_query_names(&builder);
    opjournal_query_state(&builder);
    CHECK(opjournal_builder_object(&builder, &text, &len) == OPJOURNAL_BUILD_MISUSE);
}

static void arrays_and_reuse(void) {
    const char *text;
    size_t len;
    int round;
    for (round = 0; round < 3; round++) {
        opjournal_builder_clear(&builder);
        CHECK(opjournal_builder_array(&builder, &text, &len) == OPJOURNAL_BUILD_OK);
        CHECK_BYTES(text, len, "[]", 2);
        opjournal_op_int_add(&builder, K, 1);
        CHECK(opjournal_builder_array(&builder, &text, &len) == OPJOURNAL_BUILD_OK);
        CHECK(text[len] == '\0');
        CHECK_TEXT(text, "[{\"op\":\"IntAdd\",\"Key\":\"k\",\"Delta\":1}]");
        opjournal_op_scalar_delete(&builder, K);
        opjournal_op_scalar_delete(&builder, M);
        CHECK(builder.items == 3);
        CHECK(opjournal_builder_array(&builder, &text, &len) == OPJOURNAL_BUILD_OK);
        CHECK(text[len] == '\0');
        CHECK_TEXT(text, "[{\"op\":\"IntAdd\",\"Key\":\"k\",\"Delta\":1},{\"op\":\"ScalarDelete\",\"Key\":\"k\"},"
                         "{\"op\":\"ScalarDelete\",\"Key\":\"m\"}]");
    }
}

static void a_config_with_an_object_in_it(void) {
    opjournal_builder inner;
    const char *text;
    size_t len;
    opjournal_builder_init(&inner);
    opjournal_object_begin(&inner);
    opjournal_object_member(&inner, "segment_threshold", opjournal_int(8));
    opjournal_object_end(&inner);
    CHECK(opjournal_builder_object(&inner, &text, &len) == OPJOURNAL_BUILD_OK);
    CHECK_OBJECT(
        {
            opjournal_object_begin(&builder);
            opjournal_object_member(&builder, "store", opjournal_text("file:///a \"b\""));
            opjournal_object_member(&builder, "read_only", opjournal_bool(1));
            opjournal_object_member(&builder, "compaction", opjournal_json(text, len));
            opjournal_object_end(&builder);
        },
        "{\"store\":\"file:///a \\\"b\\\"\",\"read_only\":true,\"compaction\":{\"segment_threshold\":8}}");
    CHECK_OBJECT(
        {
            opjournal_object_begin(&builder);
            opjournal_object_end(&builder);
        },
        "{}");
    opjournal_builder_free(&inner);
    opjournal_builder_free(&inner);
    CHECK(inner.data == NULL && inner.capacity == 0);
}

static void the_limit_is_kept(void) {
    const char *text;
    size_t len, limit;
    opjournal_builder_clear(&builder);
    opjournal_op_list_append(&builder, K, opjournal_text("\n\n\n\n"));
    CHECK(opjournal_builder_array(&builder, &text, &len) == OPJOURNAL_BUILD_OK);
    for (limit = 1; limit <= len; limit++) {
        opjournal_builder small;
        const char *small_text = NULL;
        size_t small_len = 0;
        opjournal_build_status status;
        opjournal_builder_init(&small);
        small.limit = limit;
        opjournal_op_list_append(&small, K, opjournal_text("\n\n\n\n"));
        status = opjournal_builder_array(&small, &small_text, &small_len);
        CHECK(status == (limit == len ? OPJOURNAL_BUILD_OK : OPJOURNAL_BUILD_TOO_LARGE));
        CHECK(small.len <= limit);
        if (limit < len) CHECK_TEXT(opjournal_builder_message(&small), "item 0 (ListAppend): the text is longer than its limit");
        /* Clearing takes the error away and keeps the limit. */
        opjournal_builder_clear(&small);
        CHECK(small.limit == limit && small.status == OPJOURNAL_BUILD_OK);
        opjournal_builder_free(&small);
    }
}

static void lengths_that_wrap_around(void) {
    char one = 'x';
    size_t excess;
    /* The length alone, its sum with what is there, and that sum with the NUL. */
    for (excess = 0; excess < 3; excess++) {
        opjournal_builder_clear(&builder);
        opjournal_op_scalar_delete(&builder, K);
        append(&builder, &one, excess == 2 ? SIZE_MAX : SIZE_MAX - builder.len + excess);
        CHECK(builder.status == OPJOURNAL_BUILD_TOO_LARGE);
        CHECK_TEXT(opjournal_builder_message(&builder), "item 1 (object): the text does not fit into memory");
    }
}

static void every_allocation_may_fail(void) {
    char *large = (char *)malloc(5000);
    int failures = 0;
    CHECK(large != NULL);
    memset(large, '\n', 5000);
    for (refuse_at = 1;; refuse_at++) {
        opjournal_builder fresh;
        const char *text = NULL;
        size_t len = 0;
        opjournal_build_status status;
        allocations = 0;
        opjournal_builder_init(&fresh);
        opjournal_op_int_add(&fresh, K, 1);
        opjournal_op_list_append(&fresh, K, opjournal_string(large, 5000));
        status = opjournal_builder_array(&fresh, &text, &len);
        if (status == OPJOURNAL_BUILD_OK) {
            CHECK(len == strlen(text));
            opjournal_builder_free(&fresh);
            break;
        }
        failures++;
        CHECK(status == OPJOURNAL_BUILD_OUT_OF_MEMORY && text == NULL);
        CHECK_TEXT(opjournal_builder_message(&fresh),
                   refuse_at == 1 ? "item 0 (IntAdd): out of memory" : "item 1 (ListAppend): out of memory");
        opjournal_builder_free(&fresh);
    }
    refuse_at = 0;
    CHECK(failures >= 5);
    free(large);
}

int main(void) {
    opjournal_builder_init(&builder);
    RUN(every_op);
    RUN(every_query);
    RUN(every_kind_of_value);
    RUN(hostile_strings);
    RUN(what_is_not_utf8_is_named);
    RUN(what_is_not_json_is_refused);
    RUN(misuse_is_told);
    RUN(arrays_and_reuse);
    RUN(a_config_with_an_object_in_it);
    RUN(the_limit_is_kept);
    RUN(lengths_that_wrap_around);
    RUN(every_allocation_may_fail);
    opjournal_builder_free(&builder);
    return 0;
}
