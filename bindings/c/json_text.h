/*
 * Private to the builder and the readers: where the parts of a JSON text begin and end. Nothing here is installed or promised.
 */
#ifndef OPJOURNAL_JSON_TEXT_H
#define OPJOURNAL_JSON_TEXT_H

#include <stddef.h>

/* How many bytes the well-formed UTF-8 sequence at `at` has; 0 if there is none (overlong, surrogate, cut off, too great). */
size_t opjournal_text_sequence(const unsigned char *at, const unsigned char *end);
/* Past the white space at `at`. */
const char *opjournal_text_space(const char *at, const char *end);
/* The number that four hexadecimal digits spell, or -1. */
long opjournal_text_hex4(const char *at, const char *end);
/* Past the string whose quote is at `at`; NULL if it is malformed. */
const char *opjournal_text_skip_string(const char *at, const char *end);
/* Past the value that begins at `at` (no white space before it); NULL if it is malformed or nested deeper than `depth`. */
const char *opjournal_text_skip_value(const char *at, const char *end, int depth);

#endif
