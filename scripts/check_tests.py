#!/usr/bin/env python3
"""tests/ mirrors src/: src/weights/onnx.c is tested by tests/weights/onnx.c. Lists the sources without
that twin and fails unless the table below says what tests them instead; an entry that is no longer
needed fails too, and so does a test file that no meson.build names. Usage: check_tests.py ROOT."""
import sys
from pathlib import Path

TESTED_BY = {
    "backend/import.c": "tests/speech/import.c",
    "backend/kokoro_voice.c": "tests/backend/native_kokoro.c",
    "backend/native_voice.c": "tests/backend/native.c",
    "backend/piper_voice.c": "tests/backend/native_piper.c",
    "cli/backends.c": "tests/cli/commands.py",
    "cli/bench.c": "tests/cli/commands.py",
    "cli/bench_child.c": "tests/cli/bench.py",
    "cli/bench_html.c": "tests/cli/bench.py",
    "cli/bench_matrix.c": "tests/cli/bench.py",
    "cli/bench_quality.c": "tests/cli/bench.py",
    "cli/bench_report.c": "tests/cli/bench.py",
    "cli/bench_stages.c": "tests/cli/bench.py",
    "cli/bench_svg.c": "tests/cli/bench.py",
    "cli/bench_voice.c": "tests/cli/bench.py",
    "cli/config_show.c": "tests/cli/config.py",
    "cli/common.c": "tests/cli/errors.py",
    "cli/eval.c": "tests/cli/eval.py",
    "cli/eval_print.c": "tests/cli/eval.py",
    "cli/import.c": "tests/cli/import.py",
    "cli/info.c": "tests/cli/commands.py",
    "cli/interrupt.c": "tests/cli/signals.py",
    "cli/main.c": "tests/cli/commands.py",
    "cli/no_sound_server.c": "tests/cli/faults.py",
    "cli/progress.c": "tests/cli/speak.py",
    "cli/settings_file.c": "tests/cli/config.py",
    "cli/settings_json.c": "tests/cli/settings.c",
    "cli/speak.c": "tests/cli/speak.py",
    "cli/text_input.c": "tests/cli/errors.py",
    "cli/trace.c": "tests/cli/commands.py",
    "cli/tune.c": "tests/cli/commands.py",
    "cli/voices.c": "tests/cli/commands.py",
    "compute/attention.c": "tests/compute/ops.c",
    "kernels/kernels.c": "tests/kernels/checkkernels.c",
    "kernels/scalar.c": "tests/kernels/checkkernels.c",
    "kernels/scalar_filter.c": "tests/kernels/checkkernels.c",
    "kernels/scalar_narrow.c": "tests/compute/narrow.c",
    "kernels/spline.c": "tests/kernels/checkkernels.c",
    "kernels/neon/conv_neon.c": "tests/kernels/checkkernels.c",
    "kernels/neon/elementwise_neon.c": "tests/kernels/checkkernels.c",
    "kernels/x86/conv_avx2.c": "tests/kernels/checkkernels.c",
    "kernels/x86/conv_avx512.c": "tests/kernels/checkkernels.c",
    "kernels/x86/elementwise_avx2.c": "tests/kernels/checkkernels.c",
    "kernels/x86/elementwise_avx512.c": "tests/kernels/checkkernels.c",
    "kernels/neon/bf16_neon.c": "tests/kernels/checkkernels.c",
    "kernels/neon/narrow_neon.c": "tests/kernels/checkkernels.c",
    "kernels/neon/narrow_neon_dot.c": "tests/kernels/checkkernels.c",
    "kernels/x86/bf16_avx2.c": "tests/kernels/checkkernels.c",
    "kernels/x86/bf16_avx512.c": "tests/kernels/checkkernels.c",
    "kernels/x86/bf16_avx512_dot.c": "tests/kernels/checkkernels.c",
    "kernels/x86/narrow_avx2.c": "tests/kernels/checkkernels.c",
    "kernels/x86/narrow_avx2_vnni.c": "tests/kernels/checkkernels.c",
    "kernels/x86/narrow_avx512.c": "tests/kernels/checkkernels.c",
    "kernels/x86/narrow_avx512_vnni.c": "tests/kernels/checkkernels.c",
    "models/kokoro/config_gguf.c": "tests/models/kokoro/ttscpp.c",
    "models/kokoro/layout_names.c": "tests/models/kokoro/layout.c",
    "models/kokoro/adain.c": "tests/models/trace.c",
    "models/kokoro/adain_decoder.c": "tests/models/trace.c",
    "models/kokoro/albert.c": "tests/models/trace.c",
    "models/kokoro/generator.c": "tests/models/trace.c",
    "models/kokoro/generator_load.c": "tests/models/kokoro/kokoro_load.c",
    "models/kokoro/harmonic_source.c": "tests/models/kokoro/kokoro_session.c",
    "models/kokoro/kokoro_open.c": "tests/models/kokoro/kokoro_load.c",
    "models/kokoro/kokoro_trace.c": "tests/models/trace.c",
    "models/kokoro/predictor.c": "tests/models/kokoro/text_side.c",
    "models/kokoro/prosody.c": "tests/models/trace.c",
    "models/kokoro/text_encoder.c": "tests/models/trace.c",
    "models/tracer.c": "tests/models/trace.c",
    "models/piper/durations.c": "tests/models/trace.c",
    "models/piper/encoder.c": "tests/models/trace.c",
    "models/piper/layers.c": "tests/models/trace.c",
    "models/piper/load.c": "tests/models/hostile.c",
    "models/piper/tensor_map.c": "tests/models/voices.c",
    "models/piper/trace.c": "tests/models/trace.c",
    "models/piper/window.c": "tests/models/piper/narrow.c",
    "speech/recording.c": "tests/audio/decode.c",
    "text/clause_reader.c": "tests/text/phonemes.c",
    "text/long_words.c": "tests/text/phonemes.c",
    "text/lexicon_entries.c": "tests/text/lexicon_misaki.c",
    "text/lexicon_rules_words.c": "tests/text/lexicon_rules.c",
    "text/lexicon_tokens.c": "tests/text/lexicon.c",
    "text/lexicon_words.c": "tests/text/lexicon.c",
}


def main():
    root = Path(sys.argv[1])
    sources = {str(p.relative_to(root / "src")) for p in (root / "src").rglob("*.c")}
    tests = {str(p.relative_to(root / "tests")) for p in (root / "tests").rglob("*.c")}
    n_wrong = 0
    for name in sorted(sources - tests):
        if name not in TESTED_BY:
            n_wrong += 1
            print(f"src/{name}: no tests/{name}, and no entry in scripts/check_tests.py")
        elif not (root / TESTED_BY[name]).exists():
            n_wrong += 1
            print(f"src/{name}: said to be tested by {TESTED_BY[name]}, which does not exist")
    for name in sorted(TESTED_BY):
        if name in tests or name not in sources:
            n_wrong += 1
            print(f"{name}: its entry in scripts/check_tests.py is no longer needed")
    registered = "".join(p.read_text(encoding="utf-8") for p in (root / "tests").rglob("meson.build"))
    for name in sorted(tests):
        if Path(name).name not in registered and Path(name).stem not in registered:
            n_wrong += 1
            print(f"tests/{name}: no meson.build below tests/ names it")
    print(f"{len(sources)} sources, {len(sources & tests)} with a twin, {len(TESTED_BY)} tested elsewhere, {n_wrong} wrong")
    return n_wrong != 0


if __name__ == "__main__":
    sys.exit(main())
