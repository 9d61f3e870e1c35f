#!/usr/bin/env bash
# The suite again where it is most likely to differ: on Java 25, and with the virtual machine checking every JNI call.
# `JAVA_25_HOME` names Java 25 where it is not in the usual place. Options go to Maven, such as -Dplumline.profile=debug.
set -euo pipefail
cd "$(dirname "$0")/.."

newest=${JAVA_25_HOME:-$(ls -d /usr/lib/jvm/*25* 2>/dev/null | head -n 1)}
if [ ! -x "${newest:-/nowhere}/bin/java" ]; then
    echo "Java 25 is not here: set JAVA_25_HOME" >&2
    exit 1
fi

# The scenarios are played twice in all: by `mvn verify` as users run it, and here on the newest with every check.
without_scenarios=-DexcludedGroups=scenarios

echo "The suite on $newest"
mvn --quiet --file pom.xml surefire:test@default-test surefire:test@packaged -Ppackaged "-Dplumline.jvm=$newest/bin/java" \
    "$without_scenarios" "$@"

oldest=$(dirname "$(dirname "$(readlink -f "$(command -v java)")")")
for java in "$oldest" "$newest"; do
    echo "The suite with -Xcheck:jni on $java"
    some=(); if [ "$java" = "$oldest" ]; then some=("$without_scenarios"); fi
    log=target/check-jni.log
    mvn --quiet --file pom.xml surefire:test@default-test "-Dplumline.jvm=$java/bin/java" \
        "-Dplumline.jvm.options=-Xcheck:jni" "${some[@]}" "$@" >"$log" 2>&1 || { tail -n 60 "$log"; exit 1; }
    # Two lines further down stand the frames: those of the JDK's own libraries are not ours.
    if grep -A 12 -E 'WARNING in native method|FATAL ERROR in native method|WARNING: JNI local refs' "$log" |
        grep -E 'io\.plumline|plumline_java'; then
        echo "-Xcheck:jni complains, see $log" >&2
        exit 1
    fi
done
