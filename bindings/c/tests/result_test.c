/* The readers: answers as the library writes them, and texts that are cut off or wrong at any byte. */
#include <stdint.h>

#include "../opjournal_result.h"
#include "check.h"

#define TEXT(json) json, strlen(json)

static void integers(void) {
    int64_t number = 1;
    uint64_t id = 1;
    CHECK(opjournal_result_int(TEXT("0"), &number) == OPJOURNAL_RESULT_OK && number == 0);
    CHECK(opjournal_result_int(TEXT("-0"), &number) == OPJOURNAL_RESULT_OK && number == 0);
    CHECK(opjournal_result_int(TEXT(" 42\n"), &number) == OPJOURNAL_RESULT_OK && number == 42);
    CHECK(opjournal_result_int(TEXT("9223372036854775807"), &number) == OPJOURNAL_RESULT_OK && number == INT64_MAX);
    CHECK(opjournal_result_int(TEXT("-9223372036854775808"), &number) == OPJOURNAL_RESULT_OK && number == INT64_MIN);
    CHECK(opjournal_result_int(TEXT("-9223372036854775807"), &number) == OPJOURNAL_RESULT_OK && number == -INT64_MAX);
    number = 5;
    CHECK(opjournal_result_int(TEXT("9223372036854775808"), &number) == OPJOURNAL_RESULT_WRONG_TYPE);
    CHECK(opjournal_result_int(TEXT("-9223372036854775809"), &number) == OPJOURNAL_RESULT_WRONG_TYPE);
    CHECK(opjournal_result_int(TEXT("99999999999999999999"), &number) == OPJOURNAL_RESULT_WRONG_TYPE);
    CHECK(opjournal_result_int(TEXT("1.0"), &number) == OPJOURNAL_RESULT_WRONG_TYPE);
    CHECK(opjournal_result_int(TEXT("1e2"), &number) == OPJOURNAL_RESULT_WRONG_TYPE);
    CHECK(opjournal_result_int(TEXT("\"1\""), &number) == OPJOURNAL_RESULT_WRONG_TYPE);
    CHECK(opjournal_result_int(TEXT("null"), &number) == OPJOURNAL_RESULT_WRONG_TYPE);
    CHECK(opjournal_result_int(TEXT(""), &number) == OPJOURNAL_RESULT_MALFORMED);
    CHECK(opjournal_result_int(TEXT("1 1"), &number) == OPJOURNAL_RESULT_MALFORMED);
    CHECK(opjournal_result_int(NULL, 0, &number) == OPJOURNAL_RESULT_MALFORMED);
    CHECK(number == 5);
    CHECK(opjournal_result_uint(TEXT("18446744073709551615"), &id) == OPJOURNAL_RESULT_OK && id == UINT64_MAX);
    CHECK(opjournal_result_uint(TEXT("18446744073709551616"), &id) == OPJOURNAL_RESULT_WRONG_TYPE);
    CHECK(opjournal_result_uint(TEXT("-1"), &id) == OPJOURNAL_RESULT_WRONG_TYPE);
}

static void truth_values(void) {
    int truth = 7;
    CHECK(opjournal_result_bool(TEXT("1"), &truth) == OPJOURNAL_RESULT_WRONG_TYPE);
    CHECK(opjournal_result_bool(TEXT("tru"), &truth) == OPJOURNAL_RESULT_MALFORMED && truth == 7);
    CHECK(opjournal_result_bool(TEXT("true"), &truth) == OPJOURNAL_RESULT_OK && truth == 1);
    CHECK(opjournal_result_bool(TEXT("false"), &truth) == OPJOURNAL_RESULT_OK && truth == 0);
}

#define CHECK_STRING(json, wanted, wanted_len)                                                                                      \
    do {                                                                                                                            \
        char buffer[64];                                                                                                            \
        size_t size, needed;                                                                                                        \
        for (size = 0; size <= (wanted_len); size++) {                                                                              \
            needed = 99;                                                                                                            \
            CHECK(opjournal_result_string(TEXT(json), size == 0 ? NULL : buffer, size, &needed) == OPJOURNAL_RESULT_TOO_SMALL);     \
            CHECK(needed == (wanted_len));                                                                                          \
        }                                                                                                                           \
        memset(buffer, 'x', sizeof buffer);                                                                                         \
        CHECK(opjournal_result_string(TEXT(json), buffer, (wanted_len) + 1, &needed) == OPJOURNAL_RESULT_OK);                       \
        CHECK_BYTES(buffer, needed, wanted, (size_t)(wanted_len));                                                                  \
        CHECK(buffer[needed] == '\0' && buffer[needed + 1] == 'x');                                                                 \
    } while (0)

static void strings(void) {
    char short_buffer[8];
    CHECK_STRING("\"\"", "", 0);
    CHECK_STRING("\"segment\"", "segment", 7);
    CHECK_STRING("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8);
    CHECK_STRING("\"a\\u0026b\\u003C\"", "a&b<", 4);
    CHECK_STRING("\"a\\u0000b\"", "a\0b", 3);
    CHECK_STRING("\"\\u00e4\\u20ac\\ud83d\\ude00\"", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9);
    CHECK_STRING("\"\xc3\xa4\"", "\xc3\xa4", 2);
    /* Unpaired surrogates: high before the end, before a letter, before another escape, before another high one; low. */
    CHECK_STRING("\"\\ud83d\"", "\xef\xbf\xbd", 3);
    CHECK_STRING("\"\\ud83dx\"", "\xef\xbf\xbdx", 4);
    CHECK_STRING("\"\\ud83d\\n\"", "\xef\xbf\xbd\n", 4);
    CHECK_STRING("\"\\ud83d\\ud83d\\ude00\"", "\xef\xbf\xbd\xf0\x9f\x98\x80", 7);
    CHECK_STRING("\"\\ude00\"", "\xef\xbf\xbd", 3);
    CHECK(opjournal_result_string(TEXT("\"abc\""), short_buffer, sizeof short_buffer, NULL) == OPJOURNAL_RESULT_OK);
    CHECK_TEXT(short_buffer, "abc");
    CHECK(opjournal_result_string(TEXT("5"), short_buffer, sizeof short_buffer, NULL) == OPJOURNAL_RESULT_WRONG_TYPE);
    CHECK(opjournal_result_string(TEXT("\"abc"), short_buffer, sizeof short_buffer, NULL) == OPJOURNAL_RESULT_MALFORMED);
}

static void members(void) {
    static const char error[] = "{\"code\":\"TIMED_OUT\",\"message\":\"a \\\"b\\\"\",\"outcome\":\"unknown\",\"retryable\":false,"
                                "\"op\":3,\"place\":{\"code\":\"inner\",\"x\":[1,2]},\"segment\":\"segment-0.json\"}";
    char buffer[32];
    int truth = 7;
    int64_t number = 0;
    uint64_t id = 0;
    opjournal_slice slice;
    CHECK(opjournal_result_member_string(TEXT(error), "code", buffer, sizeof buffer, NULL) == OPJOURNAL_RESULT_OK);
    CHECK_TEXT(buffer, "TIMED_OUT");
    CHECK(opjournal_result_member_string(TEXT(error), "message", buffer, sizeof buffer, NULL) == OPJOURNAL_RESULT_OK);
    CHECK_TEXT(buffer, "a \"b\"");
    CHECK(opjournal_result_member_string(TEXT(error), "segment", buffer, sizeof buffer, NULL) == OPJOURNAL_RESULT_OK);
    CHECK_TEXT(buffer, "segment-0.json");
    CHECK(opjournal_result_member_bool(TEXT(error), "retryable", &truth) == OPJOURNAL_RESULT_OK && truth == 0);
    CHECK(opjournal_result_member_int(TEXT(error), "op", &number) == OPJOURNAL_RESULT_OK && number == 3);
    CHECK(opjournal_result_member(TEXT(error), "place", &slice) == OPJOURNAL_RESULT_OK);
    CHECK_BYTES(slice.data, slice.len, "{\"code\":\"inner\",\"x\":[1,2]}", 26);
    /* Not a member of an object within, not a part of a name, not a value. */
    CHECK(opjournal_result_member(TEXT(error), "x", &slice) == OPJOURNAL_RESULT_ABSENT);
    CHECK(opjournal_result_member(TEXT(error), "cod", &slice) == OPJOURNAL_RESULT_ABSENT);
    CHECK(opjournal_result_member(TEXT(error), "codes", &slice) == OPJOURNAL_RESULT_ABSENT);
    CHECK(opjournal_result_member(TEXT(error), "TIMED_OUT", &slice) == OPJOURNAL_RESULT_ABSENT);
    CHECK(opjournal_result_member(TEXT(error), "", &slice) == OPJOURNAL_RESULT_ABSENT);
    CHECK(opjournal_result_member(TEXT("{}"), "a", &slice) == OPJOURNAL_RESULT_ABSENT);
    CHECK(opjournal_result_member(TEXT(" { \"a\" : 1 , \"b\" : [ ] } "), "b", &slice) == OPJOURNAL_RESULT_OK);
    CHECK_BYTES(slice.data, slice.len, "[ ]", 3);
    CHECK(opjournal_result_member(TEXT("[]"), "a", &slice) == OPJOURNAL_RESULT_WRONG_TYPE);
    CHECK(opjournal_result_member(TEXT("{\"a\":1"), "a", &slice) == OPJOURNAL_RESULT_MALFORMED);
    CHECK(opjournal_result_member_uint(TEXT("{\"namespace\":18446744073709551615}"), "namespace", &id) == OPJOURNAL_RESULT_OK);
    CHECK(id == UINT64_MAX);
    CHECK(opjournal_result_member_int(TEXT("{\"a\":true}"), "a", &number) == OPJOURNAL_RESULT_WRONG_TYPE);
    CHECK(opjournal_result_member_int(TEXT("{}"), "a", &number) == OPJOURNAL_RESULT_ABSENT);
    CHECK(opjournal_result_member_uint(TEXT("{}"), "a", &id) == OPJOURNAL_RESULT_ABSENT);
    CHECK(opjournal_result_member_bool(TEXT("{}"), "a", &truth) == OPJOURNAL_RESULT_ABSENT);
    CHECK(opjournal_result_member_string(TEXT("{}"), "a", buffer, sizeof buffer, NULL) == OPJOURNAL_RESULT_ABSENT);
}

static void items(void) {
    static const char *const array = " [ 12 , {\"sha256\":\"ab\"},[],\"x,]\" ] ";
    static const char *const wanted[] = {"12", "{\"sha256\":\"ab\"}", "[]", "\"x,]\""};
    opjournal_slice slice;
    size_t cursor = 0, count = 0;
    opjournal_result_status status;
    while ((status = opjournal_result_item(TEXT(array), &cursor, &slice)) == OPJOURNAL_RESULT_OK) {
        CHECK(count < 4);
        CHECK_BYTES(slice.data, slice.len, wanted[count], strlen(wanted[count]));
        count++;
    }
    CHECK(status == OPJOURNAL_RESULT_ABSENT && count == 4);
    CHECK(opjournal_result_item(TEXT(array), &cursor, &slice) == OPJOURNAL_RESULT_ABSENT);
    cursor = 0;
    CHECK(opjournal_result_item(TEXT("[]"), &cursor, &slice) == OPJOURNAL_RESULT_ABSENT);
    CHECK(opjournal_result_item(TEXT("[]"), &cursor, &slice) == OPJOURNAL_RESULT_ABSENT);
    cursor = 0;
    CHECK(opjournal_result_item(TEXT("{}"), &cursor, &slice) == OPJOURNAL_RESULT_WRONG_TYPE && cursor == 0);
    CHECK(opjournal_result_item(TEXT("[,1]"), &cursor, &slice) == OPJOURNAL_RESULT_MALFORMED);
    CHECK(opjournal_result_item(TEXT("x"), &cursor, &slice) == OPJOURNAL_RESULT_MALFORMED);
    cursor = 99;
    CHECK(opjournal_result_item(TEXT("[1]"), &cursor, &slice) == OPJOURNAL_RESULT_MALFORMED);
    cursor = 0;
    CHECK(opjournal_result_item(TEXT("[1 2]"), &cursor, &slice) == OPJOURNAL_RESULT_OK);
    CHECK(opjournal_result_item(TEXT("[1 2]"), &cursor, &slice) == OPJOURNAL_RESULT_MALFORMED);
}

/* Every prefix, and every byte replaced, in a copy of the exact size: nothing is read past the end, and no crash. */
static void broken_at_every_byte(void) {
    static const char whole[] = "[{\"a\":\"\\ud83d\\ude00\\n\xc3\xa4\",\"b\":[1.5e-3,true,null]},-12]";
    static const char replacements[] = "\"\\{}[],:0\xff\n";
    size_t cut, at, which;
    for (cut = 0; cut < sizeof whole; cut++) {
        for (which = 0; which < sizeof replacements; which++) {
            for (at = 0; at < (which == 0 ? 1 : cut); at++) {
                char *copy = (char *)malloc(cut == 0 ? 1 : cut), buffer[8];
                opjournal_slice slice;
                size_t cursor = 0;
                int64_t number;
                CHECK(copy != NULL);
                memcpy(copy, whole, cut);
                if (which > 0) copy[at] = replacements[which - 1];
                while (opjournal_result_item(copy, cut, &cursor, &slice) == OPJOURNAL_RESULT_OK) {
                    (void)opjournal_result_member_string(slice.data, slice.len, "a", buffer, sizeof buffer, NULL);
                    (void)opjournal_result_member_int(slice.data, slice.len, "b", &number);
                }
                (void)opjournal_result_string(copy, cut, buffer, sizeof buffer, NULL);
                free(copy);
            }
        }
    }
}

int main(void) {
    RUN(integers);
    RUN(truth_values);
    RUN(strings);
    RUN(members);
    RUN(items);
    RUN(broken_at_every_byte);
    return 0;
}
