#!/usr/bin/env bash
# What `make install` leaves is what programs are built with: by pkg-config and by CMake, shared and static, C99 and
# C++17, gcc and clang. Also with DESTDIR, and after the tree was moved.
set -euo pipefail
OUT=${1:?where to build}
ROOT=$PWD
STRICT="-Wall -Wextra -Wpedantic -Werror"
VERSION=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
rm -rf "$OUT"
mkdir -p "$OUT"

install_to() { make --silent --no-print-directory -f bindings/c/install.mk install C_PROFILE=debug C_BUILD= "$@" >/dev/null; }

# runs PROGRAM: says the version and the endpoint
runs() {
  local said
  said=$("$@")
  [ "$said" = "$VERSION 10.0.0.7:8080" ] || { echo "$*: $said" >&2; return 1; }
}

by_pkg_config() {
  export PKG_CONFIG_PATH=$1/lib/pkgconfig
  local flags shared static
  flags=$(pkg-config --cflags plumline)
  shared=$(pkg-config --libs plumline)
  static="$(pkg-config --variable=libdir plumline)/libplumline.a $(pkg-config --static --libs-only-l plumline | sed 's/-lplumline//')"
  [ "$(pkg-config --modversion plumline)" = "$VERSION" ]
  for compiler in "gcc -std=c99 main.c" "clang -std=c99 main.c" "g++ -std=c++17 main.cpp" "clang++ -std=c++17 main.cpp"; do
    read -r cc standard source <<<"$compiler"
    $cc $standard $STRICT $flags "$ROOT/tests/c/installed/$source" $shared -o "$OUT/$cc-shared"
    LD_LIBRARY_PATH=$1/lib runs "$OUT/$cc-shared"
    $cc $standard $STRICT $flags "$ROOT/tests/c/installed/$source" $static -o "$OUT/$cc-static"
    runs "$OUT/$cc-static"
    ! ldd "$OUT/$cc-static" | grep -q plumline
  done
}

by_cmake() {
  for compilers in "gcc g++" "clang clang++"; do
    read -r cc cxx <<<"$compilers"
    local to=$OUT/cmake-$(basename "$1")-$cc
    cmake -S tests/c/installed -B "$to" -DCMAKE_PREFIX_PATH="$1" -DCMAKE_C_COMPILER="$cc" -DCMAKE_CXX_COMPILER="$cxx" \
      >"$to.log" || { cat "$to.log" >&2; return 1; }
    cmake --build "$to" >>"$to.log" || { cat "$to.log" >&2; return 1; }
    for program in main_c_shared main_c_static main_cpp_shared main_cpp_static; do runs "$to/$program"; done
  done
}

install_to PREFIX="$OUT/prefix"
by_pkg_config "$OUT/prefix"
by_cmake "$OUT/prefix"

install_to PREFIX=/opt/plumline DESTDIR="$OUT/package"
grep -q '^prefix=/opt/plumline$' "$OUT/package/opt/plumline/lib/pkgconfig/plumline.pc"
mv "$OUT/package/opt/plumline" "$OUT/moved"
by_cmake "$OUT/moved"

make --silent --no-print-directory -f bindings/c/install.mk uninstall PREFIX="$OUT/prefix" C_PROFILE=debug C_BUILD=
[ -z "$(find "$OUT/prefix" ! -type d)" ] || { find "$OUT/prefix" ! -type d >&2; exit 1; }
echo "installed: pkg-config and CMake, C99 and C++17, gcc and clang, shared and static"
