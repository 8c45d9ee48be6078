/*
 * Counts what the whole process asks of the allocator, the shared library included: the functions of a program stand before
 * those of libc. Linked into a program of its own (replica-counting), so that nothing else is measured with it. Needs glibc,
 * which offers its own functions under second names.
 */
#include "replica.h"

#include <errno.h>
#include <stdlib.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static uint64_t asked;

static void count(size_t size)
{
    __atomic_fetch_add(&asked, size, __ATOMIC_RELAXED);
}

uint64_t allocated(void)
{
    return __atomic_load_n(&asked, __ATOMIC_RELAXED);
}

void *malloc(size_t size)
{
    count(size);
    return __libc_malloc(size);
}

void *calloc(size_t members, size_t size)
{
    count(members * size);
    return __libc_calloc(members, size);
}

void *realloc(void *block, size_t size)
{
    count(size);
    return __libc_realloc(block, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    count(size);
    void *block = __libc_memalign(alignment, size);
    if (!block)
        return ENOMEM;
    *out = block;
    return 0;
}
