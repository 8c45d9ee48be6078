/* Texts that calls are given: good ones, and what becomes of them when they are spoiled. */
#include "hostile.h"

#include <stdarg.h>

#define ANY_OF(self, list) list[below(self, sizeof(list) / sizeof *(list))]

static text allocated(size_t len) {
    text made = {malloc(len == 0 ? 1 : len), len, len};
    HOLDS(made.bytes != NULL);
    return made;
}

static text text_of(const char *bytes, size_t len) {
    text made = allocated(len);
    memcpy(made.bytes, bytes, len);
    return made;
}

static text repeated(char byte, size_t len) {
    text made = allocated(len);
    memset(made.bytes, byte, len);
    return made;
}

void text_free(text *borrowed) {
    if (borrowed->bytes != NULL) {
        memset(borrowed->bytes, '!', borrowed->len);
    }
    free(borrowed->bytes);
}

static text in_place_of(text old, text other) {
    text_free(&old);
    return other;
}

static text spoiled(worker *self, text good) {
    if (!one_in(self, 4)) {
        return good;
    }
    switch (below(self, 9)) {
    case 0: /* bytes that are no UTF-8, or no JSON */
        for (uint64_t i = 1 + below(self, 3); i > 0 && good.len > 0; i--) {
            good.bytes[below(self, good.len)] = (char)draw(self);
        }
        return good;
    case 1: /* a NUL inside */
        if (good.len > 0) {
            good.bytes[below(self, good.len)] = '\0';
        }
        return good;
    case 2: /* not all of it */
        good.said = below(self, good.len + 1);
        return good;
    case 3: /* longer than anything can be */
        good.said = SIZE_MAX - below(self, 9);
        return good;
    case 4:
        good.said = (size_t)PTRDIFF_MAX + 1 + below(self, 9);
        return good;
    case 5: /* not there, with a length */
        return in_place_of(good, (text){NULL, 0, 1 + below(self, 99)});
    case 6: /* not there */
        return in_place_of(good, (text){NULL, 0, 0});
    case 7: /* deeper than anything may be */
        return in_place_of(good, repeated(one_in(self, 2) ? '[' : '{', one_in(self, 20) ? 300000 : 1 + below(self, 400)));
    default: /* over every limit */
        return in_place_of(good, repeated(one_in(self, 2) ? ' ' : '\xff', one_in(self, 50) ? (size_t)2 << 20 : 300));
    }
}

static text formatted(const char *form, ...) __attribute__((format(printf, 1, 2)));

static text formatted(const char *form, ...) {
    char line[2048];
    va_list values;
    va_start(values, form);
    int len = vsnprintf(line, sizeof line, form, values);
    va_end(values);
    HOLDS(len >= 0 && (size_t)len < sizeof line);
    return text_of(line, (size_t)len);
}

static size_t write_op(worker *self, char *out, size_t room) {
    /* Not every form takes the second number. */
    static const char *const forms[] = {
        "{\"op\":\"IntAdd\",\"Key\":\"n%u\",\"Delta\":%d}",
        "{\"op\":\"IntMul\",\"Key\":\"n%u\",\"Factor\":%d}",
        "{\"op\":\"IntDiv\",\"Key\":\"n%u\",\"Divisor\":%d}",
        "{\"op\":\"ScalarSet\",\"Key\":\"v%u\",\"Value\":[{\"x\":%d},null,1.50,\"\\u2028<>&\"]}",
        "{\"op\":\"ScalarDelete\",\"Key\":\"l%u\"}",
        "{\"op\":\"SetAdd\",\"Key\":\"s%u\",\"Member\":%d}",
        "{\"op\":\"SetRemove\",\"Key\":\"s%u\",\"Member\":%d}",
        "{\"op\":\"MapSet\",\"Key\":\"m%u\",\"MapKey\":[%d],\"Value\":\"\xf0\x9f\x8c\x8d\"}",
        "{\"op\":\"MapDelete\",\"Key\":\"m%u\",\"MapKey\":[%d]}",
        "{\"op\":\"IntMapAdd\",\"Key\":\"i%u\",\"MapKey\":\"a\",\"Delta\":%d}",
        "{\"op\":\"IntMapDiv\",\"Key\":\"i%u\",\"MapKey\":\"a\",\"Divisor\":%d}",
        "{\"op\":\"ListAppend\",\"Key\":\"l%u\",\"Value\":%d}",
    };
    int len = snprintf(out, room, ANY_OF(self, forms), (unsigned)below(self, 4), (int)below(self, 40) - 8);
    HOLDS(len > 0 && (size_t)len < room);
    return (size_t)len;
}

/* One op, or an array of some. */
text ops_text(worker *self) {
    char line[2048];
    if (one_in(self, 2)) {
        size_t len = write_op(self, line, sizeof line);
        return spoiled(self, text_of(line, len));
    }
    size_t len = 0;
    line[len++] = '[';
    for (uint64_t more = below(self, 5); more > 0; more--) {
        len += write_op(self, line + len, sizeof line - len);
        line[len++] = ',';
    }
    /* In the place of the last comma. */
    len -= line[len - 1] == ',';
    line[len++] = ']';
    return spoiled(self, text_of(line, len));
}

text query_text(worker *self) {
    unsigned number = (unsigned)below(self, 4);
    switch (below(self, 8)) {
    case 0:
        return spoiled(self, formatted("{\"op\":\"State\"}"));
    case 1:
        return spoiled(self, formatted("[{\"op\":\"IntGet\",\"Key\":\"n%u\"},{\"op\":\"Digest\"},{\"op\":\"Names\"}]", number));
    case 2:
        return spoiled(self, formatted("{\"op\":\"MapEntries\",\"Key\":\"m%u\",\"Limit\":%u}", number, 1 + number));
    case 3:
        return spoiled(self, formatted("{\"op\":\"ListEntries\",\"Key\":\"l%u\",\"After\":%u}", number, number));
    case 4:
        return spoiled(self, formatted("{\"op\":\"Outcome\",\"Segment\":\"segment-%u.json\"}", number));
    case 5:
        return spoiled(self, formatted("{\"op\":\"SetMembers\",\"Key\":\"s%u\",\"Prefix\":\"\"}", number));
    default:
        return spoiled(self, formatted("{\"op\":\"IntGet\",\"Key\":\"n%u\"}", number));
    }
}

text name_text(worker *self) {
    static const char *const names[] = {"", "a", "b", "orders", "x_y-z"};
    return spoiled(self, formatted("%s", ANY_OF(self, names)));
}

text segment_text(worker *self) {
    return spoiled(self, formatted("segment-0199d7a1-0000-7000-8000-%012u.json", (unsigned)below(self, 99)));
}

text config_text(worker *self) {
    /* Stores in memory go with their last journal; new names let the old ones go. */
    unsigned name = (unsigned)(atomic_load(&self->done) / 4000 * 3 + below(self, 3));
    unsigned sync = 20 + (unsigned)below(self, 2000), commit = one_in(self, 4) ? (unsigned)below(self, 40) : 0;
    switch (below(self, 8)) {
    case 0:
        return spoiled(self, formatted("{\"store\":\"file://%s\",\"sync_interval_ms\":%u}", plan.directory, sync));
    case 1:
        return spoiled(self, formatted("{\"store\":\"file://%s/not-there\"}", plan.directory));
    case 2:
        return spoiled(self, formatted("{\"store\":\"memory:h%u\",\"read_only\":true,\"lock_ttl_ms\":[]}", name));
    case 3:
        return spoiled(self, formatted("{\"store\":\"memory:h%u\",\"limits\":{\"waiting_bytes\":2000,\"batch_bytes\":600}}", name));
    default:
        return spoiled(self, formatted("{\"store\":\"memory:h%u\",\"sync_interval_ms\":%u,\"commit_interval_ms\":%u}", name, sync, commit));
    }
}
