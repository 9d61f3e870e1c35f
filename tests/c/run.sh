#!/usr/bin/env bash
# The C and C++ suites. `make test-build` must have built the libraries. `tests/c/run.sh` runs all of it;
# `tests/c/run.sh sanitize valgrind` only these parts:
#
#   plain        every test, gcc and clang, against the static and the shared library
#   sanitize     the same under AddressSanitizer and UndefinedBehaviorSanitizer
#   valgrind     0 errors, 0 bytes lost
#   install      only plumline_* is exported and every export has a test; programs built against the installed
#                tree: pkg-config, CMake, C99, C++17, gcc, clang
#   conformance  the scenarios that every language passes
#
# A test program that fails is started again, up to twice: it drives other processes and real time. Where it passes only
# then, its name goes into the file that PLUMLINE_FLAKY names.
set -euo pipefail
cd "$(dirname "$0")/../.."

OUT=$PWD/target/c-tests
LIB=$PWD/target/debug
WARN="-g -Wall -Wextra -Wpedantic -Werror -D_POSIX_C_SOURCE=200809L -Iinclude"
SYSTEM="-lgcc_s -lpthread -lm -ldl"
mkdir -p "$OUT"
export PLUMLINE_COMMAND=$LIB/plumline PLUMLINE_SLAM_TLS=$PWD/tests/c/support/slam_tls.py PLUMLINE_TMP=$OUT
unset "${!PLUMLINE_REGISTRY@}" "${!PLUMLINE_CONFIG@}"
export LOCPATH=$OUT/locale PLUMLINE_COMMA_LOCALE=comma.UTF-8 # one that writes 0,5
mkdir -p "$LOCPATH"
# Several parts may run at a time.
flock "$OUT" sh -c "[ -d '$LOCPATH/$PLUMLINE_COMMA_LOCALE' ] || localedef --inputfile=de_DE --charmap=UTF-8 '$LOCPATH/$PLUMLINE_COMMA_LOCALE'"

# suites NAME CC CXX FLAGS LIBRARY...: builds every suite into $OUT/NAME
suites() {
  local to=$OUT/$1 cc=$2 cxx=$3 flags=$4
  shift 4
  mkdir -p "$to"
  for part in check server; do $cc -std=c99 $WARN $flags -c tests/c/support/$part.c -o "$to/$part.o"; done
  $cc -std=c99 $WARN $flags "$to"/*.o tests/c/unit/*.c "$@" $SYSTEM -o "$to/unit"
  for test in fork sigpipe; do
    $cc -std=c99 $WARN $flags "$to"/*.o tests/c/process/$test.c "$@" $SYSTEM -o "$to/$test"
  done
  $cxx -std=c++17 $WARN $flags "$to"/*.o tests/c/cpp/*.cpp "$@" $SYSTEM -o "$to/cpp"
}

# retried PROGRAM...: runs it, up to three times in all
retried() {
  local try
  for try in 1 2 3; do
    if "$@"; then
      if [ "$try" -gt 1 ]; then echo "$(basename "$1") passed on try $try" >>"${PLUMLINE_FLAKY:-/dev/null}"; fi
      return 0
    fi
  done
  return 1
}

run_all() {
  for test in unit cpp fork sigpipe; do retried "$OUT/$1/$test"; done
}

plain() {
  suites static gcc g++ -O1 "$LIB/libplumline.a"
  run_all static
  suites shared clang clang++ -O1 -L"$LIB" -Wl,-rpath,"$LIB" -lplumline
  run_all shared
  clang -std=c99 $WARN -O1 tests/c/process/unload.c -lpthread -ldl -o "$OUT/shared/unload"
  retried "$OUT/shared/unload" "$LIB/libplumline.so"
}

sanitize() {
  suites sanitized gcc g++ "-fsanitize=address,undefined -fno-sanitize-recover=all" "$LIB/libplumline.a"
  for test in unit cpp sigpipe; do retried "$OUT/sanitized/$test"; done
  # A forked child leaves what it inherited alone, memory included: that is its leak.
  ASAN_OPTIONS=detect_leaks=0 retried "$OUT/sanitized/fork"
}

valgrind() {
  suites valgrind gcc g++ -O1 "$LIB/libplumline.a"
  for test in unit cpp; do
    retried command valgrind --quiet --leak-check=full --show-leak-kinds=definite,indirect,possible \
      --errors-for-leak-kinds=definite,indirect,possible --error-exitcode=9 \
      --suppressions=tests/c/valgrind.supp "$OUT/valgrind/$test"
  done
}

symbols() {
  local shared tested name
  shared=$(nm -D --defined-only "$LIB/libplumline.so" | awk '{print $3}')
  if grep -v '^plumline_' <<<"$shared"; then echo "these are exported by libplumline.so" >&2; return 1; fi
  if nm -g --defined-only "$LIB/libplumline.a" | awk 'NF == 3 {print $3}' | grep -v '^plumline_'; then
    echo "these are global in libplumline.a" >&2
    return 1
  fi
  readelf -d "$LIB/libplumline.so" | grep -q 'SONAME.*\[libplumline.so.0\]'
  for name in $shared; do
    grep -q "\b$name(" include/plumline.h || { echo "$name is not in plumline.h" >&2; return 1; }
    grep -rqw "$name" tests/c/unit tests/c/process || { echo "$name has no test" >&2; return 1; }
  done
  echo "symbols: $(wc -w <<<"$shared") exported, all plumline_*, all tested"
}

install() {
  symbols
  tests/c/installed.sh "$OUT/installed"
}

conformance() {
  gcc -std=c99 $WARN tests/c/conformance/*.c "$LIB/libplumline.a" -lcjson $SYSTEM -o "$OUT/conformance"
  local nowhere=http://127.0.0.1:1
  HTTP_PROXY=$nowhere http_proxy=$nowhere HTTPS_PROXY=$nowhere https_proxy=$nowhere ALL_PROXY=$nowhere \
    all_proxy=$nowhere "$OUT/conformance"
}

[ -e "$LIB/libplumline.so" ] || { echo "$LIB/libplumline.so is missing: run make test-build" >&2; exit 1; }
for part in ${*:-plain sanitize valgrind install conformance}; do
  echo "== $part"
  $part
done
