#!/bin/sh
# Installs into a temporary place and uses it as a stranger would: outside the tree, by pkg-config and by CMake only.
# Argument: the build directory, with the library and the command in it. Run in the root of the tree; MAKE, CC and CXX come from the environment.
set -eu

build=$1
tree=$PWD
: "${MAKE:=make}" "${CC:=cc}" "${CXX:=c++}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix
mkdir "$work/store" "$work/user"
store=file://$work/store
unset LD_LIBRARY_PATH PKG_CONFIG_PATH

fail() {
    echo "install_test: $*" >&2
    exit 1
}
is() {
    [ "$2" = "$3" ] || fail "$1: got '$2', wanted '$3'"
    echo "ok $1"
}
# Whether a program asks the system for a shared libopjournal.
needs_shared() {
    readelf -d "$1" | grep -q 'NEEDED.*libopjournal\.so\.0'
}
# What is installed must not know where it was built.
forgets_the_tree() {
    ! grep -rlF -e "$tree" -e "$build" "$1" --include='*.pc' --include='*.cmake' --include='*.h'
}

$MAKE -s install BUILD="$build" PREFIX="$prefix" >"$work/log" 2>&1 || fail "install: $(cat "$work/log")"
forgets_the_tree "$prefix" || fail "an installed file names the tree it was built in"
cp "$tree/bindings/c/examples/counter.c" "$tree/bindings/c/examples/dlopen.cpp" "$work/user/"
cd "$work/user"
export PKG_CONFIG_PATH="$prefix/lib/pkgconfig"

is "pkg-config knows the version" "$(pkg-config --modversion opjournal)" "$(sed -n 's/^version = "\(.*\)"/\1/p' "$tree/Cargo.toml" | head -n 1)"

# shellcheck disable=SC2046  # flags are words
$CC -std=c99 -Wall -Wextra -Werror counter.c -o shared $(pkg-config --cflags --libs opjournal)
needs_shared shared || fail "the program does not ask for libopjournal.so.0"
is "pkg-config, shared" "$(LD_LIBRARY_PATH=$prefix/lib ./shared "$store")" 1

# shellcheck disable=SC2046
$CC -std=c99 counter.c -o static $(pkg-config --cflags --libs opjournal-static)
! needs_shared static || fail "the static program asks for the shared library"
is "pkg-config, opjournal-static" "$(./static "$store")" 2

# shellcheck disable=SC2046
$CXX -std=c++11 dlopen.cpp -o loaded $(pkg-config --cflags --libs opjournal-dl)
! needs_shared loaded || fail "the loading program asks for the shared library"
is "pkg-config, opjournal-dl" "$(LD_LIBRARY_PATH=$prefix/lib ./loaded -store "$store" -ns counter | sed 's/digest [0-9a-f]*/digest/')" "digest total 0"
if ./loaded -store "$store" >out 2>err; then fail "the loader found a library that is not there"; fi
grep -q 'libopjournal\.so\.0' err || fail "the loader's message: $(cat err)"
echo "ok a library that is missing is named"

# Where only the archive is installed, --static is all it takes.
mkdir aside
mv "$prefix"/lib/libopjournal.so* aside/
# shellcheck disable=SC2046
$CC -std=c99 counter.c -o alone $(pkg-config --static --cflags --libs opjournal)
is "pkg-config --static, without the shared library" "$(./alone "$store")" 3
mv aside/* "$prefix/lib/"

# The command, with what belongs to it, needs none of the library's files.
is "the command is installed" "$("$prefix/bin/opjournal" --version)" "opjournal $(pkg-config --modversion opjournal)"
is "the command reads what the programs wrote" "$("$prefix/bin/opjournal" get "$store" counter visits | tail -n 1)" 3
grep -q '^\.TH opjournal' "$prefix/share/man/man1/opjournal.1" && grep -q '^\.TH opjournal-doctor' "$prefix/share/man/man1/opjournal-doctor.1" ||
    fail "the manual is not installed"
echo "ok the manual has a page for each subcommand"
bash -c '. "$1" && complete -p opjournal' bash "$prefix/share/bash-completion/completions/opjournal" >/dev/null || fail "bash does not take the completions"
test -s "$prefix/share/zsh/site-functions/_opjournal" && test -s "$prefix/share/fish/vendor_completions.d/opjournal.fish" ||
    fail "completions for zsh or fish are missing"
echo "ok completions for bash, zsh and fish"

# A C++ project that finds the package, in a tree that was moved after it was installed.
moved=$work/moved
mv "$prefix" "$moved"
mkdir project
cp counter.c dlopen.cpp project/
cat >project/CMakeLists.txt <<'CMAKE'
cmake_minimum_required(VERSION 3.14)
project(user C CXX)
find_package(opjournal 0.1 REQUIRED CONFIG)
set(CMAKE_CXX_STANDARD 11)
add_executable(shared counter.c)
target_link_libraries(shared PRIVATE opjournal::opjournal)
add_executable(static counter.c)
target_link_libraries(static PRIVATE opjournal::static)
add_executable(loaded dlopen.cpp)
target_link_libraries(loaded PRIVATE opjournal::dl)
find_package(opjournal 0.1 REQUIRED CONFIG)
CMAKE
(cmake -S project -B project/build -DCMAKE_PREFIX_PATH="$moved" -DCMAKE_BUILD_TYPE=Release && cmake --build project/build) >log 2>&1 ||
    fail "cmake: $(cat log)"
is "CMake, opjournal::opjournal" "$(project/build/shared "$store")" 4
is "CMake, opjournal::static" "$(project/build/static "$store")" 5
! needs_shared project/build/static || fail "CMake's static program asks for the shared library"
is "CMake, opjournal::dl" "$(project/build/loaded -store "$store" -ns counter -lib "$moved/lib/libopjournal.so.0" | cut -d ' ' -f 3-)" "total 0"
mkdir refused
printf 'cmake_minimum_required(VERSION 3.14)\nproject(user C)\nfind_package(opjournal 1.0 REQUIRED CONFIG)\n' >refused/CMakeLists.txt
if cmake -S refused -B refused/build -DCMAKE_PREFIX_PATH="$moved" >log 2>&1; then fail "version 1.0 was found"; fi
echo "ok CMake refuses another major version"
mv "$moved" "$prefix"

# A staged installation for a package: nothing outside DESTDIR, and its own final places in the files.
cd "$tree"
stage=$work/stage
layout="PREFIX=/usr LIBDIR=/usr/lib/some-arch"
# shellcheck disable=SC2086
$MAKE -s install BUILD="$build" DESTDIR="$stage" $layout >"$work/log" 2>&1 || fail "staged install: $(cat "$work/log")"
is "staged: libdir" "$(PKG_CONFIG_PATH=$stage/usr/lib/some-arch/pkgconfig pkg-config --variable=libdir opjournal)" /usr/lib/some-arch
forgets_the_tree "$stage" || fail "a staged file names the tree it was built in"
! grep -rlF "$stage" "$stage" --include='*.pc' --include='*.cmake' || fail "a staged file names its stage"
cd "$work/user"
rm -rf project/build
(cmake -S project -B project/build -DCMAKE_PREFIX_PATH="$stage/usr" -Dopjournal_DIR="$stage/usr/lib/some-arch/cmake/opjournal" && cmake --build project/build) >log 2>&1 ||
    fail "cmake on the stage: $(cat log)"
is "staged: CMake finds its way from any library directory" "$(project/build/shared "$store")" 6

cd "$tree"
# shellcheck disable=SC2086
$MAKE -s uninstall BUILD="$build" DESTDIR="$stage" $layout
$MAKE -s uninstall BUILD="$build" PREFIX="$prefix"
is "uninstall leaves nothing" "$(find "$stage" "$prefix" ! -type d)" ""
