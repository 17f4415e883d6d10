#!/bin/sh
# The program of BUILD under valgrind's memcheck, with the tiny models of tests/data: invalid accesses,
# uninitialised values and what was lost on the way. Usage: memcheck.sh BUILD
set -u
utter=$1/utter
data=$(dirname "$0")/../tests/data
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
n=0 bad=0

check() {
    n=$((n + 1))
    if ! valgrind -q --error-exitcode=9 --leak-check=full --show-leak-kinds=definite,indirect \
        --errors-for-leak-kinds=definite,indirect "$utter" "$@" >"$out/log" 2>&1; then
        bad=$((bad + 1))
        echo "utter $*: failed"
        tail -n 40 "$out/log"
    fi
}

ids=1,0,20,0,120,0,61,0,2
check info --json -t "$data/piper/tiny_multi.onnx"
check info --json -t "$data/kokoro"
check trace --cpu scalar "$data/piper/tiny.onnx" "$data/piper/golden_tiny.safetensors"
check trace "$data/kokoro/kokoro-v1_0.pth" "$data/kokoro/golden_tiny.safetensors" --case u0 -o "$out/t.safetensors"
check speak --cpu scalar -m "$data/house/tiny" --ids $ids -o "$out/h.wav" --no-fallback
check import "$data/kokoro" -o "$out/k.gguf" --type f16
check speak -m "$out/k.gguf" --ids 0,50,157,43,135,4,0 -v af_synth+bm_synth -o "$out/k.wav" --no-fallback
if "$utter" speak -m espeak -o "$out/e.wav" Hi. 2>"$out/log"; then # built with espeak-ng
    check speak -m "$data/piper/tiny.onnx" -o "$out/p.wav" --no-fallback "Go on. It is 12."
    check speak -m "$data/kokoro" -o "$out/k.wav" --no-fallback "Go on."
fi
echo "$n programs under valgrind, $bad failed"
[ "$bad" = 0 ]
