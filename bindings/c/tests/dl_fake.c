/*
 * A library with the right functions and nothing in them, for the loader's test. The version is given with -DFAKE_ABI=N; a
 * function is taken away by giving it another name: -Dopjournal_stats=something_else.
 */
#include <stdlib.h>

/* The one that is called gets its own body below. */
#define opjournal_abi_version fake_abi_version
#include "../opjournal_dl.h"

#define FAKE(result, name, parameters) \
    result opjournal_##name parameters { abort(); }
OPJOURNAL_DL_FUNCTIONS(FAKE)

#undef opjournal_abi_version
uint32_t opjournal_abi_version(void);
uint32_t opjournal_abi_version(void) { return FAKE_ABI; }
