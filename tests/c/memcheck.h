/* What tests have to know of valgrind, where they run under it. */
#ifndef OPJOURNAL_TESTS_MEMCHECK_H
#define OPJOURNAL_TESTS_MEMCHECK_H

#include <stdbool.h>

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif

/* It keeps the last signal for itself. */
static inline bool is_under_valgrind(void) {
#ifdef RUNNING_ON_VALGRIND
    return RUNNING_ON_VALGRIND != 0;
#else
    return false;
#endif
}

/* The child of a fork does not have the threads of its parent, so that what those held is lost in it. That is no leak of the library's:
   valgrind, which looks for leaks wherever a process ends, is told not to look in this one. What else it finds still counts. */
static inline void forgive_leaks(void) {
#ifdef VALGRIND_CLO_CHANGE
    VALGRIND_CLO_CHANGE("--leak-check=no");
#endif
}

#endif
