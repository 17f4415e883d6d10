#!/bin/sh
# Runs every fuzz target of BUILD for SECONDS each, from its corpus in fuzz/corpus/TARGET; inputs that
# reach new code are kept in BUILD/corpus, those that fail in BUILD/findings. Usage: fuzz.sh BUILD SECONDS
set -u
build=$1 seconds=$2
source=$(dirname "$0")/..
n=0 bad=0

mkdir -p "$build/findings"
for target in "$build"/fuzz/fuzz_*; do
    if [ ! -f "$target" ] || [ ! -x "$target" ]; then continue; fi # also the folders of object files
    name=$(basename "$target")
    n=$((n + 1))
    mkdir -p "$build/corpus/$name"
    set -- "$build/corpus/$name"
    [ ! -d "$source/fuzz/corpus/$name" ] || set -- "$@" "$source/fuzz/corpus/$name"
    [ ! -f "$source/fuzz/$name.dict" ] || set -- "-dict=$source/fuzz/$name.dict" "$@"
    if "$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
        -artifact_prefix="$build/findings/$name-" "$@" >"$build/findings/$name.log" 2>&1; then
        sed -n "s/^stat::number_of_executed_units: */$name: runs /p" "$build/findings/$name.log"
    else
        bad=$((bad + 1))
        echo "$name: failed; $build/findings/$name.log ends with"
        tail -n 40 "$build/findings/$name.log"
    fi
done
echo "$n fuzz targets, $bad failed"
[ "$n" -gt 0 ] && [ "$bad" = 0 ]
