#!/bin/sh
# Builds and runs the C tests of the ABI under the sanitizers, and looks at what the artifacts export.
# Argument: where libopjournal.so and libopjournal.a are. Run from the top of the project.
set -eu

library_dir=$(cd "$1" && pwd)
library=$library_dir/libopjournal.so
CC=${CC:-cc}
CXX=${CXX:-c++}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/stores"
export OPJOURNAL_TEST_DIR="$work/stores"
export LD_LIBRARY_PATH="$library_dir"
export ASAN_OPTIONS=detect_leaks=1
warnings="-Wall -Wextra -Wpedantic -Werror"
without_asan="-g -O1 -fsanitize=undefined -fno-sanitize-recover=all -fno-omit-frame-pointer"
sanitizers="$without_asan -fsanitize=address"

fail() {
    echo "$0: $*" >&2
    exit 1
}

# The header alone, twice, in both languages.
printf '#include "opjournal.h"\n#include "opjournal.h"\nint used = OPJOURNAL_OK;\n' > "$work/header.c"
# shellcheck disable=SC2086
$CC -std=c99 $warnings -Iinclude -c "$work/header.c" -o "$work/header.o"
# shellcheck disable=SC2086
$CXX -std=c++11 $warnings -Iinclude -x c++ -c "$work/header.c" -o "$work/header.o"
echo "ok header"

# A program that forks goes without ASan: that of GCC 12 locks its allocator without regard to forks, and a child waits for ever where another
# thread was in malloc. `make sanitize` runs the same programs under an ASan that does not.
for test in abi_smoke handles arguments queue fork signals logs; do
    case $test in fork) flags=$without_asan ;; *) flags=$sanitizers ;; esac
    # shellcheck disable=SC2086
    $CC -std=gnu11 $warnings $flags -Iinclude "tests/c/$test.c" -o "$work/$test" -L"$library_dir" -lopjournal -pthread
    timeout 300 "$work/$test" || fail "$test failed"
done

# A host that is run under valgrind, which maps and knows less than a kernel does.
if command -v valgrind > "$work/valgrind"; then
    # shellcheck disable=SC2086
    $CC -std=gnu11 $warnings -g -O1 -Iinclude tests/c/abi_smoke.c -o "$work/watched" -L"$library_dir" -lopjournal -pthread
    mkdir "$work/stores/watched"
    OPJOURNAL_TEST_DIR="$work/stores/watched" timeout 300 valgrind --quiet --fair-sched=yes --error-exitcode=99 "$work/watched" > "$work/memcheck" 2>&1 ||
        fail "abi_smoke failed under valgrind: $(cat "$work/memcheck")"
    echo "ok abi_smoke under valgrind"
fi

# Some seconds of wrong calls.
# shellcheck disable=SC2086
$CC -std=gnu11 $warnings $without_asan -Iinclude tests/c/hostile/*.c -o "$work/hostile" -L"$library_dir" -lopjournal -pthread
timeout 300 "$work/hostile" 30000 || fail "hostile failed"

# shellcheck disable=SC2086
$CC -std=gnu11 $warnings $sanitizers -Iinclude tests/c/dlopen.c -o "$work/dlopen" -ldl -pthread
timeout 60 "$work/dlopen" "$library" || fail "dlopen failed"

# What is exported is what the header declares, under the one version.
grep -o 'opjournal_[a-z_]*(' include/opjournal.h | grep -v '()' | tr -d '(' | sort -u > "$work/mentioned"
nm -D --defined-only "$library" | awk '$2 != "A" { print $3 }' | sort > "$work/exported"
sed -n 's/@@OPJOURNAL_0$//p' "$work/exported" > "$work/names"
[ "$(wc -l < "$work/names")" = "$(wc -l < "$work/exported")" ] || fail "exported without the version OPJOURNAL_0: $(grep -v @@OPJOURNAL_0 "$work/exported")"
declared=$(sed -n '/^extern "C"/,$p' include/opjournal.h | sed -n 's/^[a-z].*[ *]\(opjournal_[a-z_]*\)(.*/\1/p' | sort)
[ "$declared" = "$(cat "$work/names")" ] || fail "the header declares other functions than the library exports"
readelf -d "$library" > "$work/dynamic"
grep -q 'SONAME.*\[libopjournal\.so\.0\]' "$work/dynamic" || fail "no SONAME"
grep -q 'NODELETE' "$work/dynamic" || fail "not marked NODELETE"
grep -q 'BIND_NOW\|FLAGS_1.*NOW' "$work/dynamic" || fail "not bound at once"
readelf -lW "$library" | grep -q 'GNU_RELRO' || fail "no RELRO"
[ "$(readelf -lW "$library" | awk '$1 == "GNU_STACK" { print $7 }')" = RW ] || fail "an executable stack"
echo "ok exports: $(wc -l < "$work/names") functions"

# The switches that take a defence of the journal away are the simulation's alone.
if grep -aq 'a mutant is looked up' "$library" "$library_dir/libopjournal.a"; then
    fail "the library carries mutants"
fi
echo "ok no mutants in the library"
echo "   needs: $(sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' "$work/dynamic" | tr '\n' ' ')and glibc $(objdump -T "$library" | sed -n 's/.*(\{0,1\}GLIBC_\([0-9.]*\).*/\1/p' | sort -V | tail -n 1)"

# The static archive, beside another Rust library that brings a standard library of its own.
if command -v rustc > "$work/rustc"; then
    nm --defined-only --extern-only "$library_dir/libopjournal.a" 2> "$work/nm" | awk 'NF == 3 { print $3 }' | sort > "$work/static"
    cmp -s "$work/static" "$work/names" || fail "the archive has global symbols besides the functions: $(diff "$work/static" "$work/names" | head -n 5)"
    cat > "$work/other.rs" <<'RUST'
#[unsafe(no_mangle)]
pub extern "C" fn other_rust_library(text: *const std::ffi::c_char) -> usize {
    let text = unsafe { std::ffi::CStr::from_ptr(text) }.to_string_lossy().into_owned();
    std::panic::catch_unwind(|| if text.is_empty() { panic!("nothing") } else { text.len() }).unwrap_or(0)
}
RUST
    rustc --edition 2024 --crate-type staticlib -O -o "$work/libother.a" "$work/other.rs"
    cat > "$work/both.c" <<'C'
#include "abi.h"
size_t other_rust_library(const char *text);
int main(void) {
    opjournal_journal journal = open_journal("memory:both", "");
    CHECK(other_rust_library("four") == 4);
    CHECK(other_rust_library("") == 0);
    apply(open_namespace(journal, "a"), "{\"op\":\"IntSet\",\"Key\":\"n\",\"Value\":1}");
    close_journal(journal);
    return 0;
}
C
    for order in "$library_dir/libopjournal.a $work/libother.a" "$work/libother.a $library_dir/libopjournal.a"; do
        # shellcheck disable=SC2086
        $CC -std=gnu11 -Iinclude -Itests/c "$work/both.c" -o "$work/both" $order -lgcc_s -lrt -lpthread -lm -ldl
        "$work/both" 2> "$work/panics" || fail "the static archive does not work beside another Rust library: $(cat "$work/panics")"
    done
    echo "ok static archive beside another Rust library"
fi
