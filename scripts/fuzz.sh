#!/bin/sh
# Runs every fuzz target of BUILD, or the one that is named, for SECONDS, as many at once as there are processors,
# from its corpus in fuzz/corpus/TARGET; inputs that reach new code are kept in BUILD/corpus, those that fail in
# BUILD/findings. Usage: fuzz.sh BUILD SECONDS [fuzz_NAME]
set -u
build=$1 seconds=$2
source=$(dirname "$0")/..

run_one() {
    name=$1
    mkdir -p "$build/findings" "$build/corpus/$name"
    set -- "$build/corpus/$name"
    [ ! -d "$source/fuzz/corpus/$name" ] || set -- "$@" "$source/fuzz/corpus/$name"
    [ ! -f "$source/fuzz/$name.dict" ] || set -- "-dict=$source/fuzz/$name.dict" "$@"
    if "$build/fuzz/$name" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=1024 -print_final_stats=1 \
        -artifact_prefix="$build/findings/$name-" "$@" >"$build/findings/$name.log" 2>&1; then
        sed -n "s/^stat::number_of_executed_units: */$name: runs /p" "$build/findings/$name.log"
    else
        echo "$name: failed; $build/findings/$name.log ends with"
        tail -n 40 "$build/findings/$name.log"
        return 1
    fi
}

if [ $# -gt 2 ]; then
    run_one "$3"
    exit
fi
names=$(find "$build/fuzz" -maxdepth 1 -type f -name 'fuzz_*' -perm -u+x | sed 's|.*/||' | sort)
if [ -z "$names" ]; then
    echo "$build/fuzz has no fuzz targets: configure with -Dfuzz=true, in clang"
    exit 1
fi
if echo "$names" | xargs -n 1 -P "$(nproc)" "$0" "$build" "$seconds"; then
    echo "$(echo "$names" | wc -l) fuzz targets, none failed"
else
    echo "$(echo "$names" | wc -l) fuzz targets, some failed"
    exit 1
fi
