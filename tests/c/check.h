/* What all C tests share, those of the library and those of what stands beside it: a check that fails says where, and ends the program. */
#ifndef OPJOURNAL_TESTS_CHECK_H
#define OPJOURNAL_TESTS_CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                                                            \
    do {                                                                                                                            \
        if (!(condition)) {                                                                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                                                 \
            exit(1);                                                                                                                \
        }                                                                                                                           \
    } while (0)

#define CHECK_BYTES(got, got_len, wanted, wanted_len)                                                                               \
    do {                                                                                                                            \
        if ((got_len) != (wanted_len) || memcmp((got), (wanted), (wanted_len)) != 0) {                                              \
            fprintf(stderr, "%s:%d:\n  got    %.*s\n  wanted %.*s\n", __FILE__, __LINE__, (int)(got_len), (got), (int)(wanted_len), \
                    (wanted));                                                                                                      \
            exit(1);                                                                                                                \
        }                                                                                                                           \
    } while (0)

#define CHECK_TEXT(got, wanted) CHECK_BYTES(got, strlen(got), wanted, strlen(wanted))

#define RUN(test)                                                                                                                   \
    do {                                                                                                                            \
        test();                                                                                                                     \
        printf("ok %s\n", #test);                                                                                                   \
        fflush(stdout);                                                                                                             \
    } while (0)

#endif
