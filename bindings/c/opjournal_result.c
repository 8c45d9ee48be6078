#include "opjournal_result.h"

#include <string.h>

#include "json_text.h"

/* A value may be nested 128 deep; the answers that hold it add a few levels of their own. */
#define RESULT_DEPTH 160

/* The one value that is the whole text, without the white space around it. */
static opjournal_result_status whole(const char *json, size_t len, opjournal_slice *out) {
    const char *end, *start, *stop;
    if (json == NULL) return OPJOURNAL_RESULT_MALFORMED;
    end = json + len;
    start = opjournal_text_space(json, end);
    stop = opjournal_text_skip_value(start, end, RESULT_DEPTH);
    if (stop == NULL || opjournal_text_space(stop, end) != end) return OPJOURNAL_RESULT_MALFORMED;
    out->data = start;
    out->len = (size_t)(stop - start);
    return OPJOURNAL_RESULT_OK;
}

/* The magnitude of an integer literal. */
static int magnitude(const char *at, const char *end, uint64_t *out) {
    uint64_t number = 0;
    if (at == end) return 0;
    for (; at < end; at++) {
        unsigned digit;
        if (*at < '0' || *at > '9') return 0;
        digit = (unsigned)(*at - '0');
        if (number > (UINT64_MAX - digit) / 10) return 0;
        number = number * 10 + digit;
    }
    *out = number;
    return 1;
}

opjournal_result_status opjournal_result_uint(const char *json, size_t len, uint64_t *out) {
    opjournal_slice value;
    opjournal_result_status status = whole(json, len, &value);
    if (status != OPJOURNAL_RESULT_OK) return status;
    return magnitude(value.data, value.data + value.len, out) ? OPJOURNAL_RESULT_OK : OPJOURNAL_RESULT_WRONG_TYPE;
}

opjournal_result_status opjournal_result_int(const char *json, size_t len, int64_t *out) {
    opjournal_slice value;
    uint64_t number;
    int negative;
    opjournal_result_status status = whole(json, len, &value);
    if (status != OPJOURNAL_RESULT_OK) return status;
    negative = value.data[0] == '-';
    if (!magnitude(value.data + negative, value.data + value.len, &number)) return OPJOURNAL_RESULT_WRONG_TYPE;
    if (number > (uint64_t)INT64_MAX + (negative ? 1u : 0u)) return OPJOURNAL_RESULT_WRONG_TYPE;
    /* Counting down from -1 keeps every step in range, INT64_MIN included. */
    if (negative && number > 0) *out = -1 - (int64_t)(number - 1);
    else *out = (int64_t)number;
    return OPJOURNAL_RESULT_OK;
}

opjournal_result_status opjournal_result_bool(const char *json, size_t len, int *out) {
    opjournal_slice value;
    opjournal_result_status status = whole(json, len, &value);
    if (status != OPJOURNAL_RESULT_OK) return status;
    if (value.data[0] != 't' && value.data[0] != 'f') return OPJOURNAL_RESULT_WRONG_TYPE;
    *out = value.data[0] == 't';
    return OPJOURNAL_RESULT_OK;
}

/* Writes a code point as UTF-8; returns how many bytes. */
static size_t encode(unsigned long point, char *out) {
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    if (point < 0x800) {
        out[0] = (char)(0xC0 | (point >> 6));
        out[1] = (char)(0x80 | (point & 0x3F));
        return 2;
    }
    if (point < 0x10000) {
        out[0] = (char)(0xE0 | (point >> 12));
        out[1] = (char)(0x80 | ((point >> 6) & 0x3F));
        out[2] = (char)(0x80 | (point & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | (point >> 18));
    out[1] = (char)(0x80 | ((point >> 12) & 0x3F));
    out[2] = (char)(0x80 | ((point >> 6) & 0x3F));
    out[3] = (char)(0x80 | (point & 0x3F));
    return 4;
}

/* The escape whose backslash is at `at`, in a string that is known to be well-formed: its code point, and where it ends. */
static unsigned long decode_escape(const char *at, const char *end, const char **next) {
    static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    unsigned long point;
    long low;
    *next = at + 2;
    if (at[1] != 'u') return (unsigned char)meanings[strchr(names, at[1]) - names];
    point = (unsigned long)opjournal_text_hex4(at + 2, end);
    *next = at + 6;
    if (point < 0xD800 || point > 0xDFFF) return point;
    /* A high surrogate and the low one behind it are one character; alone, either is read as U+FFFD. */
    if (point <= 0xDBFF && end - *next >= 6 && (*next)[0] == '\\' && (*next)[1] == 'u') {
        low = opjournal_text_hex4(*next + 2, end);
        if (low >= 0xDC00 && low <= 0xDFFF) {
            *next += 6;
            return 0x10000 + ((point - 0xD800) << 10) + ((unsigned long)low - 0xDC00);
        }
    }
    return 0xFFFD;
}

opjournal_result_status opjournal_result_string(const char *json, size_t len, char *buffer, size_t size, size_t *needed) {
    opjournal_slice value;
    const char *at, *end;
    size_t total = 0;
    opjournal_result_status status = whole(json, len, &value);
    if (status != OPJOURNAL_RESULT_OK) return status;
    if (value.data[0] != '"') return OPJOURNAL_RESULT_WRONG_TYPE;
    at = value.data + 1;
    end = value.data + value.len - 1;
    while (at < end) {
        char bytes[4];
        size_t count = 1;
        if (*at == '\\') count = encode(decode_escape(at, end, &at), bytes);
        else bytes[0] = *at++;
        if (total < size && count <= size - total) memcpy(buffer + total, bytes, count);
        total += count;
    }
    if (needed != NULL) *needed = total;
    if (total >= size) return OPJOURNAL_RESULT_TOO_SMALL;
    buffer[total] = '\0';
    return OPJOURNAL_RESULT_OK;
}

opjournal_result_status opjournal_result_member(const char *json, size_t len, const char *name, opjournal_slice *out) {
    opjournal_slice object;
    const char *at, *end;
    opjournal_result_status status = whole(json, len, &object);
    if (status != OPJOURNAL_RESULT_OK) return status;
    if (object.data[0] != '{') return OPJOURNAL_RESULT_WRONG_TYPE;
    end = object.data + object.len;
    at = opjournal_text_space(object.data + 1, end);
    /* The whole object is known to be well-formed, so nothing below can run past its end. */
    while (*at != '}') {
        const char *member_name = at + 1, *name_end = opjournal_text_skip_string(at, end) - 1, *value, *value_end;
        value = opjournal_text_space(opjournal_text_space(name_end + 1, end) + 1, end);
        value_end = opjournal_text_skip_value(value, end, RESULT_DEPTH);
        if (strlen(name) == (size_t)(name_end - member_name) && memcmp(name, member_name, strlen(name)) == 0) {
            out->data = value;
            out->len = (size_t)(value_end - value);
            return OPJOURNAL_RESULT_OK;
        }
        at = opjournal_text_space(value_end, end);
        if (*at == ',') at = opjournal_text_space(at + 1, end);
    }
    return OPJOURNAL_RESULT_ABSENT;
}

opjournal_result_status opjournal_result_item(const char *json, size_t len, size_t *cursor, opjournal_slice *out) {
    const char *at, *end, *stop;
    if (json == NULL || *cursor > len) return OPJOURNAL_RESULT_MALFORMED;
    end = json + len;
    at = opjournal_text_space(json + *cursor, end);
    if (at == end) return OPJOURNAL_RESULT_MALFORMED;
    if (*cursor == 0) {
        if (*at != '[') return opjournal_text_skip_value(at, end, RESULT_DEPTH) == NULL ? OPJOURNAL_RESULT_MALFORMED : OPJOURNAL_RESULT_WRONG_TYPE;
        at = opjournal_text_space(at + 1, end);
        if (at < end && *at == ']') {
            *cursor = (size_t)(at - json);
            return OPJOURNAL_RESULT_ABSENT;
        }
    } else if (*at == ']') {
        return OPJOURNAL_RESULT_ABSENT;
    } else if (*at == ',') {
        at = opjournal_text_space(at + 1, end);
    } else {
        return OPJOURNAL_RESULT_MALFORMED;
    }
    stop = opjournal_text_skip_value(at, end, RESULT_DEPTH);
    if (stop == NULL) return OPJOURNAL_RESULT_MALFORMED;
    *cursor = (size_t)(stop - json);
    out->data = at;
    out->len = (size_t)(stop - at);
    return OPJOURNAL_RESULT_OK;
}

opjournal_result_status opjournal_result_member_int(const char *json, size_t len, const char *name, int64_t *out) {
    opjournal_slice value;
    opjournal_result_status status = opjournal_result_member(json, len, name, &value);
    return status == OPJOURNAL_RESULT_OK ? opjournal_result_int(value.data, value.len, out) : status;
}

opjournal_result_status opjournal_result_member_uint(const char *json, size_t len, const char *name, uint64_t *out) {
    opjournal_slice value;
    opjournal_result_status status = opjournal_result_member(json, len, name, &value);
    return status == OPJOURNAL_RESULT_OK ? opjournal_result_uint(value.data, value.len, out) : status;
}

opjournal_result_status opjournal_result_member_bool(const char *json, size_t len, const char *name, int *out) {
    opjournal_slice value;
    opjournal_result_status status = opjournal_result_member(json, len, name, &value);
    return status == OPJOURNAL_RESULT_OK ? opjournal_result_bool(value.data, value.len, out) : status;
}

opjournal_result_status opjournal_result_member_string(const char *json, size_t len, const char *name, char *buffer, size_t size,
                                                       size_t *needed) {
    opjournal_slice value;
    opjournal_result_status status = opjournal_result_member(json, len, name, &value);
    return status == OPJOURNAL_RESULT_OK ? opjournal_result_string(value.data, value.len, buffer, size, needed) : status;
}
