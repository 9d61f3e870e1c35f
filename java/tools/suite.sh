#!/usr/bin/env bash
# Runs one suite of the Java tests; `make test-build` must have built the classes and the native library.
#
#   java/tools/suite.sh java-25 REPORTS          all tests on Java 25, with -Xcheck:jni
#   java/tools/suite.sh java-17 REPORTS          tests of calls, picks and values on Java 17
#   java/tools/suite.sh java-packaged REPORTS    tests of the jars: alone, fat, in two class loaders, in a jlink image
#   java/tools/suite.sh scenarios-java REPORTS   the scenarios of every language, on Java 25
#
# REPORTS is the folder for the reports, relative to the root of the checkout. Set `JAVA_25_HOME` and `JAVA_17_HOME` if
# the JDKs are not below /usr/lib/jvm.
set -euo pipefail
cd "$(dirname "$0")/.."

suite=$1
reports=$PWD/../$2

# jdk VERSION: prints the folder of a JDK of that version
jdk() {
    local named="JAVA_$1_HOME"
    local home=${!named:-$(ls -d /usr/lib/jvm/*"$1"* 2>/dev/null | head -n 1)}
    if [ ! -x "${home:-/nowhere}/bin/java" ]; then
        echo "JDK $1 not found: install it or set $named" >&2
        exit 1
    fi
    echo "$home"
}

# surefire EXECUTION JDK OPTION...: runs tests that are already compiled
surefire() {
    mvn --quiet --batch-mode --file pom.xml "surefire:test@$1" -Dplumline.profile=debug "-Dplumline.jvm=$2/bin/java" \
        "-Dplumline.reports=$reports" "-Dplumline.surefire=surefire-$suite" -Dsurefire.rerunFailingTestsCount=2 "${@:3}"
}

# The stack frames follow a warning. Warnings about other libraries are ignored.
check_jni_warnings() {
    if grep -A 12 -E 'WARNING in native method|FATAL ERROR in native method|WARNING: JNI local refs' "$1" |
        grep -E 'io\.plumline|plumline_java'; then
        echo "-Xcheck:jni reports misuse of JNI by Plumline; see above" >&2
        exit 1
    fi
}

rm -rf "$reports"
mkdir -p "$reports"
case $suite in
java-25)
    surefire default-test "$(jdk 25)" -Dplumline.jvm.options=-Xcheck:jni -DexcludedGroups=scenarios 2>&1 |
        tee "$reports/output.txt"
    check_jni_warnings "$reports/output.txt"
    ;;
java-17) surefire default-test "$(jdk 17)" '-Dtest=CallTest,PickTest,ValuesTest' ;;
java-packaged) surefire packaged "$(jdk 25)" -Ppackaged ;;
scenarios-java) surefire default-test "$(jdk 25)" -Dgroups=scenarios -Dsurefire.rerunFailingTestsCount=0 ;;
*)
    echo "unknown suite $suite" >&2
    exit 2
    ;;
esac
