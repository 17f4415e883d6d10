#!/bin/sh
# Installs BUILD into an empty root and builds examples/speak.c against what is there, first with the
# shared library, then with the static one; each must say the same. Usage: check_install.sh BUILD
# shellcheck disable=SC2046,SC2086 # flags are split on purpose
set -eu
build=$1
source=$(dirname "$0")/..
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

DESTDIR=$root meson install -C "$build" --quiet
lib_dir=$(dirname "$(find "$root" -name libutter.so)")
prefix=$(sed -n 's/^prefix=//p' "$lib_dir/pkgconfig/utter.pc")

flags() {
    PKG_CONFIG_PATH=$lib_dir/pkgconfig pkg-config --define-variable=prefix="$root$prefix" "$@" utter
}

cc "$source/examples/speak.c" $(flags --cflags --libs) -o "$root/shared"
LD_LIBRARY_PATH=$lib_dir "$root/shared" "It works." "$root/shared.wav" espeak
# Not --static, which wants static copies of what those libraries use themselves.
modules=$(flags --print-requires-private | sed 's/[ >=].*//')
rm "$lib_dir"/libutter.so*
cc "$source/examples/speak.c" $(flags --cflags --libs) $(pkg-config --libs $modules) -lm -pthread \
    -o "$root/static"
"$root/static" "It works." "$root/static.wav" espeak
cmp "$root/shared.wav" "$root/static.wav"
"$root$prefix/bin/utter" --version
