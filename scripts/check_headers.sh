#!/bin/sh
# Every header compiles by itself as C, and utter.h as strict C11 and as C++ too. Kernel templates and
# vector primitives are exempt: they need a level's flags and stand behind its vec_*.h.
# Usage: check_headers.sh ROOT BUILD_ROOT CC...
set -u
root=$1 build=$2
shift 2
n=0 bad=0

compiles() { # HEADER FLAGS...
    header=$1
    shift
    n=$((n + 1))
    printf '#include "%s"\n' "$header" |
        "$@" -Wall -Wextra -Wno-unused-parameter -Werror -fsyntax-only -I"$root/include" -I"$root/src" \
            -I"$build" - && return
    bad=$((bad + 1))
    echo "$header does not compile by itself: $*"
}

compiles utter.h "$@" -x c -std=c11 -pedantic
if echo | "$@" -x c++ -fsyntax-only - 2>/dev/null; then
    compiles utter.h "$@" -x c++ -std=c++11 -pedantic
else
    echo "no C++ compiler: utter.h was not tried as C++"
fi
for header in $(cd "$root/src" && find . -name '*.h' ! -name '*_template.h' ! -name 'vec_*.h' | sed 's|^\./||' | sort); do
    compiles "$header" "$@" -x c -std=gnu11 -D_GNU_SOURCE
done
echo "$n tried, $bad failed"
[ "$bad" = 0 ]
