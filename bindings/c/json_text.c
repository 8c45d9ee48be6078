#include "json_text.h"

#include <string.h>

size_t opjournal_text_sequence(const unsigned char *at, const unsigned char *end) {
    size_t left = (size_t)(end - at), len, i;
    unsigned char low = 0x80, high = 0xBF;
    if (left == 0) return 0;
    if (at[0] < 0x80) return 1;
    if (at[0] >= 0xC2 && at[0] <= 0xDF) len = 2;
    else if (at[0] >= 0xE0 && at[0] <= 0xEF) len = 3;
    else if (at[0] >= 0xF0 && at[0] <= 0xF4) len = 4;
    else return 0;
    /* The second byte is what rules out overlong forms, surrogates and everything past U+10FFFF. */
    if (at[0] == 0xE0) low = 0xA0;
    if (at[0] == 0xED) high = 0x9F;
    if (at[0] == 0xF0) low = 0x90;
    if (at[0] == 0xF4) high = 0x8F;
    if (left < len || at[1] < low || at[1] > high) return 0;
    for (i = 2; i < len; i++)
        if (at[i] < 0x80 || at[i] > 0xBF) return 0;
    return len;
}

const char *opjournal_text_space(const char *at, const char *end) {
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')) at++;
    return at;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

long opjournal_text_hex4(const char *at, const char *end) {
    long number = 0;
    int i;
    if (end - at < 4) return -1;
    for (i = 0; i < 4; i++) {
        int digit = hex_digit(at[i]);
        if (digit < 0) return -1;
        number = number * 16 + digit;
    }
    return number;
}

const char *opjournal_text_skip_string(const char *at, const char *end) {
    if (at >= end || *at != '"') return NULL;
    at++;
    while (at < end && *at != '"') {
        if ((unsigned char)*at < 0x20) return NULL;
        if (*at == '\\') {
            if (end - at < 2) return NULL;
            if (at[1] == 'u') {
                if (opjournal_text_hex4(at + 2, end) < 0) return NULL;
                at += 6;
            } else if (at[1] != '\0' && strchr("\"\\/bfnrt", at[1]) != NULL) {
                at += 2;
            } else {
                return NULL;
            }
        } else {
            size_t len = opjournal_text_sequence((const unsigned char *)at, (const unsigned char *)end);
            if (len == 0) return NULL;
            at += len;
        }
    }
    return at < end ? at + 1 : NULL;
}

static const char *skip_digits(const char *at, const char *end) {
    const char *start = at;
    while (at < end && *at >= '0' && *at <= '9') at++;
    return at > start ? at : NULL;
}

static const char *skip_number(const char *at, const char *end) {
    if (at < end && *at == '-') at++;
    if (at < end && *at == '0') at++;
    else if ((at = skip_digits(at, end)) == NULL) return NULL;
    if (at < end && *at == '.' && (at = skip_digits(at + 1, end)) == NULL) return NULL;
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '+' || *at == '-')) at++;
        at = skip_digits(at, end);
    }
    return at;
}

static const char *skip_word(const char *at, const char *end, const char *word) {
    size_t len = strlen(word);
    return (size_t)(end - at) >= len && memcmp(at, word, len) == 0 ? at + len : NULL;
}

const char *opjournal_text_skip_value(const char *at, const char *end, int depth) {
    char close;
    if (at >= end) return NULL;
    switch (*at) {
    case '"': return opjournal_text_skip_string(at, end);
    case 't': return skip_word(at, end, "true");
    case 'f': return skip_word(at, end, "false");
    case 'n': return skip_word(at, end, "null");
    case '{': close = '}'; break;
    case '[': close = ']'; break;
    default: return skip_number(at, end);
    }
    if (depth == 0) return NULL;
    at = opjournal_text_space(at + 1, end);
    if (at < end && *at == close) return at + 1;
    for (;;) {
        if (close == '}') {
            at = opjournal_text_skip_string(at, end);
            if (at == NULL) return NULL;
            at = opjournal_text_space(at, end);
            if (at >= end || *at != ':') return NULL;
            at = opjournal_text_space(at + 1, end);
        }
        at = opjournal_text_skip_value(at, end, depth - 1);
        if (at == NULL) return NULL;
        at = opjournal_text_space(at, end);
        if (at >= end) return NULL;
        if (*at == close) return at + 1;
        if (*at != ',') return NULL;
        at = opjournal_text_space(at + 1, end);
    }
}
