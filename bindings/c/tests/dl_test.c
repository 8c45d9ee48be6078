/*
 * The loader: its list against the header, and what it says about libraries that cannot be used.
 * Arguments: opjournal.h, then fake libraries: a good one, one without opjournal_stats, one whose
 * ABI version is below the header's, one whose version is far above it.
 */
#include <ctype.h>

#include "../opjournal_dl.h"
#include "check.h"

static const char *header, *good, *lacking, *older, *newer;

static char *read_file(const char *path) {
    FILE *file = fopen(path, "rb");
    char *text = NULL;
    size_t len = 0, got;
    CHECK(file != NULL);
    do {
        text = (char *)realloc(text, len + 4097);
        CHECK(text != NULL);
        got = fread(text + len, 1, 4096, file);
        len += got;
    } while (got > 0);
    CHECK(fclose(file) == 0);
    text[len] = '\0';
    return text;
}

/* Overwrites comments and preprocessor lines with spaces: they name functions without declaring them. */
static void blank_what_declares_nothing(char *text) {
    char *at = text;
    while (*at != '\0') {
        const char *end = NULL;
        if (strncmp(at, "/*", 2) == 0) end = strstr(at, "*/");
        else if (strncmp(at, "//", 2) == 0 || *at == '#') end = strchr(at, '\n');
        if (end == NULL) {
            at++;
            continue;
        }
        if (*end == '*') end += 2;
        while (at < end) *at++ = ' ';
    }
}

static void the_list_is_the_headers(void) {
#define NAME(result, name, parameters) "opjournal_" #name,
    static const char *const listed[] = {OPJOURNAL_DL_FUNCTIONS(NAME)};
    size_t count = sizeof listed / sizeof *listed, declared = 0, i;
    char *text = read_file(header), *at;
    blank_what_declares_nothing(text);
    for (at = strstr(text, "opjournal_"); at != NULL; at = strstr(at, "opjournal_")) {
        char name[64];
        size_t len = 0;
        int found = 0;
        while (isalnum((unsigned char)at[len]) || at[len] == '_') len++;
        CHECK(len < sizeof name);
        memcpy(name, at, len);
        name[len] = '\0';
        at += len;
        if (*at != '(') continue;
        declared++;
        for (i = 0; i < count; i++) found = found || strcmp(listed[i], name) == 0;
        if (!found) {
            fprintf(stderr, "OPJOURNAL_DL_FUNCTIONS lacks %s of opjournal.h\n", name);
            exit(1);
        }
    }
    /* The other way round is the compiler's work: the_types_are_the_headers names each one. */
    CHECK(declared == count);
    free(text);
}

static void the_types_are_the_headers(void) {
    opjournal_dl table;
    /* Never run, so nothing is linked: that the assignments compile without a warning is the test. */
#define SAME_TYPE(result, name, parameters) (void)sizeof(table.name = opjournal_##name);
    OPJOURNAL_DL_FUNCTIONS(SAME_TYPE)
}

static void a_good_library_is_loaded(void) {
    opjournal_dl library;
    char message[200] = "x";
    CHECK(opjournal_dl_open(good, &library, message, sizeof message) == OPJOURNAL_DL_OK);
    CHECK_TEXT(message, "");
    CHECK(library.abi_version() == OPJOURNAL_ABI_VERSION);
#define IS_SET(result, name, parameters) CHECK(library.name != NULL);
    OPJOURNAL_DL_FUNCTIONS(IS_SET)
    opjournal_dl_close(&library);
    CHECK(library.handle == NULL && library.apply == NULL);
    opjournal_dl_close(&library);
    CHECK(opjournal_dl_open(good, &library, NULL, 0) == OPJOURNAL_DL_OK);
    opjournal_dl_close(&library);
}

static void a_newer_library_is_loaded(void) {
    opjournal_dl library;
    CHECK(opjournal_dl_open(newer, &library, NULL, 0) == OPJOURNAL_DL_OK);
    CHECK(library.abi_version() == 4000000000u);
    opjournal_dl_close(&library);
}

static void a_bad_library_is_named(void) {
    opjournal_dl library;
    char message[200], wanted[300], cut[12];
    memset(&library, 0xFF, sizeof library);
    CHECK(opjournal_dl_open("/nowhere/libopjournal.so.0", &library, message, sizeof message) == OPJOURNAL_DL_NOT_LOADED);
    CHECK(library.handle == NULL && library.apply == NULL);
    CHECK(strstr(message, "/nowhere/libopjournal.so.0") != NULL);

    CHECK(opjournal_dl_open(lacking, &library, message, sizeof message) == OPJOURNAL_DL_MISSING_SYMBOL);
    CHECK(library.handle == NULL && library.apply == NULL);
    snprintf(wanted, sizeof wanted, "%s has no function opjournal_stats", lacking);
    CHECK_TEXT(message, wanted);

    CHECK(opjournal_dl_open(older, &library, message, sizeof message) == OPJOURNAL_DL_TOO_OLD);
    CHECK(library.handle == NULL && library.apply == NULL);
    snprintf(wanted, sizeof wanted, "%s has ABI version 0, this program needs at least %lu", older, (unsigned long)OPJOURNAL_ABI_VERSION);
    CHECK_TEXT(message, wanted);

    CHECK(opjournal_dl_open(lacking, &library, cut, sizeof cut) == OPJOURNAL_DL_MISSING_SYMBOL);
    CHECK(strlen(cut) == sizeof cut - 1);
    CHECK(opjournal_dl_open(lacking, &library, NULL, 0) == OPJOURNAL_DL_MISSING_SYMBOL);
}

int main(int argc, char **argv) {
    CHECK(argc == 6);
    header = argv[1];
    good = argv[2];
    lacking = argv[3];
    older = argv[4];
    newer = argv[5];
    RUN(the_list_is_the_headers);
    RUN(the_types_are_the_headers);
    RUN(a_good_library_is_loaded);
    RUN(a_newer_library_is_loaded);
    RUN(a_bad_library_is_named);
    return 0;
}
